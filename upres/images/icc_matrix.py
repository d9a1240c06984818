"""Matrix/TRC ICC profiles, as nearly all RGB profiles are: to unclipped sRGB, and back without loss.

Source: ICC.1:2022 (version 2 has the same layout), clauses 7.2 header, 7.3 tag table, 10.6 `curv`, 10.18 `para`,
10.31 `XYZ `, annex F.3 the color model. A malformed profile raises `ValueError`.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Levels = NDArray[np.unsignedinteger[Any]]  # uint8 or uint16
Wide = NDArray[np.float64]

# Linear sRGB -> XYZ at D50: rXYZ, gXYZ, bXYZ of the ICC's sRGB profile, in s15Fixed16 units.
_SRGB_TO_XYZ = np.array([[28578, 25241, 9376], [14581, 46981, 3972], [912, 6362, 46799]]) / 65536.0
_CLASSES = (b"mntr", b"scnr", b"prtr", b"spac")  # not device link, abstract or named color
_MATRIX_TAGS = (b"rXYZ", b"gXYZ", b"bXYZ", b"rTRC", b"gTRC", b"bTRC")
_PARAMETERS = (1, 3, 4, 5, 7)  # number of parameters of `para` function types 0 to 4
_MOST_ENTRIES = 65_536  # of a `curv` table: as many as 16 bits can address
_BLOCK_VALUES = 1 << 18  # float64 values converted at a time, to bound memory
# Beyond these a profile is damaged, not exotic. The matrix to sRGB reaches 2.6 for ProPhoto and ACES; the inverse of a
# narrow-gamut profile may reach 10.
_MOST_FORWARD, _MOST_BACK = 10.0, 100.0
_LEAST_RISE, _MOST_DIP = 0.1, 0.01


@dataclass(frozen=True, slots=True)
class Formula:
    """`para`, or `curv` with one entry: y = (a x + b)^g + e for x >= d, else c x + f. x is encoded, y linear light."""

    g: float
    a: float = 1.0
    b: float = 0.0
    c: float = 0.0
    d: float = 0.0
    e: float = 0.0
    f: float = 0.0

    def decode(self, x: Wide) -> Wide:
        power = np.maximum(self.a * x + self.b, 0.0) ** self.g + self.e
        return np.where(x >= self.d, power, self.c * x + self.f)

    def encode(self, y: Wide) -> Wide:
        start = max(self.a * self.d + self.b, 0.0) ** self.g + self.e
        above = np.maximum((np.maximum(y - self.e, 0.0) ** (1.0 / self.g) - self.b) / self.a, self.d)
        if self.c <= 0.0:  # flat below d: black encodes as 0
            return np.where(y <= start, 0.0, above)
        return np.where(y < start, np.minimum((y - self.f) / self.c, self.d), above)


@dataclass(frozen=True, slots=True)
class Table:
    """`curv` with many entries: linear interpolation; `x` (encoded) and `y` (linear light) strictly increase."""

    x: Wide
    y: Wide

    def decode(self, x: Wide) -> Wide:
        return np.interp(x, self.x, self.y)

    def encode(self, y: Wide) -> Wide:
        return np.interp(y, self.y, self.x)


Curve = Formula | Table


@dataclass(frozen=True, slots=True)
class MatrixProfile:
    """A matrix/TRC profile, relative colorimetric.

    8-bit levels survive a round trip exactly, as do 16-bit levels where the curve is no steeper than sRGB's. A pure
    power is infinitely steep at 0, where float32 rounding may change the darkest channel of a saturated color: by up
    to 27 of 65,535 for Adobe RGB.

    Args:
        curves: Of red, green and blue.
        forward: 3 x 3, linear light of the profile to linear sRGB.
        back: The inverse of `forward`.
    """

    curves: tuple[Curve, Curve, Curve]
    forward: Wide
    back: Wide

    def to_srgb(self, levels: Levels) -> NDArray[np.float32]:
        """`h w 3` levels of the file -> `h w 3` sRGB-encoded, outside [0, 1] for colors outside the sRGB gamut."""
        steps = np.arange(np.iinfo(levels.dtype).max + 1) / np.iinfo(levels.dtype).max
        lights = [curve.decode(steps) for curve in self.curves]
        result = np.empty(levels.shape, np.float32)
        for rows in _blocks(levels.shape):
            block = levels[rows]
            light = np.stack([lights[i][block[:, :, i]] for i in range(3)], axis=-1)
            result[rows] = encode_srgb(light @ self.forward.T)
        return result

    def from_srgb(self, pixels: NDArray[np.float32]) -> NDArray[np.float32]:
        """`h w 3` sRGB-encoded -> `h w 3` in the profile's encoding, outside [0, 1] out of its gamut (tables clip)."""
        result = np.empty(pixels.shape, np.float32)
        for rows in _blocks(pixels.shape):
            with np.errstate(invalid="ignore", over="ignore"):  # NaN passes through; `quantize` rejects it
                light = decode_srgb(pixels[rows].astype(np.float64)) @ self.back.T
                for i, curve in enumerate(self.curves):
                    result[rows][:, :, i] = curve.encode(light[:, :, i])
        return result


