"""The interface of an engine: a loaded network that runs on one tile at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, Protocol, TypeAlias

import numpy as np

from upres.errors import EngineError, NotFiniteError
from upres.graph.nodes import Array
from upres.graph.opaque import Network
from upres.system.cores import usable_cores

Precision: TypeAlias = Literal["fp32", "fp16", "bf16"]


class Runner(Protocol):
    """A network loaded into an engine. Not thread-safe; close it to free its memory."""

    @property
    def name(self) -> str:
        """Engine and version, such as "ncnn 1.0.20261020"."""
        ...

    @property
    def device(self) -> str:
        """The device it runs on, such as "cpu", "cuda:0", "mps" or "vulkan:0"."""
        ...

    @property
    def precision(self) -> Precision:
        """Precision of activations. Inputs and results are always float32."""
        ...

    @property
    def notes(self) -> tuple[str, ...]:
        """What the user should know, such as half precision that was replaced by float32."""
        ...

    @property
    def memory_factor(self) -> float:
        """Peak memory of a call divided by `graph.activation_bytes_per_pixel` times input pixels: a measured bound."""
        ...

    @property
    def grid_px(self) -> int:
        """Side in LR pixels of the blocks in which the engine computes; 1 if values do not depend on their position.

        Within a block, rounding couples otherwise independent values. A tile aligned to this grid, with one block of
        overlap beyond the receptive field, has the same blocks as the whole picture, so that nearly all values are
        bit-identical.
        """
        ...

    def __call__(self, lr: Array) -> Array:
        """Upscale one tile.

        Args:
            lr: float32 (1, c, h, w), h and w multiples of the network's alignment.

        Returns:
            float32 (1, c, h * scale, w * scale).

        Raises:
            EngineError: The input does not fit, or the engine fails.
            OutOfMemoryError: Memory is short.
            NotFiniteError: The result has a non-finite value.
        """
        ...

    def close(self) -> None:
        """Free weights and working memory. Calling a closed runner raises EngineError."""
        ...


def device_bytes_of(runner: Runner) -> int | None:
    """Bytes of device memory available to a call, including the runner's own pools; None if host memory is the limit.

    Engines with device memory have a method `device_bytes() -> int | None`.
    """
    measure: Callable[[], int | None] | None = getattr(runner, "device_bytes", None)
    return None if measure is None else measure()


def fixed_bytes_of(runner: Runner) -> int:
    """Host memory of its loaded weights, a measured bound; 0 if the engine does not say (`fixed_bytes: int`)."""
    fixed: int = getattr(runner, "fixed_bytes", 0)
    return fixed


def most_rows_of(runner: Runner) -> int | None:
    """Rows from which the memory of a call no longer grows (`most_rows: int`); None if it grows with every row."""
    rows: int | None = getattr(runner, "most_rows", None)
    return rows


def parallel_of(runner: Runner) -> tuple[int, Callable[[Array], Array]]:
    """How many tiles `runner` can run at once, each in one thread, and the function that runs one of them, which may
    not be called while `runner` itself runs; (1, runner) if it cannot.

    Engines that can have `parallel_calls: int` and `in_one_thread(lr)`; a result is the same to the bit either way.
    """
    calls: int = getattr(runner, "parallel_calls", 1)
    alone: Callable[[Array], Array] | None = getattr(runner, "in_one_thread", None)
    return (1, runner) if calls < 2 or alone is None else (calls, alone)


def check_input(graph: Network, lr: Array) -> None:
    """Raise EngineError unless `lr` is a float32 (1, c, h, w) batch that fits this network."""
    fits = lr.ndim == 4 and lr.shape[0] == 1 and lr.shape[1] == graph.in_channels and min(lr.shape) > 0
    if not fits or lr.dtype != np.float32:
        raise EngineError(f"expected float32 (1, {graph.in_channels}, h, w), got {lr.dtype} {lr.shape}")
    if lr.shape[2] % graph.alignment or lr.shape[3] % graph.alignment:
        raise EngineError(f"h and w must be multiples of {graph.alignment}, got {lr.shape[2]} x {lr.shape[3]}")


def check_output(engine: str, lr: Array, sr: Array, scale: int) -> Array:
    """Return `sr` if its size is right (else EngineError) and all values are finite (else NotFiniteError)."""
    expected = (lr.shape[2] * scale, lr.shape[3] * scale)
    if sr.shape[2:] != expected:
        raise EngineError(f"{engine} returned {sr.shape[2:]} (h, w), expected {expected}")
    # Minimum and maximum propagate NaN and infinity, without a mask of the whole array.
    if not (np.isfinite(sr.min()) and np.isfinite(sr.max())):
        bad = int(sr.size - np.count_nonzero(np.isfinite(sr)))
        raise NotFiniteError(
            f"{engine} returned {bad} of {sr.size} values as NaN or infinity for {lr.shape[2]} x {lr.shape[3]} pixels; "
            "the model file may be damaged, or the input contains NaN: compare with another engine (torch)"
        )
    return sr


def threads_or_default(threads: int) -> int:
    """`threads`, or if it is 0 the number of cores whose time this process gets."""
    return threads if threads > 0 else usable_cores()
