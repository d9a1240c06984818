"""Tiles are small where much stands still, and those of the network where all moves."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest

from tests.tiny import compact_file
from tests.video.made import make_video, moving_planes
from tests.video.test_run import upscale, whole
from upres.engines.tiles import plan
from upres.video.reader import SourceFrame, digest_of
from upres.video.still import choose_tilings
from upres.video.yuv import Coding

OWN = [[480, 20, 480, 432]]


def frame(number: int, moving: tuple[slice, slice]) -> SourceFrame:
    rng = np.random.default_rng(0)
    planes = [rng.integers(0, 256, (480, 864)).astype(np.uint8), *(np.zeros((240, 432), np.uint8) for _ in range(2))]
    planes[0][moving] = np.random.default_rng(number).integers(0, 256, planes[0][moving].shape)
    return SourceFrame(number, 1, planes, Coding("bt709", step=(2, 2)), digest_of(planes))


def test_all_moves_or_nothing_does() -> None:
    everywhere = np.s_[:, :]
    assert choose_tilings([frame(n, everywhere) for n in range(4)], OWN, 1) == OWN
    assert choose_tilings([frame(0, everywhere)] * 4, OWN, 1) == OWN
    assert choose_tilings([frame(0, everywhere)], OWN, 1) == OWN
    assert choose_tilings([], OWN, 1) == OWN
    assert choose_tilings([frame(n, np.s_[:9, :9]) for n in range(4)], OWN * 2, 1) == OWN * 2  # a chain, or two passes


@pytest.mark.parametrize("moving", [np.s_[300:330, 500:540], np.s_[:60, :], np.s_[:, 400:430]])
def test_a_small_part_moves(moving: tuple[slice, slice]) -> None:
    """The tiles that are chosen read fewest changed pixels of all that are tried, counted here pixel by pixel."""
    frames = [frame(n, moving) for n in range(4)]

    def work(side: int, tall: int, wide: int) -> int:
        total = 0
        for tile in plan(480, 864, tile_px=(tall, wide), overlap_px=20, alignment=1, grid_px=1):
            box = np.s_[
                max(0, tile.source_top - 8) : tile.source_bottom + 8,
                max(0, tile.source_left - 8) : tile.source_right + 8,
            ]
            total += tile.source_px * any(
                (one.planes[0][box] != other.planes[0][box]).any() for one, other in pairwise(frames)
            )
        return total

    ((side, overlap, tall, wide),) = choose_tilings(frames, OWN, 1)
    assert overlap == 20
    assert (tall, wide) == (side, side)
    tried = {one: work(one, one, one) for one in (64, 96, 128, 192, 256)}
    assert tried[side] <= 2.5 * min(tried.values())  # changes are known by blocks of 8 px only
    assert tried[side] < 0.86 * work(480, 480, 432)


def test_chroma_alone_counts() -> None:
    frames = []
    for number in range(3):
        one = frame(0, np.s_[:1, :1])
        planes = [plane.copy() for plane in one.planes]
        planes[2][100:110, 50:60] = number
        frames.append(SourceFrame(number, 1, planes, one.coding, digest_of(planes)))
    ((side, *_),) = choose_tilings(frames, OWN, 1)
    assert side < 480


def test_the_result_is_the_same_whatever_is_spared(tmp_path: Path) -> None:
    def corner(number: int, height: int, width: int, pix_fmt: str) -> list[np.ndarray]:
        planes = moving_planes(0, height, width, pix_fmt)
        for plane, moved in zip(planes, moving_planes(number, height, width, pix_fmt), strict=True):
            plane[: plane.shape[0] // 8] = moved[: plane.shape[0] // 8]
        return planes

    model = str(compact_file(tmp_path / "tiny.safetensors", strength=0.02))
    source = make_video(tmp_path / "in.mkv", 6, codec="ffv1", planes=corner, size=(400, 160))
    report = whole(upscale(source, model, tmp_path / "out.mkv", codec="ffv1"))
    assert report.static > 0.5
    alone = make_video(tmp_path / "5.mkv", 1, codec="ffv1", size=(400, 160), planes=lambda _, *rest: corner(5, *rest))
    whole(upscale(alone, model, tmp_path / "alone.mkv", codec="ffv1"))
    with av.open(str(tmp_path / "alone.mkv")) as one, av.open(str(tmp_path / "out.mkv")) as all_of_it:
        wanted = next(one.decode(video=0)).to_ndarray().astype(int)
        found = list(all_of_it.decode(video=0))[5].to_ndarray()
    assert np.abs(found - wanted).max() <= 1  # other tiles round otherwise by some millionths
