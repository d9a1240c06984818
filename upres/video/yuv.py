"""YUV <-> RGB by a video's own matrix, range and chroma siting (Rec. ITU-T H.273, sections 8.3 and 8.7).

Values are the sample levels of H.273's equations 12 to 55; RGB is float32 `h w 3`, the encoded (nonlinear) signal.
Nothing is clipped before the levels are rounded, so a signal beyond black and white survives the way there and back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from upres.images.color import BT601

Array = NDArray[np.float32]
Levels = NDArray[np.uint8] | NDArray[np.uint16]

# Kr and Kb of H.273, table 4.
LUMA_WEIGHTS = {
    "bt709": (0.2126, 0.0722),
    "fcc": (0.30, 0.11),
    "bt601": (0.299, 0.114),
    "smpte240m": (0.212, 0.087),
    "bt2020": (0.2627, 0.0593),
}
_BAND_ROWS = (
    128  # that are converted at once: arrays of that size are used again instead of being fetched from the system
)
# Where a chroma sample lies among the luma samples of its block: (h, w), 0 on the first, 1 on the last.
SITINGS = {
    "left": (0.5, 0.0),
    "center": (0.5, 0.5),
    "topleft": (0.0, 0.0),
    "top": (0.0, 0.5),
    "bottomleft": (1.0, 0.0),
    "bottom": (1.0, 0.5),
}


@dataclass(frozen=True, slots=True)
class Coding:
    """How the planes of a frame code colors.

    matrix: A key of `LUMA_WEIGHTS`; "rgb" for planes G, B, R; "gray" for luma alone.
    full: Levels use the whole range (0 to 255), instead of 16 to 235 and 240.
    depth: Bits a sample, 8 to 16.
    step: Luma samples for each chroma sample, (h, w): (2, 2) is 4:2:0.
    siting: A key of `SITINGS`.
    alpha: A last plane, always of full range, is alpha.
    """

    matrix: str
    full: bool = False
    depth: int = 8
    step: tuple[int, int] = (1, 1)
    siting: str = "left"
    alpha: bool = False

    @property
    def top(self) -> int:
        """The highest level."""
        return (1 << self.depth) - 1


def to_rgb(planes: Sequence[Levels], coding: Coding) -> tuple[Array, Array | None]:
    """The picture of a frame's planes (h w each): `h w 3`, or `h w 1` for gray; and alpha `h w`, or None."""
    alpha = planes[-1].astype(np.float32) / np.float32(coding.top) if coding.alpha else None
    luma = _from_luma(planes[0], coding)
    if coding.matrix == "gray":
        return luma[:, :, None], alpha
    if coding.matrix == "rgb":
        blue, red = (_from_luma(plane, coding) for plane in planes[1:3])
        return np.stack((red, luma, blue), axis=2), alpha
    size = luma.shape
    cb, cr = (_enlarged(_from_chroma(plane, coding), size, coding) for plane in planes[1:3])
    kr, kb = LUMA_WEIGHTS[coding.matrix]
    kg = 1.0 - kr - kb
    rgb = np.empty((*size, 3), np.float32)
    rgb[:, :, 0] = luma + np.float32(2.0 * (1.0 - kr)) * cr
    rgb[:, :, 2] = luma + np.float32(2.0 * (1.0 - kb)) * cb
    green = luma - np.float32(2.0 * kb * (1.0 - kb) / kg) * cb
    green -= np.float32(2.0 * kr * (1.0 - kr) / kg) * cr
    rgb[:, :, 1] = green
    return rgb, alpha


def from_rgb(pixels: Array, alpha: Array | None, coding: Coding) -> list[Levels]:
    """The planes of a picture `h w 3` (or `h w 1` for a coding of gray), rounded; alpha 1 where the coding has it and
    `alpha` is None.
    """
    height = len(pixels)
    down, place = coding.step[0], SITINGS[coding.siting][0]
    if height > _BAND_ROWS and (down == 1 or place == 0.5):  # rows of chroma then do not depend on those of other bands
        bands = [_colors(pixels[top : top + _BAND_ROWS], coding) for top in range(0, height, _BAND_ROWS)]
        planes = [np.concatenate([band[index] for band in bands]) for index in range(len(bands[0]))]
    else:
        planes = _colors(pixels, coding)
    if coding.alpha:
        whole = np.ones(pixels.shape[:2], np.float32) if alpha is None else alpha
        planes.append(_rounded(whole * np.float32(coding.top), coding))
    return planes


def _colors(pixels: Array, coding: Coding) -> list[Levels]:
    """The planes of color, or of gray."""
    if coding.matrix == "gray":
        return [_to_luma(pixels[:, :, 0], coding)]
    if coding.matrix == "rgb":
        return [_to_luma(pixels[:, :, channel], coding) for channel in (1, 2, 0)]
    kr, kb = LUMA_WEIGHTS[coding.matrix]
    red, green, blue = (pixels[:, :, channel] for channel in range(3))
    luma: Array = np.multiply(red, np.float32(kr), dtype=np.float32)
    luma += np.float32(1.0 - kr - kb) * green
    luma += np.float32(kb) * blue
    cb, cr = blue - luma, red - luma
    cb *= np.float32(0.5 / (1.0 - kb))
    cr *= np.float32(0.5 / (1.0 - kr))
    return [_to_luma(luma, coding), *(_to_chroma(_reduced(plane, coding), coding) for plane in (cb, cr))]


