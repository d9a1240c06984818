"""A graph without its weights as JSON, with which another process can measure an engine's speed."""

from __future__ import annotations

import hashlib
import json
from math import prod
from typing import Any

import numpy as np

from upres.graph.graph import Graph
from upres.graph.nodes import Activate, Activation, Add, Array, Concat, Conv, MaxPool, Mul, Node, Resample, Scale

_SEED = 20261


def structure(graph: Graph) -> dict[str, Any]:
    """The nodes of a graph, with the shapes but not the values of weights, as JSON values."""
    return {
        "input": graph.input,
        "output": graph.output,
        "in_channels": graph.in_channels,
        "family": graph.family,
        "nodes": [_described(node) for node in graph.nodes],
    }


def digest(described: dict[str, Any]) -> str:
    """Hash of a `structure`, 16 hex digits. It includes the names of values, which an architecture determines."""
    return hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()[:16]


def with_random_weights(described: dict[str, Any]) -> Graph:
    """A graph of this `structure` with reproducible random weights.

    They keep activations near 1, without infinities and without denormals, which are slow.
    """
    rng = np.random.default_rng(_SEED)
    nodes = [_node(node, rng) for node in described["nodes"]]
    return Graph.of(
        nodes,
        output=described["output"],
        in_channels=described["in_channels"],
        family=described["family"],
        input=described["input"],
    )


def _described(node: Node) -> dict[str, Any]:
    match node:
        case Conv():
            return {
                "kind": "conv",
                "output": node.output,
                "source": node.source,
                "weight": list(node.weight.shape),
                "bias": node.bias is not None,
                "stride": node.stride,
                "padding": node.padding,
                "activation": None if node.activation is None else _described_activation(node.activation),
            }
        case Activate():
            activation = _described_activation(node.activation)
            return {"kind": "activate", "output": node.output, "source": node.source, "activation": activation}
        case Add():
            coefficients = list(node.coefficients)
            return {"kind": "add", "output": node.output, "inputs": list(node.inputs), "coefficients": coefficients}
        case Mul():
            return {"kind": "mul", "output": node.output, "inputs": list(node.inputs)}
        case Scale():
            return {"kind": "scale", "output": node.output, "source": node.source, "factor": node.factor}
        case Concat():
            return {"kind": "concat", "output": node.output, "inputs": list(node.inputs)}
        case MaxPool():
            return {
                "kind": "max_pool",
                "output": node.output,
                "source": node.source,
                "kernel": node.kernel,
                "stride": node.stride,
            }
        case Resample():
            return {"kind": node.kind, "output": node.output, "source": node.source, "factor": node.factor}


def _described_activation(activation: Activation) -> dict[str, Any]:
    return {
        "kind": activation.kind,
        "slope": activation.slope,
        "slopes": None if activation.slopes is None else activation.slopes.size,
    }


def _node(described: dict[str, Any], rng: np.random.Generator) -> Node:
    output = described["output"]
    match described["kind"]:
        case "conv":
            shape = tuple(described["weight"])
            weight = (rng.standard_normal(shape) / np.sqrt(prod(shape[1:]))).astype(np.float32)
            return Conv(
                output,
                described["source"],
                weight,
                _small(rng, shape[0]) if described["bias"] else None,
                described["stride"],
                described["padding"],
                None if described["activation"] is None else _activation(described["activation"]),
            )
        case "activate":
            return Activate(output, described["source"], _activation(described["activation"]))
        case "add":
            return Add(output, tuple(described["inputs"]), tuple(described["coefficients"]))
        case "mul":
            first, second = described["inputs"]
            return Mul(output, (first, second))
        case "scale":
            return Scale(output, described["source"], described["factor"])
        case "concat":
            return Concat(output, tuple(described["inputs"]))
        case "max_pool":
            return MaxPool(output, described["source"], described["kernel"], described["stride"])
        case kind:
            return Resample(kind, output, described["source"], described["factor"])


def _activation(described: dict[str, Any]) -> Activation:
    count: int | None = described["slopes"]
    return Activation(described["kind"], described["slope"], None if count is None else np.full(count, 0.2, np.float32))


def _small(rng: np.random.Generator, count: int) -> Array:
    return (0.01 * rng.standard_normal(count)).astype(np.float32)
