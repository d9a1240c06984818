"""Times the sections of a training step, on a CPU or a GPU, without synchronizing."""

from __future__ import annotations

# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false, reportUnknownVariableType=false
import time
from collections import deque
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any, Protocol

import torch


class Mark(Protocol):
    """A point in a GPU stream: the part of torch.cuda.Event used here."""

    def record(self, stream: Any = None) -> None: ...
    def query(self) -> bool: ...
    def elapsed_time(self, end_event: Any) -> float: ...


class Stopwatch:
    """Milliseconds of named sections: `with clock("generator"): ...`; repeated names add up.

    On a GPU a section lies between two events of the current stream. They are read once the GPU has passed them, a step
    or more later, so that nothing waits for them. A section without GPU work, such as loading data, is the GPU's idle
    time.
    """

    def __init__(
        self,
        device: torch.device,
        *,
        now: Callable[[], float] = time.perf_counter,
        mark: Callable[[], Mark] | None = None,
    ) -> None:
        self._now = now
        on_gpu = device.type == "cuda"
        self._mark = mark or ((lambda: torch.cuda.Event(enable_timing=True)) if on_gpu else None)
        self._stream: Callable[[], Any] = (lambda: torch.cuda.current_stream(device)) if on_gpu else (lambda: None)
        self._seconds: dict[str, float] = {}
        self._pairs: list[tuple[str, Mark, Mark]] = []
        self._steps: deque[list[tuple[str, Mark, Mark]]] = deque()

    @contextmanager
    def __call__(self, name: str) -> Generator[None]:
        if self._mark is None:
            begun = self._now()
            yield
            self._seconds[name] = self._seconds.get(name, 0.0) + self._now() - begun
        else:
            begin, end = self._mark(), self._mark()
            begin.record(self._stream())
            yield
            end.record(self._stream())
            self._pairs.append((name, begin, end))

    def milliseconds(self) -> dict[str, float]:
        """Call once per step: the sections since the last call; on a GPU, those of the newest step that has completed.

        Empty if there is none yet.
        """
        if self._mark is None:
            seconds, self._seconds = self._seconds, {}
            return {name: 1e3 * value for name, value in seconds.items()}
        result: dict[str, float] = {}
        while self._steps and all(end.query() for _, _, end in self._steps[0]):
            result = {}
            for name, begin, end in self._steps.popleft():
                result[name] = result.get(name, 0.0) + begin.elapsed_time(end)
        self._steps.append(self._pairs)
        self._pairs = []
        return result
