"""MixUp, CutMix and CutBlur: LR and HR are mixed alike, and samples that were not drawn for it are left alone."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch")

from tests.training.data.test_sampling import _draw, _pair
from upres.degradation.apply import load_recipe
from upres.images.resize import imresize
from upres.training.data.images import Pair


@pytest.mark.parametrize("kind", ["mixup", "cutmix", "cutblur"])
def test_mixing_leaves_undrawn_samples_alone(kind: str) -> None:
    """Trap 42: where nothing is drawn nothing is done, not even a resize there and back."""
    pairs = [_pair(i, height=64, width=64) for i in range(4)]
    options = {"recipe": load_recipe("real-esrgan"), "batch": 16}
    plain, mixed = _draw(pairs, **options), _draw(pairs, **options, **{kind: 0.5})
    same = [np.array_equal(a, b) for a, b in zip(plain.lr, mixed.lr, strict=True)]
    assert 3 <= sum(same) <= 13
    for i in np.flatnonzero(same):
        assert np.array_equal(plain.hr[i], mixed.hr[i])


def test_mixup_is_one_share_for_lr_and_hr() -> None:
    """Flat pictures: each mixed sample is flat, and its LR has the level of its HR."""
    pairs = [Pair(str(level), np.full((32, 32, 3), level, np.uint8), None) for level in (0, 200)]
    batch = _draw(pairs, mixup=1.0, batch=16)
    levels = batch.hr.reshape(16, -1)
    assert np.ptp(levels, axis=1).max() == 0 and len(set(levels[:, 0])) > 4
    assert np.array_equal(batch.lr.reshape(16, -1)[:, 0], levels[:, 0])


def test_cutmix_pastes_the_same_rectangle() -> None:
    pairs = [Pair(str(level), np.full((32, 32, 3), level, np.uint8), None) for level in (10, 200)]
    batch = _draw(pairs, cutmix=1.0, batch=16)
    assert np.array_equal(batch.lr.repeat(2, 1).repeat(2, 2), batch.hr)
    assert sum(len(np.unique(hr)) == 2 for hr in batch.hr) >= 4


def test_cutblur_puts_clean_pixels_into_a_degraded_patch() -> None:
    pairs = [_pair(0, height=64, width=64)]
    options = {"recipe": load_recipe("real-esrgan"), "batch": 8}
    plain, cut = _draw(pairs, **options), _draw(pairs, **options, cutblur=1.0)
    assert np.array_equal(plain.hr, cut.hr)
    for degraded, lr, hr in zip(plain.lr, cut.lr, cut.hr, strict=True):
        clean = imresize(hr, 0.5)
        assert np.all((lr == degraded).all(axis=2) | (lr == clean).all(axis=2))
        assert (lr == clean).all(axis=2).any() and (lr == degraded).all(axis=2).any()
