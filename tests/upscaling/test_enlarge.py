from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from tests.tiny import FakeRunner, aligned_graph, compact, gray_graph, noise, picture
from upres.errors import EngineError, InputError, ModelError, UsageError
from upres.graph.graph import Graph
from upres.graph.nodes import Conv
from upres.images.resize import imresize
from upres.upscaling.output_size import OutputSize
from upres.upscaling.upscaler import Upscaler


def nearest(values: np.ndarray, scale: int) -> np.ndarray:
    return values.repeat(scale, axis=0).repeat(scale, axis=1)


def test_a_network_of_zeros_is_nearest_neighbor_through_the_real_engine() -> None:
    lr = noise(13, 17)
    upscaler = Upscaler(compact(4, strength=0.0))
    np.testing.assert_allclose(upscaler.upscale_array(lr), nearest(lr, 4), atol=1e-6)
    upscaler.close()


@pytest.mark.parametrize("engine", ["torch", "ncnn"])
@pytest.mark.parametrize("tile_px", [1, 7, 16, 33])
@pytest.mark.parametrize("size", [(29, 41), (64, 10)])
def test_tiled_equals_untiled_to_the_bit(engine: str, tile_px: int, size: tuple[int, int]) -> None:
    if engine == "torch":
        pytest.importorskip("torch")
    if tile_px == 1 and engine == "torch":
        pytest.skip("2,000 calls of torch: the other sizes tell the same")
    lr = noise(*size)
    graph = compact(2, width=16, depth=2)
    # threads would wait for each other at each tiny tile
    whole = Upscaler(graph, engine=engine, exact=True, threads=1).upscale_array(lr)
    tiled = Upscaler(graph, engine=engine, exact=True, threads=1, tile_px=tile_px).upscale_array(lr)
    assert np.array_equal(tiled, whole)
    assert not np.allclose(whole, nearest(lr, 2), atol=1e-3)  # the network does something


def test_a_picture_keeps_what_it_has() -> None:
    source = dataclasses.replace(
        picture(noise(9, 11), depth=16, dpi=(300.0, 300.0)), exif=b"exif", xmp=b"xmp", icc=None, notes=("first",)
    )
    result = Upscaler(compact(2), runner=FakeRunner())(source)
    assert result.pixels.shape == (18, 22, 3)
    assert (result.depth, result.dpi, result.exif, result.xmp, result.notes) == (
        16,
        (300.0, 300.0),
        b"exif",
        b"xmp",
        ("first",),
    )
    assert result.alpha is None


def test_gray_stays_gray_and_keeps_its_level() -> None:
    gray = noise(12, 8, 1)
    result = Upscaler(compact(2), runner=FakeRunner())(picture(gray))
    assert result.pixels.shape == (24, 16, 1)
    np.testing.assert_allclose(result.pixels, nearest(gray, 2), atol=1e-6)


def test_gray_is_the_luma_of_what_the_network_answers() -> None:
    class Tinting(FakeRunner):
        def __call__(self, lr: np.ndarray) -> np.ndarray:
            return super().__call__(lr) * np.array([1.0, 0.5, 0.0], np.float32)[None, :, None, None]

    result = Upscaler(compact(2), runner=Tinting(), reference=Tinting())(picture(np.ones((4, 4, 1), np.float32)))
    np.testing.assert_allclose(result.pixels, 0.299 + 0.5 * 0.587, atol=1e-6)


def test_color_through_a_gray_network_goes_channel_by_channel() -> None:
    lr = noise(6, 5)
    runner = FakeRunner()
    np.testing.assert_array_equal(Upscaler(gray_graph(), runner=runner).upscale_array(lr), nearest(lr, 2))
    assert runner.calls == [(1, 1, 6, 5)] * 3


def test_a_sixteen_bit_ramp_keeps_its_levels() -> None:
    ramp = (np.arange(65536, dtype=np.float64) / 65535).astype(np.float32).reshape(256, 256, 1)
    result = Upscaler(compact(2, strength=0.0))(picture(ramp, depth=16))
    assert len(np.unique(np.rint(result.pixels.astype(np.float64) * 65535))) == 65536


