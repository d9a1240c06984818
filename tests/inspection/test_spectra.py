"""What enlarging does to a spectrum is seen there."""

from __future__ import annotations

import numpy as np
import pytest

from tests.inspection.made import texture
from upres.images.resize import Kernel, imresize
from upres.inspection.spectra import (
    FEATURES,
    SMALLEST_PX,
    block_energies,
    difference_spectra,
    features,
    line_power,
    prediction_residual,
    traces,
)


def lines(luma: np.ndarray, *, without_blocks: bool = False) -> list[np.ndarray]:
    left = np.log(prediction_residual(luma) + 1.0).mean(axis=0).astype(np.float32)
    found = traces(luma.astype(np.float32), left)
    return [line_power(trace, without_blocks=without_blocks) for trace in found]


def test_the_power_of_a_sine_stands_at_its_frequency() -> None:
    columns = np.arange(513)
    rows = np.broadcast_to(10.0 * np.sin(2 * np.pi * columns * 20 / 128), (16, 513)).astype(np.float32)
    found = difference_spectra(rows)
    assert found.shape == (5, 65)
    for power in found:
        assert int(np.argmax(power)) == 20
        assert power[30:].max() < 1e-4 * power[20]


def test_the_power_of_white_noise_is_that_of_its_differences() -> None:
    rows = np.random.default_rng(0).standard_normal((400, 512)).astype(np.float32) * np.float32(3.0)
    expected = 9.0 * (2.0 * np.sin(np.pi * np.arange(65) / 128)) ** 2
    of_fours, single, of_sixteens, weak, strong = difference_spectra(rows)[:, 4:]
    assert single == pytest.approx(expected[4:], rel=0.15)
    assert of_fours == pytest.approx(expected[4:] / 4, rel=0.15)
    assert of_sixteens == pytest.approx(expected[4:] / 16, rel=0.3)
    assert weak.sum() < single.sum() < strong.sum()


def test_noise_shows_where_content_is_weak() -> None:
    """A strong pattern on a fifth of the rows, weak noise on all."""
    rows = np.random.default_rng(0).standard_normal((400, 512)).astype(np.float32)
    rows[:80] += (40.0 * np.sin(2 * np.pi * np.arange(512) * 20 / 128)).astype(np.float32)
    _, single, _, weak, strong = difference_spectra(rows)
    assert weak[20] < 4.0 < 0.01 * single[20] < 0.01 * strong[20]


@pytest.mark.parametrize("kernel", ["linear", "cubic", "lanczos"])
@pytest.mark.parametrize("scale", [1.5, 1.7, 2.5, 3.0])
def test_interpolation_leaves_a_line_at_its_period(kernel: Kernel, scale: float) -> None:
    enlarged = imresize(texture(), scale, kernel=kernel)[:480, :480]
    _, by_logarithm, _, left, _ = lines(np.rint(np.clip(enlarged, 0.0, 255.0)))
    frequency = abs(1.0 / scale - round(1.0 / scale))  # as sampling folds it
    place = round(frequency * 1024)
    assert by_logarithm[place - 2 : place + 3].max() > 100.0
    assert left[place - 2 : place + 3].max() > 10.0


def test_a_sharp_picture_and_an_enlargement_by_two_have_no_line() -> None:
    for luma in (texture(480), imresize(texture(), 2.0)[:480, :480]):
        assert lines(luma)[0][100:].max() < 60.0


def test_blocks_of_eight_hide_a_period_and_can_be_taken_out() -> None:
    luma = imresize(texture(), 1.5, kernel="linear")[:480, :480]
    luma[:, ::8] += 20.0
    place = round(1024 / 3)
    hidden, shown = lines(luma)[0], lines(luma, without_blocks=True)[0]
    assert hidden[256] > 1000.0 > shown[256]
    assert shown[place - 2 : place + 3].max() > hidden[place - 2 : place + 3].max()


def test_the_energy_of_blocks_is_told_by_frequency_whichever_way_round() -> None:
    luma = np.zeros((64, 64), np.float32)
    luma += 30.0 * np.cos((2 * np.arange(64) % 16 + 1) * 3 * np.pi / 16)  # the third cosine of each block
    for one in (luma, luma.T):
        mean, magnitude, strong = block_energies(np.ascontiguousarray(one), 0.0).reshape(3, -1)
        assert {int(part.argmax()) for part in (mean, magnitude, strong)} == {2}  # of (0, 1), (0, 2), (0, 3), ...


@pytest.mark.parametrize("shape", [(SMALLEST_PX, SMALLEST_PX), (512, 512), (SMALLEST_PX, 512), (301, 207)])
def test_every_window_has_as_many_features(shape: tuple[int, int]) -> None:
    found = features(texture(512)[: shape[0], : shape[1]])
    assert found.shape == (FEATURES,) and found.dtype == np.float32
    assert np.isfinite(found).all()


def test_a_flat_window_has_finite_features() -> None:
    assert np.isfinite(features(np.zeros((200, 200), np.float32))).all()
