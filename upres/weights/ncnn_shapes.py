"""Sizes of what ncnn's layers give, computed before a run: ncnn does not compare the operands of element-wise layers.

Where the sides of a picture do not fit a network (Real-CUGAN halves them twice), its branches have different sizes.
ncnn then reads beyond the smaller one and gives garbage. Source: the layers' `forward` in ncnn's src/layer.
"""

from __future__ import annotations

from upres.weights.ncnn_layers import CONVS, GIVEN, ONE_TO_ONE, NcnnLayer

Shape = tuple[int, int, int]  # channels, h, w; a vector is c 1 1
_ALONG = {-1: 2, -2: 1, -3: 0}
_OPEN_END = -233  # of a Crop: to the end


class MisfitError(Exception):
    """The sides of a picture do not fit a network; the message names the layer and the sizes."""


def check_sizes(layers: tuple[NcnnLayer, ...], entrance: str, shape: Shape) -> dict[str, Shape | None]:
    """Shapes of all blobs for an input of `shape`; None where a layer of unknown kind is before them.

    Raises `MisfitError` where the operands of a layer have different sizes, or nothing is left of the picture.
    """
    shapes: dict[str, Shape | None] = {entrance: shape}
    for layer in layers:
        if layer.kind == "Input":
            continue
        given = _given(layer, [shapes.get(name) for name in layer.inputs])
        if given is not None and min(given) < 1:
            raise MisfitError(f"layer {layer.name!r} ({layer.kind}) would give {given[2]} x {given[1]} values")
        for name in layer.outputs:
            shapes[name] = given
    return shapes


def _given(layer: NcnnLayer, sources: list[Shape | None]) -> Shape | None:
    first = sources[0] if sources else None
    if layer.kind in ("BinaryOp", "Eltwise", "Scale") and len(sources) > 1:
        return _element_wise(layer, sources)
    if layer.kind == "InnerProduct":
        return (layer.integer(0), 1, 1)
    if first is None:
        return None
    channels, height, width = first
    if layer.kind in CONVS:
        return _convolved(layer, height, width)
    if layer.kind == "Pooling":
        return _pooled(layer, first)
    if layer.kind == "Crop":
        return _cropped(layer, first, sources[1] if len(sources) > 1 else None)
    if layer.kind == "Interp":
        return _interpolated(layer, first) if len(sources) == 1 else None
    if layer.kind == "Padding":
        top, bottom, left, right = (layer.integer(key) for key in range(4))
        return None if layer.integer(7) or layer.integer(8) else (channels, height + top + bottom, width + left + right)
    if layer.kind == "PixelShuffle":
        factor = layer.integer(0, 1)
        return channels // factor**2, height * factor, width * factor
    if layer.kind == "Reorg":
        factor = layer.integer(0, 1)
        return channels * factor**2, height // factor, width // factor
    if layer.kind == "Concat":
        return _joined(layer, sources)
    if layer.kind in ONE_TO_ONE or layer.kind in ("Split", "Scale", "BinaryOp"):
        return first
    return None


def _element_wise(layer: NcnnLayer, sources: list[Shape | None]) -> Shape | None:
    known = [source for source in sources if source is not None]
    if len(known) < len(sources):
        return None
    result = known[0]
    for other in known[1:]:
        alike = [a == b or (layer.kind == "BinaryOp" and 1 in (a, b)) for a, b in zip(result, other, strict=True)]
        if layer.kind == "Scale" and layer.integer(0) == GIVEN:
            alike = [result[0] == other[0], other[1:] == (1, 1)]
        if not all(alike):
            raise MisfitError(
                f"layer {layer.name!r} ({layer.kind}) is given {_words(result)} and {_words(other)} values"
            )
        if layer.kind != "Scale":
            result = max(result[0], other[0]), max(result[1], other[1]), max(result[2], other[2])
    return result


def _joined(layer: NcnnLayer, sources: list[Shape | None]) -> Shape | None:
    known = [source for source in sources if source is not None]
    if len(known) < len(sources) or layer.integer(0) != 0:
        return None
    if len({source[1:] for source in known}) > 1:
        raise MisfitError(f"layer {layer.name!r} (Concat) is given {' and '.join(map(_words, known))} values")
    return sum(source[0] for source in known), known[0][1], known[0][2]


