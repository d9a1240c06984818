"""Is a tile's answer one that a working engine can have given? A broken one shows as nan, as a black or green square, as another picture.

Only what no network does on purpose is called a fault, because a fault costs a second run. Measured on six networks of this kind
(realesr-animevideov3, realesr-general-x4v3, compact-x2, compact-x4, compact-wild-x4, compact-gan-x4), over 24 tiles of photographs
(Set14, BSD100) and 37 made ones (noise, checkers, stripes, text, pure colors, tiles of 1 to 32 pixels):

- The mean of a channel over blocks of 32 px moved by 0.056 at most in photographs; by 0.141 in the worst made one, binary noise; and in
  tiles of a single pixel by 0.18 (red) and 0.26 (green). 0.2, and 0.4 for tiles that thin, is beyond all of them. A lost channel moves
  by the level that it had, 0.3 to 0.5 as a rule.
- No channel came back flatter than 0.01 whose input spread by 0.002 (its standard deviation) or more.

Half of a tile can be lost as well, and a large tile hides a small hole in its mean: so means are taken over blocks.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import numpy as np

from upres.graph.nodes import Array

Fault: TypeAlias = Literal["not finite", "flat", "far from its input's mean"]

FAR = 0.2  # how far a channel's mean over a block may move, in [0, 1]
FLAT = 0.002  # half a level of 8 bit: a channel that spreads less looks like one color
NOT_FLAT = 0.01  # standard deviation of an input that cannot become flat; less is faint noise, which some networks take away
CLOSE = 0.02  # mean difference over a block, in shares of the largest value; bf16 keeps 8 bits and costs about a third of that
BLOCK_PX = 32  # LR pixels: the sides of blocks are this or a little more
_SEEN_PX = 4  # in a thinner tile the network sees hardly more than the padding: twice as much is allowed
_SAMPLED = 61  # output rows of which one is looked at first; a prime, so that no pattern of the picture keeps step with it


def find_fault(lr: Array, sr: Array) -> Fault | None:
    """What is wrong with `sr` (..., c, h*scale, w*scale), the answer of a network for `lr` (..., c, h, w) in [0, 1]; None: nothing.

    Every value of `sr` counts for "not finite". Each channel is judged on its own: green is a picture whose red and blue are lost.
    """
    scale = sr.shape[-1] // lr.shape[-1]
    with np.errstate(invalid="ignore", over="ignore"):  # inf - inf is the nan that is looked for
        means = _block_means(sr, BLOCK_PX * scale)
    if not np.isfinite(means).all():  # a nan or an infinity anywhere is in the mean of its block
        return "not finite"
    if _is_flat(sr, lr):
        return "flat"
    far = FAR if min(lr.shape[-2:]) >= _SEEN_PX else 2.0 * FAR
    if np.abs(means - _block_means(lr, BLOCK_PX)).max() > far:
        return "far from its input's mean"
    return None


def agree(sr: Array, other: Array, scale: int) -> bool:
    """Are two finite answers (..., c, h*scale, w*scale) of one network the same picture, to what half precision may cost?"""
    bound = CLOSE * max(1.0, float(np.abs(other).max()))
    return float(_block_means(np.abs(sr - other), BLOCK_PX * scale).max()) <= bound


def _block_means(values: Array, side: int) -> Array:
    """(..., h, w) -> the means of blocks, `side` by `side` or a little larger; at least one."""
    height, width = values.shape[-2:]
    if max(height, width) < 2 * side:
        return np.asarray(values.mean(axis=(-2, -1), keepdims=True), np.float32)
    rows, columns = _edges(height, side), _edges(width, side)
    sums = np.stack([values[..., top:bottom, :].sum(axis=-2) for top, bottom in zip(rows, [*rows[1:], height], strict=True)], axis=-2)
    sums = np.add.reduceat(sums, columns, axis=-1)
    areas = np.outer(np.diff([*rows, height]), np.diff([*columns, width]))
    return np.divide(sums, areas, dtype=np.float32)


def _edges(length: int, side: int) -> list[int]:
    count = max(1, length // side)
    return [length * index // count for index in range(count)]


def _is_flat(sr: Array, lr: Array) -> bool:
    """Does any channel of `sr` hold one value where that of `lr` does not?"""
    sample = sr[..., ::_SAMPLED, :]
    if (sample.max(axis=(-2, -1)) - sample.min(axis=(-2, -1))).min() >= FLAT:
        return False
    flat = (sr.max(axis=(-2, -1)) - sr.min(axis=(-2, -1))) < FLAT
    return bool((flat & (lr.std(axis=(-2, -1)) > NOT_FLAT)).any())
