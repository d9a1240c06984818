"""Filters against scipy and torch."""

import numpy as np
import pytest
from scipy import ndimage

from upres.degradation import kernels
from upres.degradation.filters import MODES, blur, decimate, resize, sharpen
from upres.errors import UsageError
from upres.images.resize import imresize


def picture(height: int, width: int, channels: int = 3, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random((height, width, channels), dtype=np.float32)


def asymmetric(size: int) -> np.ndarray:
    kernel = np.random.default_rng(1).random((size, size))
    return kernel / kernel.sum()


KERNELS = {
    "narrow": kernels.isotropic(21, 0.1),
    "wide": kernels.isotropic(21, 3.0),
    "turned": kernels.anisotropic(21, 0.4, 3.0, 0.7),
    "plateau": kernels.plateau(13, 1.0, 2.5, 0.3, 2.0),
    "sinc": kernels.sinc(21, 1.1),
    "upright": kernels.anisotropic(21, 0.5, 3.0, 0.0),
    "asymmetric": asymmetric(9),
    "asymmetric separable": np.outer([0.1, 0.2, 0.7, 0.0, 0.0], [0.0, 0.5, 0.3, 0.1, 0.1]),
}


@pytest.mark.parametrize("name", KERNELS)
@pytest.mark.parametrize("size", [(40, 33), (64, 64), (7, 90), (5, 3), (1, 9), (1, 1)])
def test_blur_is_scipys_convolution_with_mirrored_borders(name: str, size: tuple[int, int]) -> None:
    """Trap 36: reflected borders; also where the picture is smaller than the kernel, and with a kernel that is not
    symmetric.
    """
    for channels in (1, 3):
        image = picture(*size, channels)
        before = image.copy()
        expected = np.stack(
            [ndimage.convolve(image[..., c].astype(float), KERNELS[name], mode="mirror") for c in range(channels)],
            axis=2,
        )
        found = blur(image, KERNELS[name])
        assert found.dtype == np.float32 and np.abs(found - expected).max() < 1e-6
        assert np.array_equal(image, before)


@pytest.mark.parametrize("size", [(257, 300), (520, 30)])
@pytest.mark.parametrize("name", ["wide", "turned", "asymmetric"])
def test_blur_of_pictures_of_several_tiles(name: str, size: tuple[int, int]) -> None:
    image = picture(*size, 1)
    expected = ndimage.convolve(image[..., 0].astype(float), KERNELS[name], mode="mirror")
    assert np.abs(blur(image, KERNELS[name])[..., 0] - expected).max() < 1e-6


@pytest.mark.parametrize("name", KERNELS)
def test_a_flat_picture_stays_flat(name: str) -> None:
    np.testing.assert_allclose(blur(np.full((30, 25, 3), 0.7, np.float32), KERNELS[name]), 0.7, atol=1e-6)


TORCH_MODES = {"area": "area", "linear": "bilinear", "cubic": "bicubic", "nearest": "nearest-exact"}


@pytest.mark.parametrize("mode", TORCH_MODES)
@pytest.mark.parametrize("size", [(3, 7), (17, 40), (80, 9), (1, 1), (39, 34), (120, 99)])
def test_resize_without_antialias_is_torchs(mode: str, size: tuple[int, int]) -> None:
    torch = pytest.importorskip("torch")
    for channels in (1, 3):
        image = picture(40, 33, channels)
        options = {"align_corners": False} if mode in ("linear", "cubic") else {}
        batch = torch.from_numpy(image).permute(2, 0, 1)[None]
        expected = (
            torch.nn.functional.interpolate(batch, size=size, mode=TORCH_MODES[mode], **options)[0]
            .permute(1, 2, 0)
            .numpy()
        )
        found = resize(image, size, mode, False)  # type: ignore[arg-type]
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("mode", TORCH_MODES)
def test_resize_without_antialias_is_torchs_at_any_size(mode: str) -> None:
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(5)
    options = {"align_corners": False} if mode in ("linear", "cubic") else {}
    for _ in range(40):
        height, width, *size = (int(side) for side in rng.integers(1, 180, 4))
        # where a center falls on an edge between pixels, torch's float32 ratio decides: odd sizes have no such
        if mode == "nearest":
            height, width, size = height | 1, width | 1, [side | 1 for side in size]
        image = picture(height, width, 1)
        batch = torch.from_numpy(image).permute(2, 0, 1)[None].double()  # so that its ratios are float64
        expected = (
            torch.nn.functional.interpolate(batch, size=size, mode=TORCH_MODES[mode], **options)[0]
            .permute(1, 2, 0)
            .numpy()
        )
        found = resize(image, (size[0], size[1]), mode, False)  # type: ignore[arg-type]
        np.testing.assert_allclose(found, expected, atol=2e-6, err_msg=f"{height}x{width} to {size}")


def test_nearest_takes_the_pixel_under_the_center() -> None:
    """A center on an edge between two pixels takes the right one."""
    line = np.arange(6, dtype=np.float32)[None, :, None]
    assert resize(line, (1, 3), "nearest", False)[0, :, 0].tolist() == [1, 3, 5]
    assert resize(line, (1, 2), "nearest", False)[0, :, 0].tolist() == [1, 4]


@pytest.mark.parametrize("mode", ["area", "linear", "cubic", "lanczos"])
def test_resize_with_antialias_is_matlabs(mode: str) -> None:
    image = picture(40, 33)
    for size in ((13, 9), (50, 21)):
        assert np.array_equal(resize(image, size, mode, True), imresize(image, size=size, kernel=mode))  # type: ignore[arg-type]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("antialias", [False, True])
def test_no_resize_shifts(mode: str, antialias: bool) -> None:
    """A ramp there and back has its middle where it was: sizes, not factors, give the mapping."""
    ramp = np.broadcast_to(np.linspace(0.2, 0.8, 101, dtype=np.float32)[None, :, None], (5, 101, 1))
    there = resize(resize(ramp, (5, 37), mode, antialias), (5, 101), mode, antialias)  # type: ignore[arg-type]
    assert abs(float((there - ramp)[:, 20:-20].mean())) < 2e-4


def test_an_unknown_mode_is_refused() -> None:
    with pytest.raises(UsageError, match="unknown resize mode 'box'"):
        resize(picture(8, 8), (4, 4), "box", False)  # type: ignore[arg-type]


@pytest.mark.parametrize("factor", [1, 2, 3, 4])
def test_decimation_does_not_shift(factor: int) -> None:
    """A ramp keeps its level: pixel i of the result is the mean of the pixels i * factor ... of the picture, up to the
    border.
    """
    ramp = np.broadcast_to(np.arange(64, dtype=np.float32)[None, :, None] / 64, (62, 64, 1))
    small = decimate(ramp, factor, kernels.isotropic(25, 0.4 * factor))
    assert small.shape == (62 // factor, 64 // factor, 1)
    expected = (np.arange(64 // factor) * factor + (factor - 1) / 2) / 64
    inner = slice(13 // factor + 1, -(13 // factor) - 1)
    np.testing.assert_allclose(small[3, inner, 0], expected[inner], atol=2e-5)


def test_decimation_is_the_shifted_convolution() -> None:
    """Against scipy: the picture read (factor - 1) / 2 pixels on, then blurred; half a pixel is the mean of two."""
    image, kernel = picture(40, 36), kernels.isotropic(9, 1.3)
    for factor in (2, 3, 4):
        half, fraction = divmod(factor - 1, 2)
        shifts = (half, half + fraction)
        blurred = [ndimage.convolve(image[..., c].astype(float), kernel, mode="mirror") for c in range(3)]
        moved = [
            np.mean([plane[y:, x:][: 40 - half - 1, : 36 - half - 1] for y in shifts for x in shifts], axis=0)
            for plane in blurred
        ]
        expected = np.stack([plane[::factor, ::factor] for plane in moved], axis=2)[:6, :6]
        np.testing.assert_allclose(decimate(image, factor, kernel)[:6, :6], expected, atol=1e-6)
    with pytest.raises(UsageError, match="a picture of 36x40 is too small to be decimated by 41"):
        decimate(image, 41, kernel)


def test_sharpening_follows_its_formula() -> None:
    image = picture(70, 40)
    taps = np.exp(-0.5 * (np.arange(51) - 25.0) ** 2 / 8.0**2)  # OpenCV's sigma for 51 pixels is 8
    taps /= taps.sum()

    def gaussian(x: np.ndarray) -> np.ndarray:
        for axis in (0, 1):
            x = ndimage.convolve1d(x, taps, axis=axis, mode="mirror")
        return x

    wide = image.astype(np.float64)
    residual = wide - gaussian(wide)
    mask = gaussian((np.abs(residual) * 255 > 10).astype(float))
    expected = mask * np.clip(wide + 0.5 * residual, 0, 1) + (1 - mask) * wide
    np.testing.assert_allclose(sharpen(image, 0.5, 51, 10), expected, atol=2e-6)
    assert sharpen(image, 0.5, 51, 10).dtype == np.float32


def test_sharpening_leaves_flat_areas_and_small_differences_alone() -> None:
    flat = np.full((60, 60, 3), 0.4, np.float32)
    flat[::2] += 8 / 255  # each row is 4 levels off its blur: below the threshold
    np.testing.assert_allclose(sharpen(flat, 0.5, 51, 10), flat, atol=1e-6)
    with pytest.raises(UsageError, match="must be odd and at least 1, got 50"):
        sharpen(flat, 0.5, 50, 10)
