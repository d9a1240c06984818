"""ICC profiles for colors that a file says by codes or numbers: PNG's cICP, gAMA and cHRM, AVIF's `nclx`, EXIF.

Source: ITU-T H.273 (code points); PNG, third edition; ICC.1:2022 for the layout; Adobe RGB (1998).
"""

from __future__ import annotations

import struct

import numpy as np

from upres.images.icc_matrix import Wide

Chromaticities = tuple[
    tuple[float, float], tuple[float, float], tuple[float, float], tuple[float, float]
]  # r g b white

_D65, _C, _D50 = (0.3127, 0.3290), (0.310, 0.316), np.array([0.9642, 1.0, 0.8249])
SRGB: Chromaticities = ((0.64, 0.33), (0.30, 0.60), (0.15, 0.06), _D65)
ADOBE_RGB: Chromaticities = ((0.64, 0.33), (0.21, 0.71), (0.15, 0.06), _D65)
_PRIMARIES: dict[int, Chromaticities] = {
    1: SRGB,
    4: ((0.67, 0.33), (0.21, 0.71), (0.14, 0.08), _C),
    5: ((0.64, 0.33), (0.29, 0.60), (0.15, 0.06), _D65),
    6: ((0.630, 0.340), (0.310, 0.595), (0.155, 0.070), _D65),
    7: ((0.630, 0.340), (0.310, 0.595), (0.155, 0.070), _D65),
    8: ((0.681, 0.319), (0.243, 0.692), (0.145, 0.049), _C),
    9: ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046), _D65),
    11: ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060), (0.314, 0.351)),
    12: ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060), _D65),
    22: ((0.630, 0.340), (0.295, 0.605), (0.155, 0.077), _D65),
}
_UNSAID = 2
_BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
# ICC's parametric curve of type 3: (g, a, b, c, d). Players show BT.709's transfer function as they show sRGB's.
_SRGB_CURVE = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
_CURVES: dict[int, tuple[float, ...]] = {
    1: _SRGB_CURVE, 4: (2.2,), 5: (2.8,), 6: _SRGB_CURVE, 8: (1.0,), 11: _SRGB_CURVE, 13: _SRGB_CURVE,
    14: _SRGB_CURVE, 15: _SRGB_CURVE,
}  # fmt: skip
_HDR = {16: "PQ", 18: "HLG"}
_SAME_GAMMA = 0.02  # 1 / gAMA this near to 2.2 stands for sRGB, as it does for browsers
_GAMMA_UNIT, _XY_UNIT = 100_000, 100_000


def profile_of_codes(primaries: int, transfer: int, *, gray: bool = False) -> bytes | None:
    """The profile of H.273 code points; None for sRGB and for points that say nothing.

    Raises `ValueError`, with the predicate of a message, for HDR and unknown points.
    """
    if transfer in _HDR:
        raise ValueError(
            f"has HDR colors ({_HDR[transfer]}), which are not supported; convert it to SDR, such as sRGB or Display P3"
        )
    primaries, transfer = (1 if primaries == _UNSAID else primaries), (13 if transfer == _UNSAID else transfer)
    if transfer not in _CURVES or (primaries not in _PRIMARIES and not gray):
        raise ValueError(
            f"has colors of unknown kind (color primaries {primaries}, transfer function {transfer} of ITU-T H.273); "
            "convert it to sRGB"
        )
    if gray:
        return None if _CURVES[transfer] == _SRGB_CURVE else profile(None, _CURVES[transfer])
    if _PRIMARIES[primaries] == SRGB and _CURVES[transfer] == _SRGB_CURVE:
        return None
    return profile(_PRIMARIES[primaries], _CURVES[transfer])


def profile_of_gamma(gama: bytes, chrm: bytes, *, gray: bool = False) -> bytes | None:
    """The profile of PNG's gAMA and cHRM chunks, of which one may be empty; None for sRGB and for useless values."""
    encoding = int.from_bytes(gama[:4], "big") / _GAMMA_UNIT
    curve: tuple[float, ...] = (1.0 / encoding,) if 0.01 < encoding < 10.0 else _SRGB_CURVE
    if abs(curve[0] - 2.2) < _SAME_GAMMA:
        curve = _SRGB_CURVE
    primaries = SRGB
    if len(chrm) >= 32 and not gray:
        white, red, green, blue = (
            (x / _XY_UNIT, y / _XY_UNIT) for x, y in zip(*[iter(struct.unpack_from(">8I", chrm))] * 2, strict=True)
        )
        primaries = (red, green, blue, white)
        if min(y for _, y in primaries) <= 0.0:
            return None
        if (
            max(abs(a - b) for one, other in zip(primaries, SRGB, strict=True) for a, b in zip(one, other, strict=True))
            < 2e-3
        ):
            primaries = SRGB
    if primaries == SRGB and curve == _SRGB_CURVE:
        return None
    try:
        return profile(None if gray else primaries, curve)
    except np.linalg.LinAlgError:
        return None


def adobe_rgb() -> bytes:
    """The profile of colors that EXIF calls Adobe RGB."""
    return profile(ADOBE_RGB, (563 / 256,))


def profile(primaries: Chromaticities | None, curve: tuple[float, ...]) -> bytes:
    """A version 4 profile of primaries and white (None: gray), adapted to D50, with a parametric curve."""
    para = b"para" + bytes(4) + struct.pack(">HH", 0 if len(curve) == 1 else 3, 0)
    para += struct.pack(f">{len(curve)}i", *(round(value * 65536) for value in curve))
    text = "color as the file says it".encode("utf-16-be")
    words = b"mluc" + bytes(4) + struct.pack(">II2s2sII", 1, 12, b"en", b"US", len(text), 28) + text
    tags = [(b"desc", words), (b"cprt", words), (b"wtpt", _xyz(_D50))]
    if primaries is None:
        tags.append((b"kTRC", para))
    else:
        columns = _to_d50(primaries)
        tags += [(name + b"XYZ", _xyz(columns[:, i])) for i, name in enumerate((b"r", b"g", b"b"))]
        tags += [(name + b"TRC", para) for name in (b"r", b"g", b"b")]
    table, body = b"", b""
    start = 132 + 12 * len(tags)
    for name, data in tags:
        table += struct.pack(">4sII", name, start + len(body), len(data))
        body += data + bytes(-len(data) % 4)
    space = b"GRAY" if primaries is None else b"RGB "
    head = struct.pack(">I4sI4s4s4s", start + len(body), bytes(4), 0x04300000, b"mntr", space, b"XYZ ")
    head += struct.pack(">6H", 2026, 1, 1, 0, 0, 0) + b"acsp" + bytes(28) + _xyz(_D50)[8:]
    return head.ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + body


def _xyz(color: Wide) -> bytes:
    return b"XYZ " + bytes(4) + struct.pack(">3i", *(round(float(value) * 65536) for value in color))


def _to_d50(primaries: Chromaticities) -> Wide:
    """Columns: XYZ of red, green and blue at D50."""
    *colors, white = (np.array([x / y, 1.0, (1.0 - x - y) / y]) for x, y in primaries)
    columns = np.stack(colors, axis=1)
    columns = columns * np.linalg.solve(columns, white)
    gains = (_BRADFORD @ _D50) / (_BRADFORD @ white)
    return np.asarray(np.linalg.inv(_BRADFORD) @ (gains[:, None] * (_BRADFORD @ columns)), np.float64)
