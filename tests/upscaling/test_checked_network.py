"""Fault injection: whatever a broken engine gives for a tile, the picture is right, and the user is told."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests.tiny import FakeRunner, compact, gray_graph, noise, picture
from upres import engines
from upres.engines.options import EngineOptions
from upres.engines.runner import Runner
from upres.engines.sample_picture import sample
from upres.errors import EngineError, NotFiniteError
from upres.graph.graph import Graph
from upres.graph.nodes import Conv
from upres.graph.opaque import OpaqueModel
from upres.upscaling import chain
from upres.upscaling.checked_network import PATIENCE
from upres.upscaling.upscaler import Upscaler

Array = np.ndarray
GRAPH = compact(2, width=8, strength=0.01)


def photograph(height: int, width: int, channels: int = 3) -> Array:
    return np.moveaxis(sample(channels, height, width)[0], 0, 2)


def exact(graph: Graph) -> Runner:
    return engines.load(graph, engine="ncnn", threads=1, exact=True, device="cpu", precision="fp32")


class Faulty:
    """A half-precision engine on a card: right (ncnn without Winograd does its work) but for the calls named, which
    `spoil` changes.
    """

    name = "card 1"
    device = "cuda:0"
    precision = "fp16"
    notes = ("fp16: the probe agreed",)
    grid_px = 1
    memory_factor = 1.0

    def __init__(self, graph: Graph, spoil: Callable[[Array], Array], bad: set[int]) -> None:
        self._engine, self._spoil, self._bad = exact(graph), spoil, bad
        self.calls = 0

    def __call__(self, lr: Array) -> Array:
        self.calls += 1
        sr = self._engine(lr)
        return self._spoil(sr.copy()) if self.calls - 1 in self._bad else sr

    def close(self) -> None:
        self._engine.close()


def one_nan(sr: Array) -> Array:
    sr[0, -1, -1, -1] = np.nan
    return sr


def overflow(sr: Array) -> Array:
    sr[0, 0, 3:, 5] = np.inf
    return sr


def refused(_: Array) -> Array:
    raise NotFiniteError("card 1 gave 7 of 9 values that are not finite")


def black(sr: Array) -> Array:
    return np.zeros_like(sr)


def green(sr: Array) -> Array:
    sr[:, (0, 2)] = 0.0
    return sr


def upside_down(sr: Array) -> Array:
    return np.float32(1.0) - sr


FAULTS = [
    (one_nan, "with NaN or infinity"),
    (overflow, "with NaN or infinity"),
    (refused, "with NaN or infinity"),
    (black, "in one flat color where the picture has detail"),
    (green, "in one flat color where the picture has detail"),
    (upside_down, "far from the mean color of the picture"),
]


@pytest.mark.parametrize(("spoil", "words"), FAULTS, ids=lambda value: getattr(value, "__name__", ""))
def test_a_bad_tile_is_run_again_and_reported(
    spoil: Callable[[Array], Array], words: str, caplog: pytest.LogCaptureFixture
) -> None:
    lr = photograph(60, 70)
    right = Upscaler(GRAPH, engine="ncnn", threads=1, exact=True).upscale_array(lr)
    upscaler = Upscaler(GRAPH, runner=Faulty(GRAPH, spoil, {1, 4}), tile_px=20, exact=True, threads=1)
    result = upscaler(picture(lr))
    np.testing.assert_array_equal(result.pixels, right)
    again = f"card 1 (fp16 on cuda:0) returned 2 of 12 tiles {words}; they were run again in float32 on the CPU (ncnn "
    assert result.notes[0] == "fp16: the probe agreed"
    assert result.notes[1].startswith(again)
    assert again in caplog.text  # a caller with arrays sees no notes
    assert upscaler(picture(lr)).notes == ()  # nothing stays from one picture to the next
    upscaler.close()


@pytest.mark.parametrize("spoil", [one_nan, black], ids=["nan", "black"])
@pytest.mark.parametrize(
    "settings", [{"tta": True}, {"wrap": True}, {"color_lock": True, "blend": 0.7}], ids=["tta", "wrap", "mixed"]
)
def test_also_turned_and_wrapped_with_alpha_and_in_chains(
    spoil: Callable[[Array], Array], settings: dict[str, Any]
) -> None:
    lr, alpha = photograph(24, 30), noise(24, 30, 1)[:, :, 0]
    chain = [GRAPH, compact(2, width=4, strength=0.01, seed=1)]
    right = Upscaler(chain, engine="ncnn", threads=1, exact=True, **settings)(picture(lr, alpha))
    upscaler = Upscaler(chain, engine="ncnn", threads=1, exact=True, tile_px=16, **settings)
    for network in upscaler.networks:
        network.runner.close()
        network.runner = Faulty(network.graph, spoil, {1, 3, 6})
    result = upscaler(picture(lr, alpha))
    np.testing.assert_array_equal(result.pixels, right.pixels)
    np.testing.assert_array_equal(result.alpha, right.alpha)
    told = [note for note in result.notes if "3 of" in note and "run again" in note]
    assert [note[:16] for note in told] == ["network 1 of 2: ", "network 2 of 2: "]
    upscaler.close()


def test_a_gray_network_is_judged_plane_by_plane_and_counts_tiles() -> None:
    lr = noise(8, 16)
    upscaler = Upscaler(gray_graph(), runner=FakeRunner(spoil_call=4), reference=FakeRunner(), tile_px=8)
    result = upscaler(picture(lr))
    np.testing.assert_array_equal(result.pixels, lr.repeat(2, axis=0).repeat(2, axis=1))
    assert result.notes[0].startswith(
        "fake 1 (fp32 on cpu) returned 1 of 2 tiles with NaN or infinity; it was run again"
    )


def test_a_broken_engine_is_put_aside_for_the_rest_of_the_picture() -> None:
    lr = photograph(20, 120)
    broken = Faulty(GRAPH, one_nan, set(range(1, 100)))
    upscaler = Upscaler(GRAPH, runner=broken, tile_px=20, exact=True, threads=1)
    result = upscaler(picture(lr))
    np.testing.assert_array_equal(
        result.pixels, Upscaler(GRAPH, engine="ncnn", threads=1, exact=True).upscale_array(lr)
    )
    assert broken.calls == 1 + PATIENCE
    assert f"returned {PATIENCE} of 6 tiles with NaN or infinity" in result.notes[1]
    assert (
        result.notes[2]
        == "card 1 (fp16 on cuda:0) failed 3 tiles in a row, so the last 2 of 6 tiles ran in float32 on the CPU"
    )
    upscaler(picture(lr))  # the fault may have lain in the picture: one tile more is tried, and no three
    assert broken.calls == 2 + PATIENCE
    broken._bad = set()
    assert upscaler(picture(lr)).notes == ()
    assert broken.calls == 8 + PATIENCE


def test_now_and_then_a_bad_tile_does_not_put_an_engine_aside() -> None:
    runner = Faulty(GRAPH, one_nan, {0, 1, 3, 4, 6, 7})
    Upscaler(GRAPH, runner=runner, tile_px=20, exact=True, threads=1).upscale_array(photograph(20, 200))
    assert runner.calls == 10


def brightening(by: float = 0.4) -> Graph:
    """A network that moves every level, on purpose."""
    weight = np.zeros((3, 3, 3, 3), np.float32)
    weight[np.arange(3), np.arange(3), 1, 1] = 1.0
    return Graph.of(
        [Conv("c", "input", weight, np.full(3, by, np.float32), padding=1)],
        output="c",
        in_channels=3,
        family="brighter",
    )


def test_what_the_model_does_itself_is_kept_and_not_paid_for_all_the_time() -> None:
    lr = photograph(20, 200)
    graph = brightening()
    references: list[FakeRunner] = []

    class Counted(FakeRunner):
        def __call__(self, lr: Array) -> Array:
            return super().__call__(lr) + np.float32(0.4)

    runner, reference = Counted(scale=1), Counted(scale=1)
    references.append(reference)
    upscaler = Upscaler(graph, runner=runner, reference=reference, tile_px=20)
    result = upscaler(picture(lr))
    np.testing.assert_array_equal(result.pixels, lr + np.float32(0.4))
    assert result.notes == (
        "the model itself returns tiles far from the mean color of the picture (float32 on the CPU agrees), so they "
        "were kept",
    )
    assert (len(runner.calls), len(reference.calls)) == (10, PATIENCE)
    assert upscaler(picture(lr)).notes == ()  # told once
    assert len(reference.calls) == PATIENCE


def test_such_a_model_on_a_broken_engine() -> None:
    """Both answers are far from the input; only one of them is the network's."""
    lr = photograph(20, 40)
    graph = brightening()
    broken = Faulty(graph, black, {0})
    result = Upscaler(graph, runner=broken, exact=True, threads=1)(picture(lr))
    np.testing.assert_array_equal(
        result.pixels, Upscaler(graph, engine="ncnn", threads=1, exact=True).upscale_array(lr)
    )
    assert "returned 1 of 1 tiles in one flat color" in result.notes[1]


