"""Receptive field, multiply-adds and memory of a graph."""

from __future__ import annotations

from dataclasses import dataclass
from math import gcd, lcm

from upres.graph.nodes import Activate, Conv, MaxPool, Node, Resample, Scale, Shape


@dataclass(frozen=True, slots=True)
class _Reach:
    """The input pixels (along one axis) that an output pixel depends on, as a periodic pattern.

    Output pixel y = n * len(low) + phase depends on input pixels n * step + low[phase] ... n * step + high[phase].
    After upsampling the range depends on the phase, so a single radius passed from layer to layer would be inexact.
    """

    step: int
    low: tuple[int, ...]
    high: tuple[int, ...]

    def at(self, y: int) -> tuple[int, int]:
        turns, phase = divmod(y, len(self.low))
        return turns * self.step + self.low[phase], turns * self.step + self.high[phase]


def _windowed(source: _Reach, kernel: int, stride: int, padding: int) -> _Reach:
    """Output pixel y reads source pixels y * stride - padding ... + kernel - 1."""
    period = len(source.low) // gcd(len(source.low), stride)
    step = source.step * stride * period // len(source.low)
    ends = [(y * stride - padding, y * stride - padding + kernel - 1) for y in range(period)]
    # The extremes may lie inside a window rather than at its ends, since phases differ.
    low = tuple(min(source.at(p)[0] for p in range(first, last + 1)) for first, last in ends)
    high = tuple(max(source.at(p)[1] for p in range(first, last + 1)) for first, last in ends)
    return _Reach(step, low, high)


def _repeated(source: _Reach, factor: int) -> _Reach:
    """Output pixel y reads source pixel y // factor."""
    pixels = [source.at(y // factor) for y in range(len(source.low) * factor)]
    return _Reach(source.step, tuple(p[0] for p in pixels), tuple(p[1] for p in pixels))


def _union(sources: list[_Reach]) -> _Reach:
    period = lcm(*(len(source.low) for source in sources))
    first = sources[0]
    pixels = [[source.at(y) for source in sources] for y in range(period)]
    step = first.step * period // len(first.low)
    low = tuple(min(p[0] for p in many) for many in pixels)
    high = tuple(max(p[1] for p in many) for many in pixels)
    return _Reach(step, low, high)


def receptive_field(nodes: tuple[Node, ...], input_name: str, output_name: str, scale: int) -> int:
    """Largest distance, in input pixels along one axis, from output pixel y (at y // scale) to a pixel it depends on.

    Exact if all weights are non-zero.
    """
    reach = {input_name: _Reach(1, (0,), (0,))}
    for node in nodes:
        sources = [reach[name] for name in node.inputs]
        if isinstance(node, Conv):
            reach[node.output] = _windowed(sources[0], node.weight.shape[2], node.stride, node.padding)
        elif isinstance(node, MaxPool):
            reach[node.output] = _windowed(sources[0], node.kernel, node.stride, 0)
        elif isinstance(node, Resample):
            if node.kind == "pixel_unshuffle":
                reach[node.output] = _windowed(sources[0], node.factor, node.factor, 0)
            else:
                reach[node.output] = _repeated(sources[0], node.factor)
        else:
            reach[node.output] = _union(sources)
    result = reach[output_name]
    pixels = [(result.at(y), y // scale) for y in range(len(result.low))]
    return max(max(own - low, high - own) for (low, high), own in pixels)


def macs_per_pixel(nodes: tuple[Node, ...], shapes: dict[str, Shape]) -> float:
    """Multiply-adds of all convolutions per input pixel (FLOPs are twice this)."""
    convs = (node for node in nodes if isinstance(node, Conv))
    return sum(float(conv.weight.size * shapes[conv.output].ratio ** 2) for conv in convs)


def parameters(nodes: tuple[Node, ...]) -> int:
    """Number of weights, biases and slopes."""
    total = 0
    for node in nodes:
        if isinstance(node, Conv):
            total += node.weight.size + (0 if node.bias is None else node.bias.size)
        activation = node.activation if isinstance(node, Conv | Activate) else None
        if activation is not None and activation.slopes is not None:
            total += activation.slopes.size
    return total


def activation_bytes_per_pixel(
    nodes: tuple[Node, ...], shapes: dict[str, Shape], input_name: str, output_name: str
) -> float:
    """Largest total size of float32 values alive at once, in bytes per input pixel.

    A value lives from the node that writes it to its last reader; an activation or a scale that is the last reader
    works in place. An engine's workspace (padded copies, transforms) comes on top: see `Runner.memory_factor`.
    """
    last_read = {name: index for index, node in enumerate(nodes) for name in node.inputs}
    last_read[output_name] = len(nodes)
    alive = {input_name}
    peak = shapes[input_name].elements_per_pixel
    for index, node in enumerate(nodes):
        dying = {name for name in node.inputs if last_read[name] == index}
        in_place = isinstance(node, Activate | Scale) and bool(dying)
        held = sum(shapes[name].elements_per_pixel for name in alive)
        peak = max(peak, held + (0.0 if in_place else shapes[node.output].elements_per_pixel))
        alive = (alive - dying) | {node.output}
    return 4.0 * peak
