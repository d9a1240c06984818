"""A network that describes itself: beside its weights lies a tensor `upres.graph`, the bytes of a JSON text that lists
its nodes. So a network of one's own, of no known family, is one file that every engine runs.

    {"family": "MyNet", "in_channels": 3, "output": "up", "nodes": [
        {"op": "conv", "output": "head", "source": "input", "weights": "head", "padding": 1},
        {"op": "activate", "output": "act", "source": "head", "kind": "prelu", "weights": "act"}, ...]}

A convolution takes the tensors `WEIGHTS.weight` and, if there is one, `WEIGHTS.bias`; a PReLU `WEIGHTS.weight`. Two
nodes may share weights.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from upres.errors import ModelError
from upres.graph.architectures.keys import DESCRIPTION_KEY as KEY
from upres.graph.architectures.keys import Keys, State
from upres.graph.graph import Graph
from upres.graph.nodes import Activate, Activation, Add, Concat, Conv, MaxPool, Mul, Node, Resample, Scale, with_inputs

_NAME = "described network"
_MOST_BYTES = 2**22
_INPUT = "input"
_Size = Annotated[int, msgspec.Meta(ge=1, le=64)]
_Name = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
_Kind = Literal["relu", "leaky_relu", "prelu", "sigmoid", "silu"]
_Names = Annotated[tuple[_Name, ...], msgspec.Meta(min_length=2, max_length=64)]
_Number = Annotated[float, msgspec.Meta(ge=-1e6, le=1e6)]


class _Node(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="op"):
    output: _Name


class _Conv(_Node, tag="conv", frozen=True):
    source: _Name
    weights: _Name
    stride: _Size = 1
    padding: Annotated[int, msgspec.Meta(ge=0, le=64)] = 0


class _Activate(_Node, tag="activate", frozen=True):
    source: _Name
    kind: _Kind
    slope: _Number = 0.0
    weights: _Name | None = None


class _Add(_Node, tag="add", frozen=True):
    inputs: _Names
    coefficients: Annotated[tuple[_Number, ...], msgspec.Meta(min_length=2, max_length=64)]


class _Mul(_Node, tag="mul", frozen=True):
    inputs: tuple[_Name, _Name]


class _Scale(_Node, tag="scale", frozen=True):
    source: _Name
    factor: _Number


class _Concat(_Node, tag="concat", frozen=True):
    inputs: _Names


class _MaxPool(_Node, tag="max_pool", frozen=True):
    source: _Name
    kernel: _Size
    stride: _Size


class _Resample(_Node, tag="resample", frozen=True):
    source: _Name
    kind: Literal["upsample_nearest", "pixel_shuffle", "pixel_unshuffle"]
    factor: _Size


_AnyNode = _Conv | _Activate | _Add | _Mul | _Scale | _Concat | _MaxPool | _Resample


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    family: _Name
    in_channels: Annotated[int, msgspec.Meta(ge=1, le=64)]
    output: _Name
    nodes: Annotated[tuple[_AnyNode, ...], msgspec.Meta(min_length=1, max_length=20_000)]


def find(state: State) -> Graph | None:
    """The graph, or None where no `upres.graph` lies beside the weights.

    Raises ModelError for a description that cannot be read, or that does not fit the weights.
    """
    if KEY not in state:
        return None
    if state[KEY].ndim != 1 or state[KEY].size > _MOST_BYTES:
        raise ModelError(f"{_NAME}: {KEY} must be a list of at most {_MOST_BYTES:,} bytes, got {state[KEY].shape}")
    # a blend has mixed the bytes of two equal texts
    text = np.rint(state[KEY].astype(np.float64)).clip(0.0, 255.0).astype(np.uint8).tobytes()
    try:
        file = msgspec.json.decode(text, type=_File)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise ModelError(f"{_NAME}: {KEY} is no description of a network: {error}") from error
    keys = Keys({name: array for name, array in state.items() if name != KEY}, f"{_NAME} {file.family}")
    # names of our own: those of the file may hold spaces, or be what an engine makes of others
    names = {_INPUT: _INPUT}
    nodes: list[Node] = []
    for number, node in enumerate(file.nodes):
        built = _node(node, keys, state)
        missing = [name for name in built.inputs if name not in names]
        if missing or node.output in names:
            what = f"reads {missing[0]!r}, which no earlier node writes" if missing else "writes what another one does"
            raise ModelError(f"{_NAME}: node {node.output!r} {what}")
        nodes.append(replace(with_inputs(built, names), output=f"v{number}"))
        names[node.output] = f"v{number}"
    keys.finish()
    if file.output not in names:
        raise ModelError(f"{_NAME}: no node writes the output {file.output!r}")
    return Graph.of(nodes, output=names[file.output], in_channels=file.in_channels, family=_family(file.family))


def _family(name: str) -> str:
    return re.sub(r"[^\w.-]", "_", name)[:60]


def _node(node: _AnyNode, keys: Keys, state: State) -> Node:
    match node:
        case _Conv():
            weight = keys.take(f"{node.weights}.weight", (None, None, None, None))
            bias = f"{node.weights}.bias"
            taken = keys.take(bias, (weight.shape[0],)) if bias in state else None
            return Conv(node.output, node.source, weight, taken, node.stride, node.padding)
        case _Activate():
            if (node.kind == "prelu") != (node.weights is not None):
                raise ModelError(f"{_NAME}: node {node.output!r} needs weights if it is a prelu, and only then")
            slopes = None if node.weights is None else keys.take(f"{node.weights}.weight", (None,))
            return Activate(node.output, node.source, Activation(node.kind, node.slope, slopes))
        case _Add():
            return Add(node.output, node.inputs, node.coefficients)
        case _Mul():
            return Mul(node.output, node.inputs)
        case _Scale():
            return Scale(node.output, node.source, node.factor)
        case _Concat():
            return Concat(node.output, node.inputs)
        case _MaxPool():
            return MaxPool(node.output, node.source, node.kernel, node.stride)
        case _Resample():
            return Resample(node.kind, node.output, node.source, node.factor)


def description(family: str, in_channels: int, output: str, nodes: Sequence[Mapping[str, Any]]) -> NDArray[np.uint8]:
    """The tensor `upres.graph` of a network whose nodes are `nodes`, as in the text above."""
    text = json.dumps({"family": family, "in_channels": in_channels, "output": output, "nodes": list(nodes)})
    return np.frombuffer(text.encode(), np.uint8).copy()