def test_a_model_that_is_not_finite_itself_is_an_error_that_names_the_tile() -> None:
    upscaler = Upscaler(GRAPH, runner=FakeRunner(spoil_call=1), reference=FakeRunner(spoil_call=0), tile_px=16)
    words = r"fake 1 returned NaN or infinity for the tile of rows 0 to \d+, columns 1\d to 32, and so did fake 1 "
    words += ".*model is at"
    with pytest.raises(EngineError, match=words):
        upscaler.upscale_array(noise(16, 32))


def test_a_reference_that_fails_is_told_with_the_tile() -> None:
    reference = FakeRunner(spoil_call=0, error=EngineError("no"))
    with pytest.raises(EngineError, match="the tile of rows 0 to 16, columns 0 to 32: no"):
        Upscaler(GRAPH, runner=FakeRunner(spoil_call=0), reference=reference).upscale_array(noise(16, 32))


def test_the_reference_is_ncnn_on_the_cpu_in_float32_made_when_it_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[EngineOptions] = []
    load = engines.load

    def watched(graph: Any, options: EngineOptions) -> Runner:
        asked.append(options)
        return load(graph, options)

    monkeypatch.setattr(engines, "load", watched)
    runner = FakeRunner(spoil_call=1)
    upscaler = Upscaler(GRAPH, runner=runner, threads=1)
    upscaler.upscale_array(noise(8, 8))
    assert asked == []
    for _ in range(2):
        runner.calls = runner.calls[:1]
        upscaler.upscale_array(noise(8, 8))
    assert asked == [EngineOptions("ncnn", "cpu", "fp32", threads=1, exact=True)]
    upscaler.close()


