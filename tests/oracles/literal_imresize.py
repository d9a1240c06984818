"""A slow, literal antialiased cubic resize: the definition written out sample by sample, to check `upres.images.resize`
against.

How it was made: from the published definition alone, sharing nothing with `upres.images.resize`. R. G. Keys, "Cubic
convolution interpolation for digital image processing" (IEEE TASSP 29, 1981), equation 15 with a = -1/2, gives the
kernel. MATLAB's documentation of `imresize` gives the rest: an axis that shrinks has its kernel stretched by 1/scale
and its height lowered by scale; output sample i (counted from 1) lies at u = i / scale + (1 - 1 / scale) / 2; weights
are normalized; samples beyond the border mirror the picture with the edge repeated; the axis with the smaller scale
goes first. Plain Python floats and loops; no NumPy in the arithmetic.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray


def keys_cubic(x: float) -> float:
    x = abs(x)
    if x <= 1.0:
        return 1.5 * x * x * x - 2.5 * x * x + 1.0
    if x <= 2.0:
        return -0.5 * x * x * x + 2.5 * x * x - 4.0 * x + 2.0
    return 0.0


def mirrored(index: int, length: int) -> int:
    """`index` counted from 1, any integer -> 1..length: ... 2 1 | 1 2 ... n | n n-1 ..."""
    while not 1 <= index <= length:
        index = 1 - index if index < 1 else 2 * length + 1 - index
    return index


def resize_line(line: list[float], length_out: int, scale: float, *, antialias: bool = True) -> list[float]:
    stretched = scale if antialias and scale < 1.0 else 1.0
    reach = 2.0 / stretched
    result: list[float] = []
    for i in range(1, length_out + 1):
        u = i / scale + 0.5 * (1.0 - 1.0 / scale)
        total = 0.0
        weight_sum = 0.0
        for k in range(math.floor(u - reach) - 1, math.ceil(u + reach) + 2):
            weight = stretched * keys_cubic(stretched * (u - k))
            total += weight * line[mirrored(k, len(line)) - 1]
            weight_sum += weight
        result.append(total / weight_sum)
    return result


def imresize_literal(
    image: NDArray[np.generic], size: tuple[int, int], scales: tuple[float, float], *, antialias: bool = True
) -> NDArray[np.float64]:
    """`h w` picture -> `size` (h, w), each axis by its scale; float64, not rounded, not clipped."""
    rows = [[float(value) for value in row] for row in image]
    for axis in sorted((0, 1), key=lambda a: scales[a]):
        if axis == 1:
            rows = [resize_line(row, size[1], scales[1], antialias=antialias) for row in rows]
        else:
            columns = [
                resize_line(list(column), size[0], scales[0], antialias=antialias) for column in zip(*rows, strict=True)
            ]
            rows = [list(row) for row in zip(*columns, strict=True)]
    return np.array(rows, dtype=np.float64)
