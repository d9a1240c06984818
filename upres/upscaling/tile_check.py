"""Detect tiles that a working engine cannot have produced: NaN, black or green squares, unrelated content.

A fault costs a second run, so only what no network does on purpose counts as one. The limits were measured on six
networks (realesr-animevideov3, realesr-general-x4v3, compact-x2, compact-x4, compact-wild-x4, compact-gan-x4) over 24
tiles of photographs (Set14, BSD100) and 37 synthetic ones (noise, checkers, stripes, text, pure colors, tiles of 1 to
32 pixels):

- The mean of a channel over blocks of 32 px moved by at most 0.056 in photographs, by 0.141 in the worst synthetic tile
  (binary noise), and in tiles of a single pixel by 0.18 (red) and 0.26 (green). The limits 0.2, and 0.4 for tiles that
  thin, exceed all of them. A lost channel moves by its level, usually 0.3 to 0.5.
- No output channel spread by less than 0.01 if the standard deviation of its input was 0.002 or more.

Means are taken over blocks, since only part of a tile may be lost, and the mean of a large tile hides a small hole.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import numpy as np

from upres.graph.nodes import Array

Fault: TypeAlias = Literal["not finite", "flat", "far from its input's mean"]

FAR = 0.2  # largest change of a channel's mean over a block, in [0, 1]
FLAT = 0.002  # half an 8-bit level: a channel with a smaller spread looks like one color
NOT_FLAT = (
    0.01  # standard deviation of an input that must not become flat; less is faint noise, which some networks remove
)
CLOSE = 0.02  # mean difference over a block, relative to the largest value; bf16 (8 bits) causes about a third of that
BLOCK_PX = 32  # side of a block in LR pixels, or a little more
_SEEN_PX = 4  # in a thinner tile the network sees little but padding: the limit is doubled
_SAMPLED = 61  # every 61st output row is checked first; a prime, to avoid aliasing with patterns in the picture


def find_fault(lr: Array, sr: Array) -> Fault | None:
    """The fault in `sr` (..., c, h*scale, w*scale), the result of a network for `lr` (..., c, h, w) in [0, 1], or None.

    A single NaN or infinity is "not finite". Channels are checked separately: a picture that lost red and blue is
    green.
    """
    scale = sr.shape[-1] // lr.shape[-1]
    with np.errstate(invalid="ignore", over="ignore"):  # inf - inf gives the NaN to look for
        means = _block_means(sr, BLOCK_PX * scale)
    if not np.isfinite(means).all():  # a NaN or infinity spreads to the mean of its block
        return "not finite"
    if _is_flat(sr, lr):
        return "flat"
    far = FAR if min(lr.shape[-2:]) >= _SEEN_PX else 2.0 * FAR
    if np.abs(means - _block_means(lr, BLOCK_PX)).max() > far:
        return "far from its input's mean"
    return None


def suspect_block(lr: Array, sr: Array, fault: Fault) -> tuple[int, int]:
    """(top, left) in LR pixels of the block of `lr` whose result shows the fault most: whose mean is farthest from its
    input's, or, in a flat channel, which has most detail.
    """
    scale = sr.shape[-1] // lr.shape[-1]
    means = _block_means(lr, BLOCK_PX)
    if fault == "flat":
        flat = (sr.max(axis=(-2, -1), keepdims=True) - sr.min(axis=(-2, -1), keepdims=True)) < FLAT
        worth = flat * (_block_means(lr * lr, BLOCK_PX) - means * means)
    else:
        worth = np.abs(_block_means(sr, BLOCK_PX * scale) - means)
    worth = worth.reshape(-1, *worth.shape[-2:]).max(axis=0)
    row, column = divmod(int(worth.argmax()), worth.shape[1])
    height, width = lr.shape[-2:]
    return height * row // worth.shape[0], width * column // worth.shape[1]


def agree(sr: Array, other: Array, scale: int) -> bool:
    """Whether two finite results (..., c, h*scale, w*scale) of one network are equal within the error of half
    precision.
    """
    bound = CLOSE * max(1.0, float(np.abs(other).max()))
    return float(_block_means(np.abs(sr - other), BLOCK_PX * scale).max()) <= bound


def _block_means(values: Array, side: int) -> Array:
    """(..., h, w) -> means over blocks of `side` x `side` or a little larger; at least one block."""
    height, width = values.shape[-2:]
    if max(height, width) < 2 * side:
        return np.asarray(values.mean(axis=(-2, -1), keepdims=True), np.float32)
    rows, columns = _edges(height, side), _edges(width, side)
    sums = np.stack(
        [values[..., top:bottom, :].sum(axis=-2) for top, bottom in zip(rows, [*rows[1:], height], strict=True)],
        axis=-2,
    )
    sums = np.add.reduceat(sums, columns, axis=-1)
    areas = np.outer(np.diff([*rows, height]), np.diff([*columns, width]))
    return np.divide(sums, areas, dtype=np.float32)


def _edges(length: int, side: int) -> list[int]:
    count = max(1, length // side)
    return [length * index // count for index in range(count)]


def _is_flat(sr: Array, lr: Array) -> bool:
    """Whether any channel is constant in `sr` but not in `lr`."""
    sample = sr[..., ::_SAMPLED, :]
    if (sample.max(axis=(-2, -1)) - sample.min(axis=(-2, -1))).min() >= FLAT:
        return False
    flat = (sr.max(axis=(-2, -1)) - sr.min(axis=(-2, -1))) < FLAT
    return bool((flat & (lr.std(axis=(-2, -1)) > NOT_FLAT)).any())
