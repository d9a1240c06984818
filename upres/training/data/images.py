"""Training pictures as arrays: pairs, conversion to common channels and bit depth, and sampling weights.

Where no LR file is given, LR is made from the whole HR picture by the MATLAB-equal resize and rounded, as in DIV2K and
the test sets, so that an LR patch has its true surroundings at its edges. `roots.py` and `pairs.py` read the files;
codecs are imported only to decode, so that training on shards works without them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

from upres.errors import DataError, InputError
from upres.images.color import rgb_to_y
from upres.images.picture import READABLE_SUFFIXES, quantize
from upres.images.resize import imresize
from upres.system.folders import find_files

SMALLEST_PX = 32  # minimum side of a validation picture: SSIM's window inside a border of 8, and the spectrum, need it
_COPIES = 2.0  # of the floats of a picture while its levels and its LR are made: 12 megapixels took 24 bytes each
_BLOCK_ROWS = 256
VALIDATION_PX = 512  # maximum HR side of a held-out picture, whose center is used

Levels: TypeAlias = NDArray[np.uint8] | NDArray[np.uint16]


@dataclass(frozen=True)
class Pair:
    """One picture.

    name: used in messages.
    hr: uint8 or uint16 `h*scale w*scale c`; may be memory-mapped.
    lr: of the same type, `h w c`; None: made when a sample is drawn.
    reference: the clean LR, which the downscaled output should equal, if `lr` was degraded; None: `lr` itself.
    """

    name: str
    hr: Levels
    lr: Levels | None
    reference: Levels | None = None

    @property
    def stored_lr(self) -> Levels:
        """`lr` of a pair that has one, as all validation pairs do."""
        assert self.lr is not None, f"{self.name} has no stored LR"
        return self.lr


@dataclass(frozen=True)
class TrainingSet:
    """The pictures of a run.

    pairs: training pairs.
    weights: probability of each pair; they sum to 1.
    validation: validation pairs.
    left_out: messages on the pictures that are not used.
    fingerprint: SHA-256 over names, pixels and, of several roots, their weights.
    channels: of all pictures: 1 gray, 3 color.
    depth: of all pictures: 8 or 16 bits.
    paired: whether some LR comes from files.
    notes: other messages.
    """

    pairs: list[Pair]
    weights: NDArray[np.float64]
    validation: list[Pair]
    left_out: list[str]
    fingerprint: str
    channels: int = 3
    depth: int = 8
    paired: bool = False
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        names = len({pair.name for pair in self.pairs})
        megapixels = sum(pair.hr.shape[0] * pair.hr.shape[1] for pair in self.pairs) / 1e6
        kind = (", gray" if self.channels == 1 else "") + (", 16 bit" if self.depth == 16 else "")
        # crops, or whole pictures and their downscaled copies
        held = f"{megapixels:.1f} MP in {len(self.pairs)} pieces"
        return f"{names} training pictures{kind}, {held}; {len(self.validation)} validation pictures"


def center(image: Levels, most_px: int) -> Levels:
    """The center of a picture `h w c`, at most `most_px` a side."""
    top, left = (max(0, (side - most_px) // 2) for side in image.shape[:2])
    return image[top : top + most_px, left : left + most_px]


def find_pictures(folder: Path, parameter: str = "data") -> list[Path]:
    """All picture files below `folder`, sorted by path, without hidden ones. Raises `DataError` naming `parameter`."""
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder: `{parameter}` takes a folder of pictures")
    found = find_files(folder, READABLE_SUFFIXES)
    if not found.files:
        raise DataError(
            f"{folder} holds no pictures (looked for {', '.join(sorted(READABLE_SUFFIXES))}; skipped: {found.words})"
        )
    return sorted(found.files)


def read_levels(path: Path) -> Levels:
    """A picture file as `h w c` in its own channels and bit depth, without alpha. Raises `InputError`."""
    from upres.images.io import read_picture

    picture = read_picture(path, copies=_COPIES)
    return quantize(picture.pixels, picture.depth)


def read_rgb(path: Path) -> NDArray[np.uint8]:
    """A picture file as uint8 RGB without alpha; gray is repeated. Raises `InputError`."""
    return cast("NDArray[np.uint8]", convert(read_levels(path), 3, 8))


def convert(levels: Levels, channels: int, depth: int) -> Levels:
    """`levels` `h w c` in `channels` (1 or 3) and `depth` (8 or 16), contiguous; the same array if nothing changes.

    8 bits are widened exactly (times 257), 16 rounded to the nearest of 8. Gray is repeated; color becomes its
    full-range BT.601 luma, rounded, so that R = G = B keeps its value.
    """
    if levels.shape[2] == 3 and channels == 1:
        top = float(np.iinfo(levels.dtype).max)
        gray = cast("Levels", np.empty((*levels.shape[:2], 1), levels.dtype))
        for start in range(0, len(levels), _BLOCK_ROWS):  # in doubles: as a whole, they would take 24 bytes a pixel
            luma = (rgb_to_y(levels[start : start + _BLOCK_ROWS] / top) * 255.0 - 16.0) / 219.0
            gray[start : start + _BLOCK_ROWS, :, 0] = np.rint(luma * top)
        levels = gray
    if depth == 16 and levels.dtype == np.uint8:
        levels = levels.astype(np.uint16) * np.uint16(257)
    elif depth == 8 and levels.dtype == np.uint16:
        levels = ((levels.astype(np.uint32) * 255 + 32767) // 65535).astype(np.uint8)
    return packed(cast("Levels", np.repeat(levels, 3, axis=2)) if levels.shape[2] < channels else levels)


def on_grid(image: Levels, scale: int) -> Levels:
    """`image` cropped to multiples of `scale`, keeping the top left."""
    height, width = (side // scale * scale for side in image.shape[:2])
    return image[:height, :width]


def packed(levels: Levels) -> Levels:
    """`levels` as a contiguous array."""
    return cast("Levels", np.ascontiguousarray(levels))


def make_pair(name: str, image: Levels, scale: int) -> Pair:
    """Crop to multiples of `scale`, keeping the top left, and make the LR."""
    hr = packed(on_grid(image, scale))
    return Pair(name, hr, reduced(hr, 1.0 / scale) if scale > 1 else hr)


def reduced(image: Levels, factor: float | None = None, *, size: tuple[int, int] | None = None) -> Levels:
    """The MATLAB-equal downscaling of `image` by `factor` or to `size` (h, w), rounded to its type."""
    return cast("Levels", imresize(cast("NDArray[np.uint8]", image), factor, size=size))


def load_pairs(
    paths: list[Path],
    *,
    scale: int,
    patch_px: int,
    hr_scales: tuple[float, ...] = (1.0,),
    channels: int = 3,
    depth: int = 8,
    reduce: bool = True,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[list[Pair], list[str]]:
    """Decode every picture and, if `reduce`, make its LR; returns the pairs and messages on the pictures left out.

    Leaves out pictures that cannot be read or are smaller than one patch. Raises `DataError` if none remains.
    """
    pairs: list[Pair] = []
    left_out: list[str] = []
    for index, path in enumerate(paths):
        try:
            image = convert(read_levels(path), channels, depth)
        except InputError as error:
            left_out.append(str(error))
            continue
        needed, before = patch_px * scale, len(pairs)
        for factor in hr_scales:
            copy = image if factor == 1.0 else reduced(image, factor)
            if min(copy.shape[:2]) < needed:
                continue
            pairs.append(
                make_pair(path.name, copy, scale) if reduce else Pair(path.name, packed(on_grid(copy, scale)), None)
            )
        if len(pairs) == before:
            at = "" if 1.0 in hr_scales else f" (at {max(hr_scales):g} of its size)"
            left_out.append(
                f"{path} is {image.shape[1]}x{image.shape[0]}, smaller{at} than one patch of {needed}x{needed}"
            )
        if progress is not None:
            progress(index + 1, len(paths))
    return usable(pairs, left_out)


def usable(pairs: list[Pair], left_out: list[str]) -> tuple[list[Pair], list[str]]:
    """Its arguments. Raises `DataError` if there is no pair."""
    if not pairs:
        raise DataError("none of the pictures can be used for training:\n  " + "\n  ".join(left_out[:10]))
    return pairs, left_out


def draw_weights(pairs: list[Pair]) -> NDArray[np.float64]:
    """Probability of each picture: proportional to the square root of its pixels, so that a few large ones do not
    dominate.

    Either all of `pairs` have an LR or none has.
    """
    sides = [(pair.hr if pair.lr is None else pair.lr).shape[:2] for pair in pairs]
    weights = np.sqrt(np.array([height * width for height, width in sides], np.float64))
    return weights / weights.sum()
