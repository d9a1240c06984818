"""The dozen kinds of node that every generator here is made of. Data only: no engine, no torch.

A node names its output and its inputs; values are `b c h w` float32. What a node does is defined by the formula in its docstring, and the
engines must agree with it (they are tested against plain torch modules).
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
    """A function of one value: relu max(x, 0); leaky_relu x if x > 0 else slope x; prelu the same with one slope a channel; sigmoid."""

    kind: Literal["relu", "leaky_relu", "prelu", "sigmoid"]
    slope: float = 0.0  # leaky_relu
    slopes: Array | None = None  # prelu: (c,), or (1,) for one shared slope

    def negative_slopes(self) -> Array:
        """What relu, leaky_relu and prelu multiply negative values by: (c,), or (1,) for one slope of all channels."""
        if self.slopes is not None:
            return self.slopes
        return np.full(1, self.slope if self.kind == "leaky_relu" else 0.0, np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class Conv:
    """Correlation with zero padding, `weight` (out, in, k, k), then the activation that was fused into it, if any."""

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
        """True for the odd, centered kernels of stride 1, whose output pixel sits on their input pixel."""
        kernel = self.weight.shape[2]
        return kernel == self.weight.shape[3] and kernel % 2 == 1 and self.stride == 1 and self.padding == kernel // 2


@dataclass(frozen=True, slots=True, eq=False)
class Activate:
    """An activation that stands alone."""

    output: str
    source: str
    activation: Activation

    @property
    def inputs(self) -> tuple[str, ...]:
        return (self.source,)


@dataclass(frozen=True, slots=True)
class Add:
    """Sum of coefficient times value over two or more inputs of one shape."""

    output: str
    inputs: tuple[str, ...]
    coefficients: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Mul:
    """Product of two inputs of one shape, element by element."""

    output: str
    inputs: tuple[str, str]


@dataclass(frozen=True, slots=True)
class Scale:
    """Constant times value."""

    output: str
    source: str
    factor: float

    @property
    def inputs(self) -> tuple[str, ...]:
        return (self.source,)


@dataclass(frozen=True, slots=True)
class Concat:
    """Inputs of one size, one after the other along the channels."""

    output: str
    inputs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class MaxPool:
    """Largest value of each window; windows that would pass the far border are left out (torch's floor mode)."""

    output: str
    source: str
    kernel: int
    stride: int

    @property
    def inputs(self) -> tuple[str, ...]:
        return (self.source,)


@dataclass(frozen=True, slots=True)
class Resample:
    """Upsampling by a whole factor f, or a move between pixels and channels, in torch's order of channels.

    upsample_nearest: out[c, y, x] = in[c, y // f, x // f]. pixel_shuffle: out[c, y f + i, x f + j] = in[c f f + i f + j, y, x].
    pixel_unshuffle is the inverse of pixel_shuffle.
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
    """Channels of a value, and its pixels per pixel of the graph's input along one side (1/2 after a pixel_unshuffle by 2)."""

    channels: int
    ratio: Fraction

    @property
    def elements_per_pixel(self) -> float:
        return float(self.channels * self.ratio**2)


def divides_size(kernel: int, stride: int, padding: int) -> bool:
    """Whether a window makes a side of n * stride pixels n pixels: nothing is cut off at the border, and nothing added."""
    return 2 * padding < kernel <= 2 * padding + stride


def with_inputs(node: Node, renamed: dict[str, str]) -> Node:
    """The node, reading `renamed[name]` wherever it read `name`."""
    if isinstance(node, Add | Concat):
        return replace(node, inputs=tuple(renamed.get(name, name) for name in node.inputs))
    if isinstance(node, Mul):
        first, second = node.inputs
        return replace(node, inputs=(renamed.get(first, first), renamed.get(second, second)))
    return replace(node, source=renamed.get(node.source, node.source))


def infer_shapes(nodes: tuple[Node, ...], input_name: str, in_channels: int) -> dict[str, Shape]:
    """Shape of every value by name.

    Raises ModelError, naming the node, for an unknown input, a name given twice, or channels, sizes or weights that do not fit.
    """
    shapes = {input_name: Shape(in_channels, Fraction(1))}
    for node in nodes:
        missing = [name for name in node.inputs if name not in shapes]
        if missing:
            raise ModelError(f"node {node.output!r} reads {missing[0]!r}, which no node before it writes")
        if node.output in shapes:
            raise ModelError(f"node {node.output!r}: this value is already written by another node")
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
                found = ", ".join(f"{name} {s.channels} channels at x{s.ratio}" for name, s in zip(node.inputs, sources, strict=True))
                raise ModelError(f"node {node.output!r} needs two or more inputs of one shape; found {found}")
            if isinstance(node, Add) and len(node.coefficients) != len(sources):
                raise ModelError(f"node {node.output!r}: {len(sources)} inputs, but {len(node.coefficients)} coefficients")
            return first
        case Scale():
            return first
        case Concat():
            if any(source.ratio != first.ratio for source in sources):
                raise ModelError(f"node {node.output!r} joins values of different sizes: {', '.join(node.inputs)}")
            return Shape(sum(source.channels for source in sources), first.ratio)
        case MaxPool():
            return Shape(first.channels, first.ratio / node.stride)
        case Resample():
            return _resampled_shape(node, first)


def _conv_shape(node: Conv, source: Shape) -> Shape:
    if node.weight.ndim != 4 or node.weight.shape[2] != node.weight.shape[3]:
        raise ModelError(f"conv {node.output!r}: expected weights (out, in, k, k), found {node.weight.shape}")
    out, taken = node.weight.shape[:2]
    if taken != source.channels:
        raise ModelError(f"conv {node.output!r} takes {taken} channels, but {node.source!r} has {source.channels}")
    if node.bias is not None and node.bias.shape != (out,):
        raise ModelError(f"conv {node.output!r}: expected a bias of shape ({out},), found {node.bias.shape}")
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
        raise ModelError(f"pixel_shuffle {node.output!r} by {node.factor}: {source.channels} channels are not a multiple of {area}")
    return Shape(source.channels // area, source.ratio * node.factor)


def check_activation(name: str, activation: Activation, channels: int) -> None:
    """Raises ModelError where a prelu has no slopes, or not one a channel (or one for all)."""
    if activation.kind != "prelu":
        return
    found = None if activation.slopes is None else activation.slopes.shape
    if found not in ((channels,), (1,)):
        raise ModelError(f"prelu of {name!r}: expected slopes of shape ({channels},) or (1,), found {found}")
