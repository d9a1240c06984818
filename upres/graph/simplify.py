"""Algebraic simplification of a graph, equivalent up to float32 rounding.

Rules, applied until none matches (the inner value must be read by one node only, and not be the graph's output):

1. activation(conv): the activation is fused into the conv.
2. constant * conv: the constant moves into the weights (RRDB's residual scale 0.2).
3. constant * sum: the constant moves into the coefficients. Nested sums are flattened, and scaled inputs become
   coefficients.
4. a * conv(v) + b * v, where v is the conv's input or part of its concatenated input: b moves into the kernel's center,
   as in RepVGG (Ding et al., 2021, section 3.3).
5. conv_a(v) + conv_b(v): one conv with the sum of both kernels, the smaller centered in the larger.
6. a * conv + ...: the coefficient moves into the weights.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from upres.graph.nodes import Activate, Add, Array, Concat, Conv, Node, Scale, Shape, with_inputs


class _Draft:
    """Nodes being rewritten, in execution order by the value that they write, and the readers of each value."""

    def __init__(self, nodes: tuple[Node, ...], shapes: dict[str, Shape], output: str) -> None:
        self.nodes: dict[str, Node] = {}
        self.shapes = shapes
        self.output = output
        self._readers: dict[str, list[str]] = {}
        for node in nodes:
            self.put(node)

    def put(self, node: Node) -> None:
        """Append a node, or replace in place the one that writes the same value."""
        self._forget_reads(node.output)
        self.nodes[node.output] = node
        for name in node.inputs:
            self._readers.setdefault(name, []).append(node.output)

    def drop(self, name: str) -> None:
        self._forget_reads(name)
        del self.nodes[name]

    def _forget_reads(self, name: str) -> None:
        old = self.nodes.get(name)
        for read in () if old is None else old.inputs:
            self._readers[read].remove(name)

    def uses(self, name: str) -> int:
        return len(self._readers.get(name, ())) + (name == self.output)

    def linear_conv(self, name: str) -> Conv | None:
        """The conv without activation that writes `name`, if `name` has one reader; else None."""
        node = self.nodes.get(name)
        return node if isinstance(node, Conv) and node.activation is None and self.uses(name) == 1 else None

    def rewire(self, old: str, new: str) -> None:
        """Drop the node that writes `old`, and let its readers read `new`."""
        readers = dict.fromkeys(self._readers.get(old, ()))
        self.drop(old)
        for reader in readers:
            self.put(with_inputs(self.nodes[reader], {old: new}))
        self.output = new if self.output == old else self.output


def simplify_nodes(
    nodes: tuple[Node, ...], shapes: dict[str, Shape], output: str, *, keep_weights: bool = False
) -> tuple[Node, ...]:
    """Apply all rules, or those that change no weight. `output` keeps its name."""
    draft = _Draft(nodes, shapes, output)
    rules = (_fuse_activation, _scale_sum, _flatten_sum)
    if not keep_weights:
        rules = (*rules, _scale_conv, _fold_identity, _merge_convs, _fold_coefficient)
    changed = True
    while changed:
        changed = False
        for name in list(draft.nodes):
            for rule in rules:
                node = draft.nodes.get(name)
                if node is not None and rule(draft, node):
                    changed = True
    result = tuple(draft.nodes.values())
    if draft.output != output:
        result = tuple(with_inputs(_renamed(node, draft.output, output), {draft.output: output}) for node in result)
    return result


def _renamed(node: Node, old: str, new: str) -> Node:
    return replace(node, output=new) if node.output == old else node


def _fuse_activation(draft: _Draft, node: Node) -> bool:
    if not isinstance(node, Activate):
        return False
    conv = draft.linear_conv(node.source)
    if conv is None:
        return False
    draft.put(replace(conv, activation=node.activation))
    draft.rewire(node.output, conv.output)
    return True


def _scale_conv(draft: _Draft, node: Node) -> bool:
    conv = draft.linear_conv(node.source) if isinstance(node, Scale) else None
    if conv is None or not isinstance(node, Scale):
        return False
    draft.put(_scaled(conv, node.factor))
    draft.rewire(node.output, node.source)
    return True


def _scale_sum(draft: _Draft, node: Node) -> bool:
    source = draft.nodes.get(node.source) if isinstance(node, Scale) else None
    if not isinstance(node, Scale) or not isinstance(source, Add) or draft.uses(node.source) != 1:
        return False
    draft.put(replace(source, coefficients=tuple(c * node.factor for c in source.coefficients)))
    draft.rewire(node.output, node.source)
    return True


def _flatten_sum(draft: _Draft, node: Node) -> bool:
    """Merge an input that is a sum or a scaled value with no other reader into the sum."""
    if not isinstance(node, Add):
        return False
    for index, name in enumerate(node.inputs):
        inner = draft.nodes.get(name)
        if draft.uses(name) != 1 or not isinstance(inner, Add | Scale):
            continue
        weights = inner.coefficients if isinstance(inner, Add) else (inner.factor,)
        outer = node.coefficients[index]
        inputs = (*node.inputs[:index], *inner.inputs, *node.inputs[index + 1 :])
        coefficients = (*node.coefficients[:index], *(outer * c for c in weights), *node.coefficients[index + 1 :])
        draft.put(replace(node, inputs=inputs, coefficients=coefficients))
        draft.drop(name)
        return True
    return False


def _fold_identity(draft: _Draft, node: Node) -> bool:
    if not isinstance(node, Add):
        return False
    for index, name in enumerate(node.inputs):
        conv = draft.linear_conv(name)
        if conv is None or not conv.keeps_size:
            continue
        offsets = _channel_offsets(draft, conv.source)
        for other, value in enumerate(node.inputs):
            own = node.coefficients[index]
            if other == index or own == 0.0 or value not in offsets:
                continue
            if draft.shapes[value].channels != conv.weight.shape[0]:
                continue
            ratio = node.coefficients[other] / own
            draft.put(_with_identity(conv, offsets[value], ratio))
            _drop_input(draft, node, other)
            return True
    return False


def _channel_offsets(draft: _Draft, name: str) -> dict[str, int]:
    """The first channel of each value within `name`: itself at 0, and the parts of a concatenation."""
    offsets = {name: 0}
    node = draft.nodes.get(name)
    if isinstance(node, Concat):
        begin = 0
        for part in node.inputs:
            offsets.setdefault(part, begin)
            begin += draft.shapes[part].channels
    return offsets


def _merge_convs(draft: _Draft, node: Node) -> bool:
    if not isinstance(node, Add):
        return False
    seen: dict[str, int] = {}
    for index, name in enumerate(node.inputs):
        conv = draft.linear_conv(name)
        if conv is None or not conv.keeps_size:
            continue
        if conv.source not in seen:
            seen[conv.source] = index
            continue
        first = seen[conv.source]
        kept = draft.nodes[node.inputs[first]]
        assert isinstance(kept, Conv)
        merged = _summed(_scaled(kept, node.coefficients[first]), _scaled(conv, node.coefficients[index]))
        draft.put(merged)
        draft.drop(name)
        coefficients = tuple(1.0 if i == first else c for i, c in enumerate(node.coefficients))
        _drop_input(draft, replace(node, coefficients=coefficients), index)
        return True
    return False


def _fold_coefficient(draft: _Draft, node: Node) -> bool:
    if not isinstance(node, Add):
        return False
    for index, (name, coefficient) in enumerate(zip(node.inputs, node.coefficients, strict=True)):
        conv = draft.linear_conv(name)
        if conv is None or coefficient == 1.0:
            continue
        draft.put(_scaled(conv, coefficient))
        coefficients = tuple(1.0 if i == index else c for i, c in enumerate(node.coefficients))
        draft.put(replace(node, coefficients=coefficients))
        return True
    return False


def _drop_input(draft: _Draft, node: Add, index: int) -> None:
    """Remove one input of a sum. A sum of one input becomes a scale, and a scale by 1 is removed."""
    inputs = [name for i, name in enumerate(node.inputs) if i != index]
    coefficients = [c for i, c in enumerate(node.coefficients) if i != index]
    if len(inputs) > 1:
        draft.put(replace(node, inputs=tuple(inputs), coefficients=tuple(coefficients)))
    elif coefficients[0] == 1.0:
        draft.rewire(node.output, inputs[0])
    else:
        draft.put(Scale(node.output, inputs[0], coefficients[0]))


def _scaled(conv: Conv, factor: float) -> Conv:
    bias = None if conv.bias is None else _times(conv.bias, factor)
    return replace(conv, weight=_times(conv.weight, factor), bias=bias)


def _times(values: Array, factor: float) -> Array:
    return (values.astype(np.float64) * factor).astype(np.float32)


def _with_identity(conv: Conv, offset: int, ratio: float) -> Conv:
    weight = conv.weight.copy()
    center = weight.shape[2] // 2
    for channel in range(weight.shape[0]):
        weight[channel, offset + channel, center, center] += np.float32(ratio)
    return replace(conv, weight=weight)


def _summed(first: Conv, second: Conv) -> Conv:
    """One conv equal to the sum of two with the same input."""
    large, small = (first, second) if first.weight.shape[2] >= second.weight.shape[2] else (second, first)
    rim = (large.weight.shape[2] - small.weight.shape[2]) // 2
    weight = large.weight + np.pad(small.weight, ((0, 0), (0, 0), (rim, rim), (rim, rim)))
    biases = [conv.bias for conv in (first, second) if conv.bias is not None]
    bias = biases[0] + biases[1] if len(biases) == 2 else next(iter(biases), None)
    return replace(first, weight=weight, bias=bias, padding=large.padding)
