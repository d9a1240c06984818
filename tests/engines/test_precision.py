"""Half precision only where it agrees with float32: engines whose fault is known, and real ones."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from tests.tiny import compact
from upres import engines
from upres.engines.options import EngineOptions
from upres.engines.precision import LIMITS, compare, open_checked, tiles
from upres.engines.registry import open_graph
from upres.engines.runner import Precision, Runner
from upres.errors import EngineError, NotFiniteError, UsageError
from upres.graph.graph import Graph
from upres.graph.nodes import Conv, Resample
from upres.models.load import load_model

Array = np.ndarray


class Gpu:
    """ncnn's float32 on the CPU with a fault, which says that it is a GPU."""

    name = "gpu 1.0"
    notes: tuple[str, ...] = ()
    memory_factor = 1.0
    grid_px = 1

    def __init__(self, runner: Runner, precision: Precision, fault: Callable[[Array], Array]) -> None:
        self._runner, self.precision, self._fault = runner, precision, fault
        self.device = "gpu:0"
        self.closed = False

    def __call__(self, lr: Array) -> Array:
        return self._fault(self._runner(lr))

    def close(self) -> None:
        self.closed = True
        self._runner.close()


def opener(faults: dict[str, Callable[[Array], Array]], opened: list[Gpu]) -> Callable[..., Runner]:
    """Stands in for `open_graph`: on any device but the CPU the fault of that precision is added."""

    def open_runner(graph: Graph, *, device: str, precision: Precision, **_: object) -> Runner:
        runner = open_graph(graph, engine="ncnn", threads=1, exact=True, device="cpu", precision="fp32")
        if device == "cpu":
            return runner
        opened.append(Gpu(runner, precision, faults[precision]))
        return opened[-1]

    return open_runner


def ask(faults: dict[str, Callable[[Array], Array]], precision: str = "auto") -> tuple[Runner, list[Gpu]]:
    opened: list[Gpu] = []
    options = EngineOptions(engine="torch", threads=1, device="cuda", precision=precision)
    made = open_checked(compact(2), options, open_runner=opener(faults, opened))
    return made, opened


def right(sr: Array) -> Array:
    return sr


def not_finite(sr: Array) -> Array:
    sr[0, 0, 3, 3] = np.nan
    return sr


def refused(sr: Array) -> Array:
    raise NotFiniteError("values that are not finite")


def black(sr: Array) -> Array:
    return np.zeros_like(sr)


def shifted(sr: Array) -> Array:
    return sr + np.float32(0.5 / 255.0)


def one_value_off(sr: Array) -> Array:
    sr[0, 1, 7, 7] = abs(sr[0, 1, 7, 7] - 0.5)
    return sr


FAULTS = [not_finite, refused, black, shifted, one_value_off]


@pytest.mark.parametrize("precision", ["auto", "fp16", "bf16"])
def test_half_precision_that_agrees_is_used(precision: str) -> None:
    kept: Precision = "bf16" if precision == "bf16" else "fp16"
    runner, opened = ask({kept: right}, precision)
    assert (runner.precision, runner.notes, opened[0].closed) == (kept, (), False)


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("precision", ["auto", "fp16"])
def test_half_precision_that_disagrees_is_not_and_a_note_says_so(
    fault: Callable[[Array], Array], precision: str
) -> None:
    runner, opened = ask({"fp16": fault, "fp32": right}, precision)
    assert (runner.precision, runner.device) == ("fp32", "gpu:0")
    (note,) = runner.notes
    assert note.startswith("fp16 of gpu 1.0 on gpu:0 was replaced by float32 for this model: ")
    assert opened[0].closed and not opened[1].closed
    np.testing.assert_array_equal(runner(tiles(compact(2))["photograph"]).shape, (1, 3, 128, 128))
    runner.close()
    assert opened[1].closed


def test_figures_are_told() -> None:
    runner, _ = ask({"fp16": shifted, "fp32": right})
    words = "(photograph) it differs from float32 by up to 0.5 8-bit levels and 0.41 on average (limits 8 and 0.25)"
    assert words in runner.notes[0]


