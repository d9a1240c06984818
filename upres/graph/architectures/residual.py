"""The house's residual network: plain 3x3 convolutions with SiLU, a skip over each group of them, one over all, one
pixel shuffle.

No attention, no enlarged input: all that it computes at the size of LR are convolutions, SiLU and sums, which every
engine has.

    features = head(lr)
    x = features; for each group: x = x + conv_k(silu(... silu(conv_0(x))))
    sr = pixel_shuffle(tail(features + join(x)))

The long skip and the 1x1 `join` are those of EDSR (Lim et al., CVPR workshops 2017), SiLU and skips over several
convolutions those of the winners of NTIRE's challenges on efficient super-resolution.

| part | keys |
|---|---|
| 3x3 from the colors to the width | head |
| convolution K of group N, 3x3 | groups.N.K |
| 1x1 after the groups | join |
| 3x3 to the colors times the square of the scale | tail |
"""

from __future__ import annotations

import re
from math import isqrt

from upres.errors import ModelError
from upres.graph.architectures.keys import Keys, State
from upres.graph.graph import Graph
from upres.graph.nodes import Activate, Activation, Add, Conv, Node, Resample

FAMILY = "residual"
_NAME = "residual network"
_SILU = Activation("silu")


def find(state: State) -> Graph | None:
    """The graph, or None where the keys are not this family's.

    Raises ModelError for a residual network that is damaged.
    """
    if not {"head.weight", "join.weight", "tail.weight", "groups.0.0.weight"} <= state.keys():
        return None
    places = [
        (int(m[1]), int(m[2])) for key in state if (m := re.fullmatch(r"groups\.(\d{1,4})\.(\d{1,4})\.weight", key))
    ]
    groups, length = (max(numbers) + 1 for numbers in zip(*places, strict=True))
    return _build(Keys(state, _NAME), groups, length)


def _build(keys: Keys, groups: int, length: int) -> Graph:
    weight, bias = keys.conv("head", None, None)
    width, colors = weight.shape[:2]
    nodes: list[Node] = [Conv("head", "input", weight, bias, padding=1)]
    trunk = "head"
    for group in range(groups):
        value = trunk
        for number in range(length):
            conv = f"groups.{group}.{number}"
            nodes.append(Conv(conv, value, *keys.conv(conv, width, width), padding=1))
            value = conv
            if number + 1 < length:
                value = f"{conv}.act"
                nodes.append(Activate(value, conv, _SILU))
        nodes.append(Add(f"groups.{group}", (value, trunk), (1.0, 1.0)))
        trunk = f"groups.{group}"
    nodes.append(Conv("join", trunk, *keys.conv("join", width, width, 1)))
    nodes.append(Add("features", ("join", "head"), (1.0, 1.0)))
    weight, bias = keys.conv("tail", None, width)
    keys.finish()
    scale = isqrt(weight.shape[0] // colors)
    if scale < 1 or colors * scale * scale != weight.shape[0]:
        raise ModelError(
            f"{_NAME}: the last convolution gives {weight.shape[0]} channels; expected {colors} colors times the "
            "square of the scale"
        )
    nodes.append(Conv("tail", "features", weight, bias, padding=1))
    if scale > 1:
        nodes.append(Resample("pixel_shuffle", "output", "tail", scale))
    return Graph.of(nodes, output=nodes[-1].output, in_channels=colors, family=FAMILY)
