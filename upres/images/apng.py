"""Animated PNG: frames of a file as whole pictures, and whole pictures as one file.

Source: PNG, third edition (W3C 2025), sections 11.3.6 and 13.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from upres.errors import InputError
from upres.images.icc import Levels
from upres.images.png_chunks import chunk

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_CONTROL = struct.Struct(">IIIIIHHBB")
_KEEP, _CLEAR, _PREVIOUS = range(3)  # dispose_op
_OVER = 1  # blend_op
_SHARED = (b"PLTE", b"tRNS", b"gAMA", b"cHRM", b"sRGB", b"iCCP", b"cICP", b"sBIT")  # of all frames
Decoder = Callable[[bytes], Levels]


@dataclass(frozen=True, slots=True)
class _Frame:
    """A frame's place on the canvas, its time, what becomes of it, and its compressed pixels."""

    width: int
    height: int
    left: int
    top: int
    delay_ms: int
    dispose: int
    blend: int
    data: bytes


def chunks_of(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """(name, content) of each chunk, up to the end or to where the file is cut off."""
    at = len(_SIGNATURE)
    while at + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, at)
        if at + 12 + length > len(data):
            return
        yield data[at + 4 : at + 8], data[at + 8 : at + 8 + length]
        at += 12 + length


def read_frames(data: bytes, decode: Decoder, name: str) -> tuple[list[Levels], list[int], int]:
    """(frames h w c as they are shown, times in ms, number of repetitions or 0 for ever) of an animated PNG.

    decode: Decodes a still PNG to levels h w c, alpha last.
    name: For messages.

    Raises `InputError` for a file whose frames are damaged.
    """
    header, shared, frames, plays, count = b"", list[bytes](), list[_Frame](), 0, 0
    control: tuple[int, ...] | None = None
    parts: list[bytes] = []

    def finish() -> None:
        if control is not None and parts:
            _, wide, tall, left, top, over, under, dispose, blend = control
            delay = round(1000 * over / (under or 100))
            frames.append(_Frame(wide, tall, left, top, delay, dispose, blend, b"".join(parts)))
        parts.clear()

    for kind, content in chunks_of(data):
        if kind == b"IHDR":
            header = content
        elif kind in _SHARED:
            shared.append(chunk(kind, content))
        elif kind == b"acTL" and len(content) >= 8:
            count, plays = struct.unpack(">II", content[:8])
        elif kind == b"fcTL" and len(content) >= _CONTROL.size:
            finish()
            control = _CONTROL.unpack_from(content)
        elif kind == b"IDAT" and control is not None:  # else the still picture is no frame
            parts.append(content)
        elif kind == b"fdAT":
            parts.append(content[4:])
    finish()
    if len(header) < 13 or len(frames) != count:
        raise InputError(f"{name} has {len(frames)} of {count} frames: it is damaged or cut off; download it again")
    width, height = struct.unpack(">II", header[:8])
    if any(one.left + one.width > width or one.top + one.height > height for one in frames):
        raise InputError(f"{name} has a frame beyond its canvas: it is damaged")
    return _composed(frames, (height, width), header, shared, decode), [one.delay_ms for one in frames], plays


def _composed(
    frames: Sequence[_Frame], size: tuple[int, int], header: bytes, shared: Sequence[bytes], decode: Decoder
) -> list[Levels]:
    """The canvas after each frame, before its disposal."""
    canvas: Levels | None = None
    shown: list[Levels] = []
    for one in frames:
        head = chunk(b"IHDR", struct.pack(">II", one.width, one.height) + header[8:13])
        still = b"".join((_SIGNATURE, head, *shared, chunk(b"IDAT", one.data), chunk(b"IEND", b"")))
        levels = decode(still)
        bands = levels.shape[2]
        if canvas is None:
            canvas = np.zeros((*size, bands), levels.dtype)
        box = np.s_[one.top : one.top + one.height, one.left : one.left + one.width]
        before = canvas.copy() if one.dispose == _PREVIOUS and shown else None
        canvas[box] = _over(canvas[box], levels) if one.blend == _OVER and bands in (2, 4) else levels
        shown.append(canvas.copy())
        if before is not None:
            canvas = before
        elif one.dispose in (_CLEAR, _PREVIOUS):
            canvas[box] = 0
    return shown


def _over(below: Levels, above: Levels) -> Levels:
    """`above` over `below`, neither premultiplied (section 13.3)."""
    top = np.float64(np.iinfo(above.dtype).max)
    alpha, under = above[:, :, -1:] / top, below[:, :, -1:] / top
    whole = alpha + under * (1.0 - alpha)
    colors = above[:, :, :-1] * alpha + below[:, :, :-1] * under * (1.0 - alpha)
    colors = np.divide(colors, whole, out=np.zeros_like(colors), where=whole > 0.0)
    return np.rint(np.concatenate((colors, whole * top), axis=2)).astype(above.dtype)


def joined(stills: Sequence[bytes], delays_ms: Sequence[int], plays: int) -> bytes:
    """One animated PNG of still PNGs of equal size and kind; metadata is that of the first.

    plays: How often it is shown; 0 is for ever.
    """
    size = next(content for name, content in chunks_of(stills[0]) if name == b"IHDR")[:8]
    width, height = struct.unpack(">II", size)
    number = 0

    def control(delay_ms: int) -> bytes:
        nonlocal number
        fields = (number, width, height, 0, 0, min(delay_ms, 65535), 1000, _KEEP, 0)
        number += 1
        return chunk(b"fcTL", _CONTROL.pack(*fields))

    parts, begun = [_SIGNATURE], False
    for name, content in chunks_of(stills[0]):
        if name == b"IDAT" and not begun:
            begun = True
            parts.append(control(delays_ms[0]))
        if name == b"IEND":
            break
        parts.append(chunk(name, content))
        if name == b"IHDR":
            parts.append(chunk(b"acTL", struct.pack(">II", len(stills), plays)))
    for still, delay_ms in zip(stills[1:], delays_ms[1:], strict=True):
        parts.append(control(delay_ms))
        for name, content in chunks_of(still):
            if name == b"IDAT":
                parts.append(chunk(b"fdAT", struct.pack(">I", number) + content))
                number += 1
    return b"".join((*parts, chunk(b"IEND", b"")))