def luma(pixels: Array) -> Array:
    """The luma of BT.601, h w 1, of RGB pixels h w 3: what a color picture is in gray."""
    return pixels @ BT601.astype(np.float32)[:, None]


def _from_luma(plane: Levels, coding: Coding) -> Array:
    if coding.full:
        return plane.astype(np.float32) * np.float32(1.0 / coding.top)
    unit = 1 << (coding.depth - 8)
    return (plane.astype(np.float32) - np.float32(16 * unit)) * np.float32(1.0 / (219 * unit))


def _to_luma(values: Array, coding: Coding) -> Levels:
    if coding.full:
        return _rounded(values * np.float32(coding.top), coding)
    unit = 1 << (coding.depth - 8)
    return _rounded(values * np.float32(219 * unit) + np.float32(16 * unit), coding)


def _from_chroma(plane: Levels, coding: Coding) -> Array:
    unit = 1 << (coding.depth - 8)
    span = coding.top if coding.full else 224 * unit
    return (plane.astype(np.float32) - np.float32(128 * unit)) * np.float32(1.0 / span)


def _to_chroma(values: Array, coding: Coding) -> Levels:
    unit = 1 << (coding.depth - 8)
    span = coding.top if coding.full else 224 * unit
    return _rounded(values * np.float32(span) + np.float32(128 * unit), coding)


def _rounded(values: Array, coding: Coding) -> Levels:
    np.clip(values, 0.0, coding.top, out=values)
    np.rint(values, out=values)
    return values.astype(np.uint8) if coding.depth == 8 else values.astype(np.uint16)


def chroma_size(height: int, width: int, coding: Coding) -> tuple[int, int]:
    """(h, w) of the chroma planes: rounded up, so that odd sides keep their last row and column."""
    return -(-height // coding.step[0]), -(-width // coding.step[1])


def _enlarged(plane: Array, size: tuple[int, ...], coding: Coding) -> Array:
    """A chroma plane at every luma sample, by the cubic kernel with a = -1/2 (Keys 1981, "Cubic convolution
    interpolation for digital image processing"), from where its samples lie.
    """
    for axis, place in enumerate(SITINGS[coding.siting]):
        plane = _enlarged_axis(plane, axis, size[axis], coding.step[axis], place)
    return plane


def _enlarged_axis(plane: Array, axis: int, length: int, step: int, place: float) -> Array:
    if step == 1:
        return plane
    source = np.moveaxis(plane, axis, 0)
    ends = [(2, 2)] + [(0, 0)] * (source.ndim - 1)
    longer = np.pad(source, ends, mode="edge")
    result = np.empty((len(source) * step, *source.shape[1:]), np.float32)
    first = (step - 1) * place
    for phase in range(step):
        at = (phase - first) / step
        base = int(np.floor(at))
        part: Array | None = None
        for tap, weight in zip(range(-1, 3), _keys(at - base), strict=True):
            if weight:
                start = 2 + base + tap
                term = longer[start : start + len(source)] * np.float32(weight)
                part = term if part is None else part + term
        assert part is not None
        result[phase::step] = part
    return np.moveaxis(result[:length], 0, axis)


def _keys(fraction: float) -> tuple[float, float, float, float]:
    """Weights of the four samples around a point, `fraction` behind the second."""
    t, a = fraction, -0.5

    def near(x: float) -> float:
        return (a + 2.0) * x**3 - (a + 3.0) * x**2 + 1.0

    def far(x: float) -> float:
        return a * x**3 - 5.0 * a * x**2 + 8.0 * a * x - 4.0 * a

    return far(1.0 + t), near(t), near(1.0 - t), far(2.0 - t)


def _reduced(plane: Array, coding: Coding) -> Array:
    """Chroma at its samples: the mean of its luma samples where it lies in their middle, else a triangle around it."""
    for axis, place in enumerate(SITINGS[coding.siting]):
        plane = _reduced_axis(plane, axis, coding.step[axis], place)
    return plane


def _reduced_axis(plane: Array, axis: int, step: int, place: float) -> Array:
    if step == 1:
        return plane
    source = np.moveaxis(plane, axis, 0)
    count = -(-len(source) // step)
    if place == 0.5:
        taps = {offset: 1.0 / step for offset in range(step)}
    else:
        first = round((step - 1) * place)
        taps = {first + offset: (step - abs(offset)) / step**2 for offset in range(1 - step, step)}
    ends = [(step, 2 * step)] + [(0, 0)] * (source.ndim - 1)
    longer = np.pad(source, ends, mode="edge")
    result = np.zeros((count, *source.shape[1:]), np.float32)
    for offset, weight in taps.items():
        start = step + offset
        result += longer[start : start + count * step : step] * np.float32(weight)
    return np.moveaxis(result, 0, axis)
