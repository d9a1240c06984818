"""Registers pairs of HR and LR pictures that are shifted against each other, as two exposures or a crop by hand are.

A network that learns from shifted pairs learns the shift, or a blur if it varies. LR stays as it is but for its border:
HR is moved, by whole pixels and then by the rest of less than half a pixel, which hardly touches what LR can tell.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, cast

import numpy as np
from numpy.typing import NDArray

from upres.errors import InputError
from upres.training.data.images import Levels, packed
from upres.training.data.pairs import misalignment

MAX_SHIFT_PX: Final = 8.0  # LR pixels
_GOOD_PX: Final = 0.05  # LR pixels: a shift that is left alone
_REST_PX: Final = 0.15  # LR pixels that may remain: more is a turn, another lens, or another picture
_PASSES: Final = 3
_LEAST_CORRELATION: Final = 0.5
_MARGIN_PX: Final = 16  # HR pixels, mirrored, around a picture that is moved by a part of a pixel


@dataclass(frozen=True)
class Aligned:
    """hr `h*scale w*scale c`, lr `h w c`; shift_px: of LR against HR before, (down, right) in LR pixels."""

    hr: Levels
    lr: Levels
    shift_px: tuple[float, float]


def align(hr: Levels, lr: Levels, scale: int, name: str) -> Aligned:
    """Both pictures cropped to what they share, HR moved to where LR is. Flat pictures are returned as they are.

    Raises `InputError` if the shift is above 8 LR pixels, or if they do not fit when moved.
    """
    whole = [0.0, 0.0]
    moved, small = hr, lr
    for _ in range(_PASSES):
        shift = misalignment(moved, small, scale)
        if shift is None or math.hypot(*shift) <= _GOOD_PX:
            break
        # the window over both pictures pulls the estimate of a large shift towards 0: measure again when moved
        whole = [total + part for total, part in zip(whole, shift, strict=True)]
        if max(map(abs, whole)) > MAX_SHIFT_PX:
            raise InputError(
                f"{name}: LR is {whole[0]:+.1f} down and {whole[1]:+.1f} right of HR, in LR pixels: at most "
                f"{MAX_SHIFT_PX:g} can be mended"
            )
        moved, small = shifted(hr, lr, scale, (whole[0], whole[1]))
    rest = misalignment(moved, small, scale)
    if rest is not None and (math.hypot(*rest) > _REST_PX or _correlation(moved, small, scale) < _LEAST_CORRELATION):
        raise InputError(
            f"{name}: HR and LR do not fit, {math.hypot(*rest):.2f} LR pixels remain after moving them: they are "
            "turned, of another perspective or different pictures"
        )
    return Aligned(moved, small, (whole[0], whole[1]))


def shifted(hr: Levels, lr: Levels, scale: int, shift_px: tuple[float, float]) -> tuple[Levels, Levels]:
    """The parts of both pictures that show the same, if `lr` is `shift_px` LR pixels (down, right) of `hr`."""
    slices: list[tuple[slice, slice]] = []
    rests: list[float] = []
    for axis, shift in enumerate(shift_px):
        first_lr = max(0, math.ceil(shift))
        offset = scale * (first_lr - shift)  # of HR, at least 0
        first = round(offset)
        count = min(lr.shape[axis] - first_lr, (hr.shape[axis] - first) // scale)
        if count < 1:
            raise InputError(f"nothing is left of a picture of {lr.shape[0]}x{lr.shape[1]} moved by {shift_px}")
        slices.append((slice(first, first + count * scale), slice(first_lr, first_lr + count)))
        rests.append(offset - first)
    large = _moved_by_part(hr, (rests[0], rests[1]))[slices[0][0], slices[1][0]]
    return packed(large), packed(lr[slices[0][1], slices[1][1]])


def _moved_by_part(levels: Levels, rest: tuple[float, float]) -> Levels:
    """out[y, x] = levels[y + rest[0], x + rest[1]], between pixels by the shift theorem of Fourier's transform."""
    if max(map(abs, rest)) < 1e-3:
        return levels
    margin = min(_MARGIN_PX, *(side - 1 for side in levels.shape[:2]))
    padded = np.pad(levels.astype(np.float64), ((margin, margin), (margin, margin), (0, 0)), mode="symmetric")
    for axis, part in enumerate(rest):
        if abs(part) >= 1e-3:
            padded = _fourier_shift(padded, part, axis)
    inner = padded[margin : padded.shape[0] - margin, margin : padded.shape[1] - margin]
    top = float(np.iinfo(levels.dtype).max)
    return cast("Levels", np.rint(inner.clip(0.0, top)).astype(levels.dtype))


def _fourier_shift(values: NDArray[np.float64], part: float, axis: int) -> NDArray[np.float64]:
    length = values.shape[axis]
    phases = np.exp(2j * np.pi * np.fft.rfftfreq(length) * part)
    if length % 2 == 0:
        phases[-1] = phases[-1].real  # of a real signal
    shape = [1] * values.ndim
    shape[axis] = len(phases)
    spectrum = np.fft.rfft(values, axis=axis) * phases.reshape(shape)
    return np.fft.irfft(spectrum, length, axis=axis)


def _correlation(hr: Levels, lr: Levels, scale: int) -> float:
    """Of LR with the means of HR's squares of `scale` pixels, over the luma."""
    high, low = (levels.mean(axis=2, dtype=np.float64) for levels in (hr, lr))
    means = high.reshape(low.shape[0], scale, low.shape[1], scale).mean((1, 3))
    first, second = means - means.mean(), low - low.mean()
    length = math.sqrt(float((first**2).sum()) * float((second**2).sum()))
    return float((first * second).sum()) / length if length else 0.0
