"""Finds pictures of which one shows a part of the other, at any scale, flipped or rotated by quarter turns.

Matched keypoints (`keypoints.py`) vote on scale and position (Lowe, IJCV 2004); a match counts only if the common part
then correlates. Pictures are compared at 512 pixels on the longer side, so parts below about a fifth of a picture's
side are not found.
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

_LEAST_LIKENESS: Final = 0.85  # cosine of two descriptors of norm 1
_MOST_TRIED: Final = 60  # matches per pair of pictures
_LEAST_AGREEING: Final = 4  # matches that agree on scale and position
_LEAST_CORRELATION: Final = 0.8
_LEAST_OF_DETAIL: Final = 0.6  # the same, of detail finer than `_DETAIL` of 32 pixels
_DETAIL: Final = 1.5
_LEAST_PART: Final = 0.1  # of the area of either picture
_LEAST_EXTENT_PX: Final = 24
_COMPARED_PX: Final = 32
_DIRECTIONS: Final = 32


class Excerpts:
    """Searches for pictures that share a part with one of `known`, whose keypoints and lumas it holds: half a megabyte
    each.
    """

    def __init__(self, known: Sequence[Keypoints]) -> None:
        self._known = [replace(entry, descriptors=NO_KEYPOINTS.descriptors) for entry in known]  # `_every` holds them
        self._begins = np.cumsum([0, *(len(entry.places) for entry in known)])
        every = np.concatenate([NO_KEYPOINTS.descriptors, *(entry.descriptors for entry in known)])
        # Distance in a few principal directions is a lower bound of the full distance, so most pairs need no full
        # product. Turning a picture permutes the entries of its descriptors, so the other picture is turned: 400 rows,
        # not 400 for each known picture.
        self._directions = np.linalg.eigh(every.T @ every)[1][:, -_DIRECTIONS:]
        short = every @ self._directions
        self._every, self._short = (
            every,
            np.concatenate([short, -0.5 * np.square(short).sum(axis=1, keepdims=True)], axis=1).T.copy(),
        )

    def find(self, other: Keypoints) -> str | None:
        """The name of a known picture that shares a part with `other`; None if there is none."""
        for turn, order in enumerate(_TURNS):
            turned = other.descriptors[:, order]
            short = turned @ self._directions
            # |a - b|^2 <= 2 - 2 likeness, as a product of (a, 1) and (b, -|b|^2 / 2) with a limit per row
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
    """`luma` and `places` of the picture after `turn % 4` quarter turns as by `np.rot90`, then mirrored if `turn` is 4
    or more.
    """
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
    """Whether enough matches agree on one scale and position, and the common part correlates."""
    luma, places = _turned_places(other, turn)
    p, q = one.places[own], places[theirs]
    ratio = p[:, 2] / q[:, 2]
    origin = p[:, :2] - ratio[:, None] * q[:, :2]  # the other picture's corner according to each match
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
    """Least squares of a = scale b + corner over n x 2 places, dropping outliers; and the number of places kept."""
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
    """Whether `other`, enlarged by `scale` with its first pixel at `corner` of `one`, matches `one` there."""
    low = np.maximum(corner - 0.5 * scale, -0.5)
    high = np.minimum(corner + scale * (np.array(other.shape) - 0.5), np.array(one.shape) - 0.5)
    extent = high - low
    area = float(np.prod(np.maximum(extent, 0.0)))
    if min(min(extent), min(extent / scale)) < _LEAST_EXTENT_PX or area < _LEAST_PART * min(
        one.size, other.size * scale**2
    ):
        return False
    a = _window(one, low, high)
    b = _window(other, (low - corner) / scale, (high - corner) / scale)
    if min(a.std(), b.std()) < LEAST_CONTRAST_255:
        return False
    import cv2

    # light and dark areas may coincide by chance, so the detail has to correlate, too
    detail = _correlation(*(x - cv2.GaussianBlur(x, (0, 0), _DETAIL, borderType=cv2.BORDER_REFLECT) for x in (a, b)))
    return _correlation(a, b) >= _LEAST_CORRELATION and detail >= _LEAST_OF_DETAIL


def _correlation(a: Image, b: Image) -> float:
    a, b = a - a.mean(), b - b.mean()
    return float((a * b).sum() / max(float(np.linalg.norm(a) * np.linalg.norm(b)), 1e-6))


def _window(image: NDArray[np.uint8], low: Image, high: Image) -> Image:
    """The part between the edges `low` and `high`, in pixels from the center of the first pixel, as 32 x 32."""
    extent = np.minimum(np.rint(high - low), image.shape).astype(int)
    first = np.minimum(np.maximum(np.rint(low + 0.5), 0), np.array(image.shape) - extent).astype(int)
    part = image[first[0] : first[0] + extent[0], first[1] : first[1] + extent[1]]
    return imresize(part.astype(np.float32), size=(_COMPARED_PX, _COMPARED_PX), kernel="linear")


def _turns() -> list[NDArray[np.intp]]:
    """For each turn, the order of a descriptor's entries that gives the descriptor of the turned patch."""
    turns: list[NDArray[np.intp]] = []
    for turn in range(8):
        cells = np.arange(CELLS * CELLS * ANGLES).reshape(CELLS, CELLS, ANGLES)
        # (y, x) -> (-x, y): a gradient of angle 0, along x, then points up, at 90 degrees for OpenCV
        for _ in range(turn % 4):
            cells = np.roll(np.rot90(cells), ANGLES // 4, axis=2)
        if turn >= 4:  # x -> -x: angle a becomes 180 degrees - a
            cells = cells[:, ::-1][:, :, (ANGLES // 2 - np.arange(ANGLES)) % ANGLES]
        turns.append(cells.reshape(-1).astype(np.intp))
    return turns


_TURNS: Final = _turns()
