"""Reading a state dict strictly: every key used once, every shape as expected, or a ModelError that names the key."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from upres.errors import ModelError
from upres.graph.nodes import Activation, Array, Conv

State: TypeAlias = dict[str, NDArray[np.generic]]
Layer: TypeAlias = tuple[Conv, Activation | None]  # a convolution and the activation behind it

DESCRIPTION_KEY = "upres.graph"  # a tensor beside the weights of a network that describes itself (`described`)


def named(stem: str, conv: Conv) -> State:
    """Weight and bias (zeros where it has none) of a convolution under the names that torch gives them."""
    bias = np.zeros(conv.weight.shape[0], np.float32) if conv.bias is None else conv.bias
    return {f"{stem}.weight": conv.weight, f"{stem}.bias": bias}


def describe(state: State) -> str:
    """For messages: the number of tensors and the first few keys with their shapes."""
    shown = ", ".join(f"{key} {tuple(array.shape)}" for key, array in list(state.items())[:4])
    more = ", ..." if len(state) > 4 else ""
    return f"found {len(state)} tensors with keys like {shown}{more}"


class Keys:
    """A state dict of a family that is already certain, with a record of what was taken."""

    def __init__(self, state: State, family: str) -> None:
        self._state = state
        self._family = family
        self._taken: set[str] = set()

    def take(self, key: str, shape: Iterable[int | None]) -> Array:
        """The tensor as float32.

        `None` in `shape` fits any size. Raises ModelError where it is missing or does not fit.
        """
        expected = tuple(shape)
        array = self._state.get(key)
        words = ", ".join("any" if size is None else str(size) for size in expected)
        if array is None:
            raise ModelError(f"{self._family}: tensor {key!r} is missing; expected shape ({words})")
        fits = array.ndim == len(expected) and all(
            want in (None, size) for size, want in zip(array.shape, expected, strict=True)
        )
        if not fits or array.size == 0:
            raise ModelError(f"{self._family}: tensor {key!r} has shape {tuple(array.shape)}; expected ({words})")
        if not np.issubdtype(array.dtype, np.floating):
            raise ModelError(f"{self._family}: tensor {key!r} is of type {array.dtype}; expected floats")
        self._taken.add(key)
        return np.ascontiguousarray(array, dtype=np.float32)

    def conv(self, stem: str, out: int | None, into: int | None, kernel: int = 3) -> tuple[Array, Array]:
        """Weight (out, into, kernel, kernel) and bias (out,) of a convolution."""
        weight = self.take(f"{stem}.weight", (out, into, kernel, kernel))
        return weight, self.take(f"{stem}.bias", (weight.shape[0],))

    def finish(self) -> None:
        """Raises ModelError where a key was not taken: a network with parts that we do not know must not run without
        them.
        """
        left = [key for key in self._state if key not in self._taken]
        if left:
            shown = ", ".join(left[:4]) + (", ..." if len(left) > 4 else "")
            raise ModelError(
                f"{self._family}: {len(left)} of {len(self._state)} tensors have no place in this network: {shown}"
            )
