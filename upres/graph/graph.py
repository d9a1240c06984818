"""A generator as data: `Graph`, from which cost, receptive field, the ncnn program, the ONNX file and the torch run all come."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from math import lcm

from upres.errors import ModelError
from upres.graph import analysis
from upres.graph.nodes import Node, Shape, infer_shapes
from upres.graph.simplify import simplify_nodes


@dataclass(frozen=True, eq=False)
class Graph:
    """A network from `b in_channels h w` to `b out_channels h*scale w*scale`, float32, pictures in [0,1].

    h and w of its input must be multiples of `alignment`. The nodes stand in an order in which they can run. Construction checks every
    shape and raises ModelError, naming the node, where one does not fit; `Graph.of` deduces scale, channels and alignment.
    """

    nodes: tuple[Node, ...]
    input: str
    output: str
    scale: int
    in_channels: int
    out_channels: int
    alignment: int
    family: str

    def __post_init__(self) -> None:
        found = (self.scale, self.out_channels, self.alignment)
        expected = _outside(self.shapes, self.output)
        if found != expected:
            raise ModelError(f"graph of family {self.family}: (scale, out_channels, alignment) is {found}, but its nodes make {expected}")

    @classmethod
    def of(cls, nodes: list[Node] | tuple[Node, ...], *, output: str, in_channels: int, family: str, input: str = "input") -> Graph:
        """A graph whose scale, output channels and alignment follow from its nodes. Raises ModelError where nodes do not fit."""
        scale, out_channels, alignment = _outside(infer_shapes(tuple(nodes), input, in_channels), output)
        return cls(tuple(nodes), input, output, scale, in_channels, out_channels, alignment, family)

    @cached_property
    def shapes(self) -> dict[str, Shape]:
        """Channels and relative size of every value, by name."""
        return infer_shapes(self.nodes, self.input, self.in_channels)

    @cached_property
    def receptive_field(self) -> int:
        """Radius in LR pixels: an output pixel of LR pixel p depends on LR pixels p - radius ... p + radius, and on none outside."""
        return analysis.receptive_field(self.nodes, self.input, self.output, self.scale)

    @cached_property
    def macs_per_pixel(self) -> float:
        """Multiply-adds of the convolutions for one LR pixel."""
        return analysis.macs_per_pixel(self.nodes, self.shapes)

    @cached_property
    def parameters(self) -> int:
        """Number of weights, biases and slopes."""
        return analysis.parameters(self.nodes)

    @cached_property
    def activation_bytes_per_pixel(self) -> float:
        """Peak of the values alive at once, in bytes for one LR pixel, float32, without an engine's workspace."""
        return analysis.activation_bytes_per_pixel(self.nodes, self.shapes, self.input, self.output)

    def simplify(self) -> Graph:
        """The same function in fewer nodes (equal up to float32 rounding): see `upres.graph.simplify`."""
        return replace(self, nodes=simplify_nodes(self.nodes, self.shapes, self.output))


    def split_at_tail(self) -> tuple[Graph, Graph] | None:
        """(trunk, tail): the nodes before the first that is larger than the LR picture, and the rest; tail(trunk(lr)) is this graph.

        The tail of an RRDBNet is a few convolutions at two and four times the size: most of the memory, and a receptive field of 2 where
        the whole has 349. So the trunk can run on the whole picture and the tail in small exact tiles. None where more than one value
        crosses the cut (a compact network, which also adds its input there), or where either part would be empty.
        """
        cut = next((i for i, node in enumerate(self.nodes) if self.shapes[node.output].ratio > 1), 0)
        before, after = self.nodes[:cut], self.nodes[cut:]
        known = {self.input, *(node.output for node in before)}
        crossing = {name for node in after for name in node.inputs if name in known}
        if len(crossing) != 1 or self.input in crossing:
            return None
        (middle,) = crossing
        if self.shapes[middle].ratio != 1:
            return None
        trunk = Graph.of(before, output=middle, in_channels=self.in_channels, family=self.family, input=self.input)
        tail = Graph.of(after, output=self.output, in_channels=trunk.out_channels, family=self.family, input=middle)
        return trunk, tail


def _outside(shapes: dict[str, Shape], output: str) -> tuple[int, int, int]:
    """(scale, out_channels, alignment) of a graph whose values have these shapes."""
    if output not in shapes:
        raise ModelError(f"no node writes the output {output!r}")
    ratio = shapes[output].ratio
    if ratio.denominator != 1:
        raise ModelError(f"the output is {ratio} times the input's size; only whole scales can be run")
    return int(ratio), shapes[output].channels, lcm(*(shape.ratio.denominator for shape in shapes.values()))
