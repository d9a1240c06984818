"""Folders of HR and LR pictures: matches files by name, checks their sizes, and measures how well they are aligned.

A network learns whatever shift its pairs have, and a blur if it varies. The shift is measured by phase correlation of
the LR picture with the MATLAB-equal downscaled HR picture.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray

from upres.errors import DataError, InputError
from upres.images.io import read_header
from upres.images.pairing import match_files, misfit, words_of_faults
from upres.images.resize import imresize
from upres.training.data.images import Levels, Pair, center, convert, find_pictures, read_levels, usable

_LOOK_PX = 256  # maximum LR side of the compared center
_FINEST = 100  # resolution of a shift: 1/100 LR pixel
_WARN_PX = 0.25  # LR pixels of misalignment above which there is a warning
_COARSE = 0.1  # cycles per pixel: up to here noise and JPEG hardly disturb the phases of a photograph
_FLAT = 1e-3  # standard deviation, in [0,1], below which a picture cannot be aligned


def find_partners(
    hr: Path, lr: Path, scale: int, parameters: tuple[str, str] = ("data", "lr")
) -> tuple[list[tuple[Path, Path]], list[str]]:
    """HR files below `hr` with their LR files below `lr`, sorted; and a note if pictures will be cropped.

    Raises `DataError` naming every file with no partner, several, or one of the wrong size (upres/images/pairing.py).
    """
    pairs, faults = match_files(find_pictures(hr, parameters[0]), find_pictures(lr, parameters[1]), hr, lr, scale)
    found = [(pair.hr, pair.lr) for pair in pairs if pair.lr is not None]
    cropped: list[str] = []
    for high, low in found:
        try:
            sizes = [(header.height, header.width) for header in (read_header(high), read_header(low))]
        except InputError:
            continue  # reported when it is decoded
        faults += filter(None, [misfit(sizes[0], sizes[1], scale, high.name)])
        if sizes[0] != (sizes[1][0] * scale, sizes[1][1] * scale):
            cropped.append(high.name)
    if faults:
        raise DataError(words_of_faults(faults, hr, lr, scale))
    if not cropped:
        return found, []
    names = ", ".join(cropped[:5])
    return found, [
        f"{hr}: {len(cropped)} of {len(found)} pairs are cropped to multiples of {scale}, top left kept ({names})"
    ]


def load_paired(
    files: Sequence[tuple[Path, Path]],
    *,
    scale: int,
    patch_px: int,
    channels: int,
    depth: int,
    shifts: list[tuple[str, float]],
) -> tuple[list[Pair], list[str]]:
    """Decode pairs of files; returns the pairs and messages on those left out. Appends each pair's misalignment to
    `shifts`.

    Leaves out pairs that cannot be read or are smaller than one patch. Raises `DataError` if none remains.
    """
    pairs: list[Pair] = []
    left_out: list[str] = []
    for hr, lr in files:
        try:
            pair = read_pair(hr, lr, scale, channels, depth, shifts)
        except InputError as error:
            left_out.append(str(error))
            continue
        height, width = pair.stored_lr.shape[:2]
        if min(height, width) < patch_px:
            left_out.append(f"{lr} is {width}x{height}, smaller than one patch of {patch_px}x{patch_px}")
        else:
            pairs.append(pair)
    return usable(pairs, left_out)


def read_pair(hr: Path, lr: Path, scale: int, channels: int, depth: int, shifts: list[tuple[str, float]]) -> Pair:
    """Read both files of a pair; appends (name, misalignment in LR pixels) to `shifts`. Raises `InputError`."""
    large, small = (convert(read_levels(path), channels, depth) for path in (hr, lr))
    height, width = large.shape[0] // scale, large.shape[1] // scale
    large = cast("Levels", np.ascontiguousarray(large[: height * scale, : width * scale]))
    small = cast("Levels", np.ascontiguousarray(small[:height, :width]))
    shift = misalignment(large, small, scale)
    if shift is not None:
        shifts.append((hr.name, math.hypot(*shift)))
    return Pair(hr.name, large, small)


def center_pair(pair: Pair, most_px: int, scale: int) -> Pair:
    """The center of both pictures, on the LR grid, at most `most_px` of HR a side."""
    lr = center(pair.stored_lr, most_px // scale)
    height, width = lr.shape[:2]
    top, left = (pair.stored_lr.shape[0] - height) // 2, (pair.stored_lr.shape[1] - width) // 2
    return Pair(pair.name, pair.hr[top * scale : (top + height) * scale, left * scale : (left + width) * scale], lr)


def words_of_shifts(shifts: Sequence[tuple[str, float]]) -> list[str]:
    """Messages on the misalignment of LR files; none if none was measured."""
    if not shifts:
        return []
    name, most = max(shifts, key=lambda shift: shift[1])
    mean = sum(length for _, length in shifts) / len(shifts)
    words = [f"LR files are {mean:.2f} LR pixels off their HR files on average, {most:.2f} at most ({name})"]
    beyond = [name for name, length in sorted(shifts, key=lambda shift: -shift[1]) if length > _WARN_PX]
    if beyond:
        named = ", ".join(beyond[:5]) + (", ..." if len(beyond) > 5 else "")
        words.append(
            f"warning: {len(beyond)} of {len(shifts)} LR files are more than {_WARN_PX} LR pixels off their HR files "
            f"({named}): the "
            "network learns that shift, or a blur if it varies. Align them first"
        )
    return words


def misalignment(hr: Levels, lr: Levels, scale: int) -> tuple[float, float] | None:
    """The shift (down, right) in LR pixels of `lr` `h w c` against `hr` `h*scale w*scale c`; None for flat pictures.

    Compares the centers, at most 256 LR pixels a side, under a Hann window, which suppresses the border. Low
    frequencies get most weight: the many high ones have random phases in a noisy picture.
    """
    (top, height), (left, width) = (((side - min(side, _LOOK_PX)) // 2, min(side, _LOOK_PX)) for side in lr.shape[:2])
    large = hr[top * scale : (top + height) * scale, left * scale : (left + width) * scale]
    small = lr[top : top + height, left : left + width]
    expected = _gray(large) if scale == 1 else imresize(_gray(large), size=(height, width))
    views = [expected, _gray(small)]
    if min(float(view.std()) for view in views) < _FLAT:
        return None
    window = np.hanning(height + 2)[1:-1, None] * np.hanning(width + 2)[1:-1]
    first, second = (window * (view - view.mean()) for view in views)
    return phase_shift(first, second, _COARSE)


def _gray(levels: Levels) -> NDArray[np.float64]:
    """The mean of the channels in [0,1], `h w`."""
    return levels.mean(axis=2, dtype=np.float64) / float(np.iinfo(levels.dtype).max)


def phase_shift(
    first: NDArray[np.float64], second: NDArray[np.float64], spread: float | None = None
) -> tuple[float, float]:
    """The shift (down, right) of `second` `h w` against `first`, to a hundredth of a pixel; both are assumed to be
    periodic.

    The maximum of the inverse transform of conj(F1) F2 / |F1 F2| (Kuglin and Hines, "The phase correlation image
    alignment method", 1975), found on the pixel grid and refined on a grid of 1/100 pixel by two matrix products
    (Guizar-Sicairos, Thurman and Fienup, "Efficient subpixel image registration algorithms", Optics Letters 33, 2008).
    All frequencies count alike or, with `spread` in cycles per pixel, by a Gaussian of that standard deviation.
    """
    cross = np.conj(np.fft.fft2(first)) * np.fft.fft2(second)
    cross /= np.maximum(np.abs(cross), 100.0 * np.finfo(np.float64).eps)
    if spread is not None:
        squares = np.fft.fftfreq(first.shape[0])[:, None] ** 2 + np.fft.fftfreq(first.shape[1]) ** 2
        cross *= np.exp(squares / (-2.0 * spread**2))
    coarse = np.unravel_index(int(np.argmax(np.abs(np.fft.ifft2(cross)))), cross.shape)
    reach = np.arange(-_FINEST, _FINEST + 1) / _FINEST
    places: list[NDArray[np.float64]] = []
    waves: list[NDArray[np.complex128]] = []
    for index, side in zip(coarse, cross.shape, strict=True):
        middle = int(index) - side if int(index) > side // 2 else int(index)
        places.append(middle + reach)
        waves.append(np.exp(2j * np.pi * np.outer(places[-1], np.fft.fftfreq(side))))
    fine = np.abs(waves[0] @ cross @ waves[1].T)
    row, column = np.unravel_index(int(np.argmax(fine)), fine.shape)
    return float(places[0][row]), float(places[1][column])
