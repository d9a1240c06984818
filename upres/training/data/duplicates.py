"""Finds duplicates of pictures: equal pixels, and resized, recompressed, brightened, flipped or rotated copies.

Each picture has a 64-bit perceptual hash (signs of the low DCT frequencies of its downscaled luma), compared in all
eight orientations. Candidates count only if their downscaled lumas correlate. `excerpts.py` finds pictures that share a
part.
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
_LOW: Final = 8  # frequencies per axis
# Differing bits of 64, and correlation of the downscaled lumas. In 748,000 comparisons of 433 photographs in 8
# orientations, 18 pairs of different photographs differ in 14 bits or fewer, with correlations up to 0.60; some that
# differ in 20 bits correlate to 0.93.
_MOST_BITS: Final = 14
_LEAST_CORRELATION: Final = 0.93
# of the downscaled luma: flatter pictures all look alike, so only their pixels are compared
LEAST_CONTRAST_255: Final = 3.0


@dataclass(frozen=True)
class Signature:
    """What identifies a picture.

    name: used in messages.
    pixels: SHA-256 of the decoded pixels.
    thumb: downscaled luma, 32 x 32, with mean 0 and norm 1; None for a flat picture.
    """

    name: str
    pixels: str
    thumb: NDArray[np.float32] | None


def signature(name: str, levels: Levels, pixels: str) -> Signature:
    """The signature of a picture `h w c`; `pixels` is the SHA-256 of its pixels."""
    small = imresize(reduced_luma(levels, 8 * _THUMB_PX), size=(_THUMB_PX, _THUMB_PX), kernel="linear")
    if small.std() < LEAST_CONTRAST_255:
        return Signature(name, pixels, None)
    centered = small - small.mean()
    return Signature(name, pixels, (centered / np.linalg.norm(centered)).astype(np.float32))


def reduced_luma(levels: Levels, most_px: int) -> NDArray[np.float32]:
    """The BT.601 luma of a picture `h w c` in 0..255, `h w`, with `most_px` or less on its longer side; uses little
    memory.
    """
    height, width, channels = levels.shape
    # averaging whole blocks first is much faster than resizing all pixels
    block = max(1, max(height, width) // (2 * most_px))
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
    """(index, name of the original, whether it is exact) for each of `signatures` that copies one of `against` or an
    earlier one.

    The first of several copies is the original. Quadratic in the number of pictures.
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
            entry = Signature(match, entry.pixels, entry.thumb)  # a copy of the copy is named after the first
        else:
            by_pixels[entry.pixels] = entry.name
        known.append(entry)
        keys.add(entry.thumb)
    return found


class _Keys:
    """A growing array of hashes."""

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
        """Indices of the hashes that differ in at most `_MOST_BITS` bits."""
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
    """64 bits: whether each of the 8 x 8 lowest DCT coefficients exceeds their median."""
    low = _DCT @ thumb @ _DCT.T
    bits = (low > np.median(low)).reshape(-1)
    return int.from_bytes(np.packbits(bits).tobytes(), "big")


def _dct_rows() -> NDArray[np.float32]:
    """Rows 0..7 of the DCT-II of 32 samples."""
    k, n = np.arange(_LOW)[:, None], np.arange(_THUMB_PX)[None, :]
    return np.cos(np.pi * (2 * n + 1) * k / (2 * _THUMB_PX)).astype(np.float32)


_DCT: Final = _dct_rows()
_BYTE_ONES: Final = np.array([bin(i).count("1") for i in range(256)], np.uint8)


def _ones(values: NDArray[np.uint64]) -> NDArray[np.int64]:
    """The number of set bits of each value."""
    return _BYTE_ONES[values.view(np.uint8).reshape(-1, 8)].sum(axis=1, dtype=np.int64)
