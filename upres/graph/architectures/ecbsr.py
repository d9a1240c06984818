"""ECBSR (Zhang et al., "Edge-oriented Convolution Block for Real-time Super Resolution on Mobile Devices", ACM
Multimedia 2021).

A stack of edge-oriented blocks with PReLU between, a pixel shuffle, plus the enlarged input. A block is the sum of five
linear branches (section 3.2 of the paper): a 3x3 convolution; a 1x1 that widens, then 3x3; and a 1x1 each before a
Sobel filter in x, one in y and a Laplacian, scaled by channel. All are merged into one 3x3 here. The border of the
inner 1x1 is padded with its bias, so merging is exact there too.

| part of block N | keys, after backbone.N |
|---|---|
| 3x3 | conv3x3.weight, conv3x3.bias |
| 1x1, then 3x3 | conv1x1_3x3.k0, .b0, .k1, .b1 |
| 1x1, then a filter | conv1x1_sbx.k0, .b0, .scale, .bias, .mask (its filter); conv1x1_sby, conv1x1_lpl |
| PReLU (none after the last) | act.weight |

A deployed file ("PlainSR") has `conv3x3` alone. The published networks take luma in 0 ... 255 and have no identity
branch, which leaves no trace in a file; networks of three colors come from ports that use [0,1]. Which of the two
ranges it is, is checked with flat grays where the weights are clear about it (`plain.misses`).
"""

from __future__ import annotations

import re
from math import isqrt

import numpy as np

from upres.errors import ModelError
from upres.graph.architectures import plain
from upres.graph.architectures.keys import Keys, State
from upres.graph.architectures.plain import Layer
from upres.graph.graph import Graph
from upres.graph.nodes import Array

FAMILY = "ecbsr"
_NAME = "ECBSR"
_FILTERED = ("conv1x1_sbx", "conv1x1_sby", "conv1x1_lpl")
# by how much of the range a flat gray is missed, for a network in its own range and for one in another
_KEPT, _LOST = 0.05, 0.25


def find(state: State) -> Graph | None:
    """The graph, or None where the keys are not this family's.

    Raises ModelError for an ECBSR that is damaged or a variant.
    """
    blocks = [int(match[1]) for key in state if (match := re.fullmatch(r"backbone\.(\d{1,4})\.conv3x3\.weight", key))]
    if "backbone.0.conv3x3.weight" not in state:
        return None
    return _build(Keys(state, _NAME), state, max(blocks))


def _build(keys: Keys, state: State, last: int) -> Graph:
    layers: list[Layer] = []
    into: int | None = None
    for block in range(last + 1):
        stem = f"backbone.{block}"
        weight, bias = keys.conv(f"{stem}.conv3x3", None, into)
        into = weight.shape[0]
        if f"{stem}.conv1x1_3x3.k0" in state or any(f"{stem}.{name}.k0" in state for name in _FILTERED):
            weight, bias = _merged(keys, stem, weight, bias)
        slopes = None
        if block < last:
            if f"{stem}.act.weight" not in state:
                raise ModelError(
                    f"{_NAME} without PReLU slopes at {stem}.act: its activation is ReLU, RReLU or Softplus; the file "
                    "does not say which"
                )
            slopes = keys.take(f"{stem}.act.weight", (None,))
        layers.append(Layer(weight, bias, slopes))
    keys.finish()
    colors, given = layers[0].weight.shape[1], layers[-1].weight.shape[0]
    scale = isqrt(given // colors)
    if colors not in (1, 3) or scale < 1 or colors * scale * scale != given:
        raise ModelError(
            f"{_NAME}: {colors} channels in and {given} before the pixel shuffle; expected 1 or 3 times the scale's "
            "square"
        )
    return plain.build(layers, scale, colors, adds_input=True, value_range=_range(layers, colors), family=FAMILY)


def _range(layers: list[Layer], colors: int) -> float:
    usual, other = (255.0, 1.0) if colors == 1 else (1.0, 255.0)
    usual_misses, other_misses = (plain.misses(layers, adds_input=True, value_range=span) for span in (usual, other))
    return other if other_misses < _KEPT and usual_misses > _LOST else usual


def _merged(keys: Keys, stem: str, weight: Array, bias: Array) -> tuple[Array, Array]:
    """One 3x3 for the five branches: inner 1x1 times outer 3x3, summed over the middle channels, in float64."""
    out, into = weight.shape[:2]
    total, offset = weight.astype(np.float64), bias.astype(np.float64)
    for name in ("conv1x1_3x3", *_FILTERED):
        branch = f"{stem}.{name}"
        if name == "conv1x1_3x3":
            outer = keys.take(f"{branch}.k1", (out, None, 3, 3)).astype(np.float64)
            outer_bias = keys.take(f"{branch}.b1", (out,))
        else:
            filters = keys.take(f"{branch}.scale", (out, 1, 1, 1)).astype(np.float64) * keys.take(
                f"{branch}.mask", (out, 1, 3, 3)
            )
            outer = np.zeros((out, out, 3, 3))
            outer[np.arange(out), np.arange(out)] = filters[:, 0]
            outer_bias = keys.take(f"{branch}.bias", (out,))
        inner = keys.take(f"{branch}.k0", (outer.shape[1], into, 1, 1)).astype(np.float64)
        inner_bias = keys.take(f"{branch}.b0", (outer.shape[1],))
        total += np.einsum("omyx,mi->oiyx", outer, inner[:, :, 0, 0], optimize=True)
        offset += outer.sum((2, 3)) @ inner_bias + outer_bias
    return total.astype(np.float32), offset.astype(np.float32)
