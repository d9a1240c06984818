"""Whether a TIFF ends in zeros where it should have data, as after an unfinished download: its decoders do not tell."""

from __future__ import annotations

from typing import BinaryIO

from upres.images.ifd import Directory, read_directory

_COMPRESSION, _PLACES, _COUNTS = 259, (273, 324), (279, 325)  # of strips and of tiles
# LZW, JPEG, Deflate (both numbers), PackBits, Zstandard, WebP: no encoder of them ends in many zeros. Zeros of
# uncompressed data are black; those of fax codes may fill a line.
_NEVER_ZEROS = frozenset({5, 7, 8, 32946, 32773, 50000, 50001})
_TAIL_BYTES, _VALUE_BYTES = 64, 8
_MOST_PLACES = 4096  # looked at, from the last one on


def is_zeroed(file: BinaryIO, size: int) -> bool:
    """Whether compressed data, or a value of the first directory, is zeros up to the end of the file or of its strip.

    size: Of the file, in bytes.
    """
    try:
        page = read_directory(file)
    except ValueError:  # the decoder tells
        return False
    return _has_zeroed_value(page, size) or _has_zeroed_strip(file, page)


def _has_zeroed_value(page: Directory, size: int) -> bool:
    values = [entry for entry in page.entries.values() if len(entry.data) >= _VALUE_BYTES and entry.data_at]
    return any(entry.data_at + len(entry.data) >= size - 1 and not any(entry.data) for entry in values)


def _has_zeroed_strip(file: BinaryIO, page: Directory) -> bool:
    if page.number(_COMPRESSION, 1) not in _NEVER_ZEROS:
        return False
    for at, count in zip(_PLACES, _COUNTS, strict=True):
        strips = list(zip(page.numbers(at), page.numbers(count), strict=False))[-_MOST_PLACES:]
        for begin, length in strips:
            if length <= _TAIL_BYTES:
                continue
            file.seek(int(begin + length) - _TAIL_BYTES)
            tail = file.read(_TAIL_BYTES)
            if len(tail) == _TAIL_BYTES and not any(tail):
                return True
    return False
