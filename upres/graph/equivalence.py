"""Test two graphs for equality: the same wiring and weights after simplification, regardless of value names."""

from __future__ import annotations

from collections.abc import Hashable

import numpy as np

from upres.graph.graph import Graph
from upres.graph.nodes import Activate, Activation, Add, Array, Concat, Conv, MaxPool, Mul, Node, Resample, Scale

_TOLERANCE = 1e-5  # relative to the largest weight of a layer: rounding when constants are folded in another order
_DIGITS = 6  # of coefficients, which files store as text or float32


def equivalent(first: Graph, second: Graph) -> bool:
    """Whether two graphs are the same network, up to float32 rounding.

    Never True for different networks. Also False if a network applies two nodes of the same kind and settings to the
    same value, since these cannot be matched by their wiring.
    """
    if first.in_channels != second.in_channels:
        return False
    labels: dict[Hashable, int] = {}
    ours, theirs = (_by_label(graph, labels) for graph in (first.simplify(), second.simplify()))
    if ours is None or theirs is None:
        return False
    (nodes, output), (others, other_output) = ours, theirs
    if nodes.keys() != others.keys() or output != other_output:
        return False
    return all(_close(nodes[label], others[label]) for label in nodes)


def _by_label(graph: Graph, labels: dict[Hashable, int]) -> tuple[dict[int, Node], int] | None:
    """Nodes by a label for their kind, settings and wiring, and the output's label; None if two nodes share a label."""
    label_of = {graph.input: -1}
    nodes: dict[int, Node] = {}
    for node in graph.nodes:
        label = labels.setdefault(_key(node, [label_of[name] for name in node.inputs]), len(labels))
        if label in nodes:
            return None
        nodes[label] = node
        label_of[node.output] = label
    return nodes, label_of[graph.output]


def _key(node: Node, sources: list[int]) -> Hashable:
    match node:
        case Conv():
            return "conv", node.weight.shape, node.stride, node.padding, _kind(node.activation), sources[0]
        case Activate():
            return "activate", _kind(node.activation), sources[0]
        case Add():
            return "add", tuple(sorted(zip(sources, (round(c, _DIGITS) for c in node.coefficients), strict=True)))
        case Mul():
            return "mul", tuple(sorted(sources))
        case Scale():
            return "scale", round(node.factor, _DIGITS), sources[0]
        case Concat():
            return "concat", tuple(sources)
        case MaxPool():
            return "max_pool", node.kernel, node.stride, sources[0]
        case Resample():
            return node.kind, node.factor, sources[0]


def _kind(activation: Activation | None) -> str | None:
    """Activations that differ only in their slopes (relu, leaky_relu, prelu) count as one kind."""
    return None if activation is None else "sigmoid" if activation.kind == "sigmoid" else "slopes"


def _close(first: Node, second: Node) -> bool:
    if isinstance(first, Conv) and isinstance(second, Conv):
        biases = [np.zeros(1, np.float32) if conv.bias is None else conv.bias for conv in (first, second)]
        same = _near(first.weight, second.weight) and _near(biases[0], biases[1])
        return same and _same_slopes(first.activation, second.activation)
    if isinstance(first, Activate) and isinstance(second, Activate):
        return _same_slopes(first.activation, second.activation)
    return True  # other nodes are determined by their labels


def _same_slopes(first: Activation | None, second: Activation | None) -> bool:
    if first is None or second is None or first.kind == "sigmoid":
        return True  # their labels are equal
    return _near(first.negative_slopes(), second.negative_slopes())


def _near(first: Array, second: Array) -> bool:
    """Whether two arrays agree; shapes are equal, or one holds a slope shared by all channels."""
    span = float(np.abs(second).max(initial=0.0))
    return bool(np.abs(first - second).max(initial=0.0) <= _TOLERANCE * span)
