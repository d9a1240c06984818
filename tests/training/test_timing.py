"""A stopwatch that never blocks: sections add up on the CPU, and a GPU's events are read once it has passed them."""

from __future__ import annotations

from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("tensorboard")
pytest.importorskip("matplotlib")


from upres.training.timing import Stopwatch  # noqa: E402


def test_the_stopwatch_adds_up_sections_and_begins_anew() -> None:
    times = iter([0.0, 1.0, 2.0, 2.5, 10.0, 10.25, 20.0, 21.0])
    clock = Stopwatch(torch.device("cpu"), now=lambda: next(times))
    for name in ("data", "generator", "data"):
        with clock(name):
            pass
    assert clock.milliseconds() == {"data": 1250.0, "generator": 500.0}
    assert clock.milliseconds() == {}
    with clock("data"):
        pass
    assert clock.milliseconds() == {"data": 1000.0}


class Event:
    """A torch.cuda.Event of a GPU that works when it is told to."""

    ordered: list[Event]
    done = 0

    def __init__(self) -> None:
        self.place = -1

    def record(self, stream: Any = None) -> None:
        Event.ordered.append(self)
        self.place = len(Event.ordered)

    def query(self) -> bool:
        return 0 < self.place <= Event.done

    def elapsed_time(self, end_event: Event) -> float:
        assert self.query() and end_event.query(), "a real event would wait here, or fail"
        return float(end_event.place**2 - self.place**2)

    def synchronize(self) -> None:
        raise AssertionError("nobody may wait")


def test_the_events_of_a_gpu_are_read_a_step_later_and_only_when_it_has_passed_them() -> None:
    Event.ordered, Event.done = [], 0
    clock = Stopwatch(torch.device("cpu"), mark=Event)

    def step() -> dict[str, float]:
        for name in ("generator", "discriminator", "generator"):
            with clock(name):
                pass
        return clock.milliseconds()

    assert step() == {}  # its own step is never asked
    Event.done = 6
    assert step() == {"generator": 3.0 + 11.0, "discriminator": 7.0}
    assert step() == {}  # the GPU is behind: nobody waits for it
    Event.done = 12 + 5
    assert step() == {"generator": 15.0 + 23.0, "discriminator": 19.0}  # the second step; the third is not through
    Event.done = 24
    # the newest of two that are
    assert step() == {"generator": 20**2 - 19**2 + 24**2 - 23**2, "discriminator": 22**2 - 21**2}
