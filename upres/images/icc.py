"""ICC profiles: classification, and conversion of LUT and CMYK profiles to and from sRGB by libvips.

`upres.images.icc_matrix` converts matrix/TRC profiles without loss.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportMissingTypeStubs=false
# pyvips is untyped; this module annotates what it returns.

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from upres.images.icc_matrix import Levels, MatrixProfile, read_matrix_profile
from upres.images.vips import VipsError, attempt, begin_pixels, pyvips

_SPACES = {b"GRAY": "gray", b"RGB ": "RGB", b"CMYK": "CMYK"}
# A profile that moves no color further counts as sRGB: vendors' sRGB profiles differ by about one 8-bit level.
_SAME_WITHIN = 1.5 / 255.0
_PROFILE = "icc-profile-data"


def color_space(icc: bytes) -> str:
    """The data color space of a profile: "gray", "RGB", "CMYK", the four letters in its header, or "damaged data"."""
    if len(icc) < 128 or icc[36:40] != b"acsp":  # ICC.1:2022, 7.2: 128-byte header, signature at 36
        return "damaged data"
    return _SPACES.get(icc[16:20], icc[16:20].decode("latin-1").strip())


@lru_cache(maxsize=32)
def matrix_profile(icc: bytes) -> MatrixProfile | None:
    """The matrix/TRC model of an RGB profile, or None if it has only LUTs (use `to_srgb` and `from_srgb`).

    Raises `ValueError` for an unusable profile.
    """
    return read_matrix_profile(icc)


@lru_cache(maxsize=32)
def is_srgb(icc: bytes) -> bool:
    """Whether an RGB profile is sRGB within 1.5 8-bit levels. Raises `ValueError` for an unusable profile."""
    ladder = np.linspace(0, 65535, 6).astype(np.uint16)
    colors = np.stack(np.meshgrid(ladder, ladder, ladder), axis=-1).reshape(1, -1, 3)
    exact = matrix_profile(icc)
    if exact is not None:
        return float(np.abs(exact.to_srgb(colors) - colors / 65535.0).max()) <= _SAME_WITHIN
    try:
        found = to_srgb(colors, icc)
        from_srgb(found, icc, 16)  # fails for input-only profiles, which cannot be written back
    except VipsError as error:
        raise ValueError("damaged or input-only") from error
    return float(np.abs(found.astype(np.float32) - colors).max()) <= _SAME_WITHIN * 65535.0


@lru_cache(maxsize=32)
def is_usable_cmyk(icc: bytes) -> bool:
    """False for a damaged CMYK profile, which libvips silently replaces by its own: the colors are then equal."""
    if icc == attempt(lambda: bytes(pyvips.Operation.call("profile_load", "cmyk"))):
        return True
    inks = np.random.default_rng(0).integers(0, 256, (1, 64, 4)).astype(np.uint8)
    try:
        return not np.array_equal(to_srgb(inks, icc, cmyk=True), to_srgb(inks, None, cmyk=True))
    except VipsError:
        return False


def to_srgb(levels: Levels, icc: bytes | None, *, cmyk: bool = False) -> NDArray[np.uint16]:
    """Convert to 16-bit sRGB, clipping colors outside its gamut.

    Relative colorimetric, so that colors in both gamuts survive a round trip; CMYK with black point compensation.
    Little CMS connects the profiles through 16-bit Lab here: a round trip changes 16-bit levels by 9 on average,
    and by up to 210 near black, which is less than one 8-bit level.

    Args:
        levels: `h w 3`, or `h w 4` with `cmyk`.
        icc: The profile of `levels`; None is sRGB, or libvips' built-in profile with `cmyk`.
        cmyk: `levels` are C, M, Y, K.

    Returns:
        `h w 3` levels.

    Raises:
        VipsError: The profile is unusable.
    """

    def convert() -> NDArray[np.uint16]:
        image = wrap(levels)
        if cmyk:
            image = image.copy(interpretation="cmyk")
        if icc is not None:
            image = _with_profile(image, icc)
        fallback = "cmyk" if cmyk else "srgb"
        image = image.icc_import(embedded=icc is not None, input_profile=fallback, pcs="lab", **_intent(cmyk))
        return unwrap(image.icc_export(output_profile="srgb", depth=16, **_intent(cmyk))).astype(np.uint16, copy=False)

    return attempt(convert)


def from_srgb(levels: Levels, icc: bytes, depth: int) -> Levels:
    """`h w 3` sRGB -> `h w 3` in the RGB profile `icc`, `depth` 8 or 16 bits a sample; raises as `to_srgb` does."""

    def convert() -> Levels:
        image = wrap(levels).icc_import(input_profile="srgb", pcs="lab", **_intent(False))
        return unwrap(_with_profile(image, icc).icc_export(depth=depth, **_intent(False)))

    return attempt(convert)


def share_outside(levels: Levels, icc: bytes) -> float:
    """Fraction of `levels` (h w 3, profile `icc`) outside the sRGB gamut, from a grid of 10,000 to 40,000 pixels."""
    step = max(1, int((levels.shape[0] * levels.shape[1] / 10_000) ** 0.5))
    some = levels[::step, ::step]
    depth = 16 if levels.dtype == np.uint16 else 8
    back = from_srgb(to_srgb(some, icc), icc, depth).astype(np.float32)
    moved = np.abs(back - some).max(axis=2) > 3.0 / 255.0 * np.iinfo(levels.dtype).max
    return float(moved.mean())


def wrap(levels: Levels | NDArray[np.float32]) -> Any:
    """A pyvips image over the memory of `levels`, h w c (no copy if contiguous); it keeps the array alive."""
    height, width, bands = levels.shape
    wide = levels.dtype == np.uint16
    memory: Any = np.ascontiguousarray(levels)
    format = {"uint16": "ushort", "uint8": "uchar", "float32": "float"}[levels.dtype.name]
    image = pyvips.Image.new_from_memory(memory, width, height, bands, format)
    names = ("grey16", "rgb16") if wide else ("b-w", "srgb")
    return image.copy(interpretation=names[bands >= 3])


def unwrap(image: Any) -> Levels:
    """The pixels of an 8- or 16-bit pyvips image, h w c; the array owns its memory."""
    begin_pixels()
    dtype = {"uchar": np.uint8, "ushort": np.uint16}[image.format]
    return np.frombuffer(image.write_to_memory(), dtype).reshape(image.height, image.width, image.bands)


def region_of(image: Any) -> Callable[[int, int], Levels]:
    """A function of (top, rows) that returns those rows of an image, h w c, which are computed from the top, once."""
    dtype = {"uchar": np.uint8, "ushort": np.uint16}[image.format]
    region = pyvips.Region.new(image)

    def take(top: int, rows: int) -> Levels:
        data = region.fetch(0, top, image.width, rows)
        return np.frombuffer(data, dtype).reshape(rows, image.width, image.bands)

    return take


def _with_profile(image: Any, icc: bytes) -> Any:
    image = image.copy()
    image.set_type(pyvips.GValue.blob_type, _PROFILE, icc)
    return image


def _intent(cmyk: bool) -> dict[str, Any]:
    return {"intent": "relative", "black_point_compensation": cmyk}
