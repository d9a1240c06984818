"""SPAN (Wan et al., "Swift Parameter-free Attention Network", CVPR workshops 2024): six attention blocks, joined, then
a pixel shuffle.

A block (figure 2 of the paper) is three 3x3 convolutions with SiLU between; out3 is what the third gives and x what
came in:

    block(x) = (out3 + x) * (sigmoid(out3) - 0.5)

After the blocks a 1x1 convolution joins the head's output, the last block's through one more convolution, the first
block's, and what lies between the first and the second convolution of the last block. The published code applies SiLU
in place, so that inner value is the activated one, and files are trained that way.

While it is trained a convolution is several (`Conv3XC`): 1x1, 3x3, 1x1 in a row, beside a 1x1 skip. They are linear, so
they are one 3x3; `eval_conv` in a file is a copy of that, made whenever the network was last evaluated, so it may be
older than the branches: where the branches are there they are merged, and it is not read.

| part | keys |
|---|---|
| 3x3 head, joined convolution | conv_1, conv_2 |
| convolution K of block N (from 1) | block_N.cK_r |
| of each: the branches, the copy | conv.0, conv.1, conv.2, sk; eval_conv |
| 1x1 after the blocks, 3x3 before the pixel shuffle | conv_cat, upsampler.0 |
| pictures enter as they are, not as (x - mean) * 255 | no_norm (its value says nothing) |

The mean that is taken off is that of DIV2K, as the published code has it; a file stores neither it nor the range.
"""

from __future__ import annotations

from math import isqrt

import numpy as np
from numpy.typing import NDArray

from upres.errors import ModelError
from upres.graph.architectures.keys import Keys, State
from upres.graph.graph import Graph
from upres.graph.nodes import Activate, Activation, Add, Array, Concat, Conv, Mul, Node, Resample

FAMILY = "span"
_NAME = "SPAN"
_BLOCKS = 6
_MEAN = (0.4488, 0.4371, 0.4040)
_RANGE = 255.0
_SIGMOID = Activation("sigmoid")


def find(state: State) -> Graph | None:
    """The graph, or None where the keys are not this family's.

    Raises ModelError for a SPAN that is damaged or a variant.
    """
    heads = ("conv_1.sk.weight", "conv_1.conv.0.weight", "conv_1.eval_conv.weight")
    if not any(key in state for key in heads) or not any(key.startswith("block_1.c1_r.") for key in state):
        return None
    return _build(Keys(state, _NAME), state)


