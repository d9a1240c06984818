"""`load_model`: from a name, a file of any kind or an expression to networks that are ready to run. The content of a
file decides.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from upres.errors import ModelError
from upres.graph.architectures import UnknownNetworkError, canonical, graph_from_state_dict
from upres.graph.architectures.recognize import recover_weights
from upres.graph.graph import Graph
from upres.graph.interpolate import interpolate
from upres.graph.opaque import Kind, Network, OpaqueModel
from upres.models import catalog
from upres.models.expression import Composition, Part, parse
from upres.models.integrity import check_file, check_weights
from upres.models.model import UNKNOWN_LICENSE
from upres.system.folders import is_file
from upres.weights.read import parse_weights, read_weights
from upres.weights.sniff import START_BYTES, is_onnx

Weights = Mapping[str, NDArray[np.generic]]


@dataclass(frozen=True, slots=True)
class ModelFile:
    """A file that a model was read from.

    share: its part of a blend, 1 without one. license: an SPDX identifier, or "unknown".
    """

    path: Path
    share: float
    license: str


@dataclass(frozen=True, eq=False, repr=False)
class LoadedModel:
    """A model as `load_model` returns it, for `upres.Upscaler` and `upres.export_model`.

    name: the expression that it was loaded by, the shares of blends normalized to a sum of 1. networks: one, or those
    of a chain in the order in which they run: each a `Graph`, or an `OpaqueModel` of a file that upres runs as it is,
    without knowing its layers. files: what was read. notes: what the user should know, such as shares that did not sum
    to 1. weights: arrays by name (float32, the field's names for the family), or None for a chain and for a file that
    holds no names of weights.
    """

    name: str
    networks: tuple[Network, ...]
    files: tuple[ModelFile, ...]
    notes: tuple[str, ...] = ()
    weights: Weights | None = None

    def __repr__(self) -> str:
        # networks and weights hold millions of numbers
        return f"<LoadedModel {self.name}: {self.family}, {self.scale}x>"

    @property
    def scale(self) -> int:
        """By how much the model enlarges each side: of a chain the product of its networks' scales."""
        return math.prod(network.scale for network in self.networks)

    @property
    def family(self) -> str:
        """The architecture, such as "rrdb"; of a chain those of its networks, joined by ">"."""
        return ">".join(network.family for network in self.networks)

    @property
    def graph(self) -> Graph:
        """The network, layer by layer. Raises ModelError for a chain, and for a file that upres runs as it is."""
        network, *others = self.networks
        if others:
            raise ModelError(
                f"model {self.name} is a chain of {len(self.networks)} networks; expected one network. Load each by "
                "itself"
            )
        if isinstance(network, OpaqueModel):
            raise ModelError(f"model {self.name} is {_OPAQUE[network.kind]}, without knowing its layers. {_TAKE}")
        return network

    def state_dict(self) -> Weights:
        """`weights`, or ModelError where there are none."""
        if self.weights is None:
            layers = len(self.graph.nodes)  # refuses a chain and what is run as it is
            raise ModelError(
                f"model {self.name} is a network of {layers} layers of no known family, so its weights have no names. "
                f"{_TAKE}"
            )
        return self.weights


_OPAQUE: dict[Kind, str] = {
    "ncnn": "an ncnn network that upres runs as it is",
    "onnx": "an ONNX file that upres runs as it is",
    "spandrel": "a network that spandrel runs",
}
_PRODUCER = b"\x12\x05upres"  # ONNX's producer_name, which a file has near its beginning
_TAKE = "Take the same network as .safetensors or .pth"


def load_model(model: str | os.PathLike[str] | Composition) -> LoadedModel:
    """Load a model: `load_model("compact-x4")`, `load_model("net.pth")`, `load_model("a:0.7,b:0.3")`,
    `load_model("a>b")`.

    model: a name of `list_models()`; a path to a .safetensors, .pth, .onnx, or ncnn (.param with its .bin) file, told
    apart by content; a blend of models of one shape, with their shares; or a chain, whose networks run one after the
    other. A `Path` is always one file.

    A downloadable model that is not here yet is downloaded where its license allows every use or was accepted. A file
    of a family that is not known is run once on small pictures to measure what it does, which takes some seconds the
    first time.

    Raises UsageError for a text that is no expression; ModelError for a name or a file that cannot be had, a file that
    is damaged or no network, and models that do not blend; what a download raises besides is that of
    `upres.system.download.fetch`.
    """
    if isinstance(model, os.PathLike):
        model = Composition(((Part(str(Path(model).absolute()), 1.0),),))
    elif isinstance(model, str):
        model = parse(model)
    stages = [[_load_part(part) for part in stage] for stage in model.stages]
    files = tuple(file for stage in stages for part in stage for file in part.files)
    links = [_blended(stage) for stage in stages]
    weights = links[0].weights if len(links) == 1 else None
    notes = (*model.notes, *(note for stage in stages for part in stage for note in part.notes))
    return LoadedModel(str(model), tuple(link.networks[0] for link in links), files, notes, weights)


def _blended(parts: list[LoadedModel]) -> LoadedModel:
    """One network of shares of several: each is mixed into the mean of those before it."""
    first, *others = parts
    if not others:
        return first
    names = ", ".join(part.name for part in parts)
    try:
        mixed, total = first.state_dict(), first.files[0].share
        for part in others:
            share = part.files[0].share
            total += share
            mixed = interpolate(
                mixed, part.state_dict(), share / total if total else 0.0, names=(first.name, part.name)
            )
        return LoadedModel(names, (graph_from_state_dict(mixed),), (), weights=mixed)
    except ModelError as error:
        raise ModelError(f"blend of {names}: {error}") from error


def _load_part(part: Part) -> LoadedModel:
    known = catalog.find(part.model)
    license = UNKNOWN_LICENSE if known is None else known.license
    if known is not None and known.kind == "bundled":  # the very bytes that were hashed are parsed
        path, data = catalog.read_bundled(known)
        network, weights = _of_state(part.model, path, parse_weights(data, str(path)))
        return LoadedModel(part.model, (network,), (ModelFile(path, part.share, license),), weights=weights)
    path = catalog.resolve(part.model)
    try:
        return _load_file(part, path, license, check=known is None)
    except OSError as error:  # a disk that fails, a network drive that is gone
        raise ModelError(
            f"model {part.model}: cannot read {path}: {error.strerror or error}; check the disk"
        ) from error


def _load_file(part: Part, path: Path, license: str, *, check: bool) -> LoadedModel:
    """check: Whether the file is compared with what is known of it."""
    kind = kind_of(path)
    pair = _pair_of(path) if kind == "ncnn" else None
    files = tuple(ModelFile(file, part.share, license) for file in pair or (path,))
    notes = tuple(note for file in files for note in check_file(file.path)) if check else ()
    network, weights = _read(part.model, path, kind)
    if weights is not None:
        check_weights(part.model, weights)
    return LoadedModel(part.model, (network,), files, notes, weights)


def _read(name: str, path: Path, kind: Kind | None) -> tuple[Network, Weights | None]:
    """A network whose weights are recovered gets its family's graph, by whose structure the choice of an engine is
    remembered.
    """
    if kind == "ncnn":
        from upres.graph.from_ncnn import graph_of
        from upres.weights.ncnn_file import read_ncnn

        pair = _pair_of(path)
        assert pair is not None  # so `kind_of` has found
        graph = graph_of(read_ncnn(*pair))
        weights = None if graph is None else recover_weights(graph)
        return (graph_from_state_dict(weights) if weights else graph or _measured(pair, "ncnn")), weights
    if kind == "onnx":
        graph = _exported_graph(path)
        weights = None if graph is None else recover_weights(graph)
        return (graph_from_state_dict(weights) if weights else graph or _measured((path,), "onnx")), weights
    return _of_state(name, path, read_weights(path))


def _pair_of(path: Path) -> tuple[Path, Path] | None:
    """Both halves of an ncnn model. Its code, as that of the probe, is loaded for such files alone."""
    from upres.weights.ncnn_file import find_pair

    return find_pair(path)


def _measured(files: tuple[Path, ...], kind: Kind) -> OpaqueModel:
    from upres.engines.opaque.cache import probe_once

    return probe_once(files, kind)


def _of_state(name: str, path: Path, state: Weights) -> tuple[Network, Weights | None]:
    try:
        return graph_from_state_dict(state), canonical(state)
    except UnknownNetworkError as error:
        if find_spec("spandrel") is None:
            more = "spandrel runs many more: pip install spandrel (or 'upres[spandrel]')"
            raise ModelError(f"model {name}: {error} {more}") from error
        return _measured((path,), "spandrel"), None
    except ModelError as error:
        raise ModelError(f"model {name}: {error}") from error


def _exported_graph(path: Path) -> Graph | None:
    """The network of an ONNX file that `upres export` wrote; None for all others, which are parsed in the process of
    the probe alone.
    """
    with path.open("rb") as file:
        ours = _PRODUCER in file.read(START_BYTES)
    if not ours or find_spec("onnx") is None:  # without the onnx package the probe says what is missing
        return None
    from upres.engines.onnx.graph import graph_of as graph_of_onnx

    return graph_of_onnx(path)


def kind_of(path: Path) -> Kind | None:
    """ "ncnn" or "onnx" by the file's content, None for all others.

    Raises ModelError for an ncnn file without its other half.
    """
    if not is_file(path):
        return None
    with path.open("rb") as file:
        start = file.read(START_BYTES)
    if path.suffix == ".safetensors" and start[8:9] == b"{":  # the usual case: the code for ncnn's files is not loaded
        return None
    if _pair_of(path) is not None:
        return "ncnn"
    return "onnx" if is_onnx(start, path.stat().st_size) else None
