from __future__ import annotations

import numpy as np
import pytest

from tests.tiny import FakeRunner, aligned_graph, compact, noise, picture
from upres.upscaling.output_size import OutputSize
from upres.upscaling.tiled_run import TURNS, turned
from upres.upscaling.upscaler import Upscaler


def test_the_eight_turns_are_those_of_the_square() -> None:
    """Against numpy's own rotations and flips."""
    lr = noise(3, 5)
    ours = {turned(lr, turn).tobytes() for turn in range(TURNS)}
    assert ours == {np.rot90(side, k).tobytes() for k in range(4) for side in (lr, lr[:, ::-1])}
    assert len(ours) == 8
    assert all(np.shares_memory(turned(lr, turn), lr) for turn in range(TURNS))


def test_it_equals_averaging_by_hand() -> None:
    lr = noise(13, 18)
    graph = compact(2, width=16)
    plain = Upscaler(graph, engine="ncnn", threads=1, exact=True)
    by_hand = np.zeros((26, 36, 3))
    for k in range(4):
        for flip in (False, True):
            there = np.rot90(lr[:, ::-1] if flip else lr, k)
            back = np.rot90(plain.upscale_array(np.ascontiguousarray(there)).astype(np.float64), -k)
            by_hand += (back[:, ::-1] if flip else back) / 8
    ours = Upscaler(graph, engine="ncnn", threads=1, exact=True, tta=True).upscale_array(lr)
    np.testing.assert_allclose(ours, by_hand, rtol=0, atol=1e-6)
    assert np.abs(ours - plain.upscale_array(lr)).max() > 1e-2  # it does something


@pytest.mark.parametrize("engine", ["torch", "ncnn"])
@pytest.mark.parametrize("tile_px", [None, 8])
def test_a_turned_picture_gives_the_turned_result(engine: str, tile_px: int | None) -> None:
    if engine == "torch":
        pytest.importorskip("torch")
    lr = noise(14, 19)
    upscaler = Upscaler(compact(2), engine=engine, threads=1, tta=True, tile_px=tile_px)
    straight = upscaler.upscale_array(lr)
    for turn in range(1, TURNS):
        result = upscaler.upscale_array(np.ascontiguousarray(turned(lr, turn)))
        np.testing.assert_allclose(result, turned(straight, turn), rtol=0, atol=2e-6)


def test_odd_sides_through_a_network_that_wants_even_ones() -> None:
    """The padding comes after the turn, so it favors no side."""
    lr = noise(7, 5)
    np.testing.assert_allclose(Upscaler(aligned_graph(), engine="ncnn", tta=True).upscale_array(lr), lr, atol=1e-6)


@pytest.mark.parametrize("engine", ["torch", "ncnn"])
@pytest.mark.parametrize("tile_px", [7, 16])
def test_tiled_equals_untiled_to_the_bit(engine: str, tile_px: int) -> None:
    if engine == "torch":
        pytest.importorskip("torch")
    lr = noise(29, 41)
    graph = compact(2, width=16)
    whole = Upscaler(graph, engine=engine, threads=1, exact=True, tta=True).upscale_array(lr)
    tiled = Upscaler(graph, engine=engine, threads=1, exact=True, tta=True, tile_px=tile_px).upscale_array(lr)
    np.testing.assert_array_equal(tiled, whole)


def test_it_is_eight_times_the_work_and_no_more_memory() -> None:
    graph = compact(2, width=16)
    plain, eight = (
        Upscaler(graph, runner=FakeRunner(), tta=tta, memory_bytes=256 * 1024**2).plan(300, 200)
        for tta in (False, True)
    )
    assert eight.macs == pytest.approx(8 * plain.macs)
    assert eight.array_bytes == plain.array_bytes
    assert eight.needed_bytes == plain.needed_bytes


def test_progress_counts_evenly_over_the_turns() -> None:
    seen: list[tuple[int, int]] = []
    runner = FakeRunner()
    upscaler = Upscaler(compact(2), runner=runner, tta=True)
    upscaler(picture(noise(20, 30)), size=OutputSize(), progress=lambda done, total: seen.append((done, total)))
    assert len(runner.calls) == 8
    assert [done for done, _ in seen] == [2400 * turn // 8 for turn in range(1, 9)] + [2400]


def test_alpha_and_gray_take_part() -> None:
    runner = FakeRunner()
    gray, alpha = noise(6, 5, 1), noise(6, 5, 1, seed=2)[:, :, 0]
    result = Upscaler(compact(2), runner=runner, tta=True)(picture(gray, alpha))
    assert len(runner.calls) == 16
    np.testing.assert_allclose(result.pixels, gray.repeat(2, axis=0).repeat(2, axis=1), atol=1e-6)
