"""Seamless textures and chains: the other side of a picture is its neighbor, and tiles leave no trace."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from tests.tiny import FakeRunner, aligned_graph, compact, gray_graph, noise, picture
from upres.errors import UsageError
from upres.models.load import load_model
from upres.upscaling.output_size import OutputSize
from upres.upscaling.upscaler import Upscaler


def texture(height: int, width: int, channels: int = 3) -> np.ndarray:
    """Noise that goes on at its other side, smooth enough to have neighbors."""
    smooth = gaussian_filter(noise(height, width, channels), (1.2, 1.2, 0), mode="wrap")
    return ((smooth - smooth.min()) / np.ptp(smooth)).astype(np.float32)


@pytest.mark.parametrize(("engine", "exact"), [("torch", False), ("ncnn", True), ("ncnn", False)])
@pytest.mark.parametrize("tile_px", [None, 9])
@pytest.mark.parametrize("size", [(24, 31), (5, 40), (1, 3)])
def test_a_rolled_texture_gives_the_rolled_result(
    engine: str, exact: bool, tile_px: int | None, size: tuple[int, int]
) -> None:
    if engine == "torch":
        pytest.importorskip("torch")
    lr = texture(*size)
    graph = compact(2, width=16, depth=4, strength=0.003)
    assert graph.receptive_field > size[0] - 20  # the smaller ones have to be repeated several times
    upscaler = Upscaler(graph, engine=engine, threads=1, exact=exact, tile_px=tile_px, wrap=True)
    straight = upscaler.upscale_array(lr)
    for y, x in ((1, 0), (0, 1), (7, 13), (-3, 2)):
        rolled = upscaler.upscale_array(np.roll(lr, (y, x), axis=(0, 1)))
        expected = np.roll(straight, (2 * y, 2 * x), axis=(0, 1))
        np.testing.assert_allclose(rolled, expected, rtol=0, atol=0 if exact else 1e-5)
    if min(size) > 1:
        plain = Upscaler(graph, engine=engine, threads=1, exact=exact).upscale_array(lr)
        assert np.abs(plain - straight).max() > 1e-2  # what the border does otherwise


def test_a_rolled_picture_with_all_there_is() -> None:
    """Color and alpha, two runs, the last resize, strength, color lock, turns. (Colors under fully transparent pixels
    are filled in from a pyramid, which has places of its own, so there are none here.)
    """
    lr, alpha = texture(20, 24), 0.05 + 0.95 * texture(20, 24, 1)[:, :, 0]
    upscaler = Upscaler(
        compact(2), engine="ncnn", threads=1, exact=True, wrap=True, tta=True, blend=0.8, color_lock=True
    )
    for size in (OutputSize(), OutputSize(factor=3), OutputSize(factor=4), OutputSize(factor=0.5)):
        straight = upscaler(picture(lr, alpha), size=size)
        rolled = upscaler(picture(np.roll(lr, (4, -6), (0, 1)), np.roll(alpha, (4, -6), (0, 1))), size=size)
        assert size.factor is None or straight.pixels.shape[0] == 20 * size.factor
        shift = int(4 * (size.factor or 2)), int(-6 * (size.factor or 2))
        assert straight.alpha is not None
        assert rolled.alpha is not None
        np.testing.assert_allclose(rolled.alpha, np.roll(straight.alpha, shift, (0, 1)), rtol=0, atol=5e-6)
        np.testing.assert_allclose(rolled.pixels, np.roll(straight.pixels, shift, (0, 1)), rtol=0, atol=5e-6)


def steps_across(sr: np.ndarray) -> np.ndarray:
    """Mean absolute step from each row to the next, that from the last to the first at the end."""
    return np.abs(np.roll(sr, -1, axis=0) - sr).mean(axis=(1, 2))


def test_the_seam_is_no_worse_than_inside() -> None:
    lr = texture(32, 40)
    graph = load_model("compact-x4").graph
    seamless, plain = (
        Upscaler(graph, engine="ncnn", threads=1, wrap=wrap)(picture(lr)).pixels for wrap in (True, False)
    )
    steps = steps_across(seamless)
    alike = steps[3::4]  # the steps between two LR pixels; the last is the seam
    assert alike[-1] < 1.5 * alike[:-1].mean()
    assert alike[-1] <= alike[:-1].max()
    # Against the middle of nine copies; without `wrap` the border shows in it.
    nine = Upscaler(graph, engine="ncnn", threads=1).upscale_array(np.tile(lr, (3, 3, 1)))[128:256, 160:320]
    assert np.abs(seamless - nine).max() < 2e-5
    assert np.abs(plain - nine)[:8].max() > 5 / 255


@pytest.mark.parametrize("engine", ["torch", "ncnn"])
@pytest.mark.parametrize("tile_px", [7, 16])
def test_tiled_equals_untiled_to_the_bit(engine: str, tile_px: int) -> None:
    if engine == "torch":
        pytest.importorskip("torch")
    lr = texture(29, 41)
    graphs = [compact(2, width=16), compact(2, width=8, seed=1)]
    for chain in (graphs[0], graphs):
        whole = Upscaler(chain, engine=engine, threads=1, exact=True, wrap=True).upscale_array(lr)
        tiled = Upscaler(chain, engine=engine, threads=1, exact=True, wrap=True, tile_px=tile_px).upscale_array(lr)
        np.testing.assert_array_equal(tiled, whole)


def test_a_network_that_wants_even_sides() -> None:
    lr = texture(7, 10)
    np.testing.assert_allclose(
        Upscaler(aligned_graph(), engine="ncnn", wrap=True, tile_px=4).upscale_array(lr), lr, atol=1e-6
    )


def test_progress_of_a_seamless_picture_ends_at_all_pixels() -> None:
    seen: list[int] = []
    Upscaler(compact(2), runner=FakeRunner(), tile_px=8, wrap=True).upscale_array(
        noise(20, 20), lambda done, _: seen.append(done)
    )
    assert seen == sorted(seen)
    assert seen[-1] == pytest.approx(1600, rel=0.05)


def test_gray_and_color_networks_in_one_chain() -> None:
    lr = noise(6, 5)
    runner = FakeRunner()
    result = Upscaler([gray_graph(), compact(2)], runner=runner).upscale_array(lr)
    np.testing.assert_array_equal(result, lr.repeat(4, axis=0).repeat(4, axis=1))
    assert runner.calls == [(1, 1, 6, 5)] * 3 + [(1, 3, 12, 10)]


def test_the_speed_of_a_chain_is_that_of_its_work() -> None:
    upscaler = Upscaler([compact(2), compact(2, width=16)], runner=FakeRunner())
    assert upscaler.macs_per_second(1e6) == upscaler.macs_per_second() > 0


def test_a_chain_of_nothing_is_refused() -> None:
    with pytest.raises(UsageError, match="an empty chain"):
        Upscaler([])
