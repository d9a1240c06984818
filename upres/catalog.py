"""The models that ship inside the package, each with its card, and the one way from a name or a path to a graph."""

from __future__ import annotations

import difflib
import hashlib
from dataclasses import dataclass
from pathlib import Path, PurePath

from upres.architectures import graph_from_state_dict
from upres.errors import ModelError
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


def resolve(name_or_path: str) -> Path:
    """The file of a house model, its SHA-256 verified, or of a path (what contains a separator or ends as model files do).

    Raises ModelError for an unknown name, a path to nothing, and a house model that is missing or changed.
    """
    if name_or_path in MODELS:
        _read_card(MODELS[name_or_path])
        return FOLDER / MODELS[name_or_path].file
    if _is_path(name_or_path):
        path = Path(name_or_path).expanduser()
        if not path.exists():
            raise ModelError(f"model file {name_or_path}: no such file. Check the path, or name a house model: {', '.join(MODELS)}")
        return path
    near = difflib.get_close_matches(name_or_path, MODELS, n=2, cutoff=0.5)
    meant = f"Did you mean {' or '.join(near)}? " if near else ""
    beside = "A file needs its folder or its suffix: ./FILE. " if Path(name_or_path).is_file() else ""
    raise ModelError(f"unknown model {name_or_path!r}. {meant}{beside}House models: {', '.join(MODELS)}; or give the path of a model file")


def load_graph(name_or_path: str) -> Graph:
    """The network of a house model or of a model file, ready for an engine. Raises ModelError."""
    if name_or_path in MODELS:
        card = MODELS[name_or_path]
        state = parse_weights(_read_card(card), str(FOLDER / card.file))  # the very bytes whose SHA-256 was verified
    else:
        state = read_weights(resolve(name_or_path))
    try:
        return graph_from_state_dict(state)
    except ModelError as error:
        raise ModelError(f"model {name_or_path}: {error}") from error


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
