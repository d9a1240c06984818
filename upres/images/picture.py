"""A decoded picture, the supported formats, and rounding of floats to pixel levels."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Literal, cast, overload

import numpy as np
from numpy.typing import NDArray

from upres.errors import InputError, OutputError
from upres.images.ifd import Entry

READABLE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".jfif", ".jpe", ".webp", ".tif", ".tiff", ".avif", ".gif"})
# Pictures that other packages decode, or none: in a folder each is read or refused by its name, where other files are
# passed over with a count.
NAMED_SUFFIXES = frozenset(
    {
        *(".heic", ".heif", ".hif", ".bmp", ".tga", ".psd", ".jxl", ".jp2", ".j2k", ".exr", ".hdr", ".svg"),
        *(".ppm", ".pgm", ".pbm", ".pnm", ".pam", ".dng", ".cr2", ".cr3", ".nef", ".arw", ".raf", ".orf", ".rw2"),
        *(".dcm", ".dicom", ".ima", ".nii", ".nii.gz"),
    }
)
_QUALITY = 95  # of a JPEG whose source was none
_BLOCK_VALUES = 1 << 16  # rounded at a time: they stay in a cache; the copy of a whole picture would not


@dataclass(frozen=True, slots=True)
class JpegCoding:
    """How a JPEG was compressed.

    Args:
        quality: 1 to 100, that of libjpeg's tables which are nearest.
        subsampled: Whether chroma has half the resolution both ways (4:2:0) or less.
    """

    quality: int
    subsampled: bool


@dataclass(frozen=True, slots=True)
class SceneLight:
    """What pixels mean that come from the light of a scene: v = white x decoded sRGB, also above 1 and below 0.

    Args:
        white: The light that has the code 1.
        half: Whether the file stores half precision.
        brighter: Whether some light is above `white`.
        primaries: x and y of red, green, blue and white, where they are not sRGB's.
    """

    white: float
    half: bool = False
    brighter: bool = False
    primaries: tuple[float, ...] | None = None


@dataclass(frozen=True, slots=True)
class Picture:
    """A decoded picture and the metadata to write with it.

    Args:
        pixels: float32 `h w c`, c 1 (gray, encoded as in the file) or 3 (sRGB-encoded RGB), upright. In [0, 1], or
            outside it for colors of a wide-gamut `icc` and light of a `scene`: sRGB's curve then extends beyond, odd
            about 0.
        alpha: float32 `h w` in [0, 1], or None; the color is not premultiplied.
        depth: 8 or 16 bits a sample.
        icc: The color profile of the file, to which writing converts back; None for sRGB.
        exif: A TIFF structure without the "Exif" prefix.
        xmp: An XMP packet.
        dpi: Resolution in dots per inch, (h, w).
        texts: (keyword, text), as PNG has them; a JPEG's comment has the keyword "Comment".
        iptc: IPTC records, without the resource of Photoshop around them.
        tiff_tags: Fields for a TIFF result: georeference, text, calibration.
        bands: Further bands of a TIFF, which are no colors: float32 `h w k` in [0, 1], or None.
        jpeg: How the source file was compressed, which a JPEG result follows; None for other formats.
        scene: What the pixels of an OpenEXR or Radiance HDR stand for; None for others.
        format: The format of the source file.
        notes: What the user should know, such as what was lost in reading.

    Empty metadata becomes None.

    Raises:
        InputError: A field has another type, shape or range.
    """

    pixels: NDArray[np.float32]
    alpha: NDArray[np.float32] | None = None
    depth: int = 8
    icc: bytes | None = None
    exif: bytes | None = None
    xmp: bytes | None = None
    dpi: tuple[float, float] | None = None
    texts: tuple[tuple[str, str], ...] = ()
    iptc: bytes | None = None
    tiff_tags: dict[int, Entry] = field(default_factory=dict[int, Entry])
    bands: NDArray[np.float32] | None = None
    jpeg: JpegCoding | None = None
    scene: SceneLight | None = None
    format: str = "png"
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name, fits, expected in _FIELDS:
            value = getattr(self, name)
            if not fits(value):
                raise InputError(f"`{name}` of a Picture must be {expected}, got {_words(value)}")
        for name, array in (("alpha", self.alpha), ("bands", self.bands)):
            if array is not None and array.shape[:2] != self.pixels.shape[:2]:
                raise InputError(
                    f"`{name}` of a Picture must have the height and width of its pixels, {self.pixels.shape[:2]}, got "
                    f"{array.shape}"
                )
        for name in ("icc", "exif", "xmp", "iptc"):
            if getattr(self, name) == b"":  # libvips crashes on it
                object.__setattr__(self, name, None)

    @property
    def band_count(self) -> int:
        """How many bands it has beyond its colors and alpha."""
        return 0 if self.bands is None else self.bands.shape[2]


def with_chroma(picture: Picture, chroma: str | None) -> Picture:
    """The picture, to be written as a JPEG with chroma at full ("444") or half resolution ("420"); None: as it is."""
    if chroma is None:
        return picture
    quality = _QUALITY if picture.jpeg is None else picture.jpeg.quality
    return replace(picture, jpeg=JpegCoding(quality, chroma == "420"))


def _is_floats(value: Any, axes: int) -> bool:
    if not isinstance(value, np.ndarray):
        return False
    array = cast("NDArray[Any]", value)
    return array.dtype == np.float32 and array.ndim == axes and 0 not in array.shape


def _is_bytes(value: Any) -> bool:
    return value is None or isinstance(value, bytes)


def _is_dpi(value: Any) -> bool:
    if value is None or not isinstance(value, tuple) or len(value) != 2:  # pyright: ignore[reportUnknownArgumentType]
        return value is None
    return all(isinstance(one, int | float) and math.isfinite(one) and one > 0 for one in value)  # pyright: ignore[reportUnknownVariableType]


def _is_pair(value: Any) -> bool:
    return _is_strings(value) and len(value) == 2


def _is_strings(value: Any) -> bool:
    return isinstance(value, tuple) and all(isinstance(one, str) for one in value)  # pyright: ignore[reportUnknownVariableType]


_FIELDS: tuple[tuple[str, Callable[[Any], bool], str], ...] = (
    ("pixels", lambda x: _is_floats(x, 3) and x.shape[2] in (1, 3), "a float32 array of shape h w 1 or h w 3"),
    ("alpha", lambda x: x is None or _is_floats(x, 2), "None or a float32 array of shape h w"),
    ("bands", lambda x: x is None or _is_floats(x, 3), "None or a float32 array of shape h w k"),
    ("depth", lambda x: isinstance(x, int) and x in (8, 16), "8 or 16"),
    *((name, _is_bytes, "None or bytes") for name in ("icc", "exif", "xmp", "iptc")),
    ("dpi", _is_dpi, "None or two positive numbers, (h, w)"),
    ("texts", lambda x: isinstance(x, tuple) and all(map(_is_pair, cast(Any, x))), "a tuple of (keyword, text)"),
    ("tiff_tags", lambda x: isinstance(x, dict), "a dict"),
    ("scene", lambda x: x is None or isinstance(x, SceneLight), "None or a SceneLight"),
    ("jpeg", lambda x: x is None or isinstance(x, JpegCoding), "None or a JpegCoding"),
    ("format", lambda x: isinstance(x, str), "a string"),
    ("notes", _is_strings, "a tuple of strings"),
)


def _words(value: object) -> str:
    if isinstance(value, np.ndarray):
        array = cast("NDArray[Any]", value)
        return f"an array of {array.dtype} of shape {array.shape}"
    text = repr(value)
    return text if len(text) <= 40 else type(value).__name__


@dataclass(frozen=True, slots=True)
class Header:
    """What a file says of its picture, before decoding.

    Args:
        height: Of the upright picture, in pixels.
        width: Of the upright picture, in pixels.
        channels: 1 (gray) or 3, without alpha.
        has_alpha: Whether the file has an alpha channel.
        depth: 8 or 16 bits a sample.
        format: Such as "png" or "jpeg".
        bands: Number of further bands, which are no colors.
        by_rows: Whether its rows can be decoded one after the other: upright, without alpha and bands.
        held_bytes: Memory of its decoder beside the pixels, also by rows.
    """

    height: int
    width: int
    channels: int
    has_alpha: bool
    depth: int
    format: str
    bands: int = 0
    by_rows: bool = field(default=False, compare=False)
    held_bytes: int = field(default=0, compare=False)


@overload
def quantize(x: NDArray[np.float32], depth: Literal[8]) -> NDArray[np.uint8]: ...
@overload
def quantize(x: NDArray[np.float32], depth: Literal[16]) -> NDArray[np.uint16]: ...
@overload
def quantize(x: NDArray[np.float32], depth: int) -> NDArray[np.uint8] | NDArray[np.uint16]: ...
def quantize(x: NDArray[np.float32], depth: int) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """Round floats of any shape to levels: round(clip(x, 0, 1) * max), max 255 for depth 8 and 65,535 for 16.

    Raises `OutputError` for NaN and for other depths.
    """
    if depth == 8:
        levels: NDArray[np.uint8] | NDArray[np.uint16] = np.empty(x.shape, np.uint8)
    elif depth == 16:
        levels = np.empty(x.shape, np.uint16)
    else:
        raise OutputError(f"depth must be 8 or 16, got {depth}")
    top = np.float32((1 << depth) - 1)
    source, target = np.atleast_1d(x), levels.reshape(levels.shape or (1,))
    rows = max(1, _BLOCK_VALUES // max(1, int(np.prod(source.shape[1:]))))
    for start in range(0, len(source), rows):  # a float copy of a 100 MP picture would take 1.2 GB
        block = np.clip(source[start : start + rows], 0.0, 1.0)
        np.multiply(block, top, out=block)
        np.rint(block, out=block)
        if np.isnan(block.min(initial=0.0)):
            raise OutputError("pixels must be in [0, 1], got NaN: the model or the engine computed wrong values")
        target[start : start + rows] = block
    return levels
