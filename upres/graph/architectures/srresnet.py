"""SRResNet (Ledig et al., SRGAN, CVPR 2017, figure 4): residual blocks between two 9x9 convolutions, enlarged by pixel
shuffles.

The network was trained with batch normalization. A file of ours holds it as it runs: each normalization folded into the
convolution before it, so only convolutions (weight and bias) and PReLU slopes are left. No published file has these
names; they are ours:

| part | keys |
|---|---|
| 9x9 head, PReLU | head.conv, head.act |
| residual block N: 3x3, PReLU, 3x3, plus its input | blocks.N.conv1, blocks.N.act, blocks.N.conv2 |
| 3x3 after the blocks, plus the head's output | trunk |
| upsampling K (from 1): 3x3 to four times the channels, pixel shuffle by 2, PReLU | upK.conv, upK.act |
| 9x9 tail | tail |

A PReLU has one slope a channel, or a single one for all. The scale is 2 to the number of upsamplings.
"""

from __future__ import annotations

import re
from itertools import count

from upres.graph.architectures.keys import Keys, State
from upres.graph.graph import Graph
from upres.graph.nodes import Activate, Activation, Add, Conv, Node, Resample

FAMILY = "srresnet"
_NAME = "SRResNet"
_LARGE = 9  # side of the first and the last kernel


def find(state: State) -> Graph | None:
    """The graph, or None where the keys are not this family's. Raises ModelError for an SRResNet that is damaged."""
    blocks = [int(match[1]) for key in state if (match := re.match(r"blocks\.(\d+)\.conv[12]\.", key))]
    if "head.conv.weight" not in state or not blocks:
        return None
    ups = next(i for i in count() if f"up{i + 1}.conv.weight" not in state)
    return _build(Keys(state, _NAME), max(blocks) + 1, ups)


def _build(keys: Keys, blocks: int, ups: int) -> Graph:
    weight, bias = keys.conv("head.conv", None, None, _LARGE)
    width, colors = weight.shape[:2]
    nodes: list[Node] = [
        Conv("head.conv", "input", weight, bias, padding=_LARGE // 2),
        _prelu(keys, "head", "head.conv"),
    ]
    value = "head.act"
    for block in range(blocks):
        value = _residual(nodes, keys, f"blocks.{block}", value, width)
    nodes.append(Conv("trunk", value, *keys.conv("trunk", width, width), padding=1))
    nodes.append(Add("features", ("trunk", "head.act"), (1.0, 1.0)))
    value = "features"
    for up in range(1, ups + 1):
        nodes.append(Conv(f"up{up}.conv", value, *keys.conv(f"up{up}.conv", 4 * width, width), padding=1))
        nodes.append(Resample("pixel_shuffle", f"up{up}.shuffled", f"up{up}.conv", 2))
        nodes.append(_prelu(keys, f"up{up}", f"up{up}.shuffled"))
        value = f"up{up}.act"
    nodes.append(Conv("output", value, *keys.conv("tail", colors, width, _LARGE), padding=_LARGE // 2))
    keys.finish()
    return Graph.of(nodes, output="output", in_channels=colors, family=FAMILY)


def _residual(nodes: list[Node], keys: Keys, stem: str, source: str, width: int) -> str:
    """Two 3x3 convolutions with a PReLU between, added to the source."""
    nodes.append(Conv(f"{stem}.conv1", source, *keys.conv(f"{stem}.conv1", width, width), padding=1))
    nodes.append(_prelu(keys, stem, f"{stem}.conv1"))
    nodes.append(Conv(f"{stem}.conv2", f"{stem}.act", *keys.conv(f"{stem}.conv2", width, width), padding=1))
    nodes.append(Add(stem, (f"{stem}.conv2", source), (1.0, 1.0)))
    return stem


def _prelu(keys: Keys, stem: str, source: str) -> Activate:
    """The graph checks that the slopes are one, or one a channel."""
    return Activate(f"{stem}.act", source, Activation("prelu", slopes=keys.take(f"{stem}.act.weight", (None,))))