def test_a_file_of_unknown_make_is_run_again_by_its_own_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[EngineOptions] = []
    monkeypatch.setattr(engines, "load", lambda _, options: asked.append(options))
    chain._reference(object.__new__(OpaqueModel), 2, None)
    assert asked == [EngineOptions("auto", "cpu", "fp32", threads=2, exact=True)]


def test_a_run_in_float32_keeps_to_the_memory_of_the_tile() -> None:
    """The reference may need many times what the engine does: it gets smaller tiles, with the same result."""
    lr = photograph(100, 110)
    narrow = exact(GRAPH)
    shapes: list[tuple[int, ...]] = []

    class Hungry(FakeRunner):
        memory_factor = 4.0

        def __call__(self, lr: Array) -> Array:
            shapes.append(lr.shape)
            return narrow(lr)

    runner = Faulty(GRAPH, one_nan, {0})
    result = Upscaler(GRAPH, runner=runner, reference=Hungry(), exact=True).upscale_array(lr)
    np.testing.assert_array_equal(result, narrow(np.moveaxis(lr, 2, 0)[None].copy())[0].transpose(1, 2, 0))
    assert len(shapes) > 1
    assert max(h * w for _, _, h, w in shapes) * 4.0 <= 102 * 112


def test_a_speed_is_measured_with_a_broken_engine_too() -> None:
    assert Upscaler(GRAPH, runner=FakeRunner(spoil_call=0, error=NotFiniteError("nan"))).glance_macs_per_second() > 0
