"""What enlarging does to a spectrum is seen there."""

from __future__ import annotations

import numpy as np
import pytest

from tests.inspection.made import texture
from upres.images.resize import Kernel, imresize
from upres.inspection.spectra import FEATURES, SMALLEST_PX, difference_spectrum, features, interpolation_lines


def test_the_power_of_a_sine_stands_at_its_frequency() -> None:
    columns = np.arange(513)
    rows = np.broadcast_to(10.0 * np.sin(2 * np.pi * columns * 20 / 128), (16, 513)).astype(np.float32)
    power = difference_spectrum(rows)
    assert power.shape == (65,)
    assert int(np.argmax(power)) == 20
    assert power[30:].max() < 1e-4 * power[20]


def test_the_power_of_white_noise_is_that_of_its_differences() -> None:
    rows = np.random.default_rng(0).standard_normal((400, 512)).astype(np.float32) * np.float32(3.0)
    expected = 9.0 * (2.0 * np.sin(np.pi * np.arange(65) / 128)) ** 2
    assert difference_spectrum(rows)[4:] == pytest.approx(expected[4:], rel=0.1)


@pytest.mark.parametrize("kernel", ["linear", "cubic", "lanczos"])
@pytest.mark.parametrize("scale", [1.5, 1.7, 2.5, 3.0])
def test_interpolation_leaves_a_line_at_its_period(kernel: Kernel, scale: float) -> None:
    enlarged = imresize(texture(), scale, kernel=kernel)[:480, :480]
    _, by_logarithm = interpolation_lines(np.rint(np.clip(enlarged, 0.0, 255.0)))
    frequency = abs(1.0 / scale - round(1.0 / scale))  # as sampling folds it
    place = round(frequency * 1024)
    assert by_logarithm[place - 2 : place + 3].max() > 100.0


def test_a_sharp_picture_and_an_enlargement_by_two_have_no_line() -> None:
    for luma in (texture(480), imresize(texture(), 2.0)[:480, :480]):
        lines, _ = interpolation_lines(luma)
        assert lines[100:].max() < 60.0


@pytest.mark.parametrize("shape", [(SMALLEST_PX, SMALLEST_PX), (512, 512), (SMALLEST_PX, 512), (301, 207)])
def test_every_window_has_as_many_features(shape: tuple[int, int]) -> None:
    found = features(texture(512)[: shape[0], : shape[1]])
    assert found.shape == (FEATURES,) and found.dtype == np.float32
    assert np.isfinite(found).all()


def test_a_flat_window_has_finite_features() -> None:
    assert np.isfinite(features(np.zeros((200, 200), np.float32))).all()
