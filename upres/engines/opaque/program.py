"""The interface of a model file opened by the engine for its format."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from upres.graph.nodes import Array


@dataclass(frozen=True, slots=True)
class Cost:
    """The cost of one run.

    Args:
        macs: Multiply-adds.
        live_bytes: Largest total size of activations alive at once.
    """

    macs: float
    live_bytes: float


class Program(Protocol):
    """A model file opened by an engine."""

    @property
    def name(self) -> str:
        """Engine and version."""
        ...

    @property
    def family(self) -> str:
        """Architecture, or file format if unknown."""
        ...

    @property
    def channels(self) -> tuple[int, ...]:
        """Numbers of input channels to try, in this order."""
        ...

    @property
    def fixed(self) -> tuple[int, int] | None:
        """The only input size (h, w) that the file accepts; None if any."""
        ...

    @property
    def takes_bytes(self) -> bool:
        """Whether inputs are rounded to integers in 0..255."""
        ...

    @property
    def parameters(self) -> int:
        """Number of weights."""
        ...

    @property
    def sha256(self) -> str:
        """Of the file."""
        ...

    @property
    def memory_factor(self) -> float:
        """As in `Runner`."""
        ...

    @property
    def grid_px(self) -> int:
        """As in `Runner`."""
        ...

    def __call__(self, lr: Array) -> Array:
        """float32 (1, c, h, w) to float32 (1, c', h', w'), whatever types the file uses. Raises EngineError."""
        ...

    def cost(self, lr: Array) -> Cost:
        """Measure the cost of a run on `lr`."""
        ...

    def close(self) -> None:
        """Free weights and working memory."""
        ...


def live_bytes(
    steps: list[tuple[tuple[str, ...], tuple[str, ...]]], sizes: dict[str, int], first: str, last: str
) -> float:
    """Largest total size of activations alive at once, in bytes, at 4 bytes per value.

    Args:
        steps: (inputs, outputs) of the operators in order, by name.
        sizes: Number of values by name.
        first: Name of the network's input.
        last: Name of its output.
    """
    last_read = {name: index for index, (inputs, _) in enumerate(steps) for name in inputs}
    last_read[last] = len(steps)
    alive = {first}
    peak = 0
    for index, (inputs, outputs) in enumerate(steps):
        alive.update(outputs)
        peak = max(peak, sum(sizes.get(name, 0) for name in alive))
        alive -= {name for name in (*inputs, *outputs) if last_read.get(name, -1) <= index}
    return 4.0 * peak
