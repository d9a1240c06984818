"""From a graph without names of weights (an ncnn file) back to the state dict of its family: RRDBNet or
SRVGGNetCompact.

Names in such files say nothing, so the network decides: its convolutions, in order, are given the names that they would
have in the family; the family's own graph is built from them; and only where that is the same network, layer by layer
and number by number, are they returned.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from upres.errors import ModelError
from upres.graph.architectures import compact, rrdb
from upres.graph.architectures.keys import Layer, State
from upres.graph.equivalence import equivalent
from upres.graph.graph import Graph
from upres.graph.nodes import Activate, Conv


def recover_weights(graph: Graph) -> State | None:
    """The state dict under the family's names (BasicSR's for an RRDBNet) from which this very network is built; None
    where there is none.

    The arrays are those of the graph. Of a graph that was simplified before it was written, as `upres export` does, the
    last convolution of each dense block is taken apart again, exact to float32 rounding.
    """
    layers = _layers(graph)
    for find, state in _candidates(layers):
        try:
            built = find(state)
        except ModelError:  # shapes that the family does not have: another network
            continue
        if built is not None and equivalent(built, graph):
            return state
    return None


def _candidates(layers: list[Layer]) -> Iterator[tuple[Callable[[State], Graph | None], State]]:
    state = compact.recover(layers) if layers else None
    if state is not None:
        yield compact.find, state
    for state in rrdb.recover(layers):
        yield rrdb.find, state


def _layers(graph: Graph) -> list[Layer]:
    """The convolutions in the order in which they run, each with the activation that was fused into it or reads it."""
    behind = {node.source: node.activation for node in graph.nodes if isinstance(node, Activate)}
    return [(node, node.activation or behind.get(node.output)) for node in graph.nodes if isinstance(node, Conv)]
