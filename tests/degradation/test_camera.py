"""The camera stage: the identity without noise, and noise where the sensor would have it."""

import numpy as np
import pytest
from skimage.color import colorconv

from upres.degradation.camera import CAMERAS, camera_noise, draw_camera


def parameters(seed: int = 0, **changes: object) -> dict[str, object]:
    return {**draw_camera(np.random.default_rng(seed)), **changes}


def smooth(channels: int = 3, height: int = 61, width: int = 48) -> np.ndarray:
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)
    planes = [0.45 + 0.2 * np.sin(rows / 15 + c) * np.cos(columns / 13) for c in range(channels)]
    return np.stack(planes, axis=2).astype(np.float32)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("channels", [1, 3])
def test_without_noise_a_smooth_picture_comes_back(seed: int, channels: int) -> None:
    image = smooth(channels)
    found = camera_noise(image, parameters(seed, shot=0.0, read=0.0))
    assert found.shape == image.shape and found.dtype == np.float32
    assert np.abs(found - image).mean() < 2e-3 and np.abs(found - image).max() < 0.03


def test_cameras_are_by_their_names() -> None:
    """As raw converters list Adobe's matrices, in units of 1/10000; the telephone's is in 128ths, as Android writes
    them.
    """
    listed = {
        "Sony A7R": (4913, -541, -202, -6130, 13513, 2906, -1564, 2151, 7183),
        "Olympus E-M10": (8380, -2630, -639, -2887, 10725, 2496, -627, 1427, 5438),
        "Sony RX100 IV": (6596, -2079, -562, -4782, 13016, 1933, -970, 1581, 5181),
    }
    for name, numbers in listed.items():
        np.testing.assert_allclose(np.ravel(CAMERAS[name]) * 1e4, numbers, atol=1e-6)
    rest = np.ravel(CAMERAS["Huawei Nexus 6P"]) * 128
    np.testing.assert_allclose(rest, np.rint(rest), atol=0.01)
    assert len(CAMERAS) == 4


@pytest.mark.parametrize("size", [(1, 1), (1, 8), (2, 3), (5, 4)])
def test_small_and_odd_sizes(size: tuple[int, int]) -> None:
    image = np.full((*size, 3), 0.5, np.float32)
    np.testing.assert_allclose(camera_noise(image, parameters(shot=0.0, read=0.0)), image, atol=1e-4)


def test_white_and_black_stay() -> None:
    for level in (0.0, 1.0):
        image = np.full((16, 16, 3), level, np.float32)
        np.testing.assert_allclose(camera_noise(image, parameters(shot=0.0, read=0.0)), image, atol=0.01)


def test_noise_has_its_variance() -> None:
    """Green of a mid gray, taken back through tone curve and gamma to what the sensor saw: the variance is shot * x +
    read.
    """
    level, values = 0.5, parameters(1, shot=0.004, read=0.0004, weights=[1.0, 0.0, 0.0, 0.0])
    image = np.full((256, 256, 3), level, np.float32)
    found = camera_noise(image, values)
    assert 0.01 < (found - level).std() < 0.2 and abs(float((found - level).mean())) < 0.05
    twice = camera_noise(image, {**values, "shot": 0.016, "read": 0.0016})
    assert (twice - level).std() / (found - level).std() == pytest.approx(2.0, rel=0.25)


@pytest.mark.parametrize("level", [0.4, 0.75])
def test_the_sensor_sees_shot_and_read_noise(level: float) -> None:
    """Developed gray, taken back to the mosaic: at each color's own pixels mean x and variance shot * x + read."""
    values = parameters(2, shot=2e-4, read=2e-6, weights=[0.0, 1.0, 0.0, 0.0])
    found = camera_noise(np.full((256, 256, 3), level, np.float32), values).astype(float)
    matrix = np.array(CAMERAS["Sony A7R"]) @ colorconv.xyz_from_rgb
    matrix /= matrix.sum(axis=1, keepdims=True)
    linear = (0.5 - np.sin(np.arcsin(1.0 - 2.0 * found) / 3.0)) ** 2.2
    seen = linear @ matrix.T
    gains = float(values["rgb_gain"]) * np.array([values["red_gain"], 1.0, values["blue_gain"]], float)  # type: ignore[arg-type]
    light = (0.5 - np.sin(np.arcsin(1.0 - 2.0 * level) / 3.0)) ** 2.2
    for channel, (row, column) in ((0, (0, 0)), (1, (0, 1)), (1, (1, 0)), (2, (1, 1))):
        raw, expected = seen[row::2, column::2, channel] / gains[channel], light / gains[channel]
        assert raw.mean() == pytest.approx(expected, rel=0.005)
        assert raw.var() == pytest.approx(2e-4 * expected + 2e-6, rel=0.06)


def test_the_same_numbers_give_the_same_picture() -> None:
    image, values = smooth(), parameters(3)
    assert np.array_equal(camera_noise(image, values), camera_noise(image, dict(values)))
    assert not np.array_equal(camera_noise(image, values), camera_noise(image, {**values, "seed": 1}))


def test_draws_lie_in_the_published_ranges() -> None:
    draws = [draw_camera(np.random.default_rng(i)) for i in range(500)]
    for key, low, high in (("red_gain", 1.9, 2.4), ("blue_gain", 1.5, 1.9), ("shot", 1e-4, 1.2e-2)):
        values = [draw[key] for draw in draws]
        assert low <= min(values) and max(values) <= high
    logs = np.log([draw["shot"] for draw in draws])
    rest = np.log([draw["read"] for draw in draws]) - (2.18 * logs + 1.20)
    assert abs(rest.mean()) < 0.05 and rest.std() == pytest.approx(0.26, rel=0.15)
    assert all(sum(draw["weights"]) == pytest.approx(1.0) and len(draw["weights"]) == len(CAMERAS) for draw in draws)
