"""The models that ship inside the package, each with its card, and the one way from a name or a path to a file and a graph.

A name is that of a house model, of a model that can be downloaded (`catalog_models`), or of one that the user added (`catalog_store`).
"""

from __future__ import annotations

import difflib
import hashlib
import re
from dataclasses import dataclass
from pathlib import Path, PurePath

from upres.architectures import graph_from_state_dict
from upres.catalog_models import UNKNOWN_LICENCE, KnownModel, known_models
from upres.catalog_store import (
    AddedModel,
    added_names,
    check_licence,
    download_of,
    incoming_folder,
    pull,
    read_added,
    store_folder,
    write_added,
)
from upres.download import Progress, fetch
from upres.errors import ModelError, UsageError
from upres.graph import Graph
from upres.weights import parse_weights, read_weights

FOLDER = Path(__file__).resolve().parent / "models"
MODEL_SUFFIXES = frozenset({".safetensors", ".pth", ".pt", ".ckpt", ".bin", ".param", ".onnx"})  # a name that ends so is a path


@dataclass(frozen=True, slots=True)
class ModelCard:
    """What a house model is: `file` lies in `upres/models/`, `sha256` is of that file, `scale` the network's own."""

    name: str
    file: str
    sha256: str
    licence: str
    scale: int
    family: str
    purpose: str
    training_data: str


_PHOTOGRAPHS = (
    "314 photographs under CC0, public-domain, CC BY, CC BY-SA and BSD terms (listed in upres/models/NAME.md), reduced by the "
    "MATLAB-equal bicubic resize"
)

MODELS: dict[str, ModelCard] = {
    "compact-gan-x4": ModelCard(
        name="compact-gan-x4",
        file="compact-gan-x4.safetensors",
        sha256="1d39e78fddee5e5336e46b350010cbb8f2efd1e10578a7ca7a811247100d60a3",
        licence="Apache-2.0",
        scale=4,
        family="compact",
        purpose="crisper enlargement of clean photographs by 4: its finest texture is invented; no repair of compression or noise",
        training_data=_PHOTOGRAPHS,
    ),
    "compact-x2": ModelCard(
        name="compact-x2",
        file="compact-x2.safetensors",
        sha256="5952c53c7aae87a808507a9493d0b7e3c0a2ac34cae0acc7a62589009b66812b",
        licence="Apache-2.0",
        scale=2,
        family="compact",
        purpose="faithful enlargement of clean photographs by 2: no invented detail, no repair of compression or noise",
        training_data=_PHOTOGRAPHS,
    ),
    "compact-x4": ModelCard(
        name="compact-x4",
        file="compact-x4.safetensors",
        sha256="b832c24d5157e558633f0f7f3d23c9f515ec02ac0f69a1b1c3a15b405d6da1ac",
        licence="Apache-2.0",
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
    if _is_path(name):
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

    A known model that is not here yet is downloaded, with a warning in the log, where its licence allows every use or was agreed to.
    Raises ModelError for an unknown name (with the nearest), a path to nothing, a licence that was not agreed to, a file that cannot be
    had, and a house model that is missing or changed; what a download raises besides is that of `fetch`.
    """
    match find(name_or_path):
        case ModelCard() as card:
            _read_card(card)
            return FOLDER / card.file
        case KnownModel() as model:
            return pull(model, progress=progress).path
        case AddedModel() as model:
            return fetch(model.source, folder=store_folder(), progress=progress)
        case None:
            return _resolve_path(name_or_path)


def _resolve_path(name_or_path: str) -> Path:
    if not _is_path(name_or_path):
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


def add(
    file_or_url: str,
    name: str | None = None,
    licence: str = UNKNOWN_LICENCE,
    *,
    accept_licence: bool = False,
    progress: Progress | None = None,
) -> AddedModel:
    """Take a copy of a model file, or of what an address gives, into the store, under `name` (default: the file's own, without suffix).

    Its content is checked first: it must be a network that upres runs. Its SHA-256 is remembered, and another file refused from then on.
    A download of unknown or restricted licence needs `accept_licence`. Raises ModelError, UsageError for a name that cannot be one, and
    what `fetch` raises.
    """
    remote = file_or_url.lower().startswith(("https://", "http://"))
    base = PurePath(file_or_url.split("?")[0].split("#")[0]).name if remote else Path(file_or_url).name
    chosen = _new_name(base if name is None else name, given=name is not None)
    if remote:
        again = f"upres models add {file_or_url} --name {chosen} --licence {licence} --accept-licence"
        check_licence(chosen, licence, accept=accept_licence, remedy=again)
        path = fetch(download_of(file_or_url, licence), folder=incoming_folder(), progress=progress)
    else:
        path = Path(file_or_url).expanduser().absolute()
    try:
        graph = load_graph(str(path))  # refuses what is no model file, or none of ours
        data = path.read_bytes()
        suffix = ".safetensors" if data[4:9] == b"\0\0\0\0{" else ".pth"
        digest = hashlib.sha256(data).hexdigest()
        origin = file_or_url if remote else str(path)
        model = AddedModel(chosen, chosen + suffix, digest, len(data), licence, origin, graph.family, graph.scale)
        write_added(model, data)
    finally:
        if remote:
            path.unlink(missing_ok=True)
    return model


def _new_name(text: str, *, given: bool) -> str:
    """A name that is free and cannot be mistaken for a path, a blend or a chain."""
    stem = text if given else PurePath(text).stem
    name = stem if given else re.sub(r"[^A-Za-z0-9._+-]+", "-", stem).strip("-.")
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,99}", name) or _is_path(name):
        raise UsageError(
            f"a model cannot be called {name!r}: expected letters, digits, and . _ + - between them, and no ending of a file. Give another "
            "with --name"
        )
    there = find(name)
    if there is not None:
        remedy = f"remove it first (upres models remove {there.name}), or " if isinstance(there, AddedModel) else ""
        raise UsageError(f"there is a model called {there.name} already: {remedy}give another name with --name")
    return name


def _is_path(name_or_path: str) -> bool:
    return "/" in name_or_path or "\\" in name_or_path or PurePath(name_or_path).suffix.lower() in MODEL_SUFFIXES


def _read_card(card: ModelCard) -> bytes:
    path = FOLDER / card.file
    again = "Install upres again: pip install --force-reinstall --no-deps upres"
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ModelError(f"house model {card.name}: its file {path} cannot be read ({error.strerror}). {again}") from error
    found = hashlib.sha256(data).hexdigest()
    if found != card.sha256:
        raise ModelError(f"house model {card.name}: {path} has the SHA-256 {found}; expected {card.sha256 or 'one'}. {again}")
    return data
