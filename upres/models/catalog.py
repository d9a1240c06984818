"""Models by name: the ones bundled with upres, and the way from any name or path to verified files.

A name is that of a bundled model, of a downloadable one (`bundled/catalog.tsv`), or of one that the user added
(`store.py`).
"""

from __future__ import annotations

import difflib
import hashlib
from pathlib import Path, PurePath

from upres.errors import ModelError, UsageError
from upres.models.model import Model, downloadable_models, store_folder
from upres.models.store import added_names, pull, read_added
from upres.system.checksums import Source
from upres.system.download import Progress, fetch
from upres.system.folders import exists, is_file

# a name that ends so is a path
MODEL_SUFFIXES = frozenset({".safetensors", ".pth", ".pt", ".ckpt", ".bin", ".param", ".onnx"})
# as others call them
_FAMILY_NAMES = {"esrgan": "rrdb", "rrdbnet": "rrdb", "srvgg": "compact", "srvggnetcompact": "compact"}
_MOST_SUGGESTIONS = 3
_SHORTEST_PART = 3  # letters of a name that are worth looking for inside other names

_PHOTOGRAPHS = (
    "314 photographs under CC0, public-domain, CC BY, CC BY-SA and BSD terms (listed in upres/models/bundled/NAME.md), "
    "reduced by the "
    "MATLAB-equal bicubic resize"
)
_DEGRADED = (
    "274 of the photographs of compact-x4, under CC0, public-domain, CC BY, CC BY-SA and BSD terms, degraded by the "
    "recipe wild "
    "(upres/degradation/recipes/wild.toml)"
)
_DISTILLED = (
    "274 of the photographs of compact-x4, under CC0, public-domain, CC BY, CC BY-SA and BSD terms, degraded by the "
    "recipes real-esrgan, bsrgan and wild, lightly or not at all; what RealESRGAN_General_x4_v3 (BSD-3-Clause) makes "
    "of them, with HR's colors"
)


def _bundled(name: str, *, scale: int, sha256: str, purpose: str, training_data: str, family: str = "compact") -> Model:
    license = "Apache-2.0"
    file = Source(f"{name}.safetensors", (), sha256, None, license)
    return Model(name, "bundled", family, scale, license, ((file,),), purpose, training_data=training_data)


_BUNDLED = (
    _bundled(
        "compact-gan-x4",
        scale=4,
        sha256="1d39e78fddee5e5336e46b350010cbb8f2efd1e10578a7ca7a811247100d60a3",
        purpose="crisper enlargement of clean photographs by 4: its finest texture is invented; no repair of "
        "compression or noise",
        training_data=_PHOTOGRAPHS,
    ),
    _bundled(
        "compact-wild-x4",
        scale=4,
        sha256="2f89b7f86e69764aaedd676b980ff53b8104f3818eb2a49900e23264d0a18a5d",
        purpose="photographs from old phones and the web by 4: takes away noise and compression; its finest texture is "
        "invented",
        training_data=_DEGRADED,
    ),
    _bundled(
        "compact-x2",
        family="residual",
        scale=2,
        sha256="9e725a8da916409c7e512d840034390d4898a39017a21617c3f9c0db102b796c",
        purpose="faithful enlargement of clean photographs by 2: no invented detail, no repair of compression or noise",
        training_data=_PHOTOGRAPHS,
    ),
    _bundled(
        "compact-x4",
        family="residual",
        scale=4,
        sha256="865611333d537896a7a5b8e696eeb2e6c3a421ba95290ba4ff7acd8d5d0cb594",
        purpose="faithful enlargement of clean photographs by 4: no invented detail, no repair of compression or noise",
        training_data=_PHOTOGRAPHS,
    ),
    _bundled(
        "photo-x4",
        family="residual",
        scale=4,
        sha256="f0701537df84340c0cbfe87d292d8ddcb66f49fa7f0441213c2224427e666082",
        purpose="photographs from phones, scanners and the web by 4: takes away noise and compression, keeps colors; "
        "invents no texture",
        training_data=_DISTILLED,
    ),
    _bundled(
        "srvgg-x4",
        scale=4,
        sha256="b832c24d5157e558633f0f7f3d23c9f515ec02ac0f69a1b1c3a15b405d6da1ac",
        purpose="the compact-x4 before: parent of compact-gan-x4 and compact-wild-x4, to blend with them and to train "
        "from; compact-x4 is better by itself",
        training_data=_PHOTOGRAPHS,
    ),
)
MODELS: dict[str, Model] = {model.name: model for model in _BUNDLED}  # bundled with upres


