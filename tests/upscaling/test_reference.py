"""What a second opinion costs: a crop where the model is the cause, at most twice the tile where the engine is."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.tiny import FakeRunner, compact, noise
from upres import engines
from upres.engines.runner import Runner
from upres.graph.graph import Graph
from upres.images.io import read_picture
from upres.models.load import load_model
from upres.upscaling import reference as reference_module
from upres.upscaling.checked_network import PATIENCE, CheckedNetwork
from upres.upscaling.reference import MAX_WORK, Reference
from upres.upscaling.tile_check import Fault, find_fault
from upres.upscaling.upscaler import Upscaler

Array = np.ndarray
SIDE = 160


class Counted:
    """ncnn in float32, which counts the pixels that it reads; `by` is added to its results."""

    name, device, precision, notes, grid_px = "counted 1", "cpu", "fp32", (), 1

    def __init__(self, graph: Graph, memory_factor: float = 1.0, by: float = 0.0) -> None:
        self._engine: Runner = engines.load(graph, engine="ncnn", threads=1, exact=True, precision="fp32", device="cpu")
        self.memory_factor, self._by, self.read = memory_factor, np.float32(by), 0

    def __call__(self, lr: Array) -> Array:
        self.read += lr.shape[2] * lr.shape[3]
        return self._engine(lr) + self._by

    def close(self) -> None:
        self._engine.close()


def strange() -> Graph:
    """Random weights: what comes out has nothing to do with what goes in."""
    return compact(2, width=8, depth=3, strength=3.0)


def test_a_fault_of_the_model_itself_costs_three_crops_and_no_tile() -> None:
    graph, lr = strange(), noise(3 * SIDE, 2 * SIDE)
    runner, opinion = Counted(graph), Counted(graph)
    upscaler = Upscaler(graph, runner=runner, reference=opinion, tile_px=SIDE)
    batch = np.moveaxis(lr[:SIDE, :SIDE], 2, 0)[None].copy()
    assert find_fault(batch, runner(batch)) == "far from its input's mean"
    first = upscaler.upscale_array(lr)
    assert 0 < opinion.read <= PATIENCE * (16 + 2 * 24) ** 2 < SIDE * SIDE
    before = opinion.read
    np.testing.assert_array_equal(upscaler.upscale_array(lr), first)
    assert opinion.read == before
    np.testing.assert_array_equal(first, Upscaler(graph, runner=Counted(graph)).upscale_array(lr))


@pytest.mark.parametrize("corner", [(0, 0), (SIDE - 40, SIDE - 40), (64, 96)])
def test_a_hole_is_found_by_the_crop_wherever_it_is(corner: tuple[int, int]) -> None:
    graph = compact(2, width=8, strength=0.01)
    lr = np.moveaxis(noise(SIDE, SIDE), 2, 0)[None].copy()
    right = Counted(graph)(lr)
    spoiled = right.copy()
    y, x = corner
    spoiled[..., 2 * y : 2 * y + 80, 2 * x : 2 * x + 80] = 0.0
    fault: Fault | None = find_fault(lr, spoiled)
    assert fault == "far from its input's mean"
    opinion = Reference(graph, lambda: Counted(graph), exact=False)
    assert not opinion.confirms(lr, spoiled, fault)
    np.testing.assert_array_equal(opinion(lr, 1 << 40, "the tile", "card 1"), right)


def test_one_flat_channel_is_asked_about_where_the_picture_has_detail() -> None:
    graph = compact(2, width=8, strength=0.01)
    lr = np.full((1, 3, SIDE, SIDE), 0.5, np.float32)
    lr[..., 128:, 96:] = np.moveaxis(noise(32, 64), 2, 0)
    right = Counted(graph)(lr)
    spoiled = right.copy()
    spoiled[:, 1] = 0.5
    assert find_fault(lr, spoiled) == "flat"
    assert not Reference(graph, lambda: Counted(graph), exact=False).confirms(lr, spoiled, "flat")


def test_a_tile_is_run_again_for_at_most_twice_its_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """The reference takes 15 times the memory of which there is room for 6: tiles of 32 px would read 9 times more."""
    monkeypatch.setattr(reference_module, "available_bytes", lambda: 1 << 34)
    graph = compact(2, width=4, depth=64)  # reaches 65 px
    opinion = Counted(graph, memory_factor=15.0)
    lr = np.moveaxis(noise(SIDE, SIDE), 2, 0)[None].copy()
    room = int(6 * graph.activation_bytes_per_pixel * SIDE * SIDE)
    found = Reference(graph, lambda: opinion, exact=False)(lr, room, "the tile", "card 1")
    assert opinion.read <= MAX_WORK * SIDE * SIDE
    np.testing.assert_array_equal(found, Counted(graph)(lr))


def test_what_is_not_finite_is_not_asked_about_twice() -> None:
    """NaN is the engine's fault or the model's, and no crop decides: the tile runs again, once."""
    graph = compact(2, width=8)
    opinion = Counted(graph)
    network = CheckedNetwork(graph, FakeRunner(spoil_call=0), lambda: opinion)
    network.run([np.full((1, 3, SIDE, SIDE), 0.5, np.float32)], "the tile", 1 << 40)
    assert opinion.read == SIDE * SIDE


_CHECKERS = 1  # the place of checkers among the fields of `hard_tiles`


def hard_tiles(pictures: list[Path], side: int, count: int) -> Iterator[Array]:
    """Parts of photographs, and fields of black, white and pure colors with edges of every kind, seeded."""
    rng = np.random.default_rng(0)
    y, x = np.indices((side, side))
    for index in range(count):
        a, b, c = rng.normal(size=3)
        n = int(rng.integers(1, 12))
        blocks = np.kron(rng.random((side // n + 1, side // n + 1)) > rng.random(), np.ones((n, n)))[:side, :side]
        fields = (
            a * (y - side / 2) + b * (x - side / 2) + 8 * c > 0,
            (y // n + x // n) % 2,
            x // n % 2,
            blocks,
            (y - side / 2) ** 2 + (x - side / 2) ** 2 < (2 * n) ** 2,
        )
        if index % 7 < len(fields):
            color = rng.random(3) > 0.5 if index % 3 == 0 else np.ones(3)
            yield (fields[index % 7] * color[:, None, None])[None].astype(np.float32)
        else:
            pixels = read_picture(pictures[int(rng.integers(len(pictures)))]).pixels
            top, left = (int(rng.integers(length - side)) for length in pixels.shape[:2])
            part = pixels[top : top + side, left : left + side]
            yield np.broadcast_to(part, (side, side, 3)).transpose(2, 0, 1)[None].astype(np.float32)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "side", "count"),
    [("RealESRGAN_x4plus_anime_6B.f16.safetensors", 40, 200), ("RealESRGAN_x4plus.f16.safetensors", 32, 42)],
)
def test_gan_weights_are_asked_about_in_checkers_only(assets: Path, name: str, side: int, count: int) -> None:
    """The network for anime repaints checkers of 4 to 6 px, up to 0.49 in a block's mean; a crop then clears it.

    A third of the tiles, or all with UPRES_LONG=1, which take minutes.
    """
    count = count if os.environ.get("UPRES_LONG") == "1" else count // 3
    graph = load_model(str(assets / "weights" / "realesrgan" / name)).graph
    pictures = sorted((assets / "data" / "test" / "BSD100").iterdir())
    runner = engines.load(graph, engine="ncnn", device="cpu", precision="fp32", threads=1)
    faults = [find_fault(lr, runner(lr)) for lr in hard_tiles(pictures, side, count)]
    assert len(faults) == count
    assert {index % 7 for index, fault in enumerate(faults) if fault is not None} <= {_CHECKERS}
