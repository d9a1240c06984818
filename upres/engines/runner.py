"""What an engine is: a graph made ready to run, called with one batch of one picture."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, Protocol, TypeAlias

import numpy as np

from upres.errors import EngineError, NotFiniteError
from upres.graph.nodes import Array
from upres.graph.opaque import Network
from upres.system.hardware import cores

Precision: TypeAlias = Literal["fp32", "fp16", "bf16"]


class Runner(Protocol):
    """A graph that is ready to run. Not safe to call from two threads at once; close it to free its memory."""

    @property
    def name(self) -> str:
        """Engine and version, for reports: "ncnn 1.0.20261020"."""
        ...

    @property
    def device(self) -> str:
        """Where it computes: "cpu", "cuda:0", "mps", "vulkan:0"."""
        ...

    @property
    def precision(self) -> Precision:
        """What the values between layers are kept in. Inputs and results are float32 always."""
        ...

    @property
    def notes(self) -> tuple[str, ...]:
        """What the user should know of how it was made ready: half precision that was tried and given up, say."""
        ...

    @property
    def memory_factor(self) -> float:
        """Upper bound, from measurements: peak memory of a call over `graph.activation_bytes_per_pixel` times the pixels of its input."""
        ...

    @property
    def grid_px(self) -> int:
        """Side in LR pixels of the blocks in which the engine computes; 1 where a value does not depend on its place in the input.

        Within a block, rounding mixes values that do not depend on each other. A tile whose edges lie on this grid, with one block more
        than the receptive field around it, is divided into the same blocks as the whole picture, so nearly all values are equal to the bit.
        """
        ...

    def __call__(self, lr: Array) -> Array:
        """`lr` (1, c, h, w) float32, h and w multiples of the graph's alignment, to (1, c, h*scale, w*scale) float32.

        Raises EngineError where the input does not fit, OutOfMemoryError where memory is short, NotFiniteError where the result holds a
        value that is not finite.
        """
        ...

    def close(self) -> None:
        """Free weights and work memory. Calling a closed runner raises EngineError."""
        ...


def device_bytes_of(runner: Runner) -> int | None:
    """Bytes that a call's activations may take on the device of `runner`, with what its pools hold already; None where the host's memory is
    the limit.

    Only engines that compute in memory of their own know it, by a method `device_bytes() -> int | None`.
    """
    measure: Callable[[], int | None] | None = getattr(runner, "device_bytes", None)
    return None if measure is None else measure()


def check_input(graph: Network, lr: Array) -> None:
    """Raises EngineError where `lr` is not a (1, c, h, w) float32 batch that this graph takes."""
    fits = lr.ndim == 4 and lr.shape[0] == 1 and lr.shape[1] == graph.in_channels and min(lr.shape) > 0
    if not fits or lr.dtype != np.float32:
        raise EngineError(f"the network takes float32 (1, {graph.in_channels}, h, w); found {lr.dtype} {lr.shape}")
    if lr.shape[2] % graph.alignment or lr.shape[3] % graph.alignment:
        raise EngineError(f"height and width must be multiples of {graph.alignment}; found {lr.shape[2]} x {lr.shape[3]}")


def check_output(engine: str, lr: Array, sr: Array, scale: int) -> Array:
    """`sr`, or an EngineError where its size is wrong, a NotFiniteError where a value is not finite: never a black square."""
    expected = (lr.shape[2] * scale, lr.shape[3] * scale)
    if sr.shape[2:] != expected:
        raise EngineError(f"{engine} gave a picture of {sr.shape[2:]}; expected {expected}")
    # The least and the greatest carry a nan or an infinity out of the whole result, without an array of flags.
    if not (np.isfinite(sr.min()) and np.isfinite(sr.max())):
        bad = int(sr.size - np.count_nonzero(np.isfinite(sr)))
        raise NotFiniteError(
            f"{engine} gave {bad} of {sr.size} values that are not finite, for an input of {lr.shape[2]} x {lr.shape[3]} pixels; "
            "the model file may be damaged, or the input holds nan; another engine (`engine='torch'`) can tell which"
        )
    return sr


def threads_or_default(threads: int) -> int:
    """The number of threads asked for, or with 0 the number of cores that this process may use."""
    return threads if threads > 0 else cores()