def list_models(*, family: str | None = None, scale: int | None = None, local: bool = False) -> list[Model]:
    """All models that have a name: bundled, then the user's own, then downloadable ones. Downloads nothing.

    family: only those of an architecture, such as "compact" or "rrdb" (also by names such as "ESRGAN").
    scale: only those that enlarge each side by this factor.
    local: only those whose files are on this machine.

    Raises UsageError for a family that no model has, ModelError for a damaged record of an added model.
    """
    found = [*MODELS.values(), *map(read_added, added_names()), *downloadable_models().values()]
    if family is not None:
        wanted = _FAMILY_NAMES.get(family.casefold(), family.casefold())
        families = sorted({model.family for model in found})
        if wanted not in families:
            raise UsageError(f"unknown family {family!r}; expected one of {', '.join(families)}")
        found = [model for model in found if model.family == wanted]
    return [model for model in found if scale in (None, model.scale) and (not local or model.local_files())]


def find(name: str) -> Model | None:
    """The model of that name or alias, in upper or lower case; None for a path and for a name that no model has."""
    if is_path(name):
        return None
    wanted = name.casefold()
    for model in (*MODELS.values(), *downloadable_models().values()):
        if any(one.casefold() == wanted for one in (model.name, *model.aliases)):
            return model
    return next((read_added(one) for one in added_names() if one.casefold() == wanted), None)


def resolve(name_or_path: str, *, progress: Progress | None = None) -> Path:
    """The verified file of a model by name, or a path (what has a separator or ends as model files do) as it is; of
    ncnn the .param.

    A downloadable model that is not here yet is downloaded, with a warning in the log, where its license allows every
    use or was accepted. Raises ModelError for an unknown name (with the nearest ones), a path to nothing, a license
    that was not accepted, a file that cannot be had, and a bundled model that is missing or changed; otherwise what
    `fetch` raises.
    """
    model = find(name_or_path)
    if model is None:
        return _resolve_path(name_or_path)
    match model.kind:
        case "bundled":
            return read_bundled(model)[0]
        case "downloadable":
            return pull(model, progress=progress).path
        case "added":
            # all are verified
            path, *_ = [fetch(source, folder=store_folder(), progress=progress) for source in model.files]
            return path


def _resolve_path(name_or_path: str) -> Path:
    if not is_path(name_or_path):
        raise unknown_name(name_or_path)
    path = Path(name_or_path).expanduser()
    if exists(path):
        return path
    try:
        path.stat()
    except FileNotFoundError:
        raise ModelError(
            f"model file {name_or_path}: no such file. Check the path, or name a bundled model ({', '.join(MODELS)}) "
            "or another one of `upres models list`"
        ) from None
    except OSError as error:  # below a folder that may not be entered
        raise ModelError(
            f"model file {name_or_path}: it cannot be read ({error.strerror or error}). Check its path and permissions"
        ) from error
    return path


def unknown_name(name: str) -> ModelError:
    """The error for a name that no model has: the nearest names, and where all of them are listed."""
    names = {one.casefold(): one for one in (*MODELS, *added_names())}
    for model in downloadable_models().values():
        names |= {one.casefold(): one for one in (model.name, *model.aliases)}
    wanted = name.casefold()
    inside = [names[one] for one in names if wanted in one] if len(wanted) >= _SHORTEST_PART else []
    close = [names[one] for one in difflib.get_close_matches(wanted, names, n=_MOST_SUGGESTIONS, cutoff=0.6)]
    near = list(dict.fromkeys([*inside, *close]))[:_MOST_SUGGESTIONS]
    meant = f"Did you mean {' or '.join(near)}? " if near else ""
    beside = "A file needs its folder or its suffix: ./FILE. " if is_file(name) else ""
    return ModelError(
        f"unknown model {name!r}. {meant}{beside}Bundled models: {', '.join(MODELS)}; `upres models list` shows all "
        "models; the path of a "
        "model file works too"
    )


def is_path(name_or_path: str) -> bool:
    """Whether it is the path of a file, not a name: it has a separator or the suffix of a model file."""
    return "/" in name_or_path or "\\" in name_or_path or PurePath(name_or_path).suffix.lower() in MODEL_SUFFIXES


def read_bundled(model: Model) -> tuple[Path, bytes]:
    """The file of a bundled model and its content, whose SHA-256 was checked.

    Raises ModelError if the file cannot be read or has changed.
    """
    (file,) = model.files
    path = model.folder / file.name
    again = "Install upres again, from where you had it (pip install --force-reinstall --no-deps SOURCE)"
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ModelError(
            f"bundled model {model.name}: its file {path} cannot be read ({error.strerror}). {again}"
        ) from error
    found = hashlib.sha256(data).hexdigest()
    if found != file.sha256:
        raise ModelError(f"bundled model {model.name}: {path} has the SHA-256 {found}; expected {file.sha256}. {again}")
    return path, data
