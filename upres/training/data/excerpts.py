"""Pictures of which one shows a part of the other, at any scale, turned by quarters or mirrored: what a hash of whole pictures misses.

The pictures' keypoints (`keypoints.py`) are matched and put to a vote on scale and position, as Lowe does (IJCV 2004). What the vote finds
counts only where the common part, laid over each other, correlates. Seen at 512 pixels a side, so a part of less than about a fifth of a
picture's side is not found.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from upres.images.resize import imresize
from upres.training.data.duplicates import LEAST_CONTRAST_255
from upres.training.data.keypoints import ANGLES, CELLS, NO_KEYPOINTS, Image, Keypoints

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


class Excerpts:
    """Searches pictures in others, of which the keypoints are held, and their lumas, in half a megabyte each."""

    def __init__(self, known: Sequence[Keypoints]) -> None:
        self._known = [replace(entry, descriptors=NO_KEYPOINTS.descriptors) for entry in known]  # `_every` holds them
        self._begins = np.cumsum([0, *(len(entry.places) for entry in known)])
        every = np.concatenate([NO_KEYPOINTS.descriptors, *(entry.descriptors for entry in known)])
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
    import cv2

    # light and dark alone may lie alike by chance, so the detail has to correlate, too
    detail = _correlation(*(x - cv2.GaussianBlur(x, (0, 0), _DETAIL, borderType=cv2.BORDER_REFLECT) for x in (a, b)))
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


def _turns() -> list[NDArray[np.intp]]:
    """For each turn, in which order the entries of a descriptor are those of the turned patch."""
    turns: list[NDArray[np.intp]] = []
    for turn in range(8):
        cells = np.arange(CELLS * CELLS * ANGLES).reshape(CELLS, CELLS, ANGLES)
        for _ in range(turn % 4):  # (y, x) -> (-x, y): a gradient of angle 0, along x, then points up, at 90 degrees for OpenCV
            cells = np.roll(np.rot90(cells), ANGLES // 4, axis=2)
        if turn >= 4:  # x -> -x: angle a becomes 180 degrees - a
            cells = cells[:, ::-1][:, :, (ANGLES // 2 - np.arange(ANGLES)) % ANGLES]
        turns.append(cells.reshape(-1).astype(np.intp))
    return turns


_TURNS: Final = _turns()
