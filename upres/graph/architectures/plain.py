"""A plain stack: convolutions in a row with a PReLU after each but the last, then a pixel shuffle, as small networks
are deployed.

The keys are those of one `Sequential` under any name or none (`net.0.weight`, `net.1.weight`, ...): a convolution has
four dimensions, the slopes of a PReLU one. What a file does not say is read off the weights, by what a flat gray
picture becomes (`flat_response`), because every enlarger keeps it: whether the enlarged input is added at the end (then
the stack itself gives 0), and whether pictures are in [0,1] or in 0 ... 255. Where neither is clear, and where an
activation left no trace in the file, the network is refused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from itertools import pairwise
from math import isqrt

import numpy as np
from numpy.typing import NDArray

from upres.errors import ModelError
from upres.graph.architectures.keys import Keys, State
from upres.graph.graph import Graph
from upres.graph.nodes import Activate, Activation, Add, Array, Conv, Node, Resample

FAMILY = "plain"
_NAME = "plain stack of convolutions"
_GRAYS = (0.25, 0.5, 0.75)
_CLEAR = 0.1  # share of the range by which a flat gray may be missed


@dataclass(frozen=True, slots=True, eq=False)
class Layer:
    """A 3x3 (or other odd) convolution that keeps the size, then a PReLU, if any."""

    weight: Array
    bias: Array
    slopes: Array | None = None


def find(state: State) -> Graph | None:
    """The graph, or None where the keys are not one `Sequential` that ends in the channels of a pixel shuffle.

    Raises ModelError where it is one, but not one that can be run with certainty.
    """
    stems = _stems(state)
    if stems is None:
        return None
    convs = [stem for stem in stems if state[f"{stem}.weight"].ndim == 4]
    shapes = [state[f"{stem}.weight"].shape for stem in convs]
    if any(shape[2] != shape[3] or shape[2] % 2 == 0 for shape in shapes):
        return None
    if len(convs) < 2 or any(after[1] != before[0] for before, after in pairwise(shapes)):
        return None
    colors = shapes[0][1]
    scale = isqrt(shapes[-1][0] // colors)
    if colors not in (1, 3) or colors * scale * scale != shapes[-1][0] or stems[-1] != convs[-1]:
        return None
    keys = Keys(state, _NAME)
    layers: list[Layer] = []
    for stem, after in pairwise([*stems, ""]):
        if state[f"{stem}.weight"].ndim != 4:
            continue
        weight, bias = keys.conv(stem, None, None, state[f"{stem}.weight"].shape[2])
        slopes = None
        if after and state[f"{after}.weight"].ndim == 1:
            slopes = keys.take(f"{after}.weight", (None,))
        elif after:
            raise ModelError(
                f"{_NAME} ({convs[0]} to {convs[-1]}): nothing is stored between {stem} and {after}; which activation "
                "was there, or "
                "whether one was, cannot be told from the file. Store it as PReLU, with slopes of 0 (ReLU) or 0.1 "
                "(LeakyReLU)"
            )
        layers.append(Layer(weight, bias, slopes))
    keys.finish()
    adds, span = _reading(layers)
    return build(layers, scale, colors, adds_input=adds, value_range=span, family=FAMILY)


def _stems(state: State) -> list[str] | None:
    """`prefix.0`, `prefix.1`, ... in the order of a `Sequential`; None where the keys are of anything else."""
    found: dict[int, str] = {}
    prefixes: set[str] = set()
    for key in state:
        match = re.fullmatch(r"((?:[A-Za-z_]\w*\.)*)(\d{1,4})\.(weight|bias)", key)
        if match is None:
            return None
        prefixes.add(match[1])
        found[int(match[2])] = f"{match[1]}{match[2]}"
    stems = [found[number] for number in sorted(found)]
    if len(prefixes) != 1 or any(
        f"{stem}.weight" not in state or state[f"{stem}.weight"].ndim not in (1, 4) for stem in stems
    ):
        return None
    slopes = [stem for stem in stems if state[f"{stem}.weight"].ndim == 1]
    return None if any(f"{stem}.bias" in state for stem in slopes) else stems  # with a bias it is a normalization


def flat_response(layers: list[Layer], gray: float) -> float:
    """Mean over the last channels of what a flat picture of that gray becomes, away from the border: a product of
    matrices a layer.
    """
    value = np.full(layers[0].weight.shape[1], gray, np.float64)
    for layer in layers:
        value = _flat(layer, value)
    return float(np.mean(value))


def _flat(layer: Layer, value: NDArray[np.float64]) -> NDArray[np.float64]:
    linear: NDArray[np.float64] = layer.weight.astype(np.float64).sum((2, 3)) @ value + layer.bias.astype(np.float64)
    return linear if layer.slopes is None else np.where(linear > 0.0, linear, linear * layer.slopes.astype(np.float64))


def misses(layers: list[Layer], *, adds_input: bool, value_range: float) -> float:
    """How far flat grays come out from what they were, as a share of the range, at worst."""
    return max(
        abs(flat_response(layers, gray * value_range) / value_range - (0.0 if adds_input else gray)) for gray in _GRAYS
    )


def _reading(layers: list[Layer]) -> tuple[bool, float]:
    """(whether the enlarged input is added, the range of pictures): the reading that keeps a flat gray, if just one
    does.
    """
    errors = {
        (adds, span): misses(layers, adds_input=adds, value_range=span)
        for adds in (False, True)
        for span in (1.0, 255.0)
    }
    best = min(errors, key=lambda reading: errors[reading])
    other = min(errors[not best[0], span] for span in (1.0, 255.0))
    if errors[best] > _CLEAR or other < 2.0 * _CLEAR:
        raise ModelError(
            f"{_NAME}: a flat gray comes out {errors[best]:.0%} of the range away from what it was, with the enlarged "
            "input added or not: "
            "what such a network does at its end cannot be told from the file"
        )
    # Small biases make both ranges nearly one function; [0,1] is what most are trained on.
    return (best[0], 1.0) if errors[best[0], 1.0] <= _CLEAR else best


def build(layers: list[Layer], scale: int, colors: int, *, adds_input: bool, value_range: float, family: str) -> Graph:
    """The graph of a stack. `value_range` is what the weights were trained with: 1, or 255.

    PReLU and convolution are homogeneous, f(255 x) = 255 f(x) without the biases; so a network of another range is that
    of [0,1] with its biases divided by the range.
    """
    nodes: list[Node] = []
    value = "input"
    for number, layer in enumerate(layers):
        scaled = replace(layer, bias=(layer.bias / np.float32(value_range)).astype(np.float32))
        nodes.append(Conv(f"conv{number}", value, scaled.weight, scaled.bias, padding=scaled.weight.shape[2] // 2))
        value = f"conv{number}"
        if layer.slopes is not None:
            nodes.append(Activate(f"act{number}", value, Activation("prelu", slopes=layer.slopes)))
            value = f"act{number}"
    base = "input"
    if scale > 1:
        nodes.append(Resample("pixel_shuffle", "shuffled", value, scale))
        value = "shuffled"
        if adds_input:
            nodes.append(Resample("upsample_nearest", "base", "input", scale))
            base = "base"
    if adds_input:
        nodes.append(Add("output", (value, base), (1.0, 1.0)))
        value = "output"
    return Graph.of(nodes, output=value, in_channels=colors, family=family)
