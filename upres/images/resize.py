"""Antialiased separable resizing, equal to MATLAB's `imresize`.

Sources: R. Keys, "Cubic convolution interpolation for digital image processing", IEEE TASSP 1981 (a = -0.5), and the
documentation of MATLAB's `imresize`: for `factor` < 1 the kernel is stretched by 1 / `factor` (antialiasing), the
weights of each output sample are normalized, borders are mirrored with the edge repeated ("symmetric"), the output
size is ceil(in * factor), and the axis with the smaller factor is resized first.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from upres.errors import UsageError

Kernel = Literal["cubic", "linear", "area", "lanczos"]
_Real = TypeVar("_Real", np.uint8, np.uint16, np.float32, np.float64)
BLOCK_ROWS = 64  # output samples per matrix product: few zero weights, yet large enough for BLAS


def _cubic(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Keys 1981, equation 15 with a = -0.5."""
    x = np.abs(x)
    near = 1.5 * x**3 - 2.5 * x**2 + 1.0
    far = -0.5 * x**3 + 2.5 * x**2 - 4.0 * x + 2.0
    return np.where(x <= 1.0, near, np.where(x <= 2.0, far, 0.0))


def _linear(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.maximum(1.0 - np.abs(x), 0.0)


def _area(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """MATLAB's "box" kernel: half-open, so that a sample on the edge counts once."""
    return ((x >= -0.5) & (x < 0.5)).astype(np.float64)


def _lanczos(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Lanczos with three lobes: sinc(x) sinc(x/3) for |x| < 3."""
    return np.where(np.abs(x) < 3.0, np.sinc(x) * np.sinc(x / 3.0), 0.0)


_KERNELS: dict[str, tuple[Callable[[NDArray[np.float64]], NDArray[np.float64]], float]] = {
    "cubic": (_cubic, 4.0),
    "linear": (_linear, 2.0),
    "area": (_area, 1.0),
    "lanczos": (_lanczos, 6.0),
}


@lru_cache(maxsize=64)
def contributions(
    size_in: int, size_out: int, factor: float, kernel: str, antialias: bool
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Indices and weights, both (size_out, taps), of the input samples of every output sample along one axis.

    Near a border an index may occur twice in a row. The arrays are cached: do not modify them.
    """
    function, width = _KERNELS[kernel]
    stretch = factor if antialias and factor < 1.0 else 1.0
    width /= stretch
    center = (np.arange(size_out) + 0.5) / factor - 0.5  # in input samples, counted from 0
    left = np.floor(center - width / 2.0).astype(np.int64)
    taps = math.ceil(width) + 2
    indices = left[:, None] + np.arange(taps)
    distance: NDArray[np.float64] = np.asarray(stretch * (center[:, None] - indices), np.float64)
    weights = stretch * function(distance)
    weights /= weights.sum(axis=1, keepdims=True)
    period = np.concatenate([np.arange(size_in), np.arange(size_in)[::-1]])  # symmetric border
    indices = period[np.mod(indices, 2 * size_in)]
    keep = np.any(weights != 0.0, axis=0)
    return indices[:, keep].astype(np.intp), np.ascontiguousarray(weights[:, keep])


def row_range(size_in: int, size_out: int, factor: float, start: int, stop: int) -> tuple[int, int]:
    """The input samples, first and last + 1, of output samples `start` to `stop` - 1 of a cubic antialiased resize."""
    rows = contributions(size_in, size_out, factor, "cubic", True)[0][start:stop]
    return int(rows.min()), int(rows.max()) + 1


def resize_axis(
    image: NDArray[Any],
    axis: int,
    size_out: int,
    factor: float,
    kernel: str = "cubic",
    antialias: bool = True,
    *,
    height: int | None = None,
    rows: tuple[int, int, int] | None = None,
) -> NDArray[Any]:
    """Resize one axis of an `h w c` array.

    rows: (start, stop, first) with axis 0: only the output rows from `start`, a multiple of `BLOCK_ROWS`, to
        `stop` - 1, of an image of which `image` holds the rows from `first` on; its `height` is then needed.
    """
    length = image.shape[axis] if height is None else height
    if length == size_out and factor == 1.0:
        return image if rows is None else image[rows[0] - rows[2] : rows[1] - rows[2]]
    return weighted(image, axis, *contributions(length, size_out, factor, kernel, antialias), rows)


def weighted(
    image: NDArray[Any],
    axis: int,
    indices: NDArray[np.intp],
    weights: NDArray[np.float64],
    rows: tuple[int, int, int] | None = None,
) -> NDArray[Any]:
    """Sums of samples of an `h w c` array along one axis, by products with blocks of the band matrix of weights.

    indices, weights: (size_out, taps), as of `contributions`. Rows that are near each other must use samples that are
        near each other.
    rows: As for `resize_axis`.
    """
    begin, end, first = rows or (0, len(indices), 0)
    tall, width, channels = image.shape
    shape = (end - begin, width, channels) if axis == 0 else (tall, len(indices), channels)
    result = np.empty(shape, image.dtype)
    for start in range(begin, end, BLOCK_ROWS):
        stop = min(start + BLOCK_ROWS, end)
        reads = indices[start:stop]
        low, high = int(reads.min()), int(reads.max()) + 1
        band = np.zeros((stop - start, high - low))
        np.add.at(band, (np.arange(stop - start)[:, None], reads - low), weights[start:stop])
        matrix = band.astype(image.dtype)
        if axis == 0:
            source = image[low - first : high - first].reshape(high - low, width * channels)
            np.matmul(matrix, source, out=result[start - begin : stop - begin].reshape(stop - start, width * channels))
        else:
            result[:, start:stop] = np.matmul(matrix, image[:, low:high])
    return result


def imresize(
    image: NDArray[_Real],
    factor: float | None = None,
    *,
    size: tuple[int, int] | None = None,
    kernel: Kernel = "cubic",
    antialias: bool = True,
) -> NDArray[_Real]:
    """Resize an `h w` or `h w c` image as MATLAB's `imresize` does.

    Args:
        image: uint8 and uint16 are computed in float64, rounded half up and clipped, as the LR pictures of the
            standard test sets were. float32 and float64 are **not** clipped: cubic and lanczos overshoot.
        factor: Scale factor of both axes; the output size is ceil(in * factor).
        size: Output (h, w), instead of `factor`.
        kernel: Interpolation kernel.
        antialias: Stretch the kernel when an axis shrinks.

    Returns:
        The resized image, of the dtype and number of axes of `image`.

    Raises:
        UsageError: An argument is out of range, or not exactly one of `factor` and `size` is given.
    """
    if (factor is None) == (size is None):
        raise UsageError("expected exactly one of factor and size")
    if image.ndim not in (2, 3) or 0 in image.shape:
        raise UsageError(f"image must be a non-empty h w or h w c array, got shape {image.shape}")
    if kernel not in _KERNELS:
        raise UsageError(f"kernel must be one of {', '.join(_KERNELS)}, got {kernel!r}")
    height, width = image.shape[:2]
    if factor is not None:
        if not (math.isfinite(factor) and factor > 0):
            raise UsageError(f"factor must be positive and finite, got {factor}")
        # in * factor may exceed an integer by a rounding error, for which ceil alone would add a sample
        target = (math.ceil(round(height * factor, 9)), math.ceil(round(width * factor, 9)))
        factors = (factor, factor)
    else:
        assert size is not None
        if min(size) < 1:
            raise UsageError(f"size must be at least 1x1, got {size[0]}x{size[1]} (h x w)")
        target = size
        factors = (size[0] / height, size[1] / width)

    dtype: np.dtype[Any] = image.dtype
    integer = dtype.kind == "u"
    work: NDArray[Any] = image.astype(np.float64) if integer else image
    work = work[:, :, None] if image.ndim == 2 else work
    for axis in sorted((0, 1), key=lambda a: factors[a]):
        work = resize_axis(work, axis, target[axis], factors[axis], kernel, antialias)
    if integer:
        top = float(np.iinfo(dtype).max)
        work = np.floor(np.clip(work, 0.0, top) + 0.5)
    result = work.astype(dtype, copy=False)
    return result[:, :, 0] if image.ndim == 2 else result
