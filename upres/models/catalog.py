"""The models that ship inside the package, each with its card, and the one way from a name or a path to a file and a graph.

A name is that of a house model, of a model that can be downloaded (`model.py`), or of one that the user added (`store.py`).
"""

from __future__ import annotations

import difflib
import hashlib
from dataclasses import dataclass
from pathlib import Path, PurePath

from upres.errors import ModelError
from upres.graph.architectures import graph_from_state_dict
from upres.graph.graph import Graph
from upres.models.model import KnownModel, known_models
from upres.models.store import AddedModel, added_names, pull, read_added, store_folder
from upres.system.download import Progress, fetch
from upres.weights.read import parse_weights, read_weights

FOLDER = Path(__file__).resolve().parent / "bundled"
MODEL_SUFFIXES = frozenset({".safetensors", ".pth", ".pt", ".ckpt", ".bin", ".param", ".onnx"})  # a name that ends so is a path


@dataclass(frozen=True, slots=True)
class ModelCard:
    """What a house model is: `file` lies in `upres/models/bundled/`, `sha256` is of that file, `scale` the network's own."""

    name: str
    file: str
    sha256: str
    license: str
    scale: int
    family: str
    purpose: str
    training_data: str


_PHOTOGRAPHS = (
    "314 photographs under CC0, public-domain, CC BY, CC BY-SA and BSD terms (listed in upres/models/bundled/NAME.md), reduced by the "
    "MATLAB-equal bicubic resize"
)
_DEGRADED = (
    "274 of the photographs of compact-x4, under CC0, public-domain, CC BY, CC BY-SA and BSD terms, degraded by the recipe `wild` "
    "(upres/degradation/recipes/wild.toml)"
)

MODELS: dict[str, ModelCard] = {
    "compact-gan-x4": ModelCard(
        name="compact-gan-x4",
        file="compact-gan-x4.safetensors",
        sha256="1d39e78fddee5e5336e46b350010cbb8f2efd1e10578a7ca7a811247100d60a3",
        license="Apache-2.0",
        scale=4,
        family="compact",
        purpose="crisper enlargement of clean photographs by 4: its finest texture is invented; no repair of compression or noise",
        training_data=_PHOTOGRAPHS,
    ),
    "compact-wild-x4": ModelCard(
        name="compact-wild-x4",
        file="compact-wild-x4.safetensors",
        sha256="2f89b7f86e69764aaedd676b980ff53b8104f3818eb2a49900e23264d0a18a5d",
        license="Apache-2.0",
        scale=4,
        family="compact",
        purpose="photographs from old phones and the web by 4: takes away noise and compression; its finest texture is invented",
        training_data=_DEGRADED,
    ),
    "compact-x2": ModelCard(
        name="compact-x2",
        file="compact-x2.safetensors",
        sha256="5952c53c7aae87a808507a9493d0b7e3c0a2ac34cae0acc7a62589009b66812b",
        license="Apache-2.0",
        scale=2,
        family="compact",
        purpose="faithful enlargement of clean photographs by 2: no invented detail, no repair of compression or noise",
        training_data=_PHOTOGRAPHS,
    ),
    "compact-x4": ModelCard(
        name="compact-x4",
        file="compact-x4.safetensors",
        sha256="b832c24d5157e558633f0f7f3d23c9f515ec02ac0f69a1b1c3a15b405d6da1ac",
        license="Apache-2.0",
        scale=4,
        family="compact",
        purpose="faithful enlargement of clean photographs by 4: no invented detail, no repair of compression or noise",
        training_data=_PHOTOGRAPHS,
    ),
}


def default_model(factor: float) -> str:
    """The house model for an enlargement by `factor`: the smallest scale that reaches it, or else the largest that there is."""
    return "compact-x2" if factor <= 2 else "compact-x4"


def find(name: str) -> ModelCard | KnownModel | AddedModel | None:
    """The model of that name or alias, in upper or lower case: a house model, one that can be downloaded, or one that the user added."""
    if is_path(name):
        return None
    wanted = name.casefold()
    for card in MODELS.values():
        if card.name.casefold() == wanted:
            return card
    for model in known_models().values():
        if any(one.casefold() == wanted for one in (model.name, *model.aliases)):
            return model
    return next((read_added(one) for one in added_names() if one.casefold() == wanted), None)


def resolve(name_or_path: str, *, progress: Progress | None = None) -> Path:
    """The verified file of a model by name, or of a path (what contains a separator or ends as model files do), as it is.

    A known model that is not here yet is downloaded, with a warning in the log, where its license allows every use or was agreed to.
    Raises ModelError for an unknown name (with the nearest), a path to nothing, a license that was not agreed to, a file that cannot be
    had, and a house model that is missing or changed; what a download raises besides is that of `fetch`.
    """
    match find(name_or_path):
        case ModelCard() as card:
            _read_card(card)
            return FOLDER / card.file
        case KnownModel() as model:
            return pull(model, progress=progress).path
        case AddedModel() as model:
            path, *_ = [fetch(source, folder=store_folder(), progress=progress) for source in model.sources]  # all are verified
            return path
        case None:
            return _resolve_path(name_or_path)


def _resolve_path(name_or_path: str) -> Path:
    if not is_path(name_or_path):
        raise unknown_name(name_or_path)
    path = Path(name_or_path).expanduser()
    if not path.exists():
        raise ModelError(
            f"model file {name_or_path}: no such file. Check the path, or name a house model: {', '.join(MODELS)}, or another of "
            "`upres models list`"
        )
    return path


def unknown_name(name: str) -> ModelError:
    """The refusal of a name: the nearest ones, and where all are."""
    names = {one.casefold(): one for model in known_models().values() for one in (*model.aliases, model.name)}
    names |= {one.casefold(): one for one in (*MODELS, *added_names())}
    close = difflib.get_close_matches(name.casefold(), names, n=3, cutoff=0.6)
    near = list(dict.fromkeys(names[one] for one in close))
    meant = f"Did you mean {' or '.join(near)}? " if near else ""
    beside = "A file needs its folder or its suffix: ./FILE. " if Path(name).is_file() else ""
    return ModelError(
        f"unknown model {name!r}. {meant}{beside}House models: {', '.join(MODELS)}; `upres models list` has all; or give the path of a "
        "model file"
    )


def load_graph(name_or_path: str) -> Graph:
    """The network of a model by name or of a model file, ready for an engine. Raises ModelError, and what `resolve` raises."""
    named = find(name_or_path)
    if isinstance(named, ModelCard):
        state = parse_weights(_read_card(named), str(FOLDER / named.file))  # the very bytes whose SHA-256 was verified
    else:
        state = read_weights(resolve(name_or_path))
    try:
        return graph_from_state_dict(state)
    except ModelError as error:
        raise ModelError(f"model {name_or_path}: {error}") from error


def is_path(name_or_path: str) -> bool:
    """Whether it is taken for the path of a file, and never for a name: it has a separator, or ends as model files do."""
    return "/" in name_or_path or "\\" in name_or_path or PurePath(name_or_path).suffix.lower() in MODEL_SUFFIXES


def _read_card(card: ModelCard) -> bytes:
    path = FOLDER / card.file
    again = "Install upres again, from where you had it (pip install --force-reinstall --no-deps SOURCE)"
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ModelError(f"house model {card.name}: its file {path} cannot be read ({error.strerror}). {again}") from error
    found = hashlib.sha256(data).hexdigest()
    if found != card.sha256:
        raise ModelError(f"house model {card.name}: {path} has the SHA-256 {found}; expected {card.sha256 or 'one'}. {again}")
    return data
