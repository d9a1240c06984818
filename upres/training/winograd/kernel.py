"""The kernel of winograd.cpp, compiled by build.py, called with torch tensors.

It knows nothing of gradients or modules (see conv.py). Its tensors are views `b h w c` with c contiguous and no gaps
between rows and pictures, such as a slice of channels of a channels-last batch.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Sequence
from ctypes import c_float, c_int, c_int64, c_void_p
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import torch
from torch import Tensor, nn

from upres.errors import EngineError

PANEL: Final = 16  # channels, in and out, must be multiples of this
MOST_CHANNELS: Final = 4096
Kind = Literal["3x3", "3x3/valid", "4x4/2"]  # stride 1, padding 1; stride 1, no padding; stride 2, padding 1

_Quad = c_int64 * 4


class _Geometry(ctypes.Structure):
    _fields_ = (
        *((name, c_int64) for name in ("taps", "batch", "in_height", "in_width", "in_step", "rows", "columns")),
        *(
            (name, c_int64)
            for name in ("out_height", "out_width", "out_step", "out_row", "out_column", "tap_step", "groups")
        ),
        *((name, _Quad) for name in ("group_row", "group_column", "first_row", "first_column")),
    )


class _Image(ctypes.Structure):
    _fields_ = (("data", c_void_p), ("pixel", c_int64))


class _Weights(ctypes.Structure):
    _fields_ = (
        ("data", c_void_p),
        *((name, c_int64) for name in ("inputs", "outputs", "into", "out", "row", "column")),
    )


class _Finish(ctypes.Structure):
    _fields_ = (
        ("bias", c_void_p), ("slope", c_float), ("scale", c_float), ("first", _Image), ("second", _Image),
        ("mask", _Image), ("mask_from", c_int64),
    )  # fmt: skip


class _Target(ctypes.Structure):
    _fields_ = (("received", _Image), ("weights", _Weights), ("bias", c_void_p), ("scale", c_float))


@dataclass(frozen=True)
class Share:
    """The gradients to compute for one convolution: `weight` and `bias` <- `scale` times theirs, given `received` of
    its output.

    received `b h w o`; weight `o i k k`, where i may be fewer channels than the input has: its first.
    """

    received: Tensor
    weight: Tensor
    bias: Tensor | None
    scale: float = 1.0


class Kernel:
    """The compiled library. It uses torch.get_num_threads() threads; results do not depend on their number."""

    def __init__(self, library: Path) -> None:
        self.library = library
        loaded = ctypes.CDLL(str(library))  # its libgomp is the one torch has loaded: one thread pool
        self._convolve = loaded.upres_convolve
        self._convolve.argtypes = (c_void_p, _Image, c_void_p, _Image, c_void_p, c_int)
        self._weight_gradients = loaded.upres_weight_gradients
        self._weight_gradients.argtypes = (c_void_p, _Image, c_int64, c_void_p, c_int64, c_int)

    def convolve(
        self, kind: Kind, x: Tensor, weight: Tensor, out: Tensor, *, bias: Tensor | None = None, slope: float = 1.0,
        scale: float = 1.0, first: Tensor | None = None, second: Tensor | None = None,
    ) -> None:  # fmt: skip
        """out <- scale * leaky_relu(conv(x, weight) + bias) + first + second; `first` and `second` may be `out`.

        x `b h w i`, weight `o i k k`, out `b h w o` (3x3/valid: `b h-2 w-2 o`; 4x4/2: `b h/2 w/2 o`, h and w even),
        first and second of out's shape.
        """
        finish = _Finish(_pointer(bias), slope, scale, _image(first), _image(second), _image(None), 0)
        self._run(_forward(kind, x.shape[:3]), x, _weights(weight), out, finish)

    def input_gradient(
        self, kind: Kind, gradient: Tensor, weight: Tensor, out: Tensor, *, scale: float = 1.0,
        first: Tensor | None = None, second: Tensor | None = None, mask: Tensor | None = None, mask_from: int = 0,
        slope: float = 1.0,
    ) -> None:  # fmt: skip
        """out <- scale * (gradient of the convolution's input) + first + second.

        gradient `b h w o`, out `b h w i` (3x3/valid: `b h+2 w+2 i`; 4x4/2: `b 2h 2w i`). With `mask`, of out's shape,
        the channels from `mask_from` on are multiplied by the slope of a leaky ReLU whose output was `mask`.
        """
        finish = _Finish(
            None, 1.0 if mask is None else slope, scale, _image(first), _image(second), _image(mask), mask_from
        )
        weights = _weights(weight)
        weights.inputs, weights.outputs, weights.into, weights.out = (
            weights.outputs,
            weights.inputs,
            weights.out,
            weights.into,
        )
        for geometry in _backward(kind, gradient.shape[:3]):
            self._run(geometry, gradient, weights, out, finish)

    def _run(self, geometry: _Geometry, x: Tensor, weights: _Weights, out: Tensor, finish: _Finish) -> None:
        where = (ctypes.addressof(struct) for struct in (geometry, weights, finish))
        at_geometry, at_weights, at_finish = where
        _check(self._convolve(at_geometry, _image(x), at_weights, _image(out), at_finish, torch.get_num_threads()))

    def weight_gradients(self, kind: Kind, x: Tensor, shares: Sequence[Share]) -> None:
        """Compute the gradients of several convolutions of one input x `b h w i`, which is transformed only once."""
        targets = (_Target * len(shares))(
            *(
                _Target(_image(share.received), _weights(share.weight), _pointer(share.bias), share.scale)
                for share in shares
            )
        )
        geometry = ctypes.addressof(_forward(kind, x.shape[:3]))
        threads = torch.get_num_threads()
        _check(self._weight_gradients(geometry, _image(x), x.shape[3], ctypes.addressof(targets), len(shares), threads))


def _check(failed: int) -> None:
    if failed:
        raise EngineError("not enough memory for the Winograd convolution: lower `batch` or `patch_px`")


def _pointer(tensor: Tensor | None) -> int | None:
    return None if tensor is None else tensor.data_ptr()


def _image(x: Tensor | None) -> _Image:
    if x is None:
        return _Image(None, 0)
    # An axis of size 1 may have any stride. The innermost other axis gives the distance between pixels.
    pixel, below = 0, 1
    for size, stride in zip(x.shape[2::-1], x.stride()[2::-1], strict=True):
        pixel = pixel or (stride if size > 1 else 0)
        if size > 1 and stride != pixel * below:
            raise ValueError(
                f"a picture b h w c must have no gaps between rows, got shape {tuple(x.shape)} and strides {x.stride()}"
            )
        below *= size
    if x.stride(3) != 1:
        raise ValueError(f"a picture b h w c must have its channels side by side, got strides {x.stride()}")
    return _Image(x.data_ptr(), pixel or x.shape[3])


def _weights(w: Tensor) -> _Weights:
    out, into, row, column = w.stride()
    return _Weights(w.data_ptr(), w.shape[1], w.shape[0], into, out, row, column)


@functools.lru_cache(maxsize=1024)
def _forward(kind: Kind, size: tuple[int, ...]) -> _Geometry:
    batch, height, width = size
    if kind != "4x4/2":
        padding = 1 if kind == "3x3" else 0
        rows, columns = height + 2 * padding - 2, width + 2 * padding - 2
        zero, before = _Quad(0), _Quad(-padding)
        return _Geometry(
            3, batch, height, width, 1, rows, columns, rows, columns, 1, 0, 0, 1, 1, before, before, zero, zero
        )
    # Phase (r, s): the input pixels 2y + r - 1, 2x + s - 1 against the taps r, r + 2 and s, s + 2.
    r, s = (0, 0, 1, 1), (0, 1, 0, 1)
    begins = (_Quad(*(value - 1 for value in r)), _Quad(*(value - 1 for value in s)), _Quad(*r), _Quad(*s))
    rows, columns = height // 2, width // 2
    return _Geometry(2, batch, height, width, 2, rows, columns, rows, columns, 1, 0, 0, 2, 4, *begins)


@functools.lru_cache(maxsize=1024)
def _backward(kind: Kind, size: tuple[int, ...]) -> tuple[_Geometry, ...]:
    """The input gradient is a convolution of the output gradient with flipped kernels; with stride 2, one per phase of
    the input.
    """
    batch, height, width = size
    if kind != "4x4/2":
        padding = 1 if kind == "3x3" else 2
        rows, columns = height + 2 * padding - 2, width + 2 * padding - 2
        last, before = _Quad(2), _Quad(-padding)
        return (
            _Geometry(
                3, batch, height, width, 1, rows, columns, rows, columns, 1, 0, 0, -1, 1, before, before, last, last
            ),
        )
    # The pixel 2n + 1 (r = 0) saw the outputs n, n + 1 by the taps 2, 0; the pixel 2n (r = 1) n - 1, n by the taps 3,
    # 1.
    return tuple(
        _Geometry(
            *(2, batch, height, width, 1, height, width, 2 * height, 2 * width, 2, 1 - r, 1 - s),
            *(-2, 1, _Quad(-r), _Quad(-s), _Quad(2 + r), _Quad(2 + s)),
        )
        for r in (0, 1)
        for s in (0, 1)
    )


def suits(kind: Kind, x: Tensor, weight: Tensor, bias: Tensor | None, inputs: int | None = None) -> bool:
    """Whether the kernel can convolve x `b i h w` (or its shape with `inputs` channels) with `weight` `o i k k`:
    matching float32 tensors on the CPU, i and o multiples of 16, h and w even for 4x4/2 and large enough.
    """
    tensors = (x, weight) if bias is None else (x, weight, bias)
    plain = all(
        type(t) in (Tensor, nn.Parameter) and t.dtype == torch.float32 and t.device.type == "cpu" for t in tensors
    )
    if not plain or x.dim() != 4 or weight.dim() != 4 or not x.numel() or weight.shape[1] != (inputs or x.shape[1]):
        return False
    taps = (4, 4) if kind == "4x4/2" else (3, 3)
    sizes = x.shape[2:]
    sized = {"3x3": True, "3x3/valid": min(sizes) > 2, "4x4/2": all(size % 2 == 0 for size in sizes)}[kind]
    channels = all(count % PANEL == 0 and 0 < count <= MOST_CHANNELS for count in weight.shape[:2])
    added = bias is None or (bias.shape == weight.shape[:1] and bias.is_contiguous())
    return tuple(weight.shape[2:]) == taps and sized and channels and added