def _build(keys: Keys, state: State) -> Graph:
    weight, bias = _merged(keys, state, "conv_1")
    width, colors = weight.shape[:2]
    nodes: list[Node] = []
    value = "input"
    if "no_norm" in state:
        keys.take("no_norm", state["no_norm"].shape)
    else:
        nodes.append(_normalize(colors))
        value = "normal"
    nodes.append(Conv("head", value, weight, bias, padding=1))
    value = first = "head"
    for block in range(1, _BLOCKS + 1):
        value = _block(nodes, keys, state, f"block_{block}", value, width)
        first = value if block == 1 else first
    nodes.append(Conv("deep", value, *_merged(keys, state, "conv_2", width, width), padding=1))
    nodes.append(Concat("joined", ("head", "deep", first, f"block_{_BLOCKS}.act1")))
    nodes.append(Conv("mixed", "joined", *keys.conv("conv_cat", width, 4 * width, 1)))
    weight, bias = keys.conv("upsampler.0", None, width)
    keys.finish()
    scale = isqrt(weight.shape[0] // colors)
    if scale < 1 or colors * scale * scale != weight.shape[0]:
        raise ModelError(
            f"{_NAME}: the last convolution gives {weight.shape[0]} channels; expected {colors} colors times the "
            "square of the scale"
        )
    nodes.append(Conv("last", "mixed", weight, bias, padding=1))
    if scale > 1:
        nodes.append(Resample("pixel_shuffle", "output", "last", scale))
    return Graph.of(nodes, output=nodes[-1].output, in_channels=colors, family=FAMILY)


def _normalize(colors: int) -> Conv:
    """(x - mean) * range as a 1x1 convolution.

    Not folded into the head, whose zero padding stands for the mean and not for black.
    """
    if colors != len(_MEAN):
        raise ModelError(
            f"{_NAME}: it takes {colors} channels and has no key 'no_norm', but the mean that it takes off is of 3 "
            "colors"
        )
    weight = np.eye(colors, dtype=np.float32).reshape(colors, colors, 1, 1) * np.float32(_RANGE)
    return Conv("normal", "input", weight, np.array([-_RANGE * mean for mean in _MEAN], np.float32))


def _block(nodes: list[Node], keys: Keys, state: State, stem: str, source: str, width: int) -> str:
    value = source
    for number in (1, 2, 3):
        conv = f"{stem}.out{number}"
        nodes.append(Conv(conv, value, *_merged(keys, state, f"{stem}.c{number}_r", width, width), padding=1))
        nodes.append(Activate(f"{stem}.gate{number}", conv, _SIGMOID))
        if number < 3:
            value = f"{stem}.act{number}"
            nodes.append(Mul(value, (conv, f"{stem}.gate{number}")))
    nodes.append(Add(f"{stem}.sum", (f"{stem}.out3", source), (1.0, 1.0)))
    nodes.append(Mul(f"{stem}.gated", (f"{stem}.sum", f"{stem}.gate3")))
    # sum * (gate - 0.5), without a node for constants
    nodes.append(Add(stem, (f"{stem}.gated", f"{stem}.sum"), (1.0, -0.5)))
    return stem


def _merged(
    keys: Keys, state: State, stem: str, out: int | None = None, into: int | None = None
) -> tuple[Array, Array]:
    """Weight (out, into, 3, 3) and bias (out,) of a `Conv3XC`: its branches in one, or the copy where a file holds that
    alone.
    """
    copy = f"{stem}.eval_conv"
    if f"{stem}.sk.weight" not in state and f"{stem}.conv.0.weight" not in state:
        return _conv(keys, state, copy, out, into, 3)
    skip, skip_bias = _conv(keys, state, f"{stem}.sk", out, into, 1)
    out, into = skip.shape[:2]
    first, first_bias = _conv(keys, state, f"{stem}.conv.0", None, into, 1)
    second, second_bias = _conv(keys, state, f"{stem}.conv.1", None, first.shape[0], 3)
    third, third_bias = _conv(keys, state, f"{stem}.conv.2", out, second.shape[0], 1)
    if f"{copy}.weight" in state:
        _conv(keys, state, copy, out, into, 3)
    # float64, because the copies that other programs make are sums of rounded products
    enter, middle, leave = (array.astype(np.float64) for array in (first[:, :, 0, 0], second, third[:, :, 0, 0]))
    weight = np.einsum("om,mkyx,ki->oiyx", leave, middle, enter, optimize=True)
    weight[:, :, 1, 1] += skip[:, :, 0, 0]
    # The border is padded before the first 1x1, so its bias is there too: all nine taps see it, everywhere.
    inner = _through(middle.sum((2, 3)), first_bias.astype(np.float64), second_bias)
    return weight.astype(np.float32), _through(leave, inner, third_bias, skip_bias).astype(np.float32)


def _through(taps: NDArray[np.float64], value: NDArray[np.float64], *biases: Array) -> NDArray[np.float64]:
    """A flat value through a convolution."""
    result: NDArray[np.float64] = taps @ value
    for bias in biases:
        result = result + bias.astype(np.float64)
    return result


def _conv(keys: Keys, state: State, stem: str, out: int | None, into: int | None, kernel: int) -> tuple[Array, Array]:
    """Weight and bias; zeros for a bias that the file does not have (networks made with `bias=False`)."""
    weight = keys.take(f"{stem}.weight", (out, into, kernel, kernel))
    if f"{stem}.bias" not in state:
        return weight, np.zeros(len(weight), np.float32)
    return weight, keys.take(f"{stem}.bias", (weight.shape[0],))
