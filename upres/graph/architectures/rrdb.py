"""RRDBNet (Wang et al., ESRGAN, 2018): residual-in-residual dense blocks, in the three key dialects of the field, x1,
x2, x4 and x8.

| part | old ESRGAN (2018) | ESRGAN | BasicSR, Real-ESRGAN |
|---|---|---|---|
| first conv | model.0 | conv_first | conv_first |
| dense block b of block n | model.1.sub.n.RDBb.convK.0 | RRDB_trunk.n.RDBb.convK | body.n.rdbb.convK |
| after the blocks | model.1.sub.N | trunk_conv | conv_body |
| after each upsampling | model.3, model.6, ... | upconv1, upconv2, ... | conv_up1, conv_up2 |
| last two | next two numbers | HRconv, conv_last | conv_hr, conv_last |

Keys of the last two are read into BasicSR's names. The scale is 2 to the number of upsampling convs, divided by the
pixel-unshuffle that the first conv's input channels show: BasicSR always has two upsamplings, and its x2 unshuffles by
2 (12 channels in for RGB), its x1 by 4 (48 channels). (A rare old x3 network, one upsampling by 3, has the keys of an
x2 one and cannot be told from it.)
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import count
from typing import TypeVar

import numpy as np

from upres.errors import ModelError
from upres.graph.architectures.keys import Keys, Layer, State, named
from upres.graph.graph import Graph
from upres.graph.nodes import Activate, Activation, Add, Concat, Conv, Node, Resample, Scale

FAMILY = "rrdb"
_NAME = "RRDBNet"
_LEAKY = Activation("leaky_relu", slope=0.2)
_RESIDUAL = 0.2
_CONVS_OF_A_BLOCK = 15
_MOST_UPSAMPLINGS = 3

T = TypeVar("T")


def canonical(state: Mapping[str, T]) -> dict[str, T] | None:
    """The tensors under BasicSR's names, whichever of the three dialects they come in; None where the keys are not this
    family's.

    Raises ModelError where the layers of an old file do not stand as an RRDBNet's do.
    """
    if any(re.match(r"model\.1\.sub\.\d+\.RDB\d\.", key) for key in state):
        return _from_old(state)
    if any(re.match(r"RRDB_trunk\.\d+\.RDB\d\.", key) for key in state):
        return {_from_esrgan(key): tensor for key, tensor in state.items()}
    if any(re.match(r"body\.\d+\.rdb\d\.", key) for key in state):
        return dict(state)
    return None


def find(state: State) -> Graph | None:
    """The graph, or None where the keys are not this family's.

    Raises ModelError for an RRDBNet that is damaged or a variant.
    """
    renamed = canonical(state)
    if renamed is None:
        return None
    if any("conv1x1" in key for key in renamed):
        raise ModelError(
            f"{_NAME}: an ESRGAN+ network (extra conv1x1 branches in its dense blocks), a variant that upres cannot run"
        )
    return _build(Keys(renamed, _NAME), renamed)


def _from_esrgan(key: str) -> str:
    key = re.sub(r"^RRDB_trunk\.(\d+)\.RDB(\d)\.", r"body.\1.rdb\2.", key)
    key = re.sub(r"^upconv(\d)\.", r"conv_up\1.", key)
    return re.sub(r"^trunk_conv\.", "conv_body.", re.sub(r"^HRconv\.", "conv_hr.", key))


def _from_old(state: Mapping[str, T]) -> dict[str, T]:
    """Old names count the layers of one sequence: 0 first, 1 trunk, then [upsample, conv, act] times n, conv, act,
    conv.
    """
    blocks = [int(match[1]) for key in state if (match := re.match(r"model\.1\.sub\.(\d+)\.RDB", key))]
    after = max(blocks) + 1
    top = sorted(
        {
            int(match[1])
            for key in state
            if (match := re.fullmatch(r"model\.(\d+)\.(?:weight|bias)", key)) and match[1] != "0"
        }
    )
    ups = top[:-2]
    if len(top) < 2 or ups != [3 + 3 * i for i in range(len(ups))] or top[-2:] != [2 + 3 * len(ups), 4 + 3 * len(ups)]:
        raise ModelError(
            f"{_NAME}, old key names: convolutions at model.{top}; expected 3, 6, ... (one an upsampling), then n and "
            "n + 2"
        )
    names = {0: "conv_first", top[-2]: "conv_hr", top[-1]: "conv_last"} | {
        at: f"conv_up{i}" for i, at in enumerate(ups, 1)
    }

    def rename(key: str) -> str:
        if match := re.fullmatch(r"model\.(\d+)\.(weight|bias)", key):
            return f"{names[int(match[1])]}.{match[2]}"
        if key.startswith(f"model.1.sub.{after}."):
            return key.replace(f"model.1.sub.{after}.", "conv_body.")
        return re.sub(r"^model\.1\.sub\.(\d+)\.RDB(\d)\.conv(\d)\.0\.", r"body.\1.rdb\2.conv\3.", key)

    return {rename(key): tensor for key, tensor in state.items()}


def recover(layers: Sequence[Layer]) -> Iterator[State]:
    """State dicts of the RRDBNets whose convolutions these could be, in BasicSR's names, the likeliest first.

    The second is for a simplified graph, as `upres export` writes it: there the last convolution of each dense block
    has its residual scale, and the center of its kernel the block's input.
    """
    convs = [conv for conv, _ in layers]
    blocks, ups = divmod(len(convs) - 4, _CONVS_OF_A_BLOCK)
    if blocks < 1 or ups > _MOST_UPSAMPLINGS:
        return
    dense = [f"body.{n}.rdb{rdb}.conv{k}" for n in range(blocks) for rdb in (1, 2, 3) for k in (1, 2, 3, 4, 5)]
    stems = ["conv_first", *dense, "conv_body", *(f"conv_up{up}" for up in range(1, ups + 1)), "conv_hr", "conv_last"]
    state = {key: array for stem, conv in zip(stems, convs, strict=True) for key, array in named(stem, conv).items()}
    yield state
    width = convs[0].weight.shape[0]
    for stem in dense:
        if stem.endswith("conv5"):
            if state[f"{stem}.weight"].shape[0] != width:
                return
            state |= _unfolded(state, stem, width)
    yield state


def _unfolded(state: State, stem: str, width: int) -> State:
    """Weight and bias of the last convolution of a dense block, without its residual scale and its input."""
    weight, bias = (state[f"{stem}.{part}"].astype(np.float64) for part in ("weight", "bias"))
    if ".rdb3." in stem:  # the scale of the whole block is in it too
        weight, bias = weight / _RESIDUAL, bias / _RESIDUAL
    weight[np.arange(width), np.arange(width), 1, 1] -= 1.0
    return {
        f"{stem}.weight": (weight / _RESIDUAL).astype(np.float32),
        f"{stem}.bias": (bias / _RESIDUAL).astype(np.float32),
    }


def _build(keys: Keys, state: State) -> Graph:
    weight, bias = keys.conv("conv_first", None, None)
    width = weight.shape[0]
    colors = keys.take("conv_last.weight", (None, width, 3, 3)).shape[0]
    unshuffle = _unshuffle(weight.shape[1], colors)
    ups = next(i for i in count() if f"conv_up{i + 1}.weight" not in state)
    if (1 << ups) % unshuffle:
        raise ModelError(f"{_NAME}: {ups} upsamplings by 2 after a pixel-unshuffle by {unshuffle} make no whole scale")
    nodes: list[Node] = []
    value = "input"
    if unshuffle > 1:
        nodes.append(Resample("pixel_unshuffle", "unshuffled", "input", unshuffle))
        value = "unshuffled"
    nodes.append(Conv("first", value, weight, bias, padding=1))
    value = "first"
    blocks = max(int(match[1]) for key in state if (match := re.match(r"body\.(\d+)\.rdb\d\.", key))) + 1
    for block in range(blocks):
        value = _block(nodes, keys, f"body.{block}", value, width)
    nodes.append(Conv("body", value, *keys.conv("conv_body", width, width), padding=1))
    nodes.append(Add("trunk", ("body", "first"), (1.0, 1.0)))
    value = "trunk"
    for up in range(1, ups + 1):
        nodes.append(Resample("upsample_nearest", f"enlarged{up}", value, 2))
        nodes.append(Conv(f"up{up}", f"enlarged{up}", *keys.conv(f"conv_up{up}", width, width), padding=1))
        nodes.append(Activate(f"up{up}.act", f"up{up}", _LEAKY))
        value = f"up{up}.act"
    nodes.append(Conv("hr", value, *keys.conv("conv_hr", width, width), padding=1))
    nodes.append(Activate("hr.act", "hr", _LEAKY))
    nodes.append(Conv("output", "hr.act", *keys.conv("conv_last", colors, width), padding=1))
    keys.finish()
    return Graph.of(nodes, output="output", in_channels=colors, family=FAMILY)


def _unshuffle(taken: int, colors: int) -> int:
    """Factor of the pixel-unshuffle in front: channels taken / colors is its square."""
    for factor in (1, 2, 4):
        if taken == colors * factor * factor:
            return factor
    raise ModelError(
        f"{_NAME}: the first convolution takes {taken} channels and the last gives {colors}; "
        f"expected {colors}, {4 * colors} or {16 * colors} taken"
    )


def _block(nodes: list[Node], keys: Keys, stem: str, source: str, width: int) -> str:
    """One RRDB: three dense blocks, then 0.2 of the result is added to the source."""
    value = source
    for number in (1, 2, 3):
        value = _dense(nodes, keys, f"{stem}.rdb{number}", value, width)
    nodes.append(Scale(f"{stem}.scaled", value, _RESIDUAL))
    nodes.append(Add(stem, (f"{stem}.scaled", source), (1.0, 1.0)))
    return stem


def _dense(nodes: list[Node], keys: Keys, stem: str, source: str, width: int) -> str:
    """One dense block: conv k reads the source and all outputs before it; 0.2 of conv 5 is added to the source."""
    values = [source]
    growth = 0
    for number in (1, 2, 3, 4):
        taken = width + (number - 1) * growth
        weight, bias = keys.conv(f"{stem}.conv{number}", growth or None, taken)
        growth = weight.shape[0]
        nodes.append(Conv(f"{stem}.conv{number}", _joined(nodes, stem, number, values), weight, bias, padding=1))
        nodes.append(Activate(f"{stem}.x{number}", f"{stem}.conv{number}", _LEAKY))
        values.append(f"{stem}.x{number}")
    weight, bias = keys.conv(f"{stem}.conv5", width, width + 4 * growth)
    nodes.append(Conv(f"{stem}.conv5", _joined(nodes, stem, 5, values), weight, bias, padding=1))
    nodes.append(Scale(f"{stem}.scaled", f"{stem}.conv5", _RESIDUAL))
    nodes.append(Add(stem, (f"{stem}.scaled", source), (1.0, 1.0)))
    return stem


def _joined(nodes: list[Node], stem: str, number: int, values: list[str]) -> str:
    if len(values) == 1:
        return values[0]
    nodes.append(Concat(f"{stem}.join{number}", tuple(values)))
    return f"{stem}.join{number}"
