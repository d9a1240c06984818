"""Keypoints move with the picture, and shrink with it."""

# ruff: noqa: F811  # an argument has the name of the fixture that it asks for

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("cv2")

from tests.training.data.test_excerpts import photos  # noqa: F401  # a fixture, which pytest finds by name
from upres.errors import EngineError
from upres.images.resize import imresize
from upres.training.data.keypoints import keypoints


def test_keypoints_move_with_the_picture(photos: list[np.ndarray]) -> None:
    """Not ours: the shift of an array."""
    one, two = (keypoints("", photos[0][top : top + 150, :200]).places for top in (0, 8))
    distance = np.abs(one[:, None, :] - np.array([8, 0, 0]) - two[None, :, :]).max(axis=2).min(axis=1)
    # an octave sees every second pixel, so many of its extrema are the same
    assert len(one) > 30 and np.mean(distance < 0.5) > 0.6
    half = keypoints("", imresize(photos[0], 0.5)).places
    whole = keypoints("", photos[0]).places
    coarse = whole[whole[:, 2] > 4]
    near = np.abs((coarse[:, None, :2] + 0.5) / 2 - 0.5 - half[None, :, :2]).max(axis=2).min(axis=1)
    assert np.median(near) < 0.6


def test_without_opencv_the_extra_is_named(photos: list[np.ndarray], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("upres.system.packages.has_module", lambda module: False)
    with pytest.raises(
        EngineError,
        match=r"needs opencv-python-headless, which is not installed; remedy: pip install 'upres\[prepare\]'",
    ):
        keypoints("", photos[0])
