"""PBM, PGM, PPM and PAM, plain and raw (Netpbm's own descriptions of the formats)."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

_TOKEN = re.compile(rb"(?:\s|#[^\n\r]*[\n\r])*([^\s#]+)")
_CHANNELS = {b"1": 1, b"2": 1, b"3": 3, b"4": 1, b"5": 1, b"6": 3}


def read_pnm(data: bytes, check: Callable[[int, int, int], None]) -> NDArray[Any]:
    """Levels h w c of the first picture, uint8 or uint16 on their full range (0 is black).

    check: Called with (height, width, channels) before anything is decoded; it may refuse.

    Raises `ValueError` for damaged data.
    """
    kind = data[1:2]
    if kind == b"7":
        return _pam(data, check)
    count, at = _CHANNELS[kind], 2
    numbers: list[int] = []
    for _ in range(2 if kind in b"14" else 3):
        match = _TOKEN.match(data, at)
        if match is None:
            raise ValueError("the header is cut short")
        numbers.append(int(match[1]))
        at = match.end()
    width, height, most = (*numbers, 1)[:3]
    _check_numbers(height, width, most)
    check(height, width, count)
    if kind == b"4":
        return _bits(data[at + 1 :], height, width)
    if kind in b"56":
        return _raw(data[at + 1 :], height, width, count, most)
    body = re.sub(rb"#[^\n\r]*", b"", data[at:])
    values = re.findall(rb"[01]", body) if kind == b"1" else body.split()
    samples = np.array(values[: height * width * count], np.int64)
    if samples.size < height * width * count:
        raise ValueError("the picture is cut short")
    if samples.min(initial=0) < 0 or samples.max(initial=0) > most:
        raise ValueError(f"a sample is above {most}")
    samples = 1 - samples if kind == b"1" else samples
    return _full_range(samples.reshape(height, width, count), most)


def _check_numbers(height: int, width: int, most: int) -> None:
    if height < 1 or width < 1 or not 1 <= most <= 65535:
        raise ValueError(f"{width} x {height} pixels up to {most}")


def _pam(data: bytes, check: Callable[[int, int, int], None]) -> NDArray[Any]:
    end = data.find(b"ENDHDR\n")
    if end < 0:
        raise ValueError("the header is cut short")
    fields = dict(line.split(None, 1) for line in data[3:end].splitlines() if line.strip() and line[:1] != b"#")
    height, width, count, most = (int(fields[name]) for name in (b"HEIGHT", b"WIDTH", b"DEPTH", b"MAXVAL"))
    _check_numbers(height, width, most)
    if count not in (1, 2, 3, 4):
        raise ValueError(f"{count} channels")
    check(height, width, count)
    return _raw(data[end + 7 :], height, width, count, most)


def _bits(body: bytes, height: int, width: int) -> NDArray[Any]:
    row = -(-width // 8)
    if len(body) < height * row:
        raise ValueError("the picture is cut short")
    packed = np.frombuffer(body, np.uint8, height * row).reshape(height, row)
    return (1 - np.unpackbits(packed, axis=1)[:, :width, None]) * np.uint8(255)


def _raw(body: bytes, height: int, width: int, count: int, most: int) -> NDArray[Any]:
    kind = np.dtype(np.uint8 if most < 256 else ">u2")
    if len(body) < height * width * count * kind.itemsize:
        raise ValueError("the picture is cut short")
    samples = np.frombuffer(body, kind, height * width * count).reshape(height, width, count)
    return _full_range(samples, most)


def _full_range(samples: NDArray[Any], most: int) -> NDArray[Any]:
    """Samples up to `most` as levels of 8 bits (up to 255) or 16."""
    top, kind = (255, np.uint8) if most < 256 else (65535, np.uint16)
    if most == top:
        return samples.astype(kind)
    return np.rint(np.minimum(samples, most) * (top / most)).astype(kind)
