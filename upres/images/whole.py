"""Whether a file can hold the picture that its header claims: data beyond its end, zeroed tails, claims too large."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from upres.errors import InputError
from upres.images.avif_boxes import box_head
from upres.images.picture import Header
from upres.images.sniff import FOREIGN, HEAD_BYTES, NAMES, sniff
from upres.images.tiff_tail import is_zeroed
from upres.system.text import words_for_bytes

# Pixels that a byte can hold. PNG: deflate (RFC 1951) repeats 258 bytes by 2 bits, 1032 by a byte, of 8 pixels each.
# JPEG (Huffman): a block has a bit at least and covers 8 x 32 pixels where chroma is subsampled by 4. GIF: LZW codes of
# 12 bits stand for up to 4096 pixels. Others (WebP, AVIF, TIFF) repeat a pixel without limit.
_MOST_PIXELS = {"png": 8256, "jpeg": 2048, "gif": 4096}
_HEADER_BYTES = 4096  # not counted against a small file
# No photograph, drawing or scan is above both; decompression bombs are.
_LARGE_PIXELS, _LARGE_PER_BYTE = 50_000_000, 1000

_TAIL_BYTES = 128  # of zeros: no codec writes as many at its end
_META_BYTES = 16 << 20  # of the box of metadata that is read
_STREAM_BYTES = 512 << 20  # of a picture that is read into memory


def check_claim(name: str, header: Header, source: Path | bytes) -> None:
    """Raise `InputError` where the file is too small for its size in pixels."""
    pixels, size = header.height * header.width, _size(source)
    most = _MOST_PIXELS.get(header.format, pixels) * (size + _HEADER_BYTES)
    if pixels > most or (pixels > _LARGE_PIXELS and pixels > _LARGE_PER_BYTE * size):
        raise InputError(
            f"{name} claims {header.width:,} x {header.height:,} pixels in {size:,} bytes, which no real picture does; "
            "if it is one, save it as uncompressed TIFF"
        )


def read_source(file: BinaryIO, name: str) -> bytes:
    """The bytes of a picture from an open file, of which no more is read than its format and size allow.

    Raises `InputError`, about `name`, if the file is not binary, or its content not a picture or above 512 MB.
    """
    head: object = file.read(HEAD_BYTES) if hasattr(file, "read") else None
    if not isinstance(head, bytes):
        kind = f"{type(file).__module__}.{type(file).__qualname__}"
        raise InputError(f"expected a path, bytes or a file open in binary mode, got {kind}; open files with mode 'rb'")
    form, seems = sniff(head)
    if form is None and seems not in FOREIGN:
        raise unsupported(name, seems)
    parts, size = [head], len(head)
    while part := file.read(1 << 20):
        parts.append(part)
        size += len(part)
        if size > _STREAM_BYTES:
            raise InputError(f"{name} has more than {words_for_bytes(_STREAM_BYTES)}; save it as a file and name that")
    return b"".join(parts)


def unsupported(name: str, seems: str) -> InputError:
    """The refusal of a file that `sniff` does not know, with its predicate."""
    expected = ", ".join(NAMES.values())
    return InputError(f"{name} {seems}, expected one of {expected}; convert it to PNG, or choose another file")


def check_complete(name: str, form: str, source: Path | bytes) -> None:
    """Raise `InputError` if an AVIF says that its data lies beyond its end: the decoder would fill in what is missing.

    The other decoders notice by themselves.
    """
    if form != "avif":
        return
    size = _size(source)
    with _opened(source) as file:
        end = max((end for end in _ends(file, size) if end > size), default=0)
    if end:
        raise InputError(
            f"{name} is a damaged or truncated {NAMES[form]} (it has {size:,} bytes, but data up to {end:,}); copy or "
            "download it again"
        )


def doubtful(doubt: Exception) -> str:
    """The note on a picture that only a lenient decoder reads."""
    return f"parts of the picture may be damaged ({doubt}); check the result"


def changed(name: str) -> InputError:
    """The error for a file that another program writes."""
    return InputError(f"{name} changed while it was read; read it again once it is complete")


def damaged(name: str, form: str, error: Exception) -> InputError:
    """The error for a file that no decoder reads."""
    return InputError(f"{name} is a damaged or truncated {NAMES[form]} ({error}); copy or download it again")


def tail_note(form: str, source: Path | bytes) -> tuple[str, ...]:
    """A note for the user, if the file ends in zeros where it should have data, as after an unfinished download."""
    size = _size(source)
    with _opened(source) as file:
        if form == "tiff":
            return ("parts of the picture may be missing (its data ends in zeros); check the result",) * is_zeroed(
                file, size
            )
        file.seek(max(0, size - _TAIL_BYTES))
        if form not in ("jpeg", "gif", "webp", "avif") or size <= _TAIL_BYTES or file.read().strip(b"\0"):
            return ()
        file.seek(0)
        data = file.read().rstrip(b"\0")
        ends = {"jpeg": data.find(b"\xff\xd9", data.rfind(b"\xff\xda")) >= 0, "gif": data.endswith(b";")}
        if form == "webp":  # zeros after the end that it declares are harmless
            ends[form] = len(data) + _TAIL_BYTES > 8 + int.from_bytes(data[4:8], "little")
        elif form == "avif":
            ends[form] = len(data) + _TAIL_BYTES > max(_ends(io.BytesIO(data), size), default=0)
    if ends[form]:
        return ()
    zeros = size - len(data)
    return (f"parts of the picture may be missing (the file ends in {zeros:,} zero bytes); check the result",)


def _size(source: Path | bytes) -> int:
    return len(source) if isinstance(source, bytes) else source.stat().st_size


def _opened(source: Path | bytes) -> BinaryIO:
    return io.BytesIO(source) if isinstance(source, bytes) else source.open("rb")


def _ends(file: BinaryIO, size: int) -> Iterator[int]:
    """Where the data of an ISO base media file (ISO/IEC 14496-12) ends: of each box and of each item in "iloc"."""
    at = 0
    while at + 8 <= size:
        file.seek(at)
        box = box_head(file.read(16), size - at)
        if box is None:
            return
        kind, begin, length = box
        if kind in (b"mdat", b"meta", b"moov", b"ftyp"):  # others may be stray bytes
            yield at + length
        if kind == b"meta":
            file.seek(at + begin + 4)
            yield from _item_ends(file.read(min(length, _META_BYTES)))
        at += length


def _item_ends(meta: bytes) -> Iterator[int]:
    """The ends, in bytes of the file, of all items that the box "iloc" in `meta` locates (8.11.3 of the standard)."""
    at = 0
    while at + 8 <= len(meta):
        length = int.from_bytes(meta[at : at + 4], "big")
        if meta[at + 4 : at + 8] == b"iloc":
            yield from _Iloc(meta[at + 8 : at + length]).ends()
        if length < 8:
            return
        at += length


class _Iloc:
    """A reader of numbers from the box; it ends where they do, and the decoder reports that."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def _take(self, size: int) -> int:
        if self._at + size > len(self._data):
            raise EOFError
        self._at += size
        return int.from_bytes(self._data[self._at - size : self._at], "big")

    def ends(self) -> Iterator[int]:
        try:
            yield from self._all_ends()
        except EOFError:
            return

    def _all_ends(self) -> Iterator[int]:
        version, _ = self._take(1), self._take(3)
        sizes, more = self._take(1), self._take(1)
        offset_size, length_size, base_size = sizes >> 4, sizes & 15, more >> 4
        index_size = more & 15 if version else 0
        for _ in range(self._take(4 if version == 2 else 2)):
            self._take(4 if version == 2 else 2)  # the item
            method = self._take(2) & 15 if version else 0
            elsewhere, base = self._take(2), self._take(base_size)
            for _ in range(self._take(2)):
                self._take(index_size)
                offset, length = self._take(offset_size), self._take(length_size)
                if method == 0 and not elsewhere:
                    yield base + offset + length
