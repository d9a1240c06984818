"""What an engine makes of a model file that is a program of its own: something to call with a picture, and what a call costs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from upres.graph.nodes import Array


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one run: multiply-adds, and the largest sum of values alive at once in bytes."""

    macs: float
    live_bytes: float


class Program(Protocol):
    """A model file that an engine has opened. `channels` are those that it may take, `fixed` is the only size (h, w) that it takes."""

    @property
    def name(self) -> str: ...

    @property
    def family(self) -> str: ...

    @property
    def channels(self) -> tuple[int, ...]: ...

    @property
    def fixed(self) -> tuple[int, int] | None: ...

    @property
    def takes_bytes(self) -> bool: ...

    @property
    def parameters(self) -> int: ...

    @property
    def sha256(self) -> str: ...

    @property
    def memory_factor(self) -> float: ...

    @property
    def grid_px(self) -> int: ...

    def __call__(self, lr: Array) -> Array:
        """(1, c, h, w) to (1, c, h', w'), both float32, whatever the file stores. Raises EngineError where it fails."""
        ...

    def cost(self, lr: Array) -> Cost:
        """What a run of this picture costs."""
        ...

    def close(self) -> None: ...


def live_bytes(steps: list[tuple[tuple[str, ...], tuple[str, ...]]], sizes: dict[str, int], first: str, last: str) -> float:
    """Largest sum of values alive at once, as `analysis.activation_bytes_per_pixel`: `steps` are (inputs, outputs), `sizes` elements."""
    last_read = {name: index for index, (inputs, _) in enumerate(steps) for name in inputs}
    last_read[last] = len(steps)
    alive = {first}
    peak = 0
    for index, (inputs, outputs) in enumerate(steps):
        alive.update(outputs)
        peak = max(peak, sum(sizes.get(name, 0) for name in alive))
        alive -= {name for name in (*inputs, *outputs) if last_read.get(name, -1) <= index}
    return 4.0 * peak
