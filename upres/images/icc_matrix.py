"""ICC profiles that are three curves and a matrix, which nearly all RGB profiles are: to sRGB without its edges, and back without loss.

The bytes are read as ICC.1:2022 lays them out (version 2 does the same): clause 7.2 the header, 7.3 the table of tags, 10.6 `curv`, 10.18
`para`, 10.31 `XYZ `; what curves and matrix mean is annex F.3. Everything that can be wrong with them is a `ValueError` that says what.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Levels = NDArray[np.unsignedinteger[Any]]  # uint8 or uint16
Wide = NDArray[np.float64]

# Linear sRGB -> XYZ of D50: rXYZ, gXYZ, bXYZ of the ICC's sRGB profile, in its units of 1/65536.
_SRGB_TO_XYZ = np.array([[28578, 25241, 9376], [14581, 46981, 3972], [912, 6362, 46799]]) / 65536.0
_CLASSES = (b"mntr", b"scnr", b"prtr", b"spac")  # the others turn one profile's colors into another's, or name single colors
_MATRIX_TAGS = (b"rXYZ", b"gXYZ", b"bXYZ", b"rTRC", b"gTRC", b"bTRC")
_PARAMETERS = (1, 3, 4, 5, 7)  # how many numbers `para` of type 0 to 4 has
_MOST_ENTRIES = 65_536  # of a table: more than 16 bits can tell apart
_BLOCK_VALUES = 1 << 18  # converted at a time in float64: small beside the picture
# Bounds between odd and damaged. ProPhoto and ACES reach 2.6 in the matrix to sRGB, and the inverse of a narrow profile may reach 10.
_MOST_FORWARD, _MOST_BACK = 10.0, 100.0
_LEAST_RISE, _MOST_DIP = 0.1, 0.01


@dataclass(frozen=True, slots=True)
class Formula:
    """`curv` of one number and `para`: (a x + b)^g + e from x = d on, c x + f below; any shape, encoded <-> linear light."""

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
        if self.c <= 0.0:  # flat below d: what is black stays 0
            return np.where(y <= start, 0.0, above)
        return np.where(y < start, np.minimum((y - self.f) / self.c, self.d), above)


@dataclass(frozen=True, slots=True)
class Table:
    """`curv` of many numbers: straight lines between knots, which rise strictly in `x` (encoded) and `y` (linear light)."""

    x: Wide
    y: Wide

    def decode(self, x: Wide) -> Wide:
        return np.interp(x, self.x, self.y)

    def encode(self, y: Wide) -> Wide:
        return np.interp(y, self.y, self.x)


Curve = Formula | Table


@dataclass(frozen=True, slots=True)
class MatrixProfile:
    """The curves of red, green and blue; `forward`, 3 x 3, takes their light to linear sRGB, and `back` is its inverse.

    Relative colorimetric, as both ends are media-relative to D50. A level of 8 bits comes back as itself; so does one of 16 bits where the
    curve is no steeper than sRGB's. A pure power is infinitely steep at 0: there float32, which holds 1e-7 of full light, may move the
    darkest channel of a strong color: by up to 27 of 65,535 for Adobe RGB.
    """

    curves: tuple[Curve, Curve, Curve]
    forward: Wide
    back: Wide

    def to_srgb(self, levels: Levels) -> NDArray[np.float32]:
        """h w 3 levels of the file -> h w 3 in sRGB's encoding, below 0 and above 1 for colors that sRGB does not have."""
        steps = np.arange(np.iinfo(levels.dtype).max + 1) / np.iinfo(levels.dtype).max
        lights = [curve.decode(steps) for curve in self.curves]
        result = np.empty(levels.shape, np.float32)
        for rows in _blocks(levels.shape):
            block = levels[rows]
            light = np.stack([lights[i][block[:, :, i]] for i in range(3)], axis=-1)
            result[rows] = _encode_srgb(light @ self.forward.T)
        return result

    def from_srgb(self, pixels: NDArray[np.float32]) -> NDArray[np.float32]:
        """The way back: h w 3 of any value -> h w 3 in the profile's encoding, outside [0,1] where the file cannot hold the color."""
        result = np.empty(pixels.shape, np.float32)
        for rows in _blocks(pixels.shape):
            with np.errstate(invalid="ignore", over="ignore"):  # what is not a number stays so, for `quantize` to tell
                light = _decode_srgb(pixels[rows].astype(np.float64)) @ self.back.T
                for i, curve in enumerate(self.curves):
                    result[rows][:, :, i] = curve.encode(light[:, :, i])
        return result


