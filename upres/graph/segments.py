"""Cut a deep graph into a chain of shallow ones.

The 23 blocks of an RRDBNet reach 349 pixels together and 15 each. Rows that stream through the blocks one after the
other need 15 more at every border, where rows of the whole network would need 349. Sums with values from far back (the
skip around all blocks) stand between the segments.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate

from upres.graph.graph import Graph
from upres.graph.nodes import Add, Node

_MOST_REACH = 16  # LR pixels of a segment, if it has more than one node


@dataclass(frozen=True, slots=True)
class Segment:
    """A part of a graph from one value to another.

    source, output: Names of the values.
    graph: The part as a graph; None for a sum.
    sum: The sum, if it is one.
    """

    source: str
    output: str
    graph: Graph | None = None
    sum: Add | None = None


def segments(graph: Graph) -> tuple[Segment, ...]:
    """The segments of `graph`, in execution order; one alone where no cut helps.

    Every value between segments has the size of the input. The last segment has the scale of the graph.
    """
    cuts = _cuts(graph)
    found: list[Segment] = []
    place, source = 0, graph.input
    while place < len(graph.nodes):
        node = graph.nodes[place]
        if isinstance(node, Add) and source in node.inputs and place + 1 in cuts:
            found.append(Segment(source, node.output, sum=node))
            place, source = place + 1, node.output
            continue
        end = _furthest(graph, place, source, cuts)
        if end is None:
            return (Segment(graph.input, graph.output, graph),)
        part = _part(graph, place, end, source)
        found.append(Segment(source, part.output, part))
        place, source = end, part.output
    return tuple(found) if len(found) > 1 else (Segment(graph.input, graph.output, graph),)


def _cuts(graph: Graph) -> frozenset[int]:
    """Places, as the number of nodes before them, whose last value is the only one of its own that is read later."""
    last_read = {name: place for place, node in enumerate(graph.nodes) for name in node.inputs}
    last_read[graph.output] = len(graph.nodes)
    tops = list(accumulate((last_read.get(node.output, -1) for node in graph.nodes), max))
    found = {len(graph.nodes)}
    for place, node in enumerate(graph.nodes[:-1], 1):
        if graph.shapes[node.output].ratio == 1 and tops[place - 1] >= place:
            found.add(place)
    return frozenset(found)


def _furthest(graph: Graph, place: int, source: str, cuts: frozenset[int]) -> int | None:
    """The end of the longest segment from `place` on that reads `source` alone; None if there is none."""
    own = {source}
    best: int | None = None
    for end in range(place, len(graph.nodes)):
        node = graph.nodes[end]
        if not own.issuperset(node.inputs):
            break
        own.add(node.output)
        if end + 1 not in cuts or _leaks(graph, place, end + 1):
            continue
        if best is not None and _part(graph, place, end + 1, source).receptive_field > _MOST_REACH:
            break
        best = end + 1
    return best


def _leaks(graph: Graph, place: int, end: int) -> bool:
    """Whether a value of the nodes `place` to `end` - 1, but the last, is read after them."""
    inner = {node.output for node in graph.nodes[place : end - 1]}
    return any(not inner.isdisjoint(node.inputs) for node in graph.nodes[end:]) or graph.output in inner


def _part(graph: Graph, place: int, end: int, source: str) -> Graph:
    nodes: tuple[Node, ...] = graph.nodes[place:end]
    channels = graph.shapes[source].channels
    return Graph.of(nodes, output=nodes[-1].output, in_channels=channels, family=graph.family, input=source)