def _words(shape: Shape) -> str:
    return f"{shape[2]} x {shape[1]} x {shape[0]}"


def _window(layer: NcnnLayer) -> tuple[tuple[int, int], tuple[int, int]]:
    """(extent, stride) of the kernel, each (h, w)."""
    dilation = layer.integer(12, layer.integer(2, 1)), layer.integer(2, 1)
    extent = tuple(reach * (size - 1) + 1 for reach, size in zip(dilation, layer.kernel, strict=True))
    return (extent[0], extent[1]), (layer.integer(13, layer.integer(3, 1)), layer.integer(3, 1))


def _convolved(layer: NcnnLayer, height: int, width: int) -> Shape | None:
    left = layer.integer(4)
    pads = (left, layer.integer(15, left), layer.integer(14, left), layer.integer(16, layer.integer(14, left)))
    (tall, wide), (down, across) = _window(layer)
    if layer.kind.startswith("Deconvolution"):
        if min(pads) < 0 or layer.integer(20) or layer.integer(21):
            return None
        right, below = layer.integer(18), layer.integer(19, layer.integer(18))
        high = (height - 1) * down + tall + below - pads[2] - pads[3]
        return layer.integer(0), high, (width - 1) * across + wide + right - pads[0] - pads[1]
    if min(pads) < 0:  # as many as the size needs
        return layer.integer(0), -(-height // down), -(-width // across)
    high, broad = height + pads[2] + pads[3] - tall, width + pads[0] + pads[1] - wide
    return layer.integer(0), high // down + 1, broad // across + 1


def _pooled(layer: NcnnLayer, shape: Shape) -> Shape | None:
    channels, height, width = shape
    if layer.integer(4):
        return channels, 1, 1
    if layer.integer(7) or layer.integer(5) not in (0, 1):  # adaptive, or padded to a size
        return None
    wide, across = layer.integer(1), layer.integer(2, 1)
    tall, down = layer.integer(11, wide), layer.integer(12, across)
    left = layer.integer(3)
    pads = (layer.integer(13, left), layer.integer(15, layer.integer(13, left)), left, layer.integer(14, left))
    high, broad = height + pads[0] + pads[1] - tall, width + pads[2] + pads[3] - wide
    if layer.integer(5) == 0:  # windows that stand out count as well
        return channels, -(-high // down) + 1, -(-broad // across) + 1
    return channels, high // down + 1, broad // across + 1


def _cropped(layer: NcnnLayer, shape: Shape, like: Shape | None) -> Shape | None:
    channels, height, width = shape
    offsets = layer.integer(2), layer.integer(1), layer.integer(0)
    if len(layer.inputs) > 1:
        if like is None:
            return None
        if any(start + out > size for start, out, size in zip(offsets, like, shape, strict=True)):
            raise MisfitError(f"layer {layer.name!r} (Crop) would cut {_words(like)} out of {_words(shape)} values")
        return like
    if 9 in layer.params:
        starts, ends, axes = layer.numbers(9), layer.numbers(10), layer.numbers(11)
        sides = list(shape)
        for start, end, axis in zip(starts, ends, axes or (0, 1, 2), strict=False):
            place = _ALONG.get(int(axis), int(axis))
            size = shape[place]
            stop = size if end == _OPEN_END else int(end)
            begin, stop = (value + size if value < 0 else min(value, size) for value in (int(start), stop))
            sides[place] = stop - begin
        return sides[0], sides[1], sides[2]
    outs = layer.integer(5), layer.integer(4), layer.integer(3)
    tails = layer.integer(8), layer.integer(7), layer.integer(6)
    left = [
        size - start - tail if out in (0, _OPEN_END) else out
        for size, out, start, tail in zip((channels, height, width), outs, offsets, tails, strict=True)
    ]
    if any(start + out > size for start, out, size in zip(offsets, left, shape, strict=True)):
        raise MisfitError(
            f"layer {layer.name!r} (Crop) would cut {_words((left[0], left[1], left[2]))} out of {_words(shape)} values"
        )
    return left[0], left[1], left[2]


def _interpolated(layer: NcnnLayer, shape: Shape) -> Shape:
    channels, height, width = shape
    return (
        channels,
        layer.integer(3) or int(height * layer.real(1, 1.0)),
        layer.integer(4) or int(width * layer.real(2, 1.0)),
    )