def read_matrix_profile(icc: bytes) -> MatrixProfile | None:
    """Parse an RGB profile; None if it has only a LUT (tag A2B0). With both, the matrix is used: it is invertible.

    Raises `ValueError` ("damaged: ...") for a malformed profile, or one with neither.
    """
    tags = _tags(icc)
    present = [tag for tag in _MATRIX_TAGS if tag in tags]
    if len(present) < len(_MATRIX_TAGS) or icc[20:24] != b"XYZ ":
        if b"A2B0" in tags:
            return None
        missing = ", ".join(tag.decode() for tag in _MATRIX_TAGS if tag not in present) or "connection space XYZ"
        raise _damaged(f"no {missing}")
    to_xyz = np.stack([_xyz(tags[tag], tag) for tag in _MATRIX_TAGS[:3]], axis=1)
    forward: Wide = np.linalg.solve(_SRGB_TO_XYZ, to_xyz).astype(np.float64, copy=False)
    white = forward.sum(axis=1)
    if np.abs(forward).max() > _MOST_FORWARD or white.min() < 0.25 or white.max() > 4.0:
        raise _damaged("the primaries do not add up to white")
    try:
        back: Wide = np.linalg.inv(forward).astype(np.float64, copy=False)
    except np.linalg.LinAlgError as error:
        raise _damaged("the primaries are collinear") from error
    if not np.abs(back).max() <= _MOST_BACK:
        raise _damaged("the primaries are nearly collinear")
    red, green, blue = (_curve(tags[tag], tag) for tag in _MATRIX_TAGS[3:])
    return MatrixProfile((red, green, blue), forward, back)


def _damaged(what: str) -> ValueError:
    return ValueError(f"damaged: {what}")


def _tags(icc: bytes) -> dict[bytes, bytes]:
    if len(icc) < 132 or icc[36:40] != b"acsp":
        raise _damaged("not an ICC profile")
    size, count = int.from_bytes(icc[:4], "big"), int.from_bytes(icc[128:132], "big")
    if size > len(icc) or 132 + 12 * count > len(icc):
        raise _damaged("truncated")
    if icc[12:16] not in _CLASSES:
        raise _damaged(f"class {icc[12:16]!r} is not a display, input, output or color space profile")
    tags: dict[bytes, bytes] = {}
    for i in range(count):
        name, offset, length = struct.unpack_from(">4sII", icc, 132 + 12 * i)
        if name in (*_MATRIX_TAGS, b"A2B0") and name not in tags:
            if offset + length > len(icc):
                raise _damaged(f"{name.decode()} lies beyond the end")
            tags[name] = icc[offset : offset + length]
    return tags


