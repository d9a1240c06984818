"""What a network sees and costs: receptive fields against float64 gradients, parameters against torch, costs against
published figures.
"""

from __future__ import annotations

import pytest
import torch
from torch import nn

from tests.graph.test_graph import graph_of, weights
from tests.oracles.networks import RRDBNet, SRVGGNetCompact, randomized, state_of
from upres.graph.architectures import graph_from_state_dict
from upres.graph.nodes import Activate, Activation, Add, Conv, MaxPool, Node, Resample


def true_reach(module: nn.Module, side: int, scale: int) -> int:
    """Largest distance from an LR row to the LR row of an output that depends on it: where the derivative, in float64,
    is not zero.

    Four rows are tried: a pixel-unshuffle makes the reach depend on which.
    """
    module = module.double()
    random = torch.Generator().manual_seed(0)
    lr, change = torch.rand(2, 1, 3, side, 16, generator=random, dtype=torch.float64)
    middle = side // 2 - side // 2 % 4
    reach = 0
    for row in range(middle, middle + 4):
        tangent = torch.zeros_like(lr)
        tangent[:, :, row] = change[:, :, row]
        _, moved = torch.autograd.functional.jvp(module, lr, tangent)
        rows = torch.nonzero(moved[0].abs().sum((0, 2)))[:, 0] // scale
        reach = max(reach, int((rows - row).abs().max()))
    return reach


CASES = {
    "compact x2, 3 convs": (SRVGGNetCompact(width=6, convs=3, scale=2), 24),
    "compact x4, 6 convs": (SRVGGNetCompact(width=4, convs=6, scale=4), 32),
    "rrdb x4": (RRDBNet(width=4, growth=3, blocks=1), 48),
    "rrdb x8": (RRDBNet(width=4, growth=3, blocks=1, ups=3), 48),
    "rrdb x1": (RRDBNet(width=4, growth=3, blocks=1, ups=0), 48),
    "rrdb x2, unshuffled": (RRDBNet(width=4, growth=3, blocks=1, unshuffle=2), 92),
    "rrdb x1, unshuffled": (RRDBNet(width=4, growth=3, blocks=1, unshuffle=4), 180),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_receptive_field_is_exact(case: str) -> None:
    module, side = CASES[case]
    randomized(module, seed=1)
    graph = graph_from_state_dict(state_of(module.float()))
    assert graph.receptive_field == true_reach(module, side, graph.scale)
    assert graph.receptive_field < side // 2 - 4  # or the border would have hidden the end


@pytest.mark.parametrize(("convs", "expected"), [(16, 18), (32, 34)])
def test_receptive_field_of_the_published_compact_networks(convs: int, expected: int) -> None:
    assert graph_from_state_dict(state_of(SRVGGNetCompact(width=2, convs=convs))).receptive_field == expected


def test_receptive_field_of_rrdb_with_23_blocks() -> None:
    # 1 + 23 * 3 * 5 + 1 before the upsamplings; conv_up1 at x2, three more at x4 add 2: floor(floor(-3 / 2) - 1) / 2) =
    # -2.
    assert graph_from_state_dict(state_of(RRDBNet(width=2, growth=1))).receptive_field == 349


def test_receptive_field_of_strides_and_pools() -> None:
    halved = Conv("halved", "input", weights(4, 3), stride=2, padding=1)
    graph = graph_of([halved, Resample("upsample_nearest", "again", "halved", 2)])
    assert (graph.receptive_field, graph.alignment, graph.scale) == (2, 2, 1)  # pixel 1 shows pixels -1 ... 1: 2 away
    pooled = graph_of([MaxPool("pooled", "input", 2, 2), Resample("upsample_nearest", "again", "pooled", 2)])
    assert pooled.receptive_field == 1


@pytest.mark.parametrize("case", ["compact x4, 6 convs", "rrdb x2, unshuffled"])
def test_parameters_are_counted_as_torch_counts_them(case: str) -> None:
    module = CASES[case][0]
    assert graph_from_state_dict(state_of(module.float())).parameters == sum(p.numel() for p in module.parameters())


def test_macs_of_known_networks() -> None:
    compact = graph_from_state_dict(state_of(SRVGGNetCompact()))
    assert compact.macs_per_pixel == 9 * (3 * 64 + 16 * 64 * 64 + 64 * 48)
    # Published: 35.7 GMACs for compact 64x16 and 1032.6 for RRDB, both x4 to 1280 x 720.
    assert compact.macs_per_pixel * 320 * 180 / 1e9 == pytest.approx(35.7, abs=0.05)
    assert graph_from_state_dict(state_of(RRDBNet())).macs_per_pixel * 320 * 180 / 1e9 == pytest.approx(
        1032.6, abs=0.05
    )


def test_activation_bytes_are_those_of_the_widest_moment() -> None:
    # At the sum: three values of 3 channels at x2, 12 elements a pixel each, four bytes an element.
    nodes: list[Node] = [
        Conv("a", "input", weights(8, 3), padding=1),
        Activate("act", "a", Activation("relu")),  # in place
        Conv("b", "act", weights(12, 8), padding=1),
        Resample("pixel_shuffle", "big", "b", 2),
        Resample("upsample_nearest", "base", "input", 2),
        Add("sum", ("big", "base"), (1.0, 1.0)),
    ]
    assert graph_of(nodes).activation_bytes_per_pixel == 4 * (12 + 12 + 12)
    assert graph_of(nodes[:3]).activation_bytes_per_pixel == 4 * (8 + 12)
    assert graph_of(nodes[:2]).activation_bytes_per_pixel == 4 * (3 + 8)
