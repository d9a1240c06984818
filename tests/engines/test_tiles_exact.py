"""A tiled picture equals the untiled one: to the bit with torch and with ncnn's exact mode, to a rounding error with
ncnn's Winograd.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.oracles.networks import RRDBNet, SRVGGNetCompact, randomized, state_of
from upres import engines
from upres.engines.runner import Runner
from upres.engines.tiles import plan, run_tiles
from upres.graph.architectures import graph_from_state_dict
from upres.graph.graph import Graph
from upres.graph.nodes import Array
from upres.images.io import quantize
from upres.models.load import load_model
from upres.upscaling.upscaler import Upscaler

# Sizes with the tiles that they are cut into: tiles that see the border at some sides or at none, and tiny ones, of
# which a row is enough.
CUTS = [((61, 74), (37, 16)), ((33, 97), (16,)), ((12, 61), (5,))]


def tiled(runner: Runner, graph: Graph, lr: Array, tile_px: int, overlap_px: int) -> Array:
    tiles = plan(*lr.shape[2:], tile_px=tile_px, overlap_px=overlap_px, alignment=graph.alignment)
    return run_tiles(runner, lr, tiles, scale=graph.scale, channels=graph.out_channels)


def published(assets: Path) -> Graph:
    state = torch.load(assets / "weights" / "realesr-animevideov3.pth", map_location="cpu", weights_only=True)["params"]
    return graph_from_state_dict({key: tensor.numpy() for key, tensor in state.items()})


# Widths of 64, 32 and no multiple of a vector; one RRDB block and a pixel-unshuffle, whose tiles must keep the phase.
NETWORKS = {
    "compact 32 wide": randomized(SRVGGNetCompact(width=32, convs=5, scale=4), 1),
    "compact 13 wide, x3": randomized(SRVGGNetCompact(width=13, convs=4, scale=3), 2),
    "rrdb x4": randomized(RRDBNet(width=16, growth=8, blocks=1), 3),
    "rrdb x2, unshuffled": randomized(RRDBNet(width=16, growth=8, blocks=1, unshuffle=2), 4),
}


@pytest.mark.slow
@pytest.mark.parametrize(("engine", "exact"), [("torch", False), ("ncnn", True), ("ncnn", False)])  # torch always is
@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize(("size", "tiles"), CUTS)
def test_tiled_equals_untiled(
    network: str, engine: str, exact: bool, size: tuple[int, int], tiles: tuple[int, ...]
) -> None:
    graph = graph_from_state_dict(state_of(NETWORKS[network]))
    height, width = (side - side % graph.alignment for side in size)
    lr = np.random.default_rng(5).random((1, 3, height, width), dtype=np.float32)
    runner = engines.load(graph, engine=engine, threads=1, exact=exact)
    untiled = runner(lr)
    for tile in tiles:
        result = tiled(runner, graph, lr, tile, graph.receptive_field)
        if engine == "torch" or exact:
            np.testing.assert_array_equal(result, untiled)
        else:
            np.testing.assert_allclose(result, untiled, rtol=0, atol=2e-5)


def test_less_overlap_than_the_receptive_field_shows() -> None:
    """The positive control of the tests above: without the whole overlap, tiles do differ."""
    graph = graph_from_state_dict(state_of(NETWORKS["compact 13 wide, x3"]))
    lr = np.random.default_rng(5).random((1, 3, 40, 40), dtype=np.float32)
    runner = engines.load(graph, engine="torch", threads=1)
    assert np.abs(tiled(runner, graph, lr, 16, graph.receptive_field // 2) - runner(lr)).max() > 1e-4


@pytest.mark.slow
@pytest.mark.parametrize("threads", [1, 2])
def test_published_compact_weights(assets: Path, threads: int) -> None:
    graph = published(assets)
    lr = np.random.default_rng(6).random((1, 3, 64, 75), dtype=np.float32)
    for engine, exact in (("torch", False), ("ncnn", True)):
        runner = engines.load(graph, engine=engine, threads=threads, exact=exact)
        np.testing.assert_array_equal(tiled(runner, graph, lr, 32, graph.receptive_field), runner(lr))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "size", "tiles"),
    [
        ("compact-x2", (64, 250), (17, 100)), ("compact-x4", (101, 133), (17, 24, 50, 100)),
        ("compact-x4", (64, 250), (24,)), ("published", (101, 133), (24, 100)),
    ],
)  # fmt: skip
def test_winograd_moves_at_most_one_level_of_ten_thousand_values(
    request: pytest.FixtureRequest, name: str, size: tuple[int, int], tiles: tuple[int, ...]
) -> None:
    """With the tiles that `Upscaler` makes, also on white noise, which these networks amplify."""
    graph = published(request.getfixturevalue("assets")) if name == "published" else load_model(name).graph
    lr = np.random.default_rng(5).random((*size, 3), np.float32)
    untiled = Upscaler(graph, engine="ncnn", threads=1).upscale_array(lr)
    for tile in tiles:
        result = Upscaler(graph, engine="ncnn", threads=1, tile_px=tile).upscale_array(lr)
        np.testing.assert_allclose(result, untiled, rtol=0, atol=2e-5)
        levels = np.abs(quantize(result, 8).astype(int) - quantize(untiled, 8).astype(int))
        assert levels.max() <= 1
        assert np.count_nonzero(levels) <= levels.size / 10_000


def test_tiles_on_the_grid_are_computed_as_the_untiled_picture_is() -> None:
    """Why `Runner.grid_px` works: what is divided into the same blocks is computed in the same way."""
    graph = load_model("compact-x4").graph
    runner = engines.load(graph, engine="ncnn", threads=1)
    grid = runner.grid_px
    assert grid > 1
    lr = np.random.default_rng(6).random((1, 3, 150, 60), np.float32)
    untiled = runner(lr)
    exact, loose = (
        run_tiles(runner, lr, plan(150, 60, tile_px=50, overlap_px=overlap, grid_px=step), scale=4, channels=3)
        for overlap, step in ((graph.receptive_field + grid, grid), (graph.receptive_field, 1))
    )
    on_grid, off_grid = (np.count_nonzero(result != untiled) for result in (exact, loose))
    assert on_grid < off_grid / 2
