"""Small places of a picture that can be found again at another scale: extrema of differences of Gaussians, described by their gradients.

Lowe, "Distinctive image features from scale-invariant keypoints", IJCV 2004, without his orientation of a keypoint: pictures are stored
upright, by quarters.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from upres.training.data.duplicates import reduced_luma
from upres.training.data.images import Levels

_SEEN_PX: Final = 512  # the longer side at which a picture is looked at
_SMALLEST_PX: Final = 24  # of an octave
_SIGMA: Final = 1.6  # Lowe, section 3.3; the picture itself is taken to have 0.5
_PER_OCTAVE: Final = 3
_LEAST_DOG_255: Final = 1.0
_MOST_KEYPOINTS: Final = 400
CELLS: Final = 4
_SAMPLES: Final = 16  # a side of the patch, which is 12 sigma wide
ANGLES: Final = 8

Image = NDArray[np.floating]


@dataclass(frozen=True)
class Keypoints:
    """`luma` is the picture as it was looked at, `h w` uint8; `places` are n x (y, x, sigma) in its pixels; `descriptors` n x 128."""

    name: str
    luma: NDArray[np.uint8]
    places: Image
    descriptors: Image


def keypoints(name: str, levels: Levels) -> Keypoints:
    """Of a picture `h w c` in whole levels."""
    octave, step, blur = reduced_luma(levels, _SEEN_PX), 1.0, 0.5
    luma = np.rint(octave).astype(np.uint8)
    places: list[Image] = []
    strengths: list[Image] = []
    descriptors: list[Image] = []
    while min(octave.shape) >= _SMALLEST_PX:
        stack = _blurred(octave, blur)
        found, strength = _extrema(stack)
        described, inside = _describe(stack, found)
        found, strength = found[inside], strength[inside]
        sigma = _SIGMA * 2.0 ** (found[:, 0] / _PER_OCTAVE)
        # a pixel of an octave is the first of the two that it stands for
        places.append(np.stack([found[:, 1] * step, found[:, 2] * step, sigma * step], axis=1).astype(np.float32))
        strengths.append(strength)
        descriptors.append(described)
        octave, step, blur = stack[_PER_OCTAVE][::2, ::2], 2 * step, _SIGMA
    if not places:
        return replace(NO_KEYPOINTS, name=name, luma=luma)
    best = np.argsort(-np.concatenate(strengths), kind="stable")[:_MOST_KEYPOINTS]
    return Keypoints(name, luma, np.concatenate(places)[best], np.concatenate(descriptors)[best])


def _blurred(octave: Image, blur: float) -> list[Image]:
    """The octave at sigma 1.6 * 2^(i / 3), i = 0 .. 5, from a picture of sigma `blur`."""
    stack: list[Image] = []
    image, have = octave, blur
    for i in range(_PER_OCTAVE + 3):
        wanted = _SIGMA * 2.0 ** (i / _PER_OCTAVE)
        image = gaussian(image, math.sqrt(max(wanted**2 - have**2, 1e-4)))
        stack.append(image)
        have = wanted
    return stack


def gaussian(image: Image, sigma: float) -> Image:
    radius = math.ceil(3 * sigma)
    weights = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    weights = (weights / weights.sum()).astype(np.float32)
    for _ in range(2):  # along the rows, turned, along the rows, turned back
        padded = np.pad(image, ((radius, radius), (0, 0)), mode="symmetric")
        result = weights[radius] * padded[radius : radius + len(image)]
        for i in range(radius):
            result += weights[i] * (padded[i : i + len(image)] + padded[2 * radius - i : 2 * radius - i + len(image)])
        image = np.ascontiguousarray(result.T)
    return image


def _extrema(stack: Sequence[Image]) -> tuple[Image, Image]:
    """n x (level, y, x) of the extrema in position and scale, refined by a parabola along each axis, and their strengths."""
    dog = np.stack([b - a for a, b in pairwise(stack)])
    middle = dog[1:-1, 1:-1, 1:-1]
    most, least = dog, dog
    for axis in range(3):
        most, least = _of_three(np.maximum, most, axis), _of_three(np.minimum, least, axis)
    extreme = ((middle == most) & (middle >= _LEAST_DOG_255)) | ((middle == least) & (middle <= -_LEAST_DOG_255))
    at = np.argwhere(extreme) + 1
    d, y, x = at.T
    value = dog[d, y, x]
    # an edge can be found again along one direction only: Lowe's test of the curvatures, section 4.1, with r = 10
    dyy, dxx = dog[d, y - 1, x] + dog[d, y + 1, x] - 2 * value, dog[d, y, x - 1] + dog[d, y, x + 1] - 2 * value
    dxy = 0.25 * (dog[d, y + 1, x + 1] + dog[d, y - 1, x - 1] - dog[d, y + 1, x - 1] - dog[d, y - 1, x + 1])
    determinant = dyy * dxx - dxy**2
    keep = (determinant > 0) & ((dyy + dxx) ** 2 * 10 < 121 * determinant)
    at, value = at[keep], value[keep]
    best = np.argsort(-np.abs(value), kind="stable")[:_MOST_KEYPOINTS]
    at, value = at[best], value[best]
    d, y, x = at.T
    shift = [
        _vertex(dog[d - 1, y, x], value, dog[d + 1, y, x]),
        _vertex(dog[d, y - 1, x], value, dog[d, y + 1, x]),
        _vertex(dog[d, y, x - 1], value, dog[d, y, x + 1]),
    ]
    return (at + np.stack(shift, axis=1)).astype(np.float32), np.abs(value)


def _of_three(function: Callable[[Image, Image], Image], values: Image, axis: int) -> Image:
    """`function` of each three neighbors along an axis, which gets shorter by two."""
    values = np.moveaxis(values, axis, 0)
    return np.moveaxis(function(function(values[:-2], values[1:-1]), values[2:]), 0, axis)


def _vertex(before: Image, at: Image, after: Image) -> Image:
    """Where the parabola through three values in a row has its extremum, from the middle one."""
    bend = before + after - 2 * at
    return np.clip(0.5 * (before - after) / np.where(bend == 0, 1, bend), -0.5, 0.5)


def _describe(stack: Sequence[Image], found: Image) -> tuple[Image, NDArray[np.bool_]]:
    """Histograms of the gradients, n x 128 with norm 1, of those whose patch lies inside, and which these are."""
    sigma = _SIGMA * 2.0 ** (found[:, 0] / _PER_OCTAVE)
    level = np.clip(np.rint(found[:, 0]).astype(np.intp), 0, len(stack) - 1)
    offset = ((np.arange(_SAMPLES) + 0.5) / _SAMPLES - 0.5) * 12.0
    offset = offset.astype(np.float32)
    y, x = (found[:, 1 + axis, None] + sigma[:, None] * offset[None, :] for axis in range(2))
    height, width = stack[0].shape
    inside = (y[:, 0] >= 1) & (x[:, 0] >= 1) & (y[:, -1] < height - 2) & (x[:, -1] < width - 2)
    level, y, x, sigma = level[inside], y[inside][:, :, None], x[inside][:, None, :], sigma[inside][:, None, None]
    volume, d = np.stack(stack), level[:, None, None]
    reach = 0.5 * sigma.astype(np.float32)  # a gradient over a distance that grows with the scale
    dy = _sample(volume, d, y + reach, x) - _sample(volume, d, y - reach, x)
    dx = _sample(volume, d, y, x + reach) - _sample(volume, d, y, x - reach)
    size, angle = np.hypot(dy, dx), np.arctan2(dy, dx)
    size *= _WINDOW
    away = angle[..., None] - np.arange(ANGLES, dtype=np.float32) * np.float32(2 * np.pi / ANGLES)
    spread = np.square(np.maximum(np.cos(away), 0.0)) ** 3 * size[..., None]
    pooled = np.einsum("cy,nyxa,dx->ncda", _POOL, spread, _POOL, optimize=True).reshape(len(size), CELLS * CELLS * ANGLES)
    for _ in range(2):  # Lowe, section 6.1: no entry above 0.2, then to norm 1 again
        pooled = np.minimum(pooled / np.maximum(np.linalg.norm(pooled, axis=1, keepdims=True), 1e-6), 0.2)
    pooled /= np.maximum(np.linalg.norm(pooled, axis=1, keepdims=True), 1e-6)
    return pooled.astype(np.float32), inside


def _sample(volume: Image, d: NDArray[np.intp], y: Image, x: Image) -> Image:
    """Bilinear, of levels `d` at `y`, `x`, which broadcast; clamped to the border."""
    y, x = np.clip(y, 0, volume.shape[1] - 1.001), np.clip(x, 0, volume.shape[2] - 1.001)
    top, left = y.astype(np.intp), x.astype(np.intp)
    fy, fx = (y - top).astype(np.float32), (x - left).astype(np.float32)
    upper = volume[d, top, left] * (1 - fx) + volume[d, top, left + 1] * fx
    lower = volume[d, top + 1, left] * (1 - fx) + volume[d, top + 1, left + 1] * fx
    return upper * (1 - fy) + lower * fy


def _pooling() -> Image:
    """4 x 16: how much each of 16 samples in a row belongs to each of 4 cells, linear between their middles."""
    sample, cell = (np.arange(_SAMPLES) + 0.5) / (_SAMPLES // CELLS), np.arange(CELLS) + 0.5
    return np.maximum(1.0 - np.abs(sample[None, :] - cell[:, None]), 0.0).astype(np.float32)


def _window_weights() -> Image:
    x = ((np.arange(_SAMPLES) + 0.5) / _SAMPLES - 0.5) * 2.0
    return np.exp(-0.5 * (x[:, None] ** 2 + x[None, :] ** 2)).astype(np.float32)


NO_KEYPOINTS: Final = Keypoints(
    "", np.zeros((1, 1), np.uint8), np.zeros((0, 3), np.float32), np.zeros((0, CELLS * CELLS * ANGLES), np.float32)
)
_POOL: Final = _pooling()
_WINDOW: Final = _window_weights()