def test_other_sizes_are_one_resize_of_what_the_network_gives() -> None:
    lr = noise(20, 30)
    upscaler = Upscaler(compact(4))
    whole = upscaler.upscale_array(lr)
    result = upscaler(picture(lr), size=OutputSize(factor=2.5))
    np.testing.assert_array_equal(result.pixels, imresize(whole, size=(50, 75)))
    assert result.notes == ()


@pytest.mark.slow
def test_beyond_its_scale_the_network_runs_twice() -> None:
    lr = noise(10, 12)
    upscaler = Upscaler(compact(2))
    twice = upscaler.upscale_array(upscaler.upscale_array(lr))
    four = upscaler(picture(lr), size=OutputSize(factor=4))
    np.testing.assert_array_equal(four.pixels, twice)
    assert "ran twice" in four.notes[0]
    three = upscaler(picture(lr), size=OutputSize(factor=3))
    np.testing.assert_array_equal(three.pixels, imresize(twice, size=(30, 36)))
    assert "ran twice" in three.notes[0]


@pytest.mark.parametrize(("size", "shape"), [(OutputSize(factor=0.5), (10, 15)), (OutputSize(width=30), (20, 30))])
def test_nothing_larger_is_a_plain_resize(size: OutputSize, shape: tuple[int, int]) -> None:
    lr = noise(20, 30)
    runner = FakeRunner()
    result = Upscaler(compact(2), runner=runner)(picture(lr), size=size)
    np.testing.assert_array_equal(result.pixels, imresize(lr, size=shape))
    assert runner.calls == []
    assert "no network" in result.notes[0]


def test_a_factor_of_1_cleans_the_result_of_the_network_is_reduced() -> None:
    lr = noise(20, 30)
    upscaler = Upscaler(compact(2))
    cleaned = upscaler(picture(lr), size=OutputSize(factor=1.0))
    np.testing.assert_array_equal(cleaned.pixels, imresize(upscaler.upscale_array(lr), size=(20, 30)))
    assert cleaned.notes == ()


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (9, 1), (2, 3), (7, 5)])
def test_odd_and_tiny_pictures_through_a_network_that_wants_even_ones(size: tuple[int, int]) -> None:
    lr = noise(*size)
    for tile_px in (None, 4):
        result = Upscaler(aligned_graph(), engine="ncnn", tile_px=tile_px).upscale_array(lr)
        np.testing.assert_allclose(result, lr, atol=1e-6)


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (40, 1)])
def test_one_pixel_wide(size: tuple[int, int]) -> None:
    result = Upscaler(compact(4), exact=True)(picture(noise(*size)))
    assert result.pixels.shape == (size[0] * 4, size[1] * 4, 3)
    assert np.isfinite(result.pixels).all()


def test_constant_alpha_costs_nothing_and_stays() -> None:
    runner = FakeRunner()
    result = Upscaler(compact(2), runner=runner)(picture(noise(4, 4), np.full((4, 4), 0.5, np.float32)))
    assert result.alpha is not None
    assert result.alpha.shape == (8, 8)
    assert (result.alpha == 0.5).all()
    assert len(runner.calls) == 1


def test_no_halo_where_opaque_meets_transparent() -> None:
    """A red disc on transparent black: whatever is visible afterwards is red, and areas away from the edge stay exactly
    0 or 1.
    """
    y, x = np.mgrid[:32, :32]
    alpha = (((y - 16) ** 2 + (x - 16) ** 2) < 100).astype(np.float32)
    pixels = np.zeros((32, 32, 3), np.float32)
    pixels[alpha > 0] = (1.0, 0.25, 0.1)
    result = Upscaler(compact(4, strength=0.05))(picture(pixels, alpha))
    assert result.alpha is not None
    inner = nearest(alpha, 4)[16:-16, 16:-16]
    visible = result.alpha > 0.02
    plain = Upscaler(compact(4, strength=0.05))(
        picture(np.broadcast_to(np.array([1.0, 0.25, 0.1], np.float32), (32, 32, 3)).copy())
    )
    np.testing.assert_allclose(result.pixels[visible], plain.pixels[visible], atol=0.02)
    assert result.alpha.min() >= 0.0
    assert result.alpha.max() <= 1.0
    assert (result.alpha[:16] == 0).all()
    assert (result.alpha[56:72, 56:72] == 1).all()
    assert 0.9 < result.alpha[16:-16, 16:-16].sum() / inner.sum() < 1.1


