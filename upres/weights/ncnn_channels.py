"""Channels that an ncnn network takes, by following them through its layers."""

from __future__ import annotations

from upres.weights.ncnn_layers import CONVS, ONE_TO_ONE, NcnnLayer
from upres.weights.tensors import Origin

_PICTURES = (3, 1, 4)  # channels of pictures, in the order in which they are tried
_SRMD = (18, 19)  # RGB, 15 numbers for the blur, and the noise


def taken_channels(layer: NcnnLayer) -> int:
    """Channels that a convolution takes."""
    groups = layer.integer(7, 1) if layer.kind.endswith("DepthWise") else 1
    return layer.integer(6) // (layer.integer(0) * layer.kernel[0] * layer.kernel[1]) * groups


def infer_channels(layers: tuple[NcnnLayer, ...], entrance: str, origin: Origin) -> int | None:
    """Channels that the network takes, found by following 3, 1 and 4 through its layers; None where no layer tells.

    Raises ModelError where none of them fits: ncnn does not compare and would read beyond its memory.
    """
    refusal = ""
    told = False
    for candidate in _PICTURES:
        fault, known = _follow(layers, entrance, candidate)
        if not fault:
            told = told or known
            return candidate if known else None
        refusal = refusal or fault
    first = next((layer for layer in layers if layer.kind in CONVS), None)
    taken = 0 if first is None else taken_channels(first)
    if first is not None and taken not in _PICTURES and entrance in first.inputs:
        maps = "; SRMD also takes a description of the blur and of the noise" if taken in _SRMD else ""
        raise origin.refuse(
            f"it takes {taken} channels, and a picture has 3 (RGB) or 1 (gray){maps}",
            remedy="Take a network whose only input is the picture",
        )
    raise origin.refuse(refusal)


def _follow(layers: tuple[NcnnLayer, ...], entrance: str, candidate: int) -> tuple[str, bool]:
    """(what does not fit, or "", whether a convolution has confirmed the candidate)."""
    channels: dict[str, int | None] = {entrance: candidate}
    confirmed = False
    for layer in layers:
        sources = [channels.get(name) for name in layer.inputs]
        first = sources[0] if sources else None
        given: int | None = None
        if layer.kind == "Input":
            continue
        if layer.kind in CONVS:
            taken = taken_channels(layer)
            if first is not None and taken != first:
                return f"layer {layer.name!r} ({layer.kind}) takes {taken} channels and is given {first}", confirmed
            confirmed = confirmed or first is not None
            given = layer.integer(0)
        elif layer.kind == "Scale" and len(sources) == 2:
            if None not in sources and sources[0] != sources[1]:
                return (
                    f"layer {layer.name!r} (Scale) is given {sources[0]} channels and {sources[1]} factors",
                    confirmed,
                )
            given = first
        elif layer.kind == "InnerProduct":
            given = layer.integer(0)
        elif layer.kind in ONE_TO_ONE or layer.kind in ("Split", "Scale"):
            size = layer.integer(0) if layer.kind in ("PReLU", "BatchNorm", "Bias", "Scale", "InstanceNorm") else first
            if first is not None and size not in (first, 1 if layer.kind == "PReLU" else first):
                return f"layer {layer.name!r} ({layer.kind}) is for {size} channels and is given {first}", confirmed
            given = first
        elif layer.kind == "Concat" and layer.integer(0) == 0:
            given = None if None in sources else sum(source for source in sources if source is not None)
        elif layer.kind in ("Eltwise", "BinaryOp"):
            known = {source for source in sources if source is not None}
            if layer.kind == "Eltwise" and len(known) > 1:
                return f"layer {layer.name!r} (Eltwise) is given {sources} channels", confirmed
            given = max(known) if None not in sources and len(known) == 1 else None
        elif layer.kind == "PixelShuffle" and first is not None:
            area = layer.integer(0, 1) ** 2
            if first % area:
                return (
                    f"layer {layer.name!r} (PixelShuffle) cannot make squares of {area} out of {first} channels",
                    confirmed,
                )
            given = first // area
        elif layer.kind == "Reorg" and first is not None:
            given = first * layer.integer(0, 1) ** 2
        for name in layer.outputs:
            channels[name] = given
    return "", confirmed
