"""`Graph`: a generator as data, from which costs, receptive field and the programs of all engines are derived."""

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
    """A network from `b in_channels h w` to `b out_channels h*scale w*scale`, float32, pixels in [0, 1].

    `Graph.of` derives scale, output channels and alignment.

    Args:
        nodes: In execution order.
        input: Name of the input value.
        output: Name of the output value.
        scale: Integer scale factor.
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        alignment: h and w of the input must be multiples of this.
        family: Name of the architecture.

    Raises:
        ModelError: A node's shapes do not fit (the message names it), or scale, out_channels or alignment are wrong.
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
        expected = _interface(self.shapes, self.output)
        if found != expected:
            raise ModelError(
                f"graph of family {self.family}: (scale, out_channels, alignment) must be {expected}, got {found}"
            )

    @classmethod
    def of(
        cls,
        nodes: list[Node] | tuple[Node, ...],
        *,
        output: str,
        in_channels: int,
        family: str,
        input: str = "input",
    ) -> Graph:
        """A graph with scale, output channels and alignment derived from its nodes. Raises ModelError as `Graph`."""
        scale, out_channels, alignment = _interface(infer_shapes(tuple(nodes), input, in_channels), output)
        return cls(tuple(nodes), input, output, scale, in_channels, out_channels, alignment, family)

    @cached_property
    def shapes(self) -> dict[str, Shape]:
        """Channels and relative size of every value, by name."""
        return infer_shapes(self.nodes, self.input, self.in_channels)

    @cached_property
    def receptive_field(self) -> int:
        """Radius in LR pixels: output at LR pixel p depends only on LR pixels p - radius ... p + radius."""
        return analysis.receptive_field(self.nodes, self.input, self.output, self.scale)

    @cached_property
    def macs_per_pixel(self) -> float:
        """Multiply-adds of the convolutions per LR pixel."""
        return analysis.macs_per_pixel(self.nodes, self.shapes)

    @cached_property
    def parameters(self) -> int:
        """Number of weights, biases and slopes."""
        return analysis.parameters(self.nodes)

    @cached_property
    def activation_bytes_per_pixel(self) -> float:
        """Peak memory of activations per LR pixel in float32, without an engine's workspace."""
        return analysis.activation_bytes_per_pixel(self.nodes, self.shapes, self.input, self.output)

    def simplify(self, *, keep_weights: bool = False) -> Graph:
        """An equivalent graph with fewer nodes (up to float32 rounding): see `upres.graph.simplify`.

        keep_weights: Only what leaves all weights as they are.
        """
        return replace(self, nodes=simplify_nodes(self.nodes, self.shapes, self.output, keep_weights=keep_weights))

    def split_at_tail(self) -> tuple[Graph, Graph] | None:
        """Split before the first value larger than LR: (trunk, tail), where tail(trunk(lr)) equals this graph.

        The tail of an RRDBNet, a few convolutions at two and four times the size, needs most of the memory, but has a
        receptive field of 2 instead of 349. So the trunk can run on the whole input, and the tail in small exact tiles.

        None if the cut crosses several values (as in a compact network, which adds its input at the end), the input, or
        a value of another size than LR.
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


def _interface(shapes: dict[str, Shape], output: str) -> tuple[int, int, int]:
    """(scale, out_channels, alignment) of a graph whose values have these shapes."""
    if output not in shapes:
        raise ModelError(f"no node writes the output {output!r}")
    ratio = shapes[output].ratio
    if ratio.denominator != 1:
        raise ModelError(f"the scale must be an integer, got {ratio}")
    return int(ratio), shapes[output].channels, lcm(*(shape.ratio.denominator for shape in shapes.values()))
