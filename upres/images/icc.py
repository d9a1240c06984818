"""ICC profiles: which ones matter, and, for those that are look-up tables or ink, from them to sRGB for the network and back by libvips.

Profiles of three curves and a matrix are converted in `upres.images.icc_matrix`, which loses nothing.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false, reportMissingTypeStubs=false
# pyvips has no types; what crosses the border of this module is annotated.

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import pyvips
from numpy.typing import NDArray

from upres.images.icc_matrix import Levels, MatrixProfile, read_matrix_profile
from upres.images.vips import begin_pixels

_SPACES = {b"GRAY": "gray", b"RGB ": "RGB", b"CMYK": "CMYK"}
# A profile that moves no color by more than this is sRGB by another name: makers' sRGB profiles differ by about one level of 8 bits.
_SAME_WITHIN = 1.5 / 255.0
_PROFILE = "icc-profile-data"


def color_space(icc: bytes) -> str:
    """What a profile is for: "gray", "RGB", "CMYK", or the four letters that stand in its header."""
    if len(icc) < 128 or icc[36:40] != b"acsp":  # ICC.1:2022, 7.2: 128 bytes of header, signature at 36
        return "nothing (it is damaged)"
    return _SPACES.get(icc[16:20], icc[16:20].decode("latin-1").strip())


@lru_cache(maxsize=32)
def matrix_profile(icc: bytes) -> MatrixProfile | None:
    """The exact way to sRGB and back of an RGB profile; None where it is a look-up table, for `to_srgb` and `from_srgb`.

    Raises `ValueError` for a profile that cannot be used.
    """
    return read_matrix_profile(icc)


@lru_cache(maxsize=32)
def is_srgb(icc: bytes) -> bool:
    """True where an RGB profile gives the colors that sRGB gives. Raises `ValueError` for a profile that cannot be used."""
    ladder = np.linspace(0, 65535, 6).astype(np.uint16)
    colors = np.stack(np.meshgrid(ladder, ladder, ladder), axis=-1).reshape(1, -1, 3)
    exact = matrix_profile(icc)
    if exact is not None:
        return float(np.abs(exact.to_srgb(colors) - colors / 65535.0).max()) <= _SAME_WITHIN
    try:
        found = to_srgb(colors, icc)
        from_srgb(found, icc, 16)  # a profile for input only cannot be written back
    except pyvips.Error as error:
        raise ValueError("it is damaged, or for reading only") from error
    return float(np.abs(found.astype(np.float32) - colors).max()) <= _SAME_WITHIN * 65535.0


@lru_cache(maxsize=32)
def is_usable_cmyk(icc: bytes) -> bool:
    """False for a damaged CMYK profile: libvips says nothing and puts its own in its place, which shows in the colors."""
    if icc == bytes(pyvips.Operation.call("profile_load", "cmyk")):
        return True
    inks = np.random.default_rng(0).integers(0, 256, (1, 64, 4)).astype(np.uint8)
    try:
        return not np.array_equal(to_srgb(inks, icc, cmyk=True), to_srgb(inks, None, cmyk=True))
    except pyvips.Error:
        return False


def to_srgb(levels: Levels, icc: bytes | None, *, cmyk: bool = False) -> NDArray[np.uint16]:
    """h w 3 (or h w 4 with `cmyk`, where None is a common print profile) -> sRGB of 16 bits, h w 3; colors outside sRGB are clipped.

    Relative colorimetric, so that what is in the gamut of both comes back; ink, whose black is not black, with black point compensation.
    Little CMS connects profiles by Lab of 16 bits here: there and back again moves a level of 65,535 by 9 on the average, and near black by
    up to 210, which is less than one level of 8 bits.
    """
    image = wrap(levels)
    if cmyk:
        image = image.copy(interpretation="cmyk")
    if icc is not None:
        image = _with_profile(image, icc)
    fallback = "cmyk" if cmyk else "srgb"
    image = image.icc_import(embedded=icc is not None, input_profile=fallback, pcs="lab", **_intent(cmyk))
    return unwrap(image.icc_export(output_profile="srgb", depth=16, **_intent(cmyk))).astype(np.uint16, copy=False)


def from_srgb(levels: Levels, icc: bytes, depth: int) -> Levels:
    """h w 3 sRGB -> h w 3 in the RGB profile `icc`, with `depth` 8 or 16 bits."""
    image = wrap(levels).icc_import(input_profile="srgb", pcs="lab", **_intent(False))
    return unwrap(_with_profile(image, icc).icc_export(depth=depth, **_intent(False)))


def share_outside(levels: Levels, icc: bytes) -> float:
    """The share of the pixels of h w 3, in the RGB profile `icc`, whose color sRGB does not have: judged on 10,000 to 40,000 of them."""
    step = max(1, int((levels.shape[0] * levels.shape[1] / 10_000) ** 0.5))
    some = levels[::step, ::step]
    depth = 16 if levels.dtype == np.uint16 else 8
    back = from_srgb(to_srgb(some, icc), icc, depth).astype(np.float32)
    moved = np.abs(back - some).max(axis=2) > 3.0 / 255.0 * np.iinfo(levels.dtype).max
    return float(moved.mean())


def wrap(levels: Levels) -> Any:
    """An image of pyvips over the memory of h w c (no copy when contiguous); it keeps the array alive."""
    height, width, bands = levels.shape
    wide = levels.dtype == np.uint16
    memory: Any = np.ascontiguousarray(levels)
    image = pyvips.Image.new_from_memory(memory, width, height, bands, "ushort" if wide else "uchar")
    names = ("grey16", "rgb16") if wide else ("b-w", "srgb")
    return image.copy(interpretation=names[bands >= 3])


def unwrap(image: Any) -> Levels:
    """The pixels of an image of pyvips, 8 or 16 bits: h w c, on memory that belongs to the array."""
    begin_pixels()
    dtype = {"uchar": np.uint8, "ushort": np.uint16}[image.format]
    return np.frombuffer(image.write_to_memory(), dtype).reshape(image.height, image.width, image.bands)


def first_line(error: BaseException) -> str:
    """What libvips said first, which is the cause; the lines after it say who passed it on."""
    detail = getattr(error, "detail", "") or str(error)
    return detail.strip().splitlines()[0] if detail.strip() else "no reason given"


def _with_profile(image: Any, icc: bytes) -> Any:
    image = image.copy()
    image.set_type(pyvips.GValue.blob_type, _PROFILE, icc)
    return image


def _intent(cmyk: bool) -> dict[str, Any]:
    return {"intent": "relative", "black_point_compensation": cmyk}
