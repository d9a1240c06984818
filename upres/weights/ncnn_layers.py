"""The layer types of ncnn that are run, what each reads from the `.bin`, and which of its numbers must be what.

Numbers of parameters, their defaults and the order of weights are those of ncnn's `docs/developer-guide/operators.md`
and of the `load_model` of each layer. A type that is not here is refused: it may have weights whose size is not known,
or be a program of its own.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from upres.weights.tensors import Origin

Number: TypeAlias = int | float
_MAX_SIDE = 4096  # of kernels, strides, paddings, factors
_MAX_CHANNELS = 2**16
GIVEN = -233  # a Scale whose factors are its second input
_SAME = (-233, -234)  # "pad so that the size is kept"


@dataclass(frozen=True, slots=True)
class NcnnLayer:
    """One line of a `.param`: `params` by number."""

    kind: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    params: dict[int, Number | tuple[Number, ...]]

    def integer(self, key: int, default: int = 0) -> int:
        value = self.params.get(key, default)
        return int(value) if not isinstance(value, tuple) else default

    def real(self, key: int, default: float = 0.0) -> float:
        value = self.params.get(key, default)
        return float(value) if not isinstance(value, tuple) else default

    def numbers(self, key: int) -> tuple[Number, ...]:
        value = self.params.get(key, ())
        return value if isinstance(value, tuple) else (value,)

    @property
    def kernel(self) -> tuple[int, int]:
        """(h, w)"""
        width = self.integer(1)
        return self.integer(11, width), width

    def is_plain_conv(self, padding: int) -> bool:
        """A square kernel of stride 1 without dilation, with that padding of zeros all around."""
        pads = [self.integer(4), self.integer(14, self.integer(4)), self.integer(15, self.integer(4))]
        pads.append(self.integer(16, pads[1]))
        ones = [
            self.integer(2, 1),
            self.integer(12, self.integer(2, 1)),
            self.integer(3, 1),
            self.integer(13, self.integer(3, 1)),
        ]
        dynamic = self.integer(19)
        return (
            self.kernel[0] == self.kernel[1]
            and set(pads) == {padding}
            and set(ones) == {1}
            and not self.real(18)
            and not dynamic
        )

    def is_nearest(self, scale: int) -> bool:
        """An Interp that repeats each pixel `scale` times."""
        fixed = self.integer(3) or self.integer(4) or self.integer(5)
        return (
            self.integer(0) == 1
            and self.real(1, 1.0) == self.real(2, 1.0) == scale
            and not fixed
            and len(self.inputs) == 1
        )


@dataclass(frozen=True, slots=True)
class Weights:
    """So many numbers in the `.bin`; `tagged`: four bytes before them say how they are stored."""

    count: int
    tagged: bool = False


def _conv(layer: NcnnLayer) -> list[Weights]:
    bias = [Weights(layer.integer(0))] if layer.integer(5) else []
    return [Weights(layer.integer(6), tagged=True), *bias]


def _inner_product(layer: NcnnLayer) -> list[Weights]:
    return [Weights(layer.integer(2), tagged=True), *([Weights(layer.integer(0))] if layer.integer(1) else [])]


def _scale(layer: NcnnLayer) -> list[Weights]:
    if layer.integer(0) == GIVEN:
        return []
    return [Weights(layer.integer(0))] * (1 + bool(layer.integer(1)))


def _affine(size: int, flag: int) -> Callable[[NcnnLayer], list[Weights]]:
    return lambda layer: [Weights(layer.integer(size))] * 2 if layer.integer(flag, 1) else []


def _memory(layer: NcnnLayer) -> list[Weights]:
    count = math.prod(max(1, layer.integer(key)) for key in (0, 1, 11, 2))
    return [Weights(count, tagged=layer.integer(21, 1) == 0)]


def _first(layer: NcnnLayer) -> list[Weights]:
    return [Weights(layer.integer(0))]


def _four(layer: NcnnLayer) -> list[Weights]:
    return [Weights(layer.integer(0))] * 4


_WEIGHTS: dict[str, Callable[[NcnnLayer], list[Weights]]] = {
    "Convolution": _conv,
    "ConvolutionDepthWise": _conv,
    "Deconvolution": _conv,
    "DeconvolutionDepthWise": _conv,
    "InnerProduct": _inner_product,
    "PReLU": _first,
    "BatchNorm": _four,
    "Scale": _scale,
    "Bias": _first,
    "InstanceNorm": _affine(0, 2),
    "GroupNorm": _affine(1, 3),
    "LayerNorm": _affine(0, 2),
    "MemoryData": _memory,
}
# What takes each value by itself and gives one of it, and has no weights.
_POINTWISE = frozenset(
    {"AbsVal", "BNLL", "CELU", "Clip", "Dropout", "ELU", "Erf", "Exp", "GELU", "HardSigmoid", "HardSwish", "Log",
     "Mish", "Noop", "Power", "ReLU", "SELU", "Sigmoid", "Softplus", "Swish", "TanH", "UnaryOp"}
)  # fmt: skip
_MOVING = frozenset(
    {"BinaryOp", "Concat", "Crop", "Eltwise", "ExpandDims", "Flatten", "Input", "Interp", "MatMul", "Padding",
     "Permute", "PixelShuffle", "Pooling", "Reduction", "Reorg", "Reshape", "ShuffleChannel", "Slice", "Softmax",
     "Split", "Squeeze"}
)  # fmt: skip
ONE_TO_ONE = _POINTWISE | {"PReLU", "BatchNorm", "Bias", "InstanceNorm", "Interp", "Pooling"}
_INPUTS = {
    "Input": (0, 0),
    "MemoryData": (0, 0),
    "BinaryOp": (1, 2),
    "Concat": (1, 255),
    "Eltwise": (2, 255),
    "MatMul": (2, 2),
    "Scale": (1, 2),
    "Crop": (1, 2),
}
CONVS = frozenset({"Convolution", "ConvolutionDepthWise", "Deconvolution", "DeconvolutionDepthWise"})


def weights_of(layer: NcnnLayer) -> list[Weights]:
    """What the layer reads from the `.bin`, in order; the layer has passed `check_layer`."""
    return _WEIGHTS[layer.kind](layer) if layer.kind in _WEIGHTS else []


def check_layer(layer: NcnnLayer, origin: Origin) -> None:
    """Raises ModelError for a type that is not known, and for numbers that ncnn would divide by, allocate or run beyond
    its memory with.
    """
    if layer.kind not in _WEIGHTS and layer.kind not in _POINTWISE | _MOVING:
        raise origin.refuse(
            f"layer {layer.name!r} is of the type {layer.kind!r}, which upres does not run",
            remedy="Find the same network as .safetensors, .pth or .onnx",
        )

    def expect(key: int, least: int, most: int, what: str, default: int = 1, also: tuple[int, ...] = ()) -> int:
        raw = layer.params.get(key, default)
        value = layer.integer(key, default)
        if isinstance(raw, tuple) or raw != value or not (least <= value <= most or value in also):
            raise origin.refuse(f"layer {layer.name!r} ({layer.kind}): {what} is {raw}; expected {least} to {most}")
        return value

    least, most = _INPUTS.get(layer.kind, (1, 1))
    outputs = 255 if layer.kind in ("Split", "Slice") else 1
    if not least <= len(layer.inputs) <= most or not 1 <= len(layer.outputs) <= outputs:
        raise origin.refuse(
            f"layer {layer.name!r} ({layer.kind}) has {len(layer.inputs)} inputs and {len(layer.outputs)} outputs"
        )
    if layer.kind in CONVS:
        _check_conv(layer, expect, origin)
    elif layer.kind == "Pooling":
        expect(0, 0, 1, "its kind", 0)
        if not layer.integer(4):
            for key in (1, 11, 2, 12):
                expect(key, 1, _MAX_SIDE, "a kernel or stride", layer.integer(1 if key in (1, 11) else 2, 1))
        for key in (3, 13, 14, 15):
            expect(key, 0, _MAX_SIDE, "a padding", 0, _SAME)
    elif layer.kind in ("PixelShuffle", "Reorg", "ShuffleChannel"):
        expect(0, 1, 64, "the factor")
    elif layer.kind == "Interp" and not all(0 < layer.real(key, 1.0) <= 64 for key in (1, 2)):
        raise origin.refuse(f"layer {layer.name!r} (Interp): the factor is {layer.real(1)}; expected up to 64")
    elif layer.kind == "Interp":
        expect(3, 0, _MAX_SIDE, "the height", 0)
        expect(4, 0, _MAX_SIDE, "the width", 0)
    elif layer.kind == "Crop":
        for key in (0, 1, 2):
            expect(key, 0, _MAX_SIDE, "an offset", 0)
    elif layer.kind == "Padding":
        for key in (0, 1, 2, 3, 7, 8):
            expect(key, 0, _MAX_SIDE, "a padding", 0)
    elif layer.kind == "Scale" and len(layer.inputs) == 2:
        if layer.integer(0) != GIVEN or layer.integer(1):
            raise origin.refuse(f"layer {layer.name!r} (Scale) has 2 inputs and weights as well")
    elif layer.kind in (
        "InnerProduct",
        "PReLU",
        "BatchNorm",
        "Scale",
        "Bias",
        "InstanceNorm",
        "LayerNorm",
        "GroupNorm",
    ):
        expect(0, 1, _MAX_CHANNELS, "its size", 0)
        if layer.kind == "GroupNorm":
            channels = expect(1, 1, _MAX_CHANNELS, "the number of channels", 0)
            if channels % layer.integer(0):
                raise origin.refuse(
                    f"layer {layer.name!r} (GroupNorm): {channels} channels do not make {layer.integer(0)} groups"
                )
        if layer.kind == "InnerProduct":
            size = expect(2, 1, 2**31 - 1, "the number of weights", 0)
            if size % layer.integer(0) or layer.integer(8):
                raise origin.refuse(
                    f"layer {layer.name!r} (InnerProduct): {size} weights for {layer.integer(0)} outputs, or int8 ones"
                )
    elif layer.kind == "BinaryOp" and (len(layer.inputs) == 1) != bool(layer.integer(1)):
        raise origin.refuse(
            f"layer {layer.name!r} (BinaryOp) has {len(layer.inputs)} inputs, which does not fit its constant"
        )
    elif layer.kind == "MemoryData":
        for key in (0, 1, 2, 11):
            expect(key, 0, _MAX_CHANNELS, "a size", 0)
        expect(21, 0, 1, "its storage")


def _check_conv(layer: NcnnLayer, expect: Callable[..., int], origin: Origin) -> None:
    out = expect(0, 1, _MAX_CHANNELS, "the number of outputs", 0)
    for key, like, what in (
        (1, 1, "the kernel"),
        (11, 1, "the kernel"),
        (2, 2, "the dilation"),
        (12, 2, "the dilation"),
    ):
        expect(key, 1, _MAX_SIDE, what, layer.integer(like, 0 if like == 1 else 1))
    for key in (3, 13):
        expect(key, 1, _MAX_SIDE, "the stride", layer.integer(3, 1))
    for key in (4, 14, 15, 16):
        expect(key, 0, _MAX_SIDE, "a padding", 0, _SAME)
    deconv = layer.kind.startswith("Deconvolution")
    if layer.integer(28 if deconv else 19):
        raise origin.refuse(
            f"layer {layer.name!r} ({layer.kind}) takes its weights from another layer, which upres does not run"
        )
    if layer.integer(8):
        raise origin.refuse(
            f"layer {layer.name!r} has int8 weights, which upres cannot run. Take the float16 or float32 files"
        )
    size = expect(6, 1, 2**31 - 1, "the number of weights", 0)
    groups = expect(7, 1, _MAX_CHANNELS, "the number of groups") if layer.kind.endswith("DepthWise") else 1
    if size % (out * layer.kernel[0] * layer.kernel[1]) or out % groups:
        raise origin.refuse(
            f"layer {layer.name!r} ({layer.kind}): {size} weights do not fit {out} outputs with a kernel of "
            f"{layer.kernel}"
        )
