"""Animated AVIF, by Pillow: every frame as it is shown, and whole pictures as one file.

libvips reads the first frame only. Pillow knows no number of repetitions; it stands in the boxes of the file.

Source: AVIF 1.2, section 3 (image sequences); ISO/IEC 14496-12, 8.6.6 (`elst`, whose flag 1 repeats the edit), as
libavif reads and writes it: a track as long as n times its edit is shown n times, one of unknown length for ever.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false

from __future__ import annotations

import io
import struct
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from upres.errors import InputError, OutputError
from upres.images.icc import Levels
from upres.system.packages import has_module, install_command
from upres.system.text import first_line

_FOLDERS = (b"moov", b"trak", b"edts", b"mdia")
_REPEAT = 1  # the flag of `elst`
_UNKNOWN = (1 << 64) - 1
_SPEED = 6  # of the encoder, its default


def is_available() -> bool:
    """Whether Pillow is installed, with AVIF (11.3 or later)."""
    if not has_module("PIL"):
        return False
    from PIL import features

    return bool(features.check("avif"))


def missing() -> str:
    """The words for what `is_available` misses."""
    return f"all frames of an animated AVIF need Pillow 11.3 or later: {install_command('formats')}"


def read_frames(data: bytes, name: str) -> tuple[list[Levels], list[int], int, int]:
    """(frames h w c uint8 as they are shown, times in ms, number of repetitions or 0 for ever, bits in the file).

    Frames are upright, alpha last. Pillow decodes to 8 bits whatever the file has.

    Raises `InputError` for a file whose frames are damaged.
    """
    from PIL import Image, ImageOps

    frames: list[Levels] = []
    delays: list[int] = []
    try:
        with Image.open(io.BytesIO(data), formats=("AVIF",)) as image:
            count = int(getattr(image, "n_frames", 1))
            for index in range(count):
                image.seek(index)
                image.load()
                delays.append(int(image.info.get("duration", 0)))
                frames.append(_levels(ImageOps.exif_transpose(image)))
    except Exception as error:  # Pillow raises OSError, ValueError, RuntimeError and SyntaxError for damaged files
        why = first_line(str(error)) or type(error).__name__
        raise InputError(f"{name} is damaged or cut off ({why}); copy or download it again") from error
    return frames, delays, _plays(data), _bits(data)


def _levels(image: Any) -> Levels:
    levels = np.asarray(image)
    return levels[:, :, None] if levels.ndim == 2 else levels


def joined(
    frames: Sequence[Levels],
    delays_ms: Sequence[int],
    plays: int,
    *,
    quality: int,
    icc: bytes | None,
    exif: bytes | None,
    xmp: bytes | None,
) -> bytes:
    """One animated AVIF of frames h w c of equal size, uint8, alpha last.

    plays: How often it is shown; 0 is for ever.

    Raises `OutputError` without Pillow, and if the encoder fails.
    """
    if not is_available():
        raise OutputError(f"cannot write an animation as avif: {missing()}; or write webp")
    from PIL import Image

    pictures = [Image.fromarray(one[:, :, 0] if one.shape[2] == 1 else one) for one in frames]
    file = io.BytesIO()
    options: dict[str, Any] = {"icc_profile": icc, "exif": exif, "xmp": xmp}
    given = {name: value for name, value in options.items() if value is not None}
    try:
        pictures[0].save(
            file,
            "AVIF",
            save_all=True,
            append_images=pictures[1:],
            duration=list(delays_ms),
            quality=quality,
            subsampling="4:4:4",
            speed=_SPEED,
            **given,
        )
    except Exception as error:  # Pillow raises OSError, ValueError and RuntimeError
        why = first_line(str(error)) or type(error).__name__
        raise OutputError(f"cannot encode the animation as avif: {why}; write png") from error
    return _with_plays(file.getvalue(), plays)


def _boxes(data: bytes, start: int, end: int, path: tuple[bytes, ...] = ()) -> Iterator[tuple[tuple[bytes, ...], int]]:
    """(path of names, place of the content) of each box in the folders that matter here."""
    while start + 8 <= end:
        size, name = struct.unpack_from(">I4s", data, start)
        head = 8
        if size == 1 and start + 16 <= end:
            size, head = struct.unpack_from(">Q", data, start + 8)[0], 16
        size = size or end - start
        if size < head or start + size > end:
            return
        yield (*path, name), start + head
        if name in _FOLDERS:
            yield from _boxes(data, start + head, start + size, (*path, name))
        start += size


def _duration_at(data: bytes, name: bytes, content: int) -> tuple[int, str]:
    """The place and the form of the duration in `mvhd`, `tkhd` or `mdhd`."""
    wide = data[content] == 1
    before = 4 + (16 if wide else 8) + (8 if name == b"tkhd" else 4)  # version, two times; track and a gap, or a unit
    return content + before, ">Q" if wide else ">I"


def _tracks(data: bytes) -> list[dict[bytes, int]]:
    """The boxes of each track, by name."""
    tracks: list[dict[bytes, int]] = []
    for path, content in _boxes(data, 0, len(data)):
        if path == (b"moov", b"trak"):
            tracks.append({})
        elif tracks and path[:2] == (b"moov", b"trak"):
            tracks[-1][path[-1]] = content
    return tracks


def _plays(data: bytes) -> int:
    """How often it is shown, as the first track says; 0, for ever, where there is no edit list, as browsers do."""
    for track in _tracks(data):
        if b"elst" not in track or b"tkhd" not in track:
            return 0
        try:
            if not data[track[b"elst"] + 3] & _REPEAT:
                return 1
            place, form = _duration_at(data, b"tkhd", track[b"tkhd"])
            whole = struct.unpack_from(form, data, place)[0]
            edit = struct.unpack_from(">Q" if data[track[b"elst"]] == 1 else ">I", data, track[b"elst"] + 8)[0]
        except (struct.error, IndexError):
            return 0
        unknown = _UNKNOWN if form == ">Q" else (1 << 32) - 1
        return 0 if whole == unknown or not edit else max(1, -(-whole // edit))
    return 0


def _with_plays(data: bytes, plays: int) -> bytes:
    """A file of Pillow's, which is shown for ever, made to be shown so often."""
    if plays == 0:
        return data
    changed = bytearray(data)
    longest = 0
    for track in _tracks(data):
        place, form = _duration_at(data, b"tkhd", track[b"tkhd"])
        edit = struct.unpack_from(">Q", data, track[b"elst"] + 8)[0]
        longest = max(longest, plays * edit)
        struct.pack_into(form, changed, place, plays * edit)
        changed[track[b"elst"] + 3] = _REPEAT if plays > 1 else 0
    for path, content in _boxes(data, 0, len(data)):
        if path == (b"moov", b"mvhd"):
            place, form = _duration_at(data, b"mvhd", content)
            struct.pack_into(form, changed, place, longest)
    return bytes(changed)


def _bits(data: bytes) -> int:
    """8, 10 or 12, as the first configuration of a decoder says (AV1-ISOBMFF, `av1C`: two flags in its third byte)."""
    place = data.find(b"av1C")
    if place < 0 or place + 7 > len(data):
        return 8
    flags = data[place + 6]
    return (12 if flags & 0x20 else 10) if flags & 0x40 else 8
