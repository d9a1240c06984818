"""OpenEXR and Radiance HDR: light of a scene, which may be brighter than white, as sRGB-encoded pixels and back.

The mapping is x = sRGB(v / white), with sRGB's curve (IEC 61966-2-1) going on above 1 and below 0, odd about 0: every
value has one code, and every code one value. A network gets the codes clipped to [0, 1]; what is beyond goes around it
by linear interpolation, as colors outside sRGB do. `white` is 1 where the picture uses the range that such files
usually have, else a power of two, which changes no bit of a value but its exponent.

Sources: OpenEXR's technical introduction (premultiplied alpha, `chromaticities`); G. Ward, "Real Pixels" (Graphics Gems
II) for RGBE, and Radiance's own description of the header.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportMissingTypeStubs=false
# pyright: reportUnknownArgumentType=false

from __future__ import annotations

import re
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from upres.images.icc_matrix import decode_srgb, encode_srgb
from upres.images.picture import Picture, SceneLight

Array = NDArray[np.float32]
_LEAST_WHITE, _MOST_WHITE = 0.125, 2.0  # of the bright end of a picture (its 99th percentile) that stays with white 1
_BRIGHT = 99.0
_ROWS = 256
_LARGEST_HALF = 65504.0
_REC709 = (0.64, 0.33, 0.30, 0.60, 0.15, 0.06, 0.3127, 0.3290)
_SAME = 1e-3  # of chromaticities
TEXTS = ("comments", "owner", "capDate")  # attributes of EXR that are text for people


@dataclass(frozen=True, slots=True)
class DecodedScene:
    """What a file of light holds.

    Args:
        codes: float32 h w c, c 1 to 4, alpha last, by the mapping above.
        scene: What the result needs to go back.
        texts: (keyword, text).
        notes: For the user.
        dpi: Dots per inch, (h, w).
    """

    codes: Array
    scene: SceneLight
    texts: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]
    dpi: tuple[float, float] | None = None


def read_exr(data: bytes) -> DecodedScene:
    """Decode an OpenEXR. Raises `ValueError` for one without colors or luminance, and errors of its package."""
    import OpenEXR

    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "picture.exr"
        place.write_bytes(data)
        file: Any = OpenEXR.File(str(place), separate_channels=True)
        header, channels = file.header(), {name: found.pixels for name, found in file.channels().items()}
        notes = [f"only the first of {len(file.parts)} parts was read"] if len(file.parts) > 1 else []
    names = next((names for names in (("R", "G", "B"), ("Y",)) if set(names) <= channels.keys()), None)
    if names is None:
        raise ValueError(f"its channels are {', '.join(sorted(channels))}, expected R, G and B, or Y")
    light = np.stack([channels[name] for name in names], axis=2)
    half = light.dtype == np.float16
    alpha = channels.get("A")
    others = sorted(channels.keys() - {*names, "A"})
    if others:
        notes.append(f"the channels {', '.join(others)} were not kept")
    low, high = header["dataWindow"]
    if any((header["displayWindow"][i] != (low, high)[i]).any() for i in (0, 1)):
        notes.append("the data window was read; the display window was not kept")
    primaries = tuple(float(value) for value in header["chromaticities"]) if "chromaticities" in header else None
    if primaries is not None and max(abs(a - b) for a, b in zip(primaries, _REC709, strict=True)) < _SAME:
        primaries = None
    if primaries is not None:
        notes.append("its primaries are not those of sRGB; exr keeps them, other formats do not know of them")
    texts = tuple((name, str(header[name])) for name in TEXTS if isinstance(header.get(name), str))
    across, aspect = float(header.get("xDensity", 0.0)), float(header.get("pixelAspectRatio", 1.0))
    dpi = (round(across / aspect, 3), round(across, 3)) if across > 0.0 and aspect > 0.0 else None
    return replace(_decoded(light, alpha, half, primaries, texts, notes), dpi=dpi)


def read_hdr(data: bytes) -> DecodedScene:
    """Decode a Radiance HDR. Raises `ValueError` for XYZ colors and other orders of pixels, else as imagecodecs."""
    import imagecodecs

    head, _, rest = data.partition(b"\n\n")
    if b"32-bit_rle_xyze" in head:
        raise ValueError("its colors are XYZ, expected RGB")
    if not rest.startswith(b"-Y "):
        raise ValueError("its pixels are in another order than from the top left")
    light = np.array(imagecodecs.rgbe_decode(data), np.float32)
    for value in re.findall(rb"(?m)^EXPOSURE=\s*([\d.eE+-]+)", head):
        light /= np.float32(float(value))  # it was multiplied into the pixels
    return _decoded(light, None, False, None, (), [])


def _decoded(
    light: NDArray[Any],
    alpha: NDArray[Any] | None,
    half: bool,
    primaries: tuple[float, ...] | None,
    texts: tuple[tuple[str, str], ...],
    notes: list[str],
) -> DecodedScene:
    values = light.astype(np.float32)
    bad = ~np.isfinite(values)
    if bad.any():
        most = float(values[~bad].max(initial=0.0))
        notes.append(f"{bad.any(axis=2).sum():,} pixels are infinite or no numbers; they became {most:g} or 0")
        values = np.nan_to_num(values, nan=0.0, posinf=most, neginf=0.0)
    cover: Array | None = None
    if alpha is not None:
        cover = np.clip(np.nan_to_num(alpha.astype(np.float32)), 0.0, 1.0)
        values /= np.where(cover > 0.0, cover, 1.0)[:, :, None]  # EXR holds colors times alpha
        if np.any(values[cover == 0.0]):
            notes.append("light without cover (alpha 0) is not kept by formats other than exr")
    white = _white_of(values)
    brighter = float((values > white).any(axis=2).mean())
    words = "sRGB(v)" if white == 1.0 else f"sRGB(v / {white:g})"
    tail = f"; {brighter:.1%} of the pixels are brighter than white and go around the network" if brighter else ""
    notes.append(f"light v was enlarged as {words}{tail}")
    codes = np.empty((*values.shape[:2], values.shape[2] + (cover is not None)), np.float32)
    for top in range(0, len(values), _ROWS):
        rows = slice(top, top + _ROWS)
        codes[rows, :, : values.shape[2]] = encode_srgb(values[rows].astype(np.float64) / white)
    if cover is not None:
        codes[:, :, -1] = cover
    scene = SceneLight(white, half, brighter > 0.0, primaries)
    return DecodedScene(codes, scene, texts, tuple(notes))


def over_white(picture: Picture) -> Picture:
    """The picture without alpha, blended with white."""
    if picture.alpha is None:
        return picture
    pixels = picture.pixels * picture.alpha[:, :, None]
    pixels += 1.0 - picture.alpha[:, :, None]
    return replace(picture, pixels=pixels, alpha=None)


def _white_of(values: Array) -> float:
    step = max(1, int((values.shape[0] * values.shape[1] / 100_000) ** 0.5))
    bright = float(np.percentile(values[::step, ::step].max(axis=2), _BRIGHT))
    if bright <= 0.0 or _LEAST_WHITE <= bright <= _MOST_WHITE:
        return 1.0
    return float(2.0 ** np.ceil(np.log2(bright)))


def light_of(picture: Picture) -> Array:
    """The light of a picture's pixels, h w c: of what was none, with white at 1."""
    white = 1.0 if picture.scene is None else picture.scene.white
    light = np.empty_like(picture.pixels)
    for top in range(0, len(light), _ROWS):
        light[top : top + _ROWS] = decode_srgb(picture.pixels[top : top + _ROWS].astype(np.float64)) * white
    return light


