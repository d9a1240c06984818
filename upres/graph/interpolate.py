"""Network interpolation: blend the weights of two networks (Wang et al., ESRGAN, ECCVW 2018, section 3.4).

It works for a PSNR-oriented network and a GAN fine-tuned from it, and trades noise for texture. Weights of networks
trained independently cannot be averaged in a meaningful way.
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
    """(1 - alpha) a + alpha b for every tensor (ESRGAN, equation 4), computed in float64.

    Args:
        a: State dict, PSNR-oriented in ESRGAN; any key format that `upres.graph.architectures` reads.
        b: State dict of the same family and shapes, the GAN in ESRGAN.
        alpha: 0 is `a`, 1 is `b`.
        extrapolate: Allow any finite alpha.
        names: Of the two networks, for error messages.

    Returns:
        A state dict with the keys of `canonical`.

    Raises:
        UsageError: `alpha` is outside [0, 1] without `extrapolate`, or not finite.
        ModelError: A network is unknown, or their families, scales or tensor shapes differ.
    """
    if not math.isfinite(alpha) or not (extrapolate or 0.0 <= alpha <= 1.0):
        expected = "finite" if extrapolate else "in [0, 1], unless extrapolate is set"
        raise UsageError(f"alpha must be {expected}; got {alpha:g}")
    first, second = (_checked(state, name) for state, name in zip((a, b), names, strict=True))
    _check_alike(first, second, names)
    mixed = {
        name: (1.0 - alpha) * first[1][name].astype(np.float64) + alpha * second[1][name].astype(np.float64)
        for name in first[1]
    }
    return {name: tensor.astype(np.float32) for name, tensor in mixed.items()}


_Network = tuple[str, dict[str, Array]]


def _checked(state: Mapping[str, Array], name: str) -> _Network:
    """(family and scale for messages, tensors by canonical name)."""
    try:
        graph = graph_from_state_dict(state)
    except ModelError as error:
        raise ModelError(f"cannot interpolate {name}: {error}") from error
    return f"{graph.family} x{graph.scale}", canonical(state)


def _check_alike(first: _Network, second: _Network, names: tuple[str, str]) -> None:
    (kind, ours), (other, theirs) = first, second
    if kind != other:
        raise ModelError(
            f"cannot interpolate: {names[0]} is {kind}, {names[1]} is {other}; expected the same family and scale"
        )
    for key in [*ours, *theirs]:
        found, also = (str(tensors[key].shape) if key in tensors else "missing" for tensors in (ours, theirs))
        if found != also:
            raise ModelError(
                f"cannot interpolate: tensor {key!r} is {found} in {names[0]} and {also} in {names[1]}; "
                "expected networks of the same shape, one fine-tuned from the other"
            )