def _xyz(data: bytes, tag: bytes) -> Wide:
    if len(data) < 20 or data[:4] != b"XYZ ":
        raise _damaged(f"{tag.decode()} is not a color")
    return np.array(struct.unpack_from(">3i", data, 8)) / 65536.0


def _curve(data: bytes, tag: bytes) -> Curve:
    name = tag.decode()
    kind = data[:4] if len(data) >= 12 else b""
    if kind == b"curv":
        count = int.from_bytes(data[8:12], "big")
        if count > _MOST_ENTRIES or 12 + 2 * count > len(data):
            raise _damaged(f"{name} is truncated")
        numbers = np.frombuffer(data, ">u2", count, 12).astype(np.float64)
        if count >= 2:
            return _table(numbers, name)
        curve = Formula(float(numbers[0]) / 256.0 if count else 1.0)
    elif kind == b"para":
        form = int.from_bytes(data[8:10], "big")
        if form >= len(_PARAMETERS) or 12 + 4 * _PARAMETERS[form] > len(data):
            raise _damaged(f"{name} is truncated or of unknown type")
        numbers = struct.unpack_from(f">{_PARAMETERS[form]}i", data, 12)
        curve = _formula(form, [value / 65536.0 for value in numbers], name)
    else:
        raise _damaged(f"{name} is not a curve")
    if curve.g <= 0.0:
        raise _damaged(f"{name} has exponent {curve.g:g}")
    with np.errstate(over="ignore", invalid="ignore"):
        _check_rise(curve.decode(np.linspace(0.0, 1.0, 1025)), name)
    return curve


def _formula(form: int, p: list[float], name: str) -> Formula:
    if form == 0:
        return Formula(p[0])
    if p[1] <= 0.0:
        raise _damaged(f"{name} decreases")
    if form == 1:
        return Formula(p[0], p[1], p[2], d=-p[2] / p[1])
    if form == 2:
        return Formula(p[0], p[1], p[2], d=-p[2] / p[1], e=p[3], f=p[3])
    return Formula(*p)


def _table(numbers: Wide, name: str) -> Table:
    """Equal entries are spread by half a table unit, within its rounding error, so that the curve is invertible."""
    _check_rise(numbers / 65535.0, name)
    values = np.maximum.accumulate(numbers)
    first = np.flatnonzero(np.diff(values, prepend=-1.0) > 0.0)
    last = np.append(first[1:] - 1, len(values) - 1)
    run = last > first
    x = np.concatenate((first, last[run]))
    y: Wide = np.concatenate((values[first] - 0.25 * run, values[last[run]] + 0.25)).clip(0.0, 65535.0)
    order = np.argsort(x)
    return Table(x[order] / float(len(values) - 1), y[order] / 65535.0)


def _check_rise(y: Wide, name: str) -> None:
    if not (np.isfinite(y).all() and y.min() >= -1.0 and y.max() <= 2.0):
        raise _damaged(f"{name} is out of range")
    if (np.maximum.accumulate(y) - y).max() > _MOST_DIP or y[-1] - y[0] < _LEAST_RISE:
        raise _damaged(f"{name} does not increase")


def encode_srgb(light: Wide) -> Wide:
    """IEC 61966-2-1, 5.2, extended to negative values and above 1 as in IEC 61966-2-2 (scRGB)."""
    size = np.abs(light)
    return np.copysign(np.where(size <= 0.0031308, 12.92 * size, 1.055 * size ** (1.0 / 2.4) - 0.055), light)


def decode_srgb(code: Wide) -> Wide:
    size = np.abs(code)
    return np.copysign(np.where(size <= 12.92 * 0.0031308, size / 12.92, ((size + 0.055) / 1.055) ** 2.4), code)


def _blocks(shape: tuple[int, ...]) -> list[slice]:
    """Slices of rows that cover an array of this shape, h w 3."""
    rows = max(1, _BLOCK_VALUES // max(1, shape[1] * shape[2]))
    return [slice(top, top + rows) for top in range(0, shape[0], rows)]
