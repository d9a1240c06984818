"""Between two networks: every weight of one moved towards the other's (Wang et al., ESRGAN, ECCVW 2018, section 3.4).

A network trained for PSNR and the GAN that was fine-tuned from it share their basis, so a network between them works, and gives pictures
with less noise of the one and more texture of the other. Two networks trained apart have nothing in common to average.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from upres.errors import ModelError, UsageError
from upres.graph.architectures import canonical, graph_from_state_dict

Array = NDArray[np.generic]


def interpolate(
    a: Mapping[str, Array],
    b: Mapping[str, Array],
    alpha: float,
    *,
    extrapolate: bool = False,
    names: tuple[str, str] = ("the first network", "the second network"),
) -> dict[str, NDArray[np.float32]]:
    """(1 - alpha) a + alpha b for every tensor, computed in float64: equation 4 of ESRGAN, with `a` the PSNR-oriented network, `b` the GAN.

    `a` and `b` are state dicts of one family and one shape, in any dialect that `upres.graph.architectures` reads; the result has the names
    of `canonical`. alpha 0 is `a`, 1 is `b`. Raises UsageError for an alpha outside [0, 1] (unless `extrapolate`; never for one that is not
    finite), ModelError where either is no network that we know, the families differ, or a tensor does (naming the first that does, and both
    shapes, with `names` for the two networks).
    """
    if not math.isfinite(alpha) or not (extrapolate or 0.0 <= alpha <= 1.0):
        expected = "finite" if extrapolate else "in [0, 1], unless extrapolate is set"
        raise UsageError(f"alpha must be {expected}; got {alpha:g}")
    first, second = (_checked(state, name) for state, name in zip((a, b), names, strict=True))
    _check_alike(first, second, names)
    mixed = {name: (1.0 - alpha) * first[1][name].astype(np.float64) + alpha * second[1][name].astype(np.float64) for name in first[1]}
    return {name: tensor.astype(np.float32) for name, tensor in mixed.items()}


_Network = tuple[str, dict[str, Array]]


def _checked(state: Mapping[str, Array], name: str) -> _Network:
    """(family and scale in words, tensors under their canonical names)."""
    try:
        graph = graph_from_state_dict(state)
    except ModelError as error:
        raise ModelError(f"cannot interpolate {name}: {error}") from error
    return f"{graph.family} x{graph.scale}", canonical(state)


def _check_alike(first: _Network, second: _Network, names: tuple[str, str]) -> None:
    (kind, ours), (other, theirs) = first, second
    if kind != other:
        raise ModelError(f"cannot interpolate: {names[0]} is {kind}, {names[1]} is {other}; expected two of one family and scale")
    for key in [*ours, *theirs]:
        found, also = (str(tensors[key].shape) if key in tensors else "no such tensor" for tensors in (ours, theirs))
        if found != also:
            raise ModelError(
                f"cannot interpolate: tensor {key!r} is {found} in {names[0]} and {also} in {names[1]}; "
                "expected two networks of one shape, the second trained from the first"
            )
