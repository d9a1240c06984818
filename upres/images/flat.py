"""Whether a picture is drawn in flat colors, which WebP and AVIF keep only without loss."""

from __future__ import annotations

import numpy as np

from upres.images.icc import Levels

_BLOCK_PX = 8
# Share of blocks of one color: in results of photographs up to 0.09, of slides with photographs 0.35, of drawings more.
_FROM = 0.5


class FlatShare:
    """The share of blocks of a picture that have one color, counted band by band."""

    def __init__(self) -> None:
        self._blocks = self._flat = 0

    def add(self, band: Levels) -> None:
        """Count the blocks of levels h w c; rows and columns beyond the last whole block are left out."""
        rows, columns = len(band) // _BLOCK_PX, band.shape[1] // _BLOCK_PX
        if not rows or not columns:
            return
        whole = band[: rows * _BLOCK_PX, : columns * _BLOCK_PX]
        blocks = whole.reshape(rows, _BLOCK_PX, columns, _BLOCK_PX, band.shape[2])
        self._blocks += rows * columns
        self._flat += int(np.count_nonzero((blocks == blocks[:, :1, :, :1]).all((1, 3, 4))))

    @property
    def is_flat(self) -> bool:
        """Whether the bands so far are of a picture in flat colors."""
        return self._blocks > 0 and self._flat >= _FROM * self._blocks


def is_flat(levels: Levels) -> bool:
    """Whether levels h w c are of a picture in flat colors."""
    share = FlatShare()
    share.add(levels)
    return share.is_flat