def read_matrix_profile(icc: bytes) -> MatrixProfile | None:
    """The curves and the matrix of an RGB profile; None where it has none but a look-up table (tag A2B0), which is for a library to use.

    A profile with both is taken by its matrix, which can be undone. Raises `ValueError`, "it is damaged: ...", for one that has neither.
    """
    tags = _tags(icc)
    present = [tag for tag in _MATRIX_TAGS if tag in tags]
    if len(present) < len(_MATRIX_TAGS) or icc[20:24] != b"XYZ ":
        if b"A2B0" in tags:
            return None
        missing = ", ".join(tag.decode() for tag in _MATRIX_TAGS if tag not in present) or "the connection space XYZ"
        raise _damaged(f"it lacks {missing}")
    to_xyz = np.stack([_xyz(tags[tag], tag) for tag in _MATRIX_TAGS[:3]], axis=1)
    forward: Wide = np.linalg.solve(_SRGB_TO_XYZ, to_xyz).astype(np.float64, copy=False)
    white = forward.sum(axis=1)
    if np.abs(forward).max() > _MOST_FORWARD or white.min() < 0.25 or white.max() > 4.0:
        raise _damaged("its primaries add up to no white")
    try:
        back: Wide = np.linalg.inv(forward).astype(np.float64, copy=False)
    except np.linalg.LinAlgError as error:
        raise _damaged("its primaries lie on a line") from error
    if not np.abs(back).max() <= _MOST_BACK:
        raise _damaged("its primaries lie nearly on a line")
    red, green, blue = (_curve(tags[tag], tag) for tag in _MATRIX_TAGS[3:])
    return MatrixProfile((red, green, blue), forward, back)


def _damaged(what: str) -> ValueError:
    return ValueError(f"it is damaged: {what}")


def _tags(icc: bytes) -> dict[bytes, bytes]:
    if len(icc) < 132 or icc[36:40] != b"acsp":
        raise _damaged("it does not begin as a profile does")
    size, count = int.from_bytes(icc[:4], "big"), int.from_bytes(icc[128:132], "big")
    if size > len(icc) or 132 + 12 * count > len(icc):
        raise _damaged("it is cut short")
    if icc[12:16] not in _CLASSES:
        raise _damaged(f"it is of the class {icc[12:16]!r}, expected one for a screen, a camera, a printer or a color space")
    tags: dict[bytes, bytes] = {}
    for i in range(count):
        name, offset, length = struct.unpack_from(">4sII", icc, 132 + 12 * i)
        if name in (*_MATRIX_TAGS, b"A2B0") and name not in tags:
            if offset + length > len(icc):
                raise _damaged(f"its {name.decode()} lies beyond its end")
            tags[name] = icc[offset : offset + length]
    return tags


def _xyz(data: bytes, tag: bytes) -> Wide:
    if len(data) < 20 or data[:4] != b"XYZ ":
        raise _damaged(f"its {tag.decode()} is not a color")
    return np.array(struct.unpack_from(">3i", data, 8)) / 65536.0


def _curve(data: bytes, tag: bytes) -> Curve:
    name = tag.decode()
    kind = data[:4] if len(data) >= 12 else b""
    if kind == b"curv":
        count = int.from_bytes(data[8:12], "big")
        if count > _MOST_ENTRIES or 12 + 2 * count > len(data):
            raise _damaged(f"its {name} is cut short")
        numbers = np.frombuffer(data, ">u2", count, 12).astype(np.float64)
        if count >= 2:
            return _table(numbers, name)
        curve = Formula(float(numbers[0]) / 256.0 if count else 1.0)
    elif kind == b"para":
        form = int.from_bytes(data[8:10], "big")
        if form >= len(_PARAMETERS) or 12 + 4 * _PARAMETERS[form] > len(data):
            raise _damaged(f"its {name} is of no known form, or cut short")
        curve = _formula(form, [value / 65536.0 for value in struct.unpack_from(f">{_PARAMETERS[form]}i", data, 12)], name)
    else:
        raise _damaged(f"its {name} is not a curve")
    if curve.g <= 0.0:
        raise _damaged(f"its {name} has the exponent {curve.g:g}")
    with np.errstate(over="ignore", invalid="ignore"):
        _check_rise(curve.decode(np.linspace(0.0, 1.0, 1025)), name)
    return curve


def _formula(form: int, p: list[float], name: str) -> Formula:
    if form == 0:
        return Formula(p[0])
    if p[1] <= 0.0:
        raise _damaged(f"its {name} falls")
    if form == 1:
        return Formula(p[0], p[1], p[2], d=-p[2] / p[1])
    if form == 2:
        return Formula(p[0], p[1], p[2], d=-p[2] / p[1], e=p[3], f=p[3])
    return Formula(*p)


def _table(numbers: Wide, name: str) -> Table:
    """Equal neighbors could not be told apart on the way back: they are taken to rise by half a unit of the table, within its rounding."""
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
        raise _damaged(f"its {name} leaves the range of light")
    if (np.maximum.accumulate(y) - y).max() > _MOST_DIP or y[-1] - y[0] < _LEAST_RISE:
        raise _damaged(f"its {name} does not rise")


def _encode_srgb(light: Wide) -> Wide:
    """IEC 61966-2-1, 5.2, odd about 0 and going on above 1, as IEC 61966-2-2 (scRGB) has it."""
    size = np.abs(light)
    return np.copysign(np.where(size <= 0.0031308, 12.92 * size, 1.055 * size ** (1.0 / 2.4) - 0.055), light)


def _decode_srgb(code: Wide) -> Wide:
    size = np.abs(code)
    return np.copysign(np.where(size <= 12.92 * 0.0031308, size / 12.92, ((size + 0.055) / 1.055) ** 2.4), code)


def _blocks(shape: tuple[int, ...]) -> list[slice]:
    """Rows of h w 3, a block at a time."""
    rows = max(1, _BLOCK_VALUES // max(1, shape[1] * shape[2]))
    return [slice(top, top + rows) for top in range(0, shape[0], rows)]
