"""Pictures of which one shows a part of the other, at any scale, turned by quarters or mirrored: what a hash of whole pictures misses.

Small places that can be found again (extrema of differences of Gaussians over position and scale) are described by histograms of their
gradients, matched, and put to a vote on scale and position: Lowe, "Distinctive image features from scale-invariant keypoints", IJCV 2004,
without his orientation of a keypoint, since pictures are stored upright, by quarters. What the vote finds counts only where the common
part, laid over each other, correlates. Seen at 512 pixels a side, so a part of less than about a fifth of a picture's side is not found.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from upres.images.resize import imresize
from upres.training.data.duplicates import LEAST_CONTRAST_255, reduced_luma
from upres.training.data.images import Levels

_SEEN_PX: Final = 512  # the longer side at which a picture is looked at
_SMALLEST_PX: Final = 24  # of an octave
_SIGMA: Final = 1.6  # Lowe, section 3.3; the picture itself is taken to have 0.5
_PER_OCTAVE: Final = 3
_LEAST_DOG_255: Final = 1.0
_MOST_KEYPOINTS: Final = 400
_CELLS: Final = 4
_SAMPLES: Final = 16  # a side of the patch, which is 12 sigma wide
_ANGLES: Final = 8
_LEAST_LIKENESS: Final = 0.85  # of two descriptors, whose norm is 1
_MOST_TRIED: Final = 60  # matches of a pair of pictures
_LEAST_AGREEING: Final = 4  # matches that tell of the same scale and position
_LEAST_CORRELATION: Final = 0.8
_LEAST_OF_DETAIL: Final = 0.6  # the same for what is finer than `_DETAIL` of 32 pixels
_DETAIL: Final = 1.5
_LEAST_PART: Final = 0.1  # of the area of one of the two
_LEAST_EXTENT_PX: Final = 24
_COMPARED_PX: Final = 32
_DIRECTIONS: Final = 32

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
        return replace(_NONE, name=name, luma=luma)
    best = np.argsort(-np.concatenate(strengths), kind="stable")[:_MOST_KEYPOINTS]
    return Keypoints(name, luma, np.concatenate(places)[best], np.concatenate(descriptors)[best])


class Excerpts:
    """Searches pictures in others, of which the keypoints are held, and their lumas, in half a megabyte each."""

    def __init__(self, known: Sequence[Keypoints]) -> None:
        self._known = [replace(entry, descriptors=_NONE.descriptors) for entry in known]  # `_every` holds them
        self._begins = np.cumsum([0, *(len(entry.places) for entry in known)])
        every = np.concatenate([_NONE.descriptors, *(entry.descriptors for entry in known)])
        # In a few directions that hold most of them, two descriptors are no farther apart than in all: what is too far there need not be
        # multiplied out. A turn changes the order of the entries, so the other picture's are turned instead: 400 rows, not 400 a picture.
        self._directions = np.linalg.eigh(every.T @ every)[1][:, -_DIRECTIONS:]
        short = every @ self._directions
        self._every, self._short = every, np.concatenate([short, -0.5 * np.square(short).sum(axis=1, keepdims=True)], axis=1).T.copy()

    def find(self, other: Keypoints) -> str | None:
        """The name of a known picture that shows what `other` shows a part of, or a part of it; None where there is none."""
        for turn, order in enumerate(_TURNS):
            turned = other.descriptors[:, order]
            short = turned @ self._directions
            # |a - b|^2 <= 2 - 2 likeness, as a product of (a, 1) and (b, -|b|^2 / 2) and a limit for each row
            limit = 0.5 * np.square(short).sum(axis=1, keepdims=True) - (1.0 - _LEAST_LIKENESS)
            product = np.concatenate([short, np.ones_like(limit)], axis=1) @ self._short
            rows, columns = np.divmod(np.flatnonzero(product >= limit), product.shape[1])
            likeness = np.einsum("ij,ij->i", turned[rows], self._every[columns])
            alike = likeness >= _LEAST_LIKENESS
            rows, columns, likeness = rows[alike], columns[alike], likeness[alike]
            owners = np.searchsorted(self._begins, columns, side="right") - 1
            for owner in np.flatnonzero(np.bincount(owners, minlength=len(self._known)) >= _LEAST_AGREEING):
                mine = owners == owner
                best = np.argsort(-likeness[mine], kind="stable")[:_MOST_TRIED]
                known = self._known[int(owner)]
                if _agree(known, other, columns[mine][best] - self._begins[owner], rows[mine][best], turn):
                    return known.name
        return None


def _blurred(octave: Image, blur: float) -> list[Image]:
    """The octave at sigma 1.6 * 2^(i / 3), i = 0 .. 5, from a picture of sigma `blur`."""
    stack: list[Image] = []
    image, have = octave, blur
    for i in range(_PER_OCTAVE + 3):
        wanted = _SIGMA * 2.0 ** (i / _PER_OCTAVE)
        image = _gaussian(image, math.sqrt(max(wanted**2 - have**2, 1e-4)))
        stack.append(image)
        have = wanted
    return stack


def _gaussian(image: Image, sigma: float) -> Image:
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
    """`function` of each three neighbours along an axis, which gets shorter by two."""
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
    away = angle[..., None] - np.arange(_ANGLES, dtype=np.float32) * np.float32(2 * np.pi / _ANGLES)
    spread = np.square(np.maximum(np.cos(away), 0.0)) ** 3 * size[..., None]
    pooled = np.einsum("cy,nyxa,dx->ncda", _POOL, spread, _POOL, optimize=True).reshape(len(size), _CELLS * _CELLS * _ANGLES)
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


def _turned_places(entry: Keypoints, turn: int) -> tuple[NDArray[np.uint8], Image]:
    """`luma` and `places` of the picture mirrored where `turn` is 4 or more, after `turn` quarters as `np.rot90` turns."""
    height, width = entry.luma.shape
    y, x, sigma = entry.places.T
    luma = entry.luma
    for _ in range(turn % 4):
        y, x, luma = (width - 1) - x, y, np.rot90(luma)
        height, width = width, height
    if turn >= 4:
        x, luma = (width - 1) - x, luma[:, ::-1]
    return luma, np.stack([y, x, sigma], axis=1)


def _agree(one: Keypoints, other: Keypoints, own: NDArray[np.intp], theirs: NDArray[np.intp], turn: int) -> bool:
    """Whether enough matches tell of one scale and position, and the common part, so laid, correlates."""
    luma, places = _turned_places(other, turn)
    p, q = one.places[own], places[theirs]
    ratio = p[:, 2] / q[:, 2]
    origin = p[:, :2] - ratio[:, None] * q[:, :2]  # where each match says that the corner of the other lies
    expected = origin[:, None, :] + ratio[:, None, None] * q[None, :, :2]
    distance = np.linalg.norm(p[:, None, :2] - p[None, :, :2], axis=2)
    near = np.linalg.norm(expected - p[None, :, :2], axis=2) <= 3.0 * p[None, :, 2] + 0.05 * distance
    votes = near & (np.abs(np.log(ratio[:, None] / ratio[None, :])) < 0.3)
    for best in np.argsort(-votes.sum(axis=1), kind="stable")[:3]:
        chosen = votes[best]
        if min(len({*own[chosen].tolist()}), len({*theirs[chosen].tolist()})) < _LEAST_AGREEING:
            continue
        scale, corner, left = _fit(p[chosen, :2], q[chosen, :2])
        if left >= _LEAST_AGREEING and scale > 0 and _correlate(one.luma, luma, scale, corner):
            return True
    return False


def _fit(a: Image, b: Image) -> tuple[float, Image, int]:
    """Least squares of a = scale b + corner, over n x 2 places, without what lies far from it; and how many are left."""
    scale, corner = 0.0, np.zeros(2)
    for _ in range(3):
        middle_a, middle_b = a.mean(axis=0), b.mean(axis=0)
        scale = float(((a - middle_a) * (b - middle_b)).sum() / max(float(((b - middle_b) ** 2).sum()), 1e-6))
        corner = middle_a - scale * middle_b
        miss = np.linalg.norm(a - scale * b - corner, axis=1)
        keep = miss <= max(2.0 * float(np.median(miss)), 0.5)
        a, b = a[keep], b[keep]
    return scale, corner, len(a)


def _correlate(one: NDArray[np.uint8], other: NDArray[np.uint8], scale: float, corner: Image) -> bool:
    """Whether `other`, `scale` times as large and with its first pixel at `corner` of `one`, shows there what `one` does."""
    low = np.maximum(corner - 0.5 * scale, -0.5)
    high = np.minimum(corner + scale * (np.array(other.shape) - 0.5), np.array(one.shape) - 0.5)
    extent = high - low
    area = float(np.prod(np.maximum(extent, 0.0)))
    if min(min(extent), min(extent / scale)) < _LEAST_EXTENT_PX or area < _LEAST_PART * min(one.size, other.size * scale**2):
        return False
    a = _window(one, low, high)
    b = _window(other, (low - corner) / scale, (high - corner) / scale)
    if min(a.std(), b.std()) < LEAST_CONTRAST_255:
        return False
    # light and dark alone may lie alike by chance, so the detail has to correlate, too
    detail = _correlation(a - _gaussian(a, _DETAIL), b - _gaussian(b, _DETAIL))
    return _correlation(a, b) >= _LEAST_CORRELATION and detail >= _LEAST_OF_DETAIL


def _correlation(a: Image, b: Image) -> float:
    a, b = a - a.mean(), b - b.mean()
    return float((a * b).sum() / max(float(np.linalg.norm(a) * np.linalg.norm(b)), 1e-6))


def _window(image: NDArray[np.uint8], low: Image, high: Image) -> Image:
    """The part from edge `low` to edge `high`, in pixels counted from the middle of the first, as 32 x 32."""
    extent = np.minimum(np.rint(high - low), image.shape).astype(int)
    first = np.minimum(np.maximum(np.rint(low + 0.5), 0), np.array(image.shape) - extent).astype(int)
    part = image[first[0] : first[0] + extent[0], first[1] : first[1] + extent[1]]
    return imresize(part.astype(np.float32), size=(_COMPARED_PX, _COMPARED_PX), kernel="linear")


def _pooling() -> Image:
    """4 x 16: how much each of 16 samples in a row belongs to each of 4 cells, linear between their middles."""
    sample, cell = (np.arange(_SAMPLES) + 0.5) / (_SAMPLES // _CELLS), np.arange(_CELLS) + 0.5
    return np.maximum(1.0 - np.abs(sample[None, :] - cell[:, None]), 0.0).astype(np.float32)


def _window_weights() -> Image:
    x = ((np.arange(_SAMPLES) + 0.5) / _SAMPLES - 0.5) * 2.0
    return np.exp(-0.5 * (x[:, None] ** 2 + x[None, :] ** 2)).astype(np.float32)


def _turns() -> list[NDArray[np.intp]]:
    """For each turn, in which order the entries of a descriptor are those of the turned patch."""
    turns: list[NDArray[np.intp]] = []
    for turn in range(8):
        cells = np.arange(_CELLS * _CELLS * _ANGLES).reshape(_CELLS, _CELLS, _ANGLES)
        for _ in range(turn % 4):  # (y, x) -> (-x, y): a gradient of angle 0, along x, then points along -y, at -90 degrees
            cells = np.roll(np.rot90(cells), -_ANGLES // 4, axis=2)
        if turn >= 4:  # x -> -x: angle a becomes 180 degrees - a
            cells = cells[:, ::-1][:, :, (_ANGLES // 2 - np.arange(_ANGLES)) % _ANGLES]
        turns.append(cells.reshape(-1).astype(np.intp))
    return turns


_NONE: Final = Keypoints("", np.zeros((1, 1), np.uint8), np.zeros((0, 3), np.float32), np.zeros((0, _CELLS * _CELLS * _ANGLES), np.float32))
_POOL: Final = _pooling()
_WINDOW: Final = _window_weights()
_TURNS: Final = _turns()
