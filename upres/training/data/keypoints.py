"""Keypoints that can be found again at another scale: OpenCV's SIFT (Lowe, IJCV 2004) without rotation invariance.

Pictures are stored upright, up to quarter turns, and descriptors that keep their orientation are more distinctive.
OpenCV comes with the extra `prepare`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from upres.system.packages import need
from upres.training.data.duplicates import reduced_luma
from upres.training.data.images import Levels

_SEEN_PX: Final = 512  # longer side at which pictures are compared
_SMALLEST_PX: Final = 24
_MOST_KEYPOINTS: Final = 400
# one level of a difference of Gaussians; OpenCV divides by its three layers per octave
_LEAST_CONTRAST: Final = 3 / 255
CELLS: Final = 4
ANGLES: Final = 8

Image = NDArray[np.floating]


@dataclass(frozen=True)
class Keypoints:
    """The keypoints of a picture.

    name: used in messages.
    luma: the downscaled picture, `h w` uint8.
    places: n x (y, x, sigma), in pixels of `luma`.
    descriptors: n x 128, of norm 1.
    """

    name: str
    luma: NDArray[np.uint8]
    places: Image
    descriptors: Image


NO_KEYPOINTS: Final = Keypoints(
    "", np.zeros((1, 1), np.uint8), np.zeros((0, 3), np.float32), np.zeros((0, CELLS * CELLS * ANGLES), np.float32)
)


def check_opencv() -> None:
    """Raises `EngineError` if OpenCV is not installed."""
    need("`exclude`", "prepare")


def keypoints(name: str, levels: Levels) -> Keypoints:
    """The 400 strongest keypoints of a picture `h w c`. Raises `EngineError` if OpenCV is not installed."""
    check_opencv()
    import cv2

    luma = np.rint(reduced_luma(levels, _SEEN_PX)).astype(np.uint8)
    nothing = replace(NO_KEYPOINTS, name=name, luma=luma)
    if min(luma.shape) < _SMALLEST_PX:
        return nothing
    sift = cv2.SIFT.create(contrastThreshold=_LEAST_CONTRAST)
    # SIFT lists a place once per orientation
    upright = {(point.pt, point.size): point for point in sift.detect(luma, None)}
    strongest = sorted(upright.values(), key=lambda point: -point.response)[:_MOST_KEYPOINTS]
    for point in strongest:
        point.angle = 0.0
    if not strongest:
        return nothing
    found, described = sift.compute(luma, strongest)
    places = np.array([(point.pt[1], point.pt[0], 0.5 * point.size) for point in found], np.float32)
    descriptors = np.asarray(described, np.float32)
    norms = np.maximum(np.linalg.norm(descriptors, axis=1, keepdims=True), 1e-6)
    return Keypoints(name, luma, places, descriptors / norms)
