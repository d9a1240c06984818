"""How many channels an ncnn network takes, found by following them through its layers."""

from __future__ import annotations

from upres.weights.ncnn_layers import CONVS, POINTWISE, NcnnLayer
from upres.weights.tensors import Origin

_ONE_TO_ONE = POINTWISE | {"PReLU", "BatchNorm", "Bias", "InstanceNorm", "Interp", "Pooling"}


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
    for candidate in (3, 1, 4):
        fault, known = _follow(layers, entrance, candidate)
        if not fault:
            told = told or known
            return candidate if known else None
        refusal = refusal or fault
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
        elif layer.kind in _ONE_TO_ONE or layer.kind in ("Split", "Scale"):
            size = layer.integer(0) if layer.kind in ("PReLU", "BatchNorm", "Bias", "Scale", "InstanceNorm") else first
            if first is not None and size not in (first, 1 if layer.kind == "PReLU" else first):
                return f"layer {layer.name!r} ({layer.kind}) is for {size} channels and is given {first}", confirmed
            given = None if layer.kind == "Pooling" and layer.integer(4) else first
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
