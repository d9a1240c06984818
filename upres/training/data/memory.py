"""Pairs that live on the device once: a batch is two gathers, without a loader between pictures and network.

All pixels of all pictures lie in one tensor of rows of channels, and a sample is an affine walk through it: where it
begins, and the strides of its rows and columns, which a flip makes negative and a transposition swaps. What a batch
holds is a pure function of (seed, step, position), as everywhere; the samples are others than those of `sampling.py`,
which degrades and mixes.
"""

from __future__ import annotations

# pyright: reportUnknownMemberType=false
from collections.abc import Sequence
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from upres.errors import UsageError
from upres.training.config import TrainConfig
from upres.training.data.images import Levels, Pair
from upres.training.data.shares import share_of

_DRAWS = 8  # numbers in [0, 1) that decide one sample


class PairsInMemory:
    """The pairs of a clean task on one device, 8 or 16 bits a value.

    pairs: each with a stored LR. weights: their chances. Raises `UsageError` where a pair has no stored LR or the
    device has no room.
    """

    def __init__(self, pairs: Sequence[Pair], weights: NDArray[np.float64], scale: int, device: torch.device) -> None:
        if any(pair.lr is None for pair in pairs):
            raise UsageError(
                "in_memory needs pairs of HR and LR: shards and degraded pictures are drawn beside the step "
                "(in_memory=false)"
            )
        self._edges = np.cumsum(weights) / np.sum(weights)
        self._scale = scale
        self._sides = np.array([pair.stored_lr.shape[:2] for pair in pairs], np.int64)
        areas = self._sides.prod(axis=1)
        self._starts = np.cumsum(areas) - areas  # of each picture, in pixels of LR
        try:
            self._lr = _rows([pair.stored_lr for pair in pairs], device)
            self._hr = _rows([pair.hr for pair in pairs], device)
        except torch.OutOfMemoryError as error:
            raise UsageError(f"{device} has no room for the pictures: use fewer, or in_memory=false") from error

    def draw(self, config: TrainConfig, step: int, rank: int = 0, ranks: int = 1) -> tuple[Tensor, Tensor]:
        """The share of `rank` in the batch of `step`: lr `b c p p` and hr `b c p*scale p*scale`, float32 in [0,1], on
        the device.
        """
        numbers = np.random.default_rng((config.seed, step)).random((config.batch, _DRAWS))
        numbers = numbers[share_of(config, rank, ranks)]
        picture = self._edges.searchsorted(numbers[:, 0], side="right").clip(max=len(self._edges) - 1)
        patch, sides = config.patch_px, self._sides[picture]
        corners = (numbers[:, 1:3] * (sides - patch + 1)).astype(np.int64)
        flips = numbers[:, 3:6] < 0.5
        if config.turns == "mirror":
            flips[:, (0, 2)] = False
        lr = self._cut(self._lr, picture, corners, flips, patch, 1)
        hr = self._cut(self._hr, picture, corners, flips, patch, self._scale)
        recolored = numbers[:, 6] < config.color_augment
        if lr.shape[1] == 3 and recolored.any():
            lr, hr = (_recolor(x, recolored, numbers[:, 7]) for x in (lr, hr))
        return lr, hr

    def _cut(
        self,
        rows: Tensor,
        picture: NDArray[np.int64],
        corners: NDArray[np.int64],
        flips: NDArray[np.bool_],
        patch: int,
        factor: int,
    ) -> Tensor:
        """`b c p*factor p*factor`: patches whose LR begin at `corners` (y, x), flipped in y and x and transposed as
        `flips` says.
        """
        side, width = patch * factor, self._sides[picture, 1] * factor
        start = self._starts[picture] * factor**2 + corners[:, 0] * factor * width + corners[:, 1] * factor
        flip_y, flip_x, transpose = (flips[:, i].astype(np.int64) for i in range(3))  # 1 where it is done
        down, right = width * (1 - 2 * flip_y), 1 - 2 * flip_x
        start += flip_y * (side - 1) * width + flip_x * (side - 1)
        change = transpose * (right - down)
        begin, by_row, by_column = (
            torch.from_numpy(x).to(rows.device)[:, None, None] for x in (start, down + change, right - change)
        )
        steps = torch.arange(side, device=rows.device)
        values = rows[begin + by_row * steps[:, None] + by_column * steps]  # b side side c
        return values.permute(0, 3, 1, 2).float() / (255.0 if rows.dtype == torch.uint8 else 65535.0)


def _rows(pictures: Sequence[Levels], device: torch.device) -> Tensor:
    """`n c`: the pixels of all pictures, row by row, one picture after the other."""
    channels = pictures[0].shape[2]
    total = sum(picture.shape[0] * picture.shape[1] for picture in pictures)
    dtype = torch.uint8 if pictures[0].dtype == np.uint8 else torch.uint16
    rows = torch.empty((total, channels), dtype=dtype, device=device)
    at = 0
    for picture in pictures:
        pixels = np.array(picture).reshape(-1, channels)  # a copy: what is mapped from a file must not be written to
        rows[at : at + len(pixels)] = torch.from_numpy(pixels)
        at += len(pixels)
    return rows


def _recolor(x: Tensor, chosen: NDArray[np.bool_], numbers: NDArray[np.float64]) -> Tensor:
    """The chosen samples with their channels permuted and each inverted or not: 6 orders times 8 inversions, by a
    number in [0, 1).
    """
    x = x.clone()
    for index in np.flatnonzero(chosen):
        order, inverted = divmod(int(numbers[index] * 48), 8)
        turned = x[int(index), list(_ORDERS[order])]
        signs = torch.tensor([bool(inverted & bit) for bit in (1, 2, 4)], device=x.device)[:, None, None]
        x[int(index)] = torch.where(signs, 1.0 - turned, turned)
    return x


_ORDERS = cast("tuple[tuple[int, int, int], ...]", ((0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)))
