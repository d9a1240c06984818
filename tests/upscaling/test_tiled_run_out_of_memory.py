"""Memory that runs short in the middle of a picture: the rest goes on in smaller tiles, what is finished stays, the
result is the same.

The engine is real (ncnn without Winograd, which gives equal values in any tile); only the memory is made up.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.tiny import FakeRunner, aligned_graph, compact, far_seeing_graph, noise, picture
from upres import engines
from upres.engines.sample_picture import sample
from upres.engines.tiles import Tile, divide, plan
from upres.errors import OutOfMemoryError
from upres.upscaling.output_size import OutputSize
from upres.upscaling.tile_size import MIN_TILE_PX, WIDE_FIELD_PX
from upres.upscaling.upscaler import Upscaler

Array = np.ndarray
GRAPH = compact(2, width=8, strength=0.01)


def photograph(height: int, width: int, channels: int = 3) -> Array:
    return np.moveaxis(sample(channels, height, width)[0], 0, 2)


class Short:
    """An engine on a device that refuses inputs of more than `room_px` pixels.

    `rooms` changes that, from the calls named on.
    """

    name = "card 1"
    device = "cuda:0"
    precision = "fp32"
    notes = ()
    grid_px = 1
    memory_factor = 1.0

    def __init__(self, graph: Any, rooms: dict[int, int], error: Exception | None = None) -> None:
        self._engine = engines.load(graph, engine="ncnn", threads=1, exact=True, device="cpu", precision="fp32")
        self._rooms, self._room, self._number = rooms, 1 << 40, 0
        self._error = error or OutOfMemoryError("card 1 had no memory left")
        self.served: list[Array] = []
        self.refused = 0

    def __call__(self, lr: Array) -> Array:
        self._room = self._rooms.get(self._number, self._room)
        self._number += 1
        if lr.shape[2] * lr.shape[3] > self._room:
            self.refused += 1
            raise self._error
        self.served.append(lr)
        return self._engine(lr)

    def close(self) -> None:
        self._engine.close()


def short_of(upscaler: Upscaler, rooms: dict[int, int], error: Exception | None = None) -> list[Short]:
    """`upscaler` with its engines replaced."""
    runners: list[Short] = []
    for network in upscaler.networks:
        network.runner.close()
        runners.append(Short(network.graph, rooms, error))
        network.runner = runners[-1]
    return runners


@pytest.mark.parametrize("error", [OutOfMemoryError("no memory"), MemoryError()], ids=["engine", "numpy"])
@pytest.mark.parametrize(
    "rooms",
    [{0: 100 * 100}, {0: 60 * 60}, {2: 70 * 70}, {3: 90 * 90, 7: 60 * 60}, {2: 60 * 60, 9: 1 << 40}],
    ids=["at once", "twice at once", "later", "twice", "for a while"],
)
def test_the_result_is_that_of_one_tile_to_the_bit(rooms: dict[int, int], error: Exception) -> None:
    lr = photograph(200, 190)
    right = Upscaler(GRAPH, engine="ncnn", threads=1, exact=True).upscale_array(lr)
    upscaler = Upscaler(GRAPH, engine="ncnn", threads=1, exact=True, tile_px=100)
    (runner,) = short_of(upscaler, rooms, error)
    result = upscaler(picture(lr))
    np.testing.assert_array_equal(result.pixels, right)
    assert runner.refused > 0
    (note,) = [note for note in result.notes if "not enough memory" in note]
    assert note == f"not enough memory for tiles of 100 px, so tiles of {upscaler.networks[0].max_tile_px} px were used"


def test_finished_tiles_are_not_run_again() -> None:
    """A picture whose every pixel tells its place: what was asked of the engine can be read off its inputs."""
    lr = np.zeros((200, 200, 3), np.float32)
    lr[:, :, 0], lr[:, :, 1] = np.indices((200, 200)) / 255
    graph = compact(2, width=4, depth=1, strength=0.0)
    upscaler = Upscaler(graph, engine="ncnn", threads=1, exact=True, tile_px=100)
    (runner,) = short_of(upscaler, {2: 80 * 80})  # two of four tiles are done
    np.testing.assert_allclose(upscaler.upscale_array(lr), lr.repeat(2, axis=0).repeat(2, axis=1), atol=1e-6)
    assert runner.refused == 1
    assert len(runner.served) == 2 + 8
    seen = np.zeros((200, 200), int)
    for tile in runner.served:
        top, left = (round(float(tile[0, channel, 0, 0]) * 255) for channel in (0, 1))
        seen[top : top + tile.shape[2], left : left + tile.shape[3]] += 1
    assert seen.min() == 1  # everything was computed, and beside the overlaps only once
    assert np.count_nonzero(seen == 1) > 0.8 * seen.size
    assert sum(tile.shape[2] * tile.shape[3] for tile in runner.served) == seen.sum()


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings",
    [{"tta": True}, {"wrap": True}, {"wrap": True, "tta": True}, {"blend": 0.6, "color_lock": True}],
    ids=["tta", "wrap", "both", "mixed"],
)
def test_with_all_there_is(settings: dict[str, Any]) -> None:
    lr, alpha = photograph(70, 81), noise(70, 81, 1)[:, :, 0]
    chain = [GRAPH, compact(2, width=4, strength=0.01, seed=1)]
    right = Upscaler(chain, engine="ncnn", threads=1, exact=True, **settings)(picture(lr, alpha))
    upscaler = Upscaler(chain, engine="ncnn", threads=1, exact=True, tile_px=70, **settings)
    runners = short_of(upscaler, {1: 50 * 50, 5: 40 * 40})
    seen: list[tuple[int, int]] = []
    result = upscaler(picture(lr, alpha), progress=lambda done, total: seen.append((done, total)))
    np.testing.assert_array_equal(result.pixels, right.pixels)
    np.testing.assert_array_equal(result.alpha, right.alpha)
    assert all(runner.refused for runner in runners)
    counts = [done for done, _ in seen]
    assert counts == sorted(counts)
    assert counts[-1] == seen[-1][1] == 280 * 324
    assert counts.count(counts[-1]) < 0.2 * len(counts)  # more work than planned does not stand at 100 %


@pytest.mark.parametrize("channels", [1, 3])
def test_gray_pictures_and_networks_that_want_even_sides(channels: int) -> None:
    lr = photograph(131, 70, channels)
    upscaler = Upscaler(aligned_graph(), engine="ncnn", threads=1, exact=True)
    (runner,) = short_of(upscaler, {0: 40 * 40})
    np.testing.assert_allclose(upscaler.upscale_array(lr), lr, atol=1e-6)
    assert all(side % 2 == 0 for tile in runner.served for side in tile.shape[2:])


def test_progress_of_halved_tiles_is_honest() -> None:
    upscaler = Upscaler(GRAPH, engine="ncnn", threads=1, exact=True, tile_px=128)
    short_of(upscaler, {1: 60 * 60})
    seen: list[int] = []
    upscaler.upscale_array(photograph(256, 128), lambda done, _: seen.append(done))
    total = 256 * 128 * 4
    assert seen == sorted(seen)
    assert seen[0] == pytest.approx(total / 2, rel=0.02)
    steps = np.diff(seen[:-1])  # the last is the end, told once more
    assert steps.max() < 2 * steps.min()
    assert seen[-1] == total


def test_the_smaller_side_is_remembered() -> None:
    lr = photograph(100, 100)
    upscaler = Upscaler(GRAPH, engine="ncnn", threads=1, exact=True)
    (runner,) = short_of(upscaler, {0: 70 * 70})
    upscaler(picture(lr), size=OutputSize(factor=2))
    assert runner.refused == 1
    before = len(runner.served)
    assert upscaler.plan(100, 100).passes[0].tiling.tile_px == 50
    result = upscaler(picture(lr))
    assert runner.refused == 1
    assert len(runner.served) == 2 * before
    assert result.notes == ()  # nothing happened to this one


def test_a_batch_that_was_planned_before_meets_the_smaller_side() -> None:
    """The plan of a second pass was made when memory seemed to be there."""
    lr = photograph(60, 60)
    upscaler = Upscaler(GRAPH, engine="ncnn", threads=1, exact=True)
    (runner,) = short_of(upscaler, {0: 50 * 50})
    upscaler(picture(lr), size=OutputSize(factor=4))
    assert runner.refused == 1


def test_less_than_the_smallest_tile_is_an_error_with_a_remedy() -> None:
    upscaler = Upscaler(GRAPH, engine="ncnn", threads=1, exact=True, tile_px=100)
    (runner,) = short_of(upscaler, {0: 8}, OutOfMemoryError("card 1 had no memory left; try a smaller tile"))
    with pytest.raises(
        OutOfMemoryError, match=r"of rows .*: card 1 had no memory left\. No smaller tile helps: close .*`memory_bytes`"
    ):
        upscaler.upscale_array(photograph(100, 100))
    assert runner.refused == 3  # 100, 50 and 32
    assert upscaler.networks[0].max_tile_px == MIN_TILE_PX


def test_smaller_tiles_that_would_read_as_much_are_not_tried() -> None:
    """Of a network that sees all of the picture, half a tile reads all of it too."""
    far = far_seeing_graph(100)

    class Refusing(FakeRunner):
        def __call__(self, lr: Array) -> Array:
            self.calls.append(lr.shape)
            raise OutOfMemoryError("no")

    runner = Refusing(1)
    with pytest.raises(OutOfMemoryError, match="No smaller tile helps"):
        Upscaler(far, runner=runner, exact=True).upscale_array(noise(90, 90, 1))
    assert len(runner.calls) == 1


def test_a_wide_overlap_is_cut_as_a_plan_would_cut_it_and_told() -> None:
    far = far_seeing_graph(150)

    class Roomy(FakeRunner):
        def __call__(self, lr: Array) -> Array:
            if lr.shape[2] * lr.shape[3] > 250 * 250:
                self.calls.append(lr.shape)
                raise OutOfMemoryError("no")
            return super().__call__(lr)

    lr = photograph(300, 300, 1)
    for exact in (False, True):
        runner = Roomy(1)
        upscaler = Upscaler(far, runner=runner, exact=exact)
        if exact:
            with pytest.raises(OutOfMemoryError):
                upscaler.upscale_array(lr)
            continue
        result = upscaler(picture(lr))
        np.testing.assert_array_equal(result.pixels, lr)
        assert any(
            f"overlap of {WIDE_FIELD_PX} px, less than the network's receptive field of 150 px" in note
            for note in result.notes
        )


@pytest.mark.parametrize("grid", [1, 12])
@pytest.mark.parametrize("alignment", [1, 2])
def test_a_tile_is_divided_as_a_plan_is(grid: int, alignment: int) -> None:
    height, width = 214, 130
    seen = np.zeros((height, width), int)
    for tile in plan(height, width, tile_px=90, overlap_px=17, alignment=alignment, grid_px=grid):
        parts = divide(tile, height, width, tile_px=34, overlap_px=17, alignment=alignment, grid_px=grid)
        assert len(parts) > 1
        for part in parts:
            seen[part.keep_top : part.keep_bottom, part.keep_left : part.keep_right] += 1
            assert part.keep_side <= 34
            axes = (
                (part.source_top, part.source_bottom, part.keep_top, part.keep_bottom, height),
                (part.source_left, part.source_right, part.keep_left, part.keep_right, width),
            )
            for low, high, keep_low, keep_high, length in axes:
                assert low == 0 or (low <= keep_low - 17 and low % grid == 0)
                assert high == length or (high >= keep_high + 17 and high % grid == 0)
                assert not any(edge % alignment for edge in (low, high, keep_low, keep_high))
    assert (seen == 1).all()
    (whole,) = divide(Tile(0, 20, 0, 30, 0, 20, 0, 30), 20, 30, tile_px=30, overlap_px=5)
    assert whole == Tile(0, 20, 0, 30, 0, 20, 0, 30)