@pytest.mark.parametrize("fault", FAULTS)
def test_a_gpu_that_is_wrong_in_float32_too_is_refused(fault: Callable[[Array], Array]) -> None:
    with pytest.raises(
        EngineError, match=r"gpu 1\.0 computes wrong results on gpu:0, in float32 too: .*; update the driver"
    ):
        ask({"fp16": fault, "fp32": fault})


def test_float32_is_not_put_to_the_test() -> None:
    runner, opened = ask({"fp32": black}, "fp32")
    assert runner is opened[0]


def test_on_the_cpu_auto_is_float32_without_a_test() -> None:
    opened: list[str] = []

    def open_runner(graph: Graph, *, precision: Precision, **options: object) -> Runner:
        opened.append(precision)
        return open_graph(graph, precision=precision, **options)  # type: ignore[arg-type]

    for engine, device in (("ncnn", "auto"), ("ncnn", "cpu"), ("torch", "cpu")):
        opened.clear()
        options = EngineOptions(engine=engine, device=device, threads=1)
        assert open_checked(compact(2), options, open_runner=open_runner).precision == "fp32"
        assert opened == ["fp32"]


def test_where_nobody_asked_for_it_a_device_without_half_precision_runs_in_float32() -> None:
    def none(graph: Graph, *, precision: Precision, **options: object) -> Runner:
        if precision != "fp32":
            raise UsageError("this device has no fp16")
        return Gpu(
            open_graph(graph, engine="ncnn", threads=1, exact=True, device="cpu", precision="fp32"), "fp32", right
        )

    options = EngineOptions(engine="torch", threads=1, device="cuda")
    assert open_checked(compact(2), options, open_runner=none).notes == ()
    with pytest.raises(UsageError, match="this device has no fp16"):
        open_checked(compact(2), options.replace(precision="fp16"), open_runner=none)


def test_a_network_whose_values_overflow_in_16_bits_runs_in_float32() -> None:
    """Right in float32, beyond fp16's 65504 between its layers: what makes black squares elsewhere. torch has fp16 on
    the CPU too.
    """
    pytest.importorskip("torch")
    large, small = (np.zeros((3, 3, 1, 1), np.float32) for _ in range(2))
    large[range(3), range(3)], small[range(3), range(3)] = 1e5, 1e-5
    nodes = [
        Conv("large", "input", large),
        Resample("upsample_nearest", "up", "large", 2),
        Conv("small", "up", small),
    ]
    graph = Graph.of(nodes, output="small", in_channels=3, family="overflows")
    runner = engines.load(graph, engine="torch", device="cpu", precision="fp16", threads=1)
    assert runner.precision == "fp32"
    assert runner.notes[0].startswith("fp16 of torch")


@pytest.mark.slow
def test_fp16_agrees_on_the_house_model_and_bf16_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """The measurement of the module's text, on torch's CPU kernels: those that sum in float32, as GPUs do."""
    pytest.importorskip("torch")
    monkeypatch.setattr("upres.engines.precision._SIDE_PX", 48)
    graph = load_model("srvgg-x4").graph
    reference = open_graph(graph, engine="ncnn", threads=1, exact=True, device="cpu", precision="fp32")
    found = {}
    for precision in ("fp32", "fp16", "bf16"):
        runner = open_graph(graph, engine="torch", threads=1, exact=False, device="cpu", precision=precision)
        found[precision] = compare(runner, reference, graph)
    assert found["fp32"].failed == found["fp16"].failed == ""
    assert "(extremes)" in found["bf16"].failed
    assert found["fp32"].errors["photograph"][0] < 1e-4
    means = {precision: agreement.errors["photograph"][1] for precision, agreement in found.items()}
    assert 0.0 < means["fp32"] < 1e-5 < means["fp16"] < LIMITS["photograph"][1] / 4 < means["bf16"]
