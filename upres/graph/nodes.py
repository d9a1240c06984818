"""The node types of a graph: data only, without engine or torch.

A node names its output and its inputs; values are float32 `b c h w`. The formula in a node's docstring defines it, and
engines must agree with it (tested against torch modules).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from upres.errors import ModelError

Array: TypeAlias = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Activation:
    """An elementwise function.

    relu: max(x, 0); leaky_relu: x if x > 0 else slope * x; prelu: the same with `slopes`; sigmoid: 1 / (1 + e^-x);
    silu: x * sigmoid(x).

    Args:
        kind: Which function.
        slope: Of leaky_relu.
        slopes: Of prelu, shape (c,), or (1,) if shared by all channels.
    """

    kind: Literal["relu", "leaky_relu", "prelu", "sigmoid", "silu"]
    slope: float = 0.0
    slopes: Array | None = None

    def negative_slopes(self) -> Array:
        """The slope of relu, leaky_relu or prelu for negative values, shape (c,), or (1,) if shared by all channels."""
        if self.slopes is not None:
            return self.slopes
        return np.full(1, self.slope if self.kind == "leaky_relu" else 0.0, np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class Conv:
    """Cross-correlation with `weight` (out, in, k, k) and zero padding, plus `bias` (out,), then a fused activation."""

    output: str
    source: str
    weight: Array
    bias: Array | None = None
    stride: int = 1
    padding: int = 0
    activation: Activation | None = None

    @property
    def inputs(self) -> tuple[str, ...]:
        return (self.source,)

    @property
    def keeps_size(self) -> bool:
        """Whether the kernel is odd and centered, with stride 1, so that output and input pixels coincide."""
        kernel = self.weight.shape[2]
        return kernel == self.weight.shape[3] and kernel % 2 == 1 and self.stride == 1 and self.padding == kernel // 2


@dataclass(frozen=True, slots=True, eq=False)
class Activate:
    """An activation not fused into a conv."""

    output: str
    source: str
    activation: Activation

    @property
    def inputs(self) -> tuple[str, ...]:
        return (self.source,)


@dataclass(frozen=True, slots=True)
class Add:
    """Sum of coefficient * input over two or more inputs of the same shape."""

    output: str
    inputs: tuple[str, ...]
    coefficients: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Mul:
    """Elementwise product of two inputs of the same shape."""

    output: str
    inputs: tuple[str, str]


@dataclass(frozen=True, slots=True)
class Scale:
    """Input times a constant."""

    output: str
    source: str
    factor: float

    @property
    def inputs(self) -> tuple[str, ...]:
        return (self.source,)


@dataclass(frozen=True, slots=True)
class Concat:
    """Concatenation of inputs of the same size along the channels."""

    output: str
    inputs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class MaxPool:
    """Maximum over windows, without padding; windows that cross the border are dropped (torch's floor mode)."""

    output: str
    source: str
    kernel: int
    stride: int

    @property
    def inputs(self) -> tuple[str, ...]:
        return (self.source,)


@dataclass(frozen=True, slots=True)
class Resample:
    """Resampling by an integer factor f, in torch's channel order.

    upsample_nearest: out[c, y, x] = in[c, y // f, x // f].
    pixel_shuffle: out[c, y f + i, x f + j] = in[c f f + i f + j, y, x].
    pixel_unshuffle: the inverse of pixel_shuffle.
    """

    kind: Literal["upsample_nearest", "pixel_shuffle", "pixel_unshuffle"]
    output: str
    source: str
    factor: int

    @property
    def inputs(self) -> tuple[str, ...]:
        return (self.source,)


Node: TypeAlias = Conv | Activate | Add | Mul | Scale | Concat | MaxPool | Resample


@dataclass(frozen=True, slots=True)
class Shape:
    """Channels of a value, and its height relative to the graph's input (1/2 after pixel_unshuffle by 2)."""

    channels: int
    ratio: Fraction

    @property
    def elements_per_pixel(self) -> float:
        return float(self.channels * self.ratio**2)


def divides_size(kernel: int, stride: int, padding: int) -> bool:
    """Whether a window reduces n * stride pixels to exactly n, without cropping or extending the border."""
    return 2 * padding < kernel <= 2 * padding + stride


def with_inputs(node: Node, renamed: dict[str, str]) -> Node:
    """A copy of the node with inputs renamed from the keys of `renamed` to its values."""
    if isinstance(node, Add | Concat):
        return replace(node, inputs=tuple(renamed.get(name, name) for name in node.inputs))
    if isinstance(node, Mul):
        first, second = node.inputs
        return replace(node, inputs=(renamed.get(first, first), renamed.get(second, second)))
    return replace(node, source=renamed.get(node.source, node.source))


def infer_shapes(nodes: tuple[Node, ...], input_name: str, in_channels: int) -> dict[str, Shape]:
    """The shape of every value, by name.

    Raises ModelError, naming the node, for undefined inputs, duplicate names, or mismatched channels, sizes or weights.
    """
    shapes = {input_name: Shape(in_channels, Fraction(1))}
    for node in nodes:
        missing = [name for name in node.inputs if name not in shapes]
        if missing:
            raise ModelError(f"node {node.output!r} reads {missing[0]!r}, which no earlier node writes")
        if node.output in shapes:
            raise ModelError(f"node {node.output!r}: another node already writes this value")
        shapes[node.output] = _shape(node, [shapes[name] for name in node.inputs])
    return shapes


def _shape(node: Node, sources: list[Shape]) -> Shape:
    first = sources[0]
    match node:
        case Conv():
            return _conv_shape(node, first)
        case Activate():
            check_activation(node.output, node.activation, first.channels)
            return first
        case Add() | Mul():
            if len(sources) < 2 or any(source != first for source in sources):
                inputs = zip(node.inputs, sources, strict=True)
                found = ", ".join(f"{name} with {s.channels} channels at x{s.ratio}" for name, s in inputs)
                raise ModelError(f"node {node.output!r} needs two or more inputs of the same shape, got {found}")
            if isinstance(node, Add) and len(node.coefficients) != len(sources):
                raise ModelError(
                    f"node {node.output!r} has {len(sources)} inputs, but {len(node.coefficients)} coefficients"
                )
            return first
        case Scale():
            return first
        case Concat():
            if any(source.ratio != first.ratio for source in sources):
                raise ModelError(
                    f"node {node.output!r} concatenates values of different sizes: {', '.join(node.inputs)}"
                )
            return Shape(sum(source.channels for source in sources), first.ratio)
        case MaxPool():
            return Shape(first.channels, first.ratio / node.stride)
        case Resample():
            return _resampled_shape(node, first)


def _conv_shape(node: Conv, source: Shape) -> Shape:
    if node.weight.ndim != 4 or node.weight.shape[2] != node.weight.shape[3]:
        raise ModelError(f"conv {node.output!r}: expected weights (out, in, k, k), got {node.weight.shape}")
    out, taken = node.weight.shape[:2]
    if taken != source.channels:
        raise ModelError(f"conv {node.output!r} expects {taken} channels, but {node.source!r} has {source.channels}")
    if node.bias is not None and node.bias.shape != (out,):
        raise ModelError(f"conv {node.output!r}: expected a bias of shape ({out},), got {node.bias.shape}")
    if node.activation is not None:
        check_activation(node.output, node.activation, out)
    return Shape(out, source.ratio / node.stride)


def _resampled_shape(node: Resample, source: Shape) -> Shape:
    area = node.factor**2
    if node.kind == "upsample_nearest":
        return Shape(source.channels, source.ratio * node.factor)
    if node.kind == "pixel_unshuffle":
        return Shape(source.channels * area, source.ratio / node.factor)
    if source.channels % area:
        raise ModelError(
            f"pixel_shuffle {node.output!r} by {node.factor} needs a multiple of {area} channels, got {source.channels}"
        )
    return Shape(source.channels // area, source.ratio * node.factor)


def check_activation(name: str, activation: Activation, channels: int) -> None:
    """Raise ModelError if a prelu does not have one slope, or one per channel."""
    if activation.kind != "prelu":
        return
    found = None if activation.slopes is None else activation.slopes.shape
    if found not in ((channels,), (1,)):
        raise ModelError(f"prelu of {name!r}: expected slopes of shape ({channels},) or (1,), got {found}")
