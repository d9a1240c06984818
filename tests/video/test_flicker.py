"""The figure of flicker on motion that is known."""

from __future__ import annotations

import numpy as np
import pytest

from upres.images.resize import imresize
from upres.video.flicker import BLOCK_PX, Flicker, find_motion, luma, pair_errors

Array = np.ndarray


def texture(height: int = 96, width: int = 128, seed: int = 0) -> Array:
    rough = np.random.default_rng(seed).random((height // 4, width // 4)).astype(np.float32)
    return np.clip(imresize(rough, size=(height, width)), 0, 1)


def frames(count: int, step: tuple[int, int]) -> list[Array]:
    whole = texture(200, 260)
    return [whole[40 + n * step[0] :][:96, 60 + n * step[1] :][:, :128] for n in range(count)]


@pytest.mark.parametrize("step", [(0, 0), (2, -3), (-7, 5)])
def test_motion_is_found(step: tuple[int, int]) -> None:
    before, now = frames(2, step)
    motion = find_motion(before, now)
    inner = {place: came for place, came in motion.items() if all(16 <= at <= 64 for at in place)}
    assert inner
    assert set(inner.values()) == {step}


def test_new_content_does_not_count() -> None:
    assert find_motion(texture(seed=1), texture(seed=2)) == {}
    assert pair_errors(texture(seed=1), texture(seed=1), texture(seed=2), texture(seed=2)) is None
    assert find_motion(texture(8, 8), texture(8, 8)) == {}
    assert BLOCK_PX == 16


@pytest.mark.parametrize("step", [(0, 0), (1, 2)])
def test_a_result_that_is_bicubic_has_1_and_noise_has_more(step: tuple[int, int]) -> None:
    rng = np.random.default_rng(5)
    steady, noisy, calm = Flicker(), Flicker(), Flicker()
    first = None
    for plane in frames(2, step):
        shaken = plane + rng.normal(0, 0.004, plane.shape).astype(np.float32)
        large = imresize(shaken, size=(192, 256))[:, :, None]
        first = large if first is None else first
        steady.add(shaken[:, :, None], large)
        noisy.add(shaken[:, :, None], large + rng.normal(0, 0.02, large.shape).astype(np.float32))
        calm.add(shaken[:, :, None], first)
    assert steady.ratio == pytest.approx(1.0)
    assert steady.pairs == 1
    assert noisy.ratio is not None
    # Noise of sigma s adds 2 s^2 to the mean squared difference of two frames.
    bicubic = steady.sums[1]
    assert noisy.ratio == pytest.approx(np.sqrt((bicubic + 2 * 0.02**2) / bicubic), rel=0.05)
    if step == (0, 0):
        assert calm.ratio == 0.0


def test_a_resumed_run_measures_the_same_pairs() -> None:
    rng = np.random.default_rng(0)
    planes = [plane + rng.normal(0, 0.01, plane.shape).astype(np.float32) for plane in frames(60, (0, 1))]
    noise = rng.normal(0, 0.01, (60, 192, 256)).astype(np.float32)

    def run(flicker: Flicker, start: int, end: int) -> Flicker:
        for number in range(start, end):
            if number % 30 == 0:
                flicker.begin()
            lr = planes[number]
            flicker.add(lr[:, :, None], (lr.repeat(2, axis=0).repeat(2, axis=1) + noise[number])[:, :, None])
        return flicker

    straight = run(Flicker(), 0, 60)
    assert straight.pairs == 4
    resumed = run(Flicker.of(run(Flicker(), 0, 30).sums), 30, 60)
    assert resumed.sums == straight.sums
    assert Flicker.of([]).ratio is None


def test_luma() -> None:
    assert luma(np.ones((2, 3, 3), np.float32)) == pytest.approx(1.0)
    assert luma(np.full((2, 3, 1), 0.5, np.float32)).shape == (2, 3)
