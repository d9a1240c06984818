"""Strength, color lock and the resize of seamless pictures, alone and behind a network."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter, zoom

from tests.tiny import FakeRunner, compact, noise, picture
from upres.errors import UsageError
from upres.images.resize import imresize
from upres.upscaling import postprocess
from upres.upscaling.output_size import OutputSize
from upres.upscaling.upscaler import Upscaler


@pytest.mark.parametrize("wrap", [False, True])
@pytest.mark.parametrize("shape", [(40, 33), (5, 4), (1, 1), (1, 60)])
def test_the_lowpass_is_a_gaussian(shape: tuple[int, int], wrap: bool) -> None:
    plane = noise(*shape, 1)[:, :, 0]
    expected = gaussian_filter(plane.astype(np.float64), 2.5, mode="wrap" if wrap else "reflect", truncate=4.0)
    ours = postprocess.lowpass(plane, 2.5, wrap=wrap)
    np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-6)
    assert ours.mean() == pytest.approx(plane.mean(), abs=1e-6)


@pytest.mark.parametrize("size", [(60, 66), (50, 77), (31, 20), (20, 22), (7, 90)])
def test_a_wrapped_resize_is_the_middle_of_nine_copies(size: tuple[int, int]) -> None:
    lr = noise(20, 22)
    nine = imresize(np.tile(lr, (3, 3, 1)), size=(3 * size[0], 3 * size[1]))
    ours = postprocess.resize(lr, size, wrap=True)
    np.testing.assert_allclose(ours, nine[size[0] : 2 * size[0], size[1] : 2 * size[1]], rtol=0, atol=2e-6)


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (3, 2)])
def test_a_wrapped_resize_of_very_small_pictures(shape: tuple[int, int]) -> None:
    lr = noise(*shape)
    size = (shape[0] * 4, shape[1] * 3)
    nine = imresize(np.tile(lr, (15, 15, 1)), size=(15 * size[0], 15 * size[1]))
    np.testing.assert_allclose(
        postprocess.resize(lr, size, wrap=True),
        nine[7 * size[0] : 8 * size[0], 7 * size[1] : 8 * size[1]],
        rtol=0,
        atol=2e-6,
    )


def test_without_wrap_it_is_the_plain_resize() -> None:
    lr = noise(9, 8)
    np.testing.assert_array_equal(postprocess.resize(lr, (20, 31)), imresize(lr, size=(20, 31)))
    assert postprocess.resize(lr, (9, 8), wrap=True) is lr


@pytest.mark.parametrize("wrap", [False, True])
@pytest.mark.parametrize("size", [OutputSize(), OutputSize(factor=2.5), OutputSize(factor=1.6)])
def test_strength_is_a_share_of_the_network_and_a_share_of_plain_resize(wrap: bool, size: OutputSize) -> None:
    lr = noise(20, 30)
    graph = compact(2)
    network = Upscaler(graph, engine="ncnn", threads=1, wrap=wrap)(picture(lr), size=size).pixels
    plain = postprocess.resize(lr, network.shape[:2], wrap=wrap)
    for strength in (0.0, 0.3, 1.0):
        ours = Upscaler(graph, engine="ncnn", threads=1, blend=strength, wrap=wrap)(picture(lr), size=size).pixels
        np.testing.assert_allclose(ours, strength * network + (1 - strength) * plain, rtol=0, atol=2e-6)
        if strength == 1.0:
            np.testing.assert_array_equal(ours, network)


def test_strength_holds_for_alpha_and_gray_too() -> None:
    alpha = np.zeros((16, 16), np.float32)
    alpha[4:12, 4:12] = 1.0
    gray = noise(16, 16, 1)
    result = Upscaler(compact(2), runner=FakeRunner(), blend=0.0)(picture(gray, alpha))
    assert result.alpha is not None
    assert result.pixels.shape == (32, 32, 1)
    # but held between its neighbors
    np.testing.assert_allclose(result.alpha, np.clip(imresize(alpha, 2.0), 0, 1), atol=2e-3)


@pytest.mark.parametrize("strength", [-0.1, 1.1, float("nan")])
def test_a_strength_out_of_range_is_refused(strength: float) -> None:
    with pytest.raises(UsageError, match=r"`blend` must be in \[0, 1\]"):
        Upscaler(compact(2), runner=FakeRunner(), blend=strength)


def scene(height: int = 64, width: int = 80) -> np.ndarray:
    """A smooth picture with a fine pattern on it."""
    smooth = zoom(noise(4, 5), (height / 4, width / 5, 1), order=1).astype(np.float32) * np.float32(0.6) + np.float32(
        0.2
    )
    return smooth + np.float32(0.02) * noise(height, width)


@pytest.mark.parametrize("wrap", [False, True])
def test_a_shift_of_color_is_removed_and_detail_stays(wrap: bool) -> None:
    lr = scene()
    detail = 0.1 * np.sin(np.arange(320) * 2 * np.pi / 8)[None, :, None]  # a wavelength of 2 LR pixels
    good = imresize(lr, 4.0) + detail.astype(np.float32)
    tint = np.array([0.08, -0.05, 0.03], np.float32) * np.linspace(0.5, 1.5, 256, dtype=np.float32)[:, None, None]
    sr = good + tint
    postprocess.lock_colors(sr, lr, wrap=wrap)
    np.testing.assert_allclose(sr.mean(axis=(0, 1)), lr.mean(axis=(0, 1)), rtol=0, atol=1 / 255)
    for channel in range(3):
        coarse = imresize(sr[:, :, channel], size=(64, 80))
        mode = "wrap" if wrap else "reflect"
        ours, wanted = (
            gaussian_filter(plane, postprocess.LOCK_SIGMA_PX, mode=mode) for plane in (coarse, lr[:, :, channel])
        )
        before = gaussian_filter(
            imresize((good + tint)[:, :, channel], size=(64, 80)), postprocess.LOCK_SIGMA_PX, mode=mode
        )
        assert np.abs(ours - wanted).max() < 2 / 255
        assert np.abs(ours - wanted).max() < 0.15 * np.abs(before - wanted).max()
    wave = np.exp(-2j * np.pi * np.arange(320) / 8)
    for channel in range(3):  # the strength of the pattern, measured at its own frequency
        strength = 2 * np.abs((sr[:, :, channel].astype(np.float64) * wave).mean(axis=1)).mean()
        assert strength == pytest.approx(0.1, rel=0.03)


def test_a_picture_without_a_shift_is_left_alone() -> None:
    lr = scene()
    sr = imresize(lr, 4.0)
    before = sr.copy()
    postprocess.lock_colors(sr, lr)
    assert np.abs(sr - before).max() < 1 / 255


def test_the_lock_takes_a_network_s_tint_away_and_leaves_alpha() -> None:
    class Tinting(FakeRunner):
        def __call__(self, lr: np.ndarray) -> np.ndarray:
            return super().__call__(lr) + np.array([0.1, 0.0, -0.1], np.float32)[None, :, None, None]

    lr, alpha = scene(32, 40), noise(32, 40, 1)[:, :, 0]
    for size in (OutputSize(), OutputSize(factor=1.7), OutputSize(factor=6)):
        free = Upscaler(compact(2), runner=Tinting())(picture(lr, alpha), size=size)
        locked = Upscaler(compact(2), runner=Tinting(), color_lock=True)(picture(lr, alpha), size=size)
        assert np.abs(free.pixels.mean(axis=(0, 1)) - lr.mean(axis=(0, 1))).max() > 0.09
        np.testing.assert_allclose(locked.pixels.mean(axis=(0, 1)), lr.mean(axis=(0, 1)), rtol=0, atol=1 / 255)
        assert locked.alpha is not None
        np.testing.assert_array_equal(locked.alpha, free.alpha)


def test_where_no_network_ran_nothing_is_done() -> None:
    lr = noise(20, 30)
    for extras in ({"blend": 0.5}, {"color_lock": True}):
        result = Upscaler(compact(2), runner=FakeRunner(), **extras)(picture(lr), size=OutputSize(factor=0.5))  # type: ignore[arg-type]
        np.testing.assert_array_equal(result.pixels, imresize(lr, size=(10, 15)))
    same = picture(lr)
    result = Upscaler(compact(2), runner=FakeRunner(), blend=0.5, color_lock=True)(same, size=OutputSize(width=30))
    np.testing.assert_array_equal(result.pixels, lr)


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["torch", "ncnn"])
@pytest.mark.parametrize(
    "extras", [{"blend": 0.7}, {"color_lock": True}, {"blend": 0.7, "color_lock": True, "tta": True, "wrap": True}]
)
def test_tiled_equals_untiled_to_the_bit(engine: str, extras: dict[str, object]) -> None:
    if engine == "torch":
        pytest.importorskip("torch")
    source = picture(noise(29, 31), noise(29, 31, 1, seed=3)[:, :, 0])
    graph = compact(2, width=16)
    for size in (OutputSize(), OutputSize(factor=3)):
        whole, *tiled = (
            Upscaler(graph, engine=engine, threads=1, exact=True, tile_px=tile_px, **extras)(source, size=size)  # type: ignore[arg-type]
            for tile_px in (None, 7, 16)
        )
        for other in tiled:
            np.testing.assert_array_equal(other.pixels, whole.pixels)
            assert whole.alpha is not None
            np.testing.assert_array_equal(other.alpha, whole.alpha)
