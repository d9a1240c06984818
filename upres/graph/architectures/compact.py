"""SRVGGNetCompact (Real-ESRGAN's srvgg_arch): a plain chain of convolutions, a pixel shuffle, and the input upsampled
and added.

Keys are `body.N.*`: convolutions at even N, one PReLU (one slope a channel) after each but the last. A variant whose
activation is ReLU or LeakyReLU stores nothing for it and leaves its odd N empty; which of the two it was cannot be told
from the file, and the pictures would differ, so such a file is refused.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from math import isqrt

import numpy as np

from upres.errors import ModelError
from upres.graph.architectures.keys import Keys, Layer, State, named
from upres.graph.graph import Graph
from upres.graph.nodes import Activate, Activation, Add, Conv, Node, Resample

FAMILY = "compact"
_NAME = "SRVGGNetCompact"


def find(state: State) -> Graph | None:
    """The graph, or None where the keys are not this family's.

    Raises ModelError for a compact network that is damaged or a variant.
    """
    matches = [re.fullmatch(r"body\.(\d+)\.(weight|bias)", key) for key in state]
    first = state.get("body.0.weight")
    if first is None or first.ndim != 4 or sum(match is not None for match in matches) < 0.5 * len(state):
        return None
    indices = {int(match[1]) for match in matches if match}
    last = max(indices)
    slopes = [index for index in range(1, last, 2) if index in indices]
    if not slopes and last >= 2:
        raise ModelError(
            f"{_NAME} without PReLU slopes (convolutions at body.0, body.2, ... body.{last}, nothing between): its "
            "activation is ReLU or "
            "LeakyReLU, and the file does not say which; store it as PReLU, with slopes of 0 (ReLU) or 0.1 (LeakyReLU) "
            "at the odd numbers"
        )
    if last < 2 or last % 2:
        raise ModelError(
            f"{_NAME}: expected convolutions at body.0, body.2, ... with a PReLU between; the last found is body.{last}"
        )
    return _build(Keys(state, _NAME), last)


def recover(layers: Sequence[Layer]) -> State | None:
    """The state dict of a compact network whose convolutions these would be, each with the activation behind it; else
    None.

    relu and leaky_relu become slopes, which a file of this family can hold.
    """
    *body, (last, end) = layers
    if not body or end is not None:
        return None
    state: State = {}
    for index, (conv, activation) in enumerate(body):
        if activation is None or activation.kind == "sigmoid":
            return None
        channels = conv.weight.shape[0]
        state |= named(f"body.{2 * index}", conv)
        state[f"body.{2 * index + 1}.weight"] = np.broadcast_to(activation.negative_slopes(), channels).copy()
    return state | named(f"body.{2 * len(body)}", last)


def _build(keys: Keys, last: int) -> Graph:
    weight, bias = keys.conv("body.0", None, None)
    width, colors = weight.shape[:2]
    nodes: list[Node] = [Conv("conv0", "input", weight, bias, padding=1)]
    value = "conv0"
    for index in range(1, last, 2):
        slopes = keys.take(f"body.{index}.weight", (width,))
        nodes.append(Activate(f"act{index}", value, Activation("prelu", slopes=slopes)))
        weight, bias = keys.conv(f"body.{index + 1}", None if index + 1 == last else width, width)
        value = f"conv{index + 1}"
        nodes.append(Conv(value, f"act{index}", weight, bias, padding=1))
    keys.finish()
    scale = isqrt(weight.shape[0] // colors)
    if scale < 1 or colors * scale * scale != weight.shape[0]:
        raise ModelError(
            f"{_NAME}: the last convolution gives {weight.shape[0]} channels; expected {colors} colors times the "
            "square of the scale"
        )
    base = "input"
    if scale > 1:
        nodes += [
            Resample("pixel_shuffle", "shuffled", value, scale),
            Resample("upsample_nearest", "base", "input", scale),
        ]
        value, base = "shuffled", "base"
    nodes.append(Add("output", (value, base), (1.0, 1.0)))
    return Graph.of(nodes, output="output", in_channels=colors, family=FAMILY)
