"""Filters of degradations: blur, resize, decimate, and sharpening of the target.

All take and return float32 `h w c`, leave their argument unchanged and do not clip, unless stated. Borders are
reflected without repeating the edge pixel, as in Real-ESRGAN.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final, Literal, cast

import numpy as np
from numpy.typing import NDArray

from upres.degradation.kernels import isotropic
from upres.errors import UsageError
from upres.images.resize import contributions, imresize

Array = NDArray[np.float32]
Mode = Literal["area", "linear", "cubic", "lanczos", "nearest"]
MODES: Final[tuple[str, ...]] = ("area", "linear", "cubic", "lanczos", "nearest")
_NEGLIGIBLE: Final = 1e-7  # sum of the weights that may be dropped or wrong
_BLOCK: Final = 32  # outputs of one matrix product of a blur: few zero weights, and large enough for BLAS
_RESIZE_BLOCK: Final = 64
_TILE: Final = 256  # side of Fourier transforms: they fit the cache and limit memory

Block = tuple[slice, slice, NDArray[np.float32]]


def blur(image: Array, kernel: NDArray[np.float64]) -> Array:
    """The convolution of every channel with `kernel` (odd sides, sum 1), to 1e-6 of the exact sum for pictures in
    [0,1].

    Separable kernels (Gaussians that are round or not rotated) run as products with blocks of band matrices, others by
    Fourier transforms: at 160 x 160 x 3 and 21 pixels 0.8 and 1.3 ms, where a sum of separable kernels by singular
    values takes 3 to 13 ms.
    """
    kernel = _trimmed(kernel)
    if kernel.size == 1:
        return image * np.float32(kernel[0, 0])
    down, across = kernel.sum(axis=1), kernel.sum(axis=0) / kernel.sum()
    if np.abs(kernel - np.outer(down, across)).sum() <= _NEGLIGIBLE:
        return _separable(image, down, across)
    return _fourier(image, kernel)


def _trimmed(kernel: NDArray[np.float64]) -> NDArray[np.float64]:
    """The kernel without outer rings of negligible weight."""
    whole = np.abs(kernel).sum()
    while min(kernel.shape) > 1 and whole - np.abs(kernel[1:-1, 1:-1]).sum() <= _NEGLIGIBLE:
        kernel = kernel[1:-1, 1:-1]
    return kernel


def _reflected(image: Array, rows: tuple[int, int], columns: tuple[int, int]) -> Array:
    """`c h w`, padded by reflection with the given numbers of pixels before and after."""
    return np.pad(image.transpose(2, 0, 1), ((0, 0), rows, columns), mode="reflect")


def _separable(image: Array, down: NDArray[np.float64], across: NDArray[np.float64]) -> Array:
    """Convolve columns with `down` and rows with `across`, both of odd length."""
    height, width, channels = image.shape
    rows, columns = len(down) // 2, len(across) // 2
    tall, wide = -(-height // _BLOCK), -(-width // _BLOCK)
    planes = np.ascontiguousarray(
        _reflected(image, (rows, rows + tall * _BLOCK - height), (columns, columns + wide * _BLOCK - width)),
        dtype=np.float32,
    )
    c_step, h_step, w_step = planes.strides
    windows = np.lib.stride_tricks.as_strided(
        planes,
        (channels, tall, _BLOCK + 2 * rows, planes.shape[2]),
        (c_step, _BLOCK * h_step, h_step, w_step),
        writeable=False,
    )
    # convolution reverses kernels
    lines = np.matmul(_band(down[::-1]), windows).reshape(channels * tall * _BLOCK, planes.shape[2])
    l_step, w_step = lines.strides
    windows = np.lib.stride_tricks.as_strided(
        lines, (wide, lines.shape[0], _BLOCK + 2 * columns), (_BLOCK * w_step, l_step, w_step), writeable=False
    )
    result = (
        np.matmul(windows, _band(across[::-1]).T).reshape(wide, channels, tall * _BLOCK, _BLOCK).transpose(2, 0, 3, 1)
    )
    return np.ascontiguousarray(result.reshape(tall * _BLOCK, wide * _BLOCK, channels)[:height, :width])


def _band(taps: NDArray[np.float64]) -> NDArray[np.float32]:
    """`block, block + taps - 1`: each row holds the taps, shifted by one from the row above."""
    matrix = np.zeros((_BLOCK, _BLOCK + len(taps) - 1), np.float32)
    step = matrix.strides[1]
    diagonals = np.lib.stride_tricks.as_strided(matrix, (_BLOCK, len(taps)), (matrix.strides[0] + step, step))
    diagonals[...] = taps
    return matrix


def _fourier(image: Array, kernel: NDArray[np.float64]) -> Array:
    """Tile by tile: the wrap-around of circular convolution falls into the reflected border, which is cropped."""
    height, width, channels = image.shape
    rows, columns = kernel.shape[0] // 2, kernel.shape[1] // 2
    planes = _reflected(image, (rows, rows), (columns, columns))
    tall, wide = (-(-side // -(-side // _TILE)) for side in (height, width))  # equal tiles
    size = _fast_side(tall + 2 * rows), _fast_side(wide + 2 * columns)
    spectrum = np.fft.rfft2(kernel.astype(np.float32), size)
    result = np.empty(image.shape, np.float32)
    for channel in range(channels):
        for top in range(0, height, tall):
            for left in range(0, width, wide):
                # padded with zeros at the end
                tile = planes[channel, top : top + tall + 2 * rows, left : left + wide + 2 * columns]
                blurred = np.fft.irfft2(np.fft.rfft2(tile, size) * spectrum, size)[2 * rows :, 2 * columns :]
                part = result[top : top + tall, left : left + wide, channel]
                part[...] = blurred[: part.shape[0], : part.shape[1]]
    return result


@lru_cache(maxsize=512)
def _fast_side(least: int) -> int:
    """The next even number without a prime factor above 5."""
    side = least + least % 2
    while True:
        rest = side
        for prime in (2, 3, 5):
            while rest % prime == 0:
                rest //= prime
        if rest == 1:
            return side
        side += 2


def resize(image: Array, size: tuple[int, int], mode: Mode, antialias: bool) -> Array:
    """Resize to `size` = (h, w) with half-pixel centers and the ratio of sizes as the factor, so that nothing shifts.

    With `antialias`: MATLAB's (upres/images/resize.py; "nearest" has none). Without: torch's
    `F.interpolate(align_corners=False)`: area is the mean of the pixels that a cell touches, cubic has a = -0.75,
    borders are repeated, nearest is "nearest-exact"; lanczos is MATLAB's without antialiasing. Raises `UsageError` for
    an unknown mode.
    """
    if mode not in MODES:
        raise UsageError(f"unknown resize mode {mode!r}: expected one of {', '.join(MODES)}")
    if size == image.shape[:2]:
        return image
    if antialias and mode != "nearest":
        return imresize(image, size=size, kernel=mode)
    height, width = image.shape[:2]
    planes = np.ascontiguousarray(image.transpose(2, 0, 1), dtype=np.float32)
    if size[0] * width <= size[1] * height:  # first the axis that leaves fewer pixels
        planes = _along_width(_along_height(planes, size[0], mode), size[1], mode)
    else:
        planes = _along_height(_along_width(planes, size[1], mode), size[0], mode)
    return np.ascontiguousarray(planes.transpose(1, 2, 0))


def _along_height(planes: Array, size: int, mode: str) -> Array:
    result = np.empty((planes.shape[0], size, planes.shape[2]), np.float32)
    for out, source, matrix in _blocks(planes.shape[1], size, mode):
        np.matmul(matrix, planes[:, source], out=result[:, out])
    return result


def _along_width(planes: Array, size: int, mode: str) -> Array:
    result = np.empty((*planes.shape[:2], size), np.float32)
    for out, source, matrix in _blocks(planes.shape[2], size, mode):
        result[:, :, out] = np.matmul(planes[:, :, source], matrix.T)
    return result


@lru_cache(maxsize=512)
def _blocks(size_in: int, size_out: int, mode: str) -> list[Block]:
    """The linear map of one axis: (outputs, inputs, weights) block by block. Cached: do not modify."""
    indices, weights = _taps(size_in, size_out, mode)
    blocks: list[Block] = []
    for start in range(0, size_out, _RESIZE_BLOCK):
        out = slice(start, min(start + _RESIZE_BLOCK, size_out))
        used = indices[out]
        low, high = int(used.min()), int(used.max()) + 1
        matrix = np.zeros((len(used), high - low))
        np.add.at(matrix, (np.arange(len(used))[:, None], used - low), weights[out])
        blocks.append((out, slice(low, high), matrix.astype(np.float32)))
    return blocks


def _taps(size_in: int, size_out: int, mode: str) -> tuple[NDArray[Any], NDArray[np.float64]]:
    """Indices and weights, both (size_out, taps), of the input samples of every output sample, without antialiasing."""
    out = np.arange(size_out)[:, None]
    if mode == "lanczos":
        return contributions(size_in, size_out, size_out / size_in, mode, False)
    if mode == "area":
        begin, end = out * size_in // size_out, -(-(out + 1) * size_in // size_out)
        indices = begin + np.arange(int((end - begin).max()))
        return np.minimum(indices, size_in - 1), (indices < end) / (end - begin)
    center = (out + 0.5) * size_in / size_out - 0.5
    if mode == "nearest":
        return np.clip(np.floor(center + 0.5), 0, size_in - 1).astype(int), np.ones((size_out, 1))
    if mode == "linear":
        center = np.maximum(center, 0.0)
    indices = np.floor(center).astype(int) + (np.arange(2) if mode == "linear" else np.arange(-1, 3))
    distance = np.abs(center - indices)
    weights = np.maximum(1.0 - distance, 0.0) if mode == "linear" else _cubic(distance)
    return np.clip(indices, 0, size_in - 1), weights


def _cubic(distance: NDArray[np.float64], a: float = -0.75) -> NDArray[np.float64]:
    """The cubic kernel of Keys (1981), with a as in torch and OpenCV."""
    near = ((a + 2.0) * distance - (a + 3.0)) * distance**2 + 1.0
    far = ((distance - 5.0) * distance + 8.0) * distance * a - 4.0 * a
    return np.where(distance <= 1.0, near, np.where(distance < 2.0, far, 0.0))


def decimate(image: Array, factor: int, kernel: NDArray[np.float64]) -> Array:
    """Blur with `kernel` and keep one pixel of each `factor` x `factor`: BSRGAN's nearest down-sampling (Zhang et al.,
    ICCV 2021, 3.2).

    The first pixel is kept; the kernel is shifted by (factor - 1) / 2 pixels, with linear interpolation, so that the
    result does not shift. Returns floor(side / factor) pixels a side. Raises `UsageError` if that is none.
    """
    if not 1 <= factor <= min(image.shape[:2]):
        raise UsageError(f"a picture of {image.shape[1]}x{image.shape[0]} is too small to be decimated by {factor}")
    half, fraction = divmod(factor - 1, 2)
    size = kernel.shape[0] + 2 * (half + 1)
    wide = np.zeros((size, size))
    begin = half + 1
    span = kernel.shape[0]
    for dy in range(fraction + 1):
        for dx in range(fraction + 1):  # a half-pixel shift is the mean of two whole ones
            y, x = begin - half - dy, begin - half - dx
            wide[y : y + span, x : x + span] += kernel / (fraction + 1) ** 2
    height, width = (side // factor * factor for side in image.shape[:2])
    return np.ascontiguousarray(blur(image, wide)[:height:factor, :width:factor])


def sharpen(image: Array, amount: float, radius_px: int, threshold_255: float) -> Array:
    """Unsharp masking as Real-ESRGAN applies it to targets: adds the difference to the blurred picture where it is
    large.

    blur: a Gaussian of `radius_px` (odd) pixels with OpenCV's sigma for that size; residual = image - blur; mask =
    |residual| * 255 > threshold, blurred; result = mask * clip(image + amount * residual, 0, 1) + (1 - mask) * image.
    """
    if radius_px < 1 or radius_px % 2 == 0:
        raise UsageError(f"the width of unsharp masking must be odd and at least 1, got {radius_px}")
    sigma = 0.3 * ((radius_px - 1) * 0.5 - 1.0) + 0.8
    taps = isotropic(radius_px, sigma).sum(axis=0)
    residual = image - _separable(image, taps, taps)
    mask = (np.abs(residual) > np.float32(threshold_255 / 255.0)).astype(np.float32)
    soft = _separable(mask, taps, taps)
    sharp = np.clip(image + np.float32(amount) * residual, 0.0, 1.0)
    return cast("Array", image + soft * (sharp - image))