def exr_of(picture: Picture) -> bytes:
    """Encode as OpenEXR, compressed without loss (ZIP): half as the source, or where nothing is known, else float."""
    import OpenEXR

    light = light_of(picture)
    half = picture.scene is None or picture.scene.half
    if picture.alpha is not None:
        light *= picture.alpha[:, :, None]
    if half:
        light = np.clip(light, -_LARGEST_HALF, _LARGEST_HALF)
    kind = np.float16 if half else np.float32
    names = ("Y",) if light.shape[2] == 1 else ("R", "G", "B")
    channels = {name: np.ascontiguousarray(light[:, :, place], kind) for place, name in enumerate(names)}
    if picture.alpha is not None:
        channels["A"] = picture.alpha.astype(kind)
    header: dict[str, Any] = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
    if picture.scene is not None and picture.scene.primaries is not None:
        header["chromaticities"] = picture.scene.primaries
    if picture.dpi is not None:
        header["xDensity"] = float(picture.dpi[1])
        header["pixelAspectRatio"] = float(picture.dpi[1] / picture.dpi[0])
    header |= {name: text for name, text in picture.texts if name in TEXTS}
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "picture.exr"
        OpenEXR.File(header, channels).write(str(place))
        return place.read_bytes()


def hdr_of(picture: Picture) -> bytes:
    """Encode as Radiance HDR: three channels that share an exponent, rounded to 8 bits of the brightest."""
    import imagecodecs

    light = np.maximum(light_of(over_white(picture)), 0.0)
    if light.shape[2] == 1:
        light = np.repeat(light, 3, axis=2)
    rounded = light  # the encoder cuts off
    for _ in range(2):  # where the brightest becomes a power of two, the step doubles
        _, exponent = np.frexp(rounded.max(axis=2, keepdims=True))
        step = np.ldexp(np.float32(1.0), exponent - 8)
        rounded = np.rint(light / step) * step
    return bytes(imagecodecs.rgbe_encode(np.ascontiguousarray(rounded * np.float32(1 + 2.0**-20), np.float32)))
