"""Training pictures in memory, decoded once as uint8, and the batch of a step as a pure function of (seed, step).

LR is made from the whole HR picture by the MATLAB-equal resize and rounded to 8 bit, as the LR of DIV2K and of the test sets is, so an LR
patch holds the true surroundings of its HR patch also at its edges.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray

from upres.errors import DataError, InputError
from upres.picture import READABLE_SUFFIXES, quantise, read_picture
from upres.resize import imresize
from upres.training.config import TrainConfig

_HELD_OUT = 5  # pictures kept for validation where no folder is given
SMALLEST_PX = 32  # a side of a validation picture: what SSIM's window inside a border of 8, and the spectrum, need
_VALIDATION_PX = 512  # HR side, at most, of a held-out picture: its centre is used


@dataclass(frozen=True)
class Pair:
    """One picture: `hr` uint8 `h*scale w*scale 3`, `lr` uint8 `h w 3`."""

    name: str
    hr: NDArray[np.uint8]
    lr: NDArray[np.uint8]


@dataclass(frozen=True)
class TrainingSet:
    """What a run sees. `left_out` says in words what it does not; `fingerprint` is a SHA-256 over names and HR pixels."""

    pairs: list[Pair]
    weights: NDArray[np.float64]
    validation: list[Pair]
    left_out: list[str]
    fingerprint: str

    def __str__(self) -> str:
        names = len({pair.name for pair in self.pairs})
        megapixels = sum(pair.hr.size for pair in self.pairs) / 3e6
        return f"{names} pictures to train on, {megapixels:.1f} MP with reduced copies; {len(self.validation)} to validate on"


def load_training_set(config: TrainConfig, data: Path, validation: Path | None) -> TrainingSet:
    """Every picture below `data`, and those below `validation` or else a few held out of `data`. Raises `DataError`."""
    paths = find_pictures(data)
    validation_paths = find_pictures(validation, "--validation") if validation else _hold_out(paths)
    training_paths = paths if validation else [p for p in paths if p not in validation_paths]
    pairs, left_out = load_pairs(training_paths, scale=config.scale, patch_px=config.patch_px, hr_scales=config.hr_scales)
    validation_pairs: list[Pair] = []
    for path in validation_paths:
        try:
            image = read_rgb(path)
        except InputError as error:
            left_out.append(str(error))
            continue
        if min(image.shape[:2]) < max(SMALLEST_PX, 2 * config.scale):
            left_out.append(f"{path} is {image.shape[1]}x{image.shape[0]}, too small to validate on: {SMALLEST_PX} pixels a side at least")
            continue
        validation_pairs.append(make_pair(path.name, image if validation else centre(image, _VALIDATION_PX), config.scale))
    state = hashlib.sha256()
    for pair in pairs:
        state.update(f"{pair.name}|{pair.hr.shape}|".encode())
        state.update(pair.hr.data)
    return TrainingSet(pairs, draw_weights(pairs), validation_pairs, left_out, state.hexdigest())


def _hold_out(paths: list[Path]) -> list[Path]:
    """Five pictures spread over the folder; fewer of a small one, and none where that would cost a third of it."""
    count = min(_HELD_OUT, len(paths) // 4)
    return [paths[len(paths) * i // count] for i in range(count)]


def centre(image: NDArray[np.uint8], most_px: int) -> NDArray[np.uint8]:
    """The middle of a picture `h w c`, at most `most_px` a side."""
    top, left = (max(0, (side - most_px) // 2) for side in image.shape[:2])
    return image[top : top + most_px, left : left + most_px]


def find_pictures(folder: Path, option: str = "--data") -> list[Path]:
    """All picture files below `folder`, sorted by path; hidden ones are passed over."""
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder: {option} takes a folder of pictures")
    found = sorted(
        p
        for p in folder.rglob("*")
        if p.suffix.lower() in READABLE_SUFFIXES and p.is_file() and not any(part.startswith(".") for part in p.relative_to(folder).parts)
    )
    if not found:
        raise DataError(f"{folder} holds no picture (looked for {', '.join(sorted(READABLE_SUFFIXES))})")
    return found


def read_rgb(path: Path) -> NDArray[np.uint8]:
    """A picture file as uint8 RGB; gray is repeated, alpha is left out."""
    pixels = quantise(read_picture(path).pixels, 8)
    return np.ascontiguousarray(np.repeat(pixels, 3, axis=2) if pixels.shape[2] == 1 else pixels, dtype=np.uint8)


def make_pair(name: str, image: NDArray[np.uint8], scale: int) -> Pair:
    """Crop to a multiple of `scale` (top left kept) and make the LR."""
    height, width = (side // scale * scale for side in image.shape[:2])
    hr = np.ascontiguousarray(image[:height, :width])
    return Pair(name, hr, imresize(hr, 1.0 / scale) if scale > 1 else hr)


def load_pairs(
    paths: list[Path],
    *,
    scale: int,
    patch_px: int,
    hr_scales: tuple[float, ...] = (1.0,),
    progress: Callable[[int, int], None] | None = None,
) -> tuple[list[Pair], list[str]]:
    """Decode every picture and make its LR; returns the pairs and, in words, what was left out and why.

    A picture that cannot be read, or that is smaller than one patch, is left out by name. Raises `DataError` when nothing is left.
    """
    pairs: list[Pair] = []
    left_out: list[str] = []
    for index, path in enumerate(paths):
        try:
            image = read_rgb(path)
        except InputError as error:
            left_out.append(str(error))
            continue
        needed, before = patch_px * scale, len(pairs)
        for factor in hr_scales:
            reduced = image if factor == 1.0 else imresize(image, factor)
            if min(reduced.shape[:2]) >= needed:
                pairs.append(make_pair(path.name, reduced, scale))
        if len(pairs) == before:
            at = "" if 1.0 in hr_scales else f" (at {max(hr_scales):g} of its size)"
            left_out.append(f"{path} is {image.shape[1]}x{image.shape[0]}, smaller{at} than one patch of {needed}x{needed}")
        if progress is not None:
            progress(index + 1, len(paths))
    if not pairs:
        raise DataError("no picture can be used for training:\n  " + "\n  ".join(left_out[:10]))
    return pairs, left_out


def draw_weights(pairs: list[Pair]) -> NDArray[np.float64]:
    """Chance of each picture: the square root of its pixels, so that a few large photographs do not outweigh many small ones."""
    area = np.array([pair.lr.shape[0] * pair.lr.shape[1] for pair in pairs], np.float64)
    weights = np.sqrt(area)
    return weights / weights.sum()


def draw_batch(
    pairs: list[Pair],
    weights: NDArray[np.float64],
    *,
    scale: int,
    patch_px: int,
    batch: int,
    seed: int,
    step: int,
    color_augment: float = 0.0,
    rank: int = 0,
    ranks: int = 1,
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """The batch of `step`: lr `b h w 3` and hr `b h*scale w*scale 3`, uint8, each flipped and transposed at random (8 ways).

    `batch` counts the samples of all ranks; a rank draws its own consecutive share of them, so the samples do not depend on `ranks`.

    With a chance of `color_augment` the channels of a patch are permuted and each is inverted or not, in `lr` and `hr` alike: a linear
    resize commutes with both, so `lr` stays the reduction of `hr`, while edges between equally bright colours become as common as others.
    """
    size = patch_px * scale
    share = batch // ranks
    lr = np.empty((share, patch_px, patch_px, 3), np.uint8)
    hr = np.empty((share, size, size, 3), np.uint8)
    for i in range(share):
        rng = np.random.default_rng((seed, step, rank * share + i))
        pair = pairs[int(rng.choice(len(pairs), p=weights))]
        rooms: list[int] = [side - patch_px + 1 for side in pair.lr.shape[:2]]
        y, x = (int(rng.integers(room)) for room in rooms)
        small = pair.lr[y : y + patch_px, x : x + patch_px]
        large = pair.hr[y * scale : y * scale + size, x * scale : x * scale + size]
        flips = cast("list[int]", rng.integers(2, size=3).tolist())
        lr[i], hr[i] = _turn(small, flips), _turn(large, flips)
        if color_augment and rng.random() < color_augment:
            order, inverted = rng.permutation(3), rng.integers(2, size=3).astype(np.uint8) * 255
            for patch in (lr, hr):
                patch[i] = patch[i][:, :, order] ^ inverted  # x ^ 255 is 255 - x
    return lr, hr


def _turn(patch: NDArray[np.uint8], flips: list[int]) -> NDArray[np.uint8]:
    flip_h, flip_w, transpose = flips
    patch = patch[::-1] if flip_h else patch
    patch = patch[:, ::-1] if flip_w else patch
    return patch.transpose(1, 0, 2) if transpose else patch
