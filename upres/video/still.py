"""Choose tiles by how much of a video stands still: small tiles cost their overlap, and spare what has not changed.

The first frames are looked at. For each side of a tile the work is the pixels that the tiles read in which anything
changed from one frame to the next; the sides that the network's tiling has by itself are kept unless others save a
seventh of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from upres.engines.tiles import plan
from upres.video.reader import SourceFrame
from upres.video.yuv import Levels

LOOK_FRAMES = 24
_SIDES = (64, 96, 128, 192, 256)
_BLOCK_PX = 8
_WORTH = 0.86
_REACH_PX = 8  # a change of chroma reaches so far, when chroma is enlarged


def choose_tilings(frames: Sequence[SourceFrame], tilings: Sequence[Sequence[int]], alignment: int) -> list[list[int]]:
    """Tilings as `FrameEnlarger.tilings` gives them, with other sides if those spare work in a video such as `frames`.

    tilings: Those of the network itself. alignment: Of the network.
    """
    own = [list(tiling) for tiling in tilings]
    shapes = [[plane.shape for plane in one.planes] for one in frames]
    if len(own) != 1 or len(frames) < 2 or any(one != shapes[0] for one in shapes):
        return own
    height, width = shapes[0][0]
    sums = [_sums(one, other) for one, other in pairwise(frames) if one.digest != other.digest]
    _, overlap, *kept = own[0]
    sides = {side: (side, side) for side in (-(-side // alignment) * alignment for side in _SIDES)}
    best, least = own, _WORTH * _work(sums, height, width, (kept[0], kept[1]), overlap, alignment)
    for side, box in sides.items():
        if side < max(height, width):
            work = _work(sums, height, width, box, overlap, alignment)
            if work < least:
                best, least = [[side, overlap, *box]], work
    return best


def _sums(before: SourceFrame, now: SourceFrame) -> NDArray[np.int64]:
    """Changed blocks above and to the left of each corner of a block."""
    height, width = now.planes[0].shape
    rows, columns = -(-height // _BLOCK_PX), -(-width // _BLOCK_PX)
    changed = np.zeros((rows, columns), bool)
    for one, other in zip(before.planes, now.planes, strict=True):
        changed |= _blocks(one, other, (rows, columns), height)
    sums = np.zeros((rows + 1, columns + 1), np.int64)
    sums[1:, 1:] = changed.cumsum(axis=0).cumsum(axis=1)
    return sums


def _blocks(one: Levels, other: Levels, shape: tuple[int, int], height: int) -> NDArray[np.bool_]:
    """In which blocks of luma two planes differ; planes of chroma have fewer samples for a block."""
    down = -(-height // one.shape[0])
    tall = max(1, _BLOCK_PX // down)
    wide = max(1, -(-one.shape[1] // shape[1]))
    padded = np.zeros((shape[0] * tall, shape[1] * wide), bool)
    differs = one != other
    padded[: differs.shape[0], : differs.shape[1]] = differs[: padded.shape[0], : padded.shape[1]]
    return np.asarray(padded.reshape(shape[0], tall, shape[1], wide).any(axis=(1, 3)))


def _work(
    sums: Sequence[NDArray[np.int64]], height: int, width: int, kept: tuple[int, int], overlap: int, alignment: int
) -> int:
    """Pixels that tiles of this size read in which anything changed, over all pairs of frames."""
    whole = (-(-height // alignment) * alignment, -(-width // alignment) * alignment)
    tiles = plan(*whole, tile_px=kept, overlap_px=overlap, alignment=alignment, grid_px=1)
    total = 0
    for tile in tiles:
        top = max(0, tile.source_top - _REACH_PX) // _BLOCK_PX
        left = max(0, tile.source_left - _REACH_PX) // _BLOCK_PX
        for one in sums:
            bottom = min(one.shape[0] - 1, -(-(tile.source_bottom + _REACH_PX) // _BLOCK_PX))
            right = min(one.shape[1] - 1, -(-(tile.source_right + _REACH_PX) // _BLOCK_PX))
            if one[bottom, right] - one[top, right] - one[bottom, left] + one[top, left]:
                total += tile.source_px
    return total
