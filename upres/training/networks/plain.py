"""Beginning with a plain network: what is loaded must be, tensor by tensor, of the shape that is trained."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from upres.errors import DataError, ModelError
from upres.graph.architectures import canonical


def matching_state(state: Mapping[str, Tensor], expected: Mapping[str, Tensor], settings: str) -> dict[str, Tensor]:
    """`state` under the names of `expected` (dialects and wrappers' prefixes taken off).

    Raises `DataError`, naming the first tensor that is missing, left over or of another shape; `settings` are the recipe's that decide it.
    """
    try:
        found = canonical(state)
    except ModelError as error:
        raise DataError(f"the network to begin with cannot be read: {error}") from error
    for name in [*expected, *found]:
        ours, theirs = (tuple(states[name].shape) if name in states else None for states in (expected, found))
        if ours != theirs:
            raise DataError(
                f"the network to begin with has another shape than the recipe's: tensor {name!r} is {theirs or 'not there'}, "
                f"expected {ours or 'none of this name'}: set {settings} to its own"
            )
    return found