def test_alpha_made_smaller_stays_within_range() -> None:
    alpha = (np.indices((40, 40)).sum(axis=0) % 7 < 3).astype(np.float32)
    result = Upscaler(compact(2), runner=FakeRunner())(picture(noise(40, 40), alpha), size=OutputSize(factor=0.3))
    assert result.alpha is not None
    assert result.alpha.shape == (12, 12)
    assert result.alpha.min() >= 0.0
    assert result.alpha.max() <= 1.0


def test_what_an_engine_refuses_is_told_with_the_tile() -> None:
    upscaler = Upscaler(compact(2), runner=FakeRunner(spoil_call=0, error=EngineError("out of memory")))
    with pytest.raises(EngineError, match=r"tile of rows 0 to 5, columns 0 to 6: out of memory"):
        upscaler.upscale_array(noise(5, 6))


def test_memory_is_refused_before_any_work() -> None:
    runner = FakeRunner()
    upscaler = Upscaler(compact(2), runner=runner, memory_bytes=64 * 1024**2)
    with pytest.raises(InputError, match=r"an output of 6000 x 4000 needs \d+ MB of memory, and 64 MB may be used"):
        upscaler(picture(np.zeros((2000, 3000, 3), np.float32)))
    assert runner.calls == []


def test_a_budget_makes_tiles() -> None:
    runner = FakeRunner()
    upscaler = Upscaler(compact(2, width=64), runner=runner, memory_bytes=8 * 1024**2)
    lr = noise(150, 150)
    np.testing.assert_array_equal(upscaler.upscale_array(lr), nearest(lr, 2))
    assert len(runner.calls) > 1
    largest = max(h * w for _, _, h, w in runner.calls)
    assert largest * compact(2, width=64).activation_bytes_per_pixel <= 8 * 1024**2


@pytest.mark.parametrize("factor", [2.0, 3.0, 4.0, 0.5])
def test_progress_counts_up_to_all_output_pixels(factor: float) -> None:
    seen: list[tuple[int, int]] = []
    alpha = noise(30, 20, 1)[:, :, 0]
    upscaler = Upscaler(compact(2), runner=FakeRunner(), tile_px=8)
    upscaler(
        picture(noise(30, 20), alpha),
        size=OutputSize(factor=factor),
        progress=lambda done, total: seen.append((done, total)),
    )
    total = int(30 * factor) * int(20 * factor)
    assert {t for _, t in seen} == {total}
    counts = [done for done, _ in seen]
    assert counts == sorted(counts)
    assert counts[-1] == total
    if factor > 1:
        assert len(counts) > 10
        assert 0.3 < counts[len(counts) // 2] / total < 0.7  # halfway is halfway


def test_the_speed_is_measured_once() -> None:
    runner = FakeRunner()
    upscaler = Upscaler(compact(2), runner=runner)
    assert upscaler.macs_per_second(1e6) == upscaler.macs_per_second() > 0
    assert len(runner.calls) == 3
    _, _, height, width = runner.calls[0]
    assert height * width * compact(2).macs_per_pixel == pytest.approx(1e6, rel=0.1)


def test_wrong_arguments() -> None:
    with pytest.raises(UsageError, match="`tile_px` must be at least 1, got 0"):
        Upscaler(compact(2), tile_px=0)
    nodes = [Conv("c", "input", np.zeros((3, 4, 3, 3), np.float32), padding=1)]
    with pytest.raises(ModelError, match="has 4 input and 3 output channels"):
        Upscaler(Graph.of(nodes, output="c", in_channels=4, family="odd"))


@pytest.mark.slow
def test_colors_outside_srgb_come_through_the_network_unclipped() -> None:
    """Display P3's green is about (-0.51, 1.02, -0.31) in sRGB: flat areas keep it, also across tiles."""
    from upres.models.load import load_model

    lr = np.full((40, 36, 3), 0.5, np.float32)
    lr[:, 18:] = (-0.51, 1.02, -0.31)
    for tile in (None, 16):
        sr = Upscaler(load_model("compact-x4").graph, engine="ncnn", tile_px=tile).upscale_array(lr)
        np.testing.assert_allclose(sr[20:-20, 112:124], np.broadcast_to(lr[0, -1], (120, 12, 3)), atol=0.012)
        np.testing.assert_allclose(sr[20:-20, 20:32], 0.5, atol=0.012)
