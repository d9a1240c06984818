"""What a degradation does to a picture by linear filters: blur, resize, decimate, and the sharpening of the target.

All take and give float32 `h w c`, write nothing into their argument and clip nothing, unless they say so. Borders are reflected without
repeating the edge pixel, as in Real-ESRGAN.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final, Literal, cast

import numpy as np
from numpy.typing import NDArray

from upres.errors import UsageError
from upres.kernels import isotropic
from upres.resize import contributions, imresize

Picture = NDArray[np.float32]
Mode = Literal["area", "linear", "cubic", "lanczos", "nearest"]
MODES: Final[tuple[str, ...]] = ("area", "linear", "cubic", "lanczos", "nearest")
_NEGLIGIBLE: Final = 1e-6  # border rows and columns of a kernel that hold less, and singular values below it, are not worked out
_BLOCK: Final = 32  # output samples of one matrix product: few of its weights are zeros, and it is large enough for BLAS


def blur(image: Picture, kernel: NDArray[np.float64]) -> Picture:
    """The convolution of every channel with `kernel` (odd sides), to about 1e-5.

    The kernel is written as a sum of separable ones by its singular values, most of which are negligible: a Gaussian has one that counts, a
    turned, flat or ringing kernel of 21 pixels five to ten. Each runs as products with blocks of band matrices, which is several times
    faster than numpy's Fourier transform at the sizes of training patches.
    """
    kernel = _trimmed(kernel)
    rows, columns = (side // 2 for side in kernel.shape)
    if rows == columns == 0:
        return image * np.float32(kernel[0, 0])
    height, width, channels = image.shape
    tall, wide = -(-height // _BLOCK), -(-width // _BLOCK)
    before = ((rows, rows + tall * _BLOCK - height), (columns, columns + wide * _BLOCK - width))
    padded = np.pad(image, (*before, (0, 0)), mode="reflect")
    planes = np.ascontiguousarray(padded.transpose(2, 0, 1), dtype=np.float32)
    u, values, v = np.linalg.svd(kernel[::-1, ::-1])  # a convolution runs through the kernel backwards
    rank = max(1, int(np.count_nonzero(values > _NEGLIGIBLE)))
    down = np.concatenate([_band(u[:, i] * values[i]) for i in range(rank)])  # rank * block, block + 2 rows
    across = np.stack([_band(v[i]).T for i in range(rank)])  # rank, block + 2 columns, block

    c_step, h_step, w_step = planes.strides
    windows = np.lib.stride_tricks.as_strided(
        planes, (channels, tall, _BLOCK + 2 * rows, planes.shape[2]), (c_step, _BLOCK * h_step, h_step, w_step), writeable=False
    )
    first = np.matmul(down, windows).reshape(channels, tall, rank, _BLOCK, planes.shape[2])
    lines = np.ascontiguousarray(first.transpose(2, 0, 1, 3, 4)).reshape(rank, channels * tall * _BLOCK, planes.shape[2])
    r_step, l_step, w_step = lines.strides
    windows = np.lib.stride_tricks.as_strided(
        lines, (rank, wide, lines.shape[1], _BLOCK + 2 * columns), (r_step, _BLOCK * w_step, l_step, w_step), writeable=False
    )
    second = np.matmul(windows, across[:, None]).sum(axis=0)  # wide, channels * tall * block, block
    result = second.reshape(wide, channels, tall * _BLOCK, _BLOCK).transpose(2, 0, 3, 1).reshape(tall * _BLOCK, wide * _BLOCK, channels)
    return np.ascontiguousarray(result[:height, :width])


def _trimmed(kernel: NDArray[np.float64]) -> NDArray[np.float64]:
    """Without the outer rings whose weights together are negligible."""
    while min(kernel.shape) > 1:
        inner = kernel[1:-1, 1:-1]
        if np.abs(kernel).sum() - np.abs(inner).sum() > _NEGLIGIBLE:
            break
        kernel = inner
    return kernel


def _band(taps: NDArray[np.float64]) -> NDArray[np.float32]:
    """`block, block + taps - 1`: each row holds the taps, one further than the row before."""
    matrix = np.zeros((_BLOCK, _BLOCK + len(taps) - 1), np.float32)
    step = matrix.strides[1]
    diagonals = np.lib.stride_tricks.as_strided(matrix, (_BLOCK, len(taps)), (matrix.strides[0] + step, step))
    diagonals[...] = taps
    return matrix


def resize(image: Picture, size: tuple[int, int], mode: Mode, antialias: bool) -> Picture:
    """To `size` = (h, w), coordinates by the ratio of sizes at half-pixel centres, so nothing shifts.

    With `antialias`: MATLAB's (upres/resize.py; "nearest" has none). Without: torch's `F.interpolate(align_corners=False)`: area is the
    mean of the pixels that a cell touches, cubic has a = -0.75, borders are repeated, nearest is "nearest-exact"; lanczos is MATLAB's
    without stretching. Raises `UsageError` for an unknown mode.
    """
    if mode not in MODES:
        raise UsageError(f"unknown resize mode {mode!r}: expected one of {', '.join(MODES)}")
    if size == image.shape[:2]:
        return image
    if antialias and mode != "nearest":
        return imresize(image, size=size, kernel=mode)
    return _products(image, _matrix(image.shape[0], size[0], mode), _matrix(image.shape[1], size[1], mode))


def _products(image: Picture, rows: NDArray[np.float32], columns: NDArray[np.float32]) -> Picture:
    """rows X columns^T of every channel X; the cheaper axis first."""
    planes = np.ascontiguousarray(image.transpose(2, 0, 1))
    if rows.shape[0] * image.shape[1] <= columns.shape[0] * image.shape[0]:
        result = np.matmul(np.matmul(rows, planes), columns.T)
    else:
        result = np.matmul(rows, np.matmul(planes, columns.T))
    return np.ascontiguousarray(result.transpose(1, 2, 0))


@lru_cache(maxsize=512)
def _matrix(size_in: int, size_out: int, mode: str) -> NDArray[np.float32]:
    """The linear map of one axis, `size_out, size_in`. Cached: not to be written to."""
    matrix = np.zeros((size_out, size_in))
    out = np.arange(size_out)
    if mode == "area":
        begin, end = out * size_in // size_out, -(-(out + 1) * size_in // size_out)
        for row, (a, b) in enumerate(zip(begin, end, strict=True)):
            matrix[row, a:b] = 1.0 / (b - a)
        return matrix.astype(np.float32)
    if mode == "lanczos":
        indices, weights = contributions(size_in, size_out, size_out / size_in, mode, False)
        np.add.at(matrix, (out[:, None], indices), weights)
        return matrix.astype(np.float32)
    centre = (out + 0.5) * size_in / size_out - 0.5
    if mode == "nearest":
        matrix[out, np.clip(np.floor(centre + 0.5), 0, size_in - 1).astype(int)] = 1.0
        return matrix.astype(np.float32)
    if mode == "linear":
        centre = np.maximum(centre, 0.0)
    first = np.floor(centre).astype(int)
    taps = np.arange(2) if mode == "linear" else np.arange(-1, 3)
    distance = np.abs(centre[:, None] - (first[:, None] + taps))
    weights = np.maximum(1.0 - distance, 0.0) if mode == "linear" else _cubic(distance)
    np.add.at(matrix, (out[:, None], np.clip(first[:, None] + taps, 0, size_in - 1)), weights)
    return matrix.astype(np.float32)


def _cubic(distance: NDArray[np.float64], a: float = -0.75) -> NDArray[np.float64]:
    """Keys 1981 with torch's and OpenCV's a."""
    near = ((a + 2.0) * distance - (a + 3.0)) * distance**2 + 1.0
    far = ((distance - 5.0) * distance + 8.0) * distance * a - 4.0 * a
    return np.where(distance <= 1.0, near, np.where(distance < 2.0, far, 0.0))


def decimate(image: Picture, factor: int, kernel: NDArray[np.float64]) -> Picture:
    """Blur with `kernel` and keep one pixel of each `factor` x `factor`: BSRGAN's nearest down-sampling (Zhang et al., ICCV 2021, 3.2).

    The pixel kept is the first; the kernel is shifted by (factor - 1) / 2 pixels, linearly between pixels, so that the result does not
    shift. Gives floor(side / factor) pixels a side.
    """
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


def sharpen(image: Picture, amount: float, radius_px: int, threshold_255: float) -> Picture:
    """Unsharp masking as Real-ESRGAN does it to its targets: where a picture differs from its blur, the difference is added again.

    blur: a Gaussian of `radius_px` (odd) pixels with OpenCV's sigma for that size; residual = image - blur; mask = |residual| * 255 >
    threshold, blurred; result = mask * clip(image + amount * residual, 0, 1) + (1 - mask) * image.
    """
    if radius_px < 1 or radius_px % 2 == 0:
        raise UsageError(f"the width of unsharp masking must be odd and at least 1, got {radius_px}")
    residual = image - _gaussian_blur(image, radius_px)
    mask = (np.abs(residual) * np.float32(255.0) > threshold_255).astype(np.float32)
    soft = _gaussian_blur(mask, radius_px)
    sharp = np.clip(image + np.float32(amount) * residual, 0.0, 1.0)
    return cast("Picture", soft * sharp + (1.0 - soft) * image)


def _gaussian_blur(image: Picture, size: int) -> Picture:
    return _products(image, _gaussian_matrix(image.shape[0], size), _gaussian_matrix(image.shape[1], size))


@lru_cache(maxsize=256)
def _gaussian_matrix(side: int, size: int) -> NDArray[np.float32]:
    """One axis of a Gaussian of `size` taps over `side` reflected pixels. Cached: not to be written to."""
    sigma = 0.3 * ((size - 1) * 0.5 - 1.0) + 0.8
    taps = isotropic(size, sigma).sum(axis=0)
    positions = np.arange(side)[:, None] + np.arange(size) - size // 2
    period = max(1, 2 * (side - 1))
    folded = np.mod(positions, period)
    folded = np.where(folded >= side, period - folded, folded)
    matrix = np.zeros((side, side))
    np.add.at(matrix, (np.arange(side)[:, None], folded), np.broadcast_to(taps, folded.shape))
    return matrix.astype(np.float32)
