"""Pictures that are one picture: equal pixels, and near duplicates: resized, recompressed, brightened, flipped or turned copies.

A picture is known by 64 signs of the low frequencies of its reduced luma (a "perceptual hash"), compared in all eight orientations. That
finds candidates; they count only where their reduced lumas correlate as well. Parts of pictures are the matter of `excerpts.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from upres.images.resize import imresize
from upres.training.data.images import Levels

_THUMB_PX: Final = 32
_LOW: Final = 8  # frequencies a side
# Of 64 bits that may differ, and the correlation of the reduced lumas. Among 433 photographs in 8 orientations, 748,000 comparisons, 18 of
# different ones differ in 14 bits or less, and the most alike of these correlate to 0.60; some that differ in 20 bits correlate to 0.93.
_MOST_BITS: Final = 14
_LEAST_CORRELATION: Final = 0.93
LEAST_CONTRAST_255: Final = 3.0  # of the reduced luma: flatter pictures all look alike and are compared by their pixels alone


@dataclass(frozen=True)
class Signature:
    """`pixels`: SHA-256 of the decoded levels. `thumb`: 32 x 32 reduced luma, mean 0 and norm 1, or None for a flat picture."""

    name: str
    pixels: str
    thumb: NDArray[np.float32] | None


def signature(name: str, levels: Levels, pixels: str) -> Signature:
    """Of a picture `h w c` in whole levels."""
    small = imresize(reduced_luma(levels, 8 * _THUMB_PX), size=(_THUMB_PX, _THUMB_PX), kernel="linear")
    if small.std() < LEAST_CONTRAST_255:
        return Signature(name, pixels, None)
    centered = small - small.mean()
    return Signature(name, pixels, (centered / np.linalg.norm(centered)).astype(np.float32))


def reduced_luma(levels: Levels, most_px: int) -> NDArray[np.float32]:
    """The BT.601 luma of a picture `h w c` in 0 .. 255, `h w`, with `most_px` or less on its longer side; in little memory."""
    height, width, channels = levels.shape
    block = max(1, max(height, width) // (2 * most_px))  # means of whole blocks first: a resize of all pixels costs much more
    block = min(block, height, width)
    height, width = height // block, width // block
    total = np.zeros((height, width, channels), np.float32)
    for y in range(block):
        for x in range(block):
            total += levels[y : height * block : block, x : width * block : block]
    total *= np.float32(255.0 / (block**2 * np.iinfo(levels.dtype).max))
    gray = total[:, :, 0] if channels == 1 else total @ np.array([0.299, 0.587, 0.114], np.float32)
    factor = most_px / max(height, width)
    if factor >= 1.0:
        return gray
    return imresize(gray, size=(max(1, round(height * factor)), max(1, round(width * factor))), kernel="linear")


def find_duplicates(signatures: Sequence[Signature], against: Sequence[Signature] = ()) -> list[tuple[int, str, bool]]:
    """(index, name of what it is a copy of, whether to the pixel), for each of `signatures` that copies one of `against` or one before it.

    The first of several copies stays. Quadratic in the number of pictures, 64 bits at a time.
    """
    known: list[Signature] = [*against]
    keys = _Keys()
    for entry in against:
        keys.add(entry.thumb)
    by_pixels = {entry.pixels: entry.name for entry in against}
    found: list[tuple[int, str, bool]] = []
    for index, entry in enumerate(signatures):
        if entry.pixels in by_pixels:
            found.append((index, by_pixels[entry.pixels], True))
            continue
        match = None if entry.thumb is None else _match(entry.thumb, keys, known)
        if match is not None:
            found.append((index, match, False))
            entry = Signature(match, entry.pixels, entry.thumb)  # a copy of the copy is one of the first
        else:
            by_pixels[entry.pixels] = entry.name
        known.append(entry)
        keys.add(entry.thumb)
    return found


class _Keys:
    """The hashes of what is known, growing."""

    def __init__(self) -> None:
        self._all: NDArray[np.uint64] = np.zeros(1024, np.uint64)
        self._usable: NDArray[np.bool_] = np.zeros(1024, np.bool_)
        self._count = 0

    def add(self, thumb: NDArray[np.float32] | None) -> None:
        if self._count == len(self._all):
            self._all = np.concatenate([self._all, np.zeros_like(self._all)])
            self._usable = np.concatenate([self._usable, np.zeros_like(self._usable)])
        if thumb is not None:
            self._all[self._count], self._usable[self._count] = perceptual_hash(thumb), True
        self._count += 1

    def near(self, key: int) -> NDArray[np.intp]:
        """Places whose hash differs in few bits."""
        differing = _ones(self._all[: self._count] ^ np.uint64(key))
        return np.flatnonzero((differing <= _MOST_BITS) & self._usable[: self._count])


def _match(thumb: NDArray[np.float32], keys: _Keys, known: Sequence[Signature]) -> str | None:
    for turned in _orientations(thumb):
        for place in keys.near(perceptual_hash(turned)):
            other = known[int(place)].thumb
            if other is not None and float((other * turned).sum()) >= _LEAST_CORRELATION:
                return known[int(place)].name
    return None


def _orientations(thumb: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    turned = [np.rot90(thumb, k) for k in range(4)]
    return [*turned, *(x[:, ::-1] for x in turned)]


def perceptual_hash(thumb: NDArray[np.float32]) -> int:
    """64 bits: whether each of the 8 x 8 lowest DCT coefficients is above their median."""
    low = _DCT @ thumb @ _DCT.T
    bits = (low > np.median(low)).reshape(-1)
    return int.from_bytes(np.packbits(bits).tobytes(), "big")


def _dct_rows() -> NDArray[np.float32]:
    """The rows 0 .. 7 of the DCT-II of 32 samples."""
    k, n = np.arange(_LOW)[:, None], np.arange(_THUMB_PX)[None, :]
    return np.cos(np.pi * (2 * n + 1) * k / (2 * _THUMB_PX)).astype(np.float32)


_DCT: Final = _dct_rows()
_BYTE_ONES: Final = np.array([bin(i).count("1") for i in range(256)], np.uint8)


def _ones(values: NDArray[np.uint64]) -> NDArray[np.int64]:
    """How many bits are set in each."""
    return _BYTE_ONES[values.view(np.uint8).reshape(-1, 8)].sum(axis=1, dtype=np.int64)
