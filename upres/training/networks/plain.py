"""Starting from a plain network: checks its tensors against the shapes to be trained."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from upres.errors import DataError, ModelError
from upres.graph.architectures import canonical


def matching_state(state: Mapping[str, Tensor], expected: Mapping[str, Tensor], settings: str) -> dict[str, Tensor]:
    """`state` under the names of `expected`, from other dialects and without wrappers' prefixes.

    Raises `DataError` naming the first tensor that is missing, unexpected or of another shape; `settings` names the
    recipe's settings that determine the shapes.
    """
    try:
        found = canonical(state)
    except ModelError as error:
        raise DataError(f"the initial network cannot be read: {error}") from error
    for name in [*expected, *found]:
        ours, theirs = (tuple(states[name].shape) if name in states else None for states in (expected, found))
        if ours != theirs:
            raise DataError(
                f"the initial network does not match the recipe: tensor {name!r} is {theirs or 'missing'}, expected "
                f"{ours or 'no such tensor'}: set {settings} to those of the network"
            )
    return found
