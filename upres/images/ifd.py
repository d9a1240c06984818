"""Directories of TIFF files and of EXIF, which has the same layout: read, changed in place, and written anew.

Source: TIFF 6.0, section 2; BigTIFF (version 43) has wider counts and offsets. A malformed directory raises
`ValueError`.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import BinaryIO, Literal

# Bytes of one value by field type, and struct's code for the numbers (rationals are two of them).
_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
_CODES = {
    1: "B", 3: "H", 4: "I", 5: "I", 6: "b", 8: "h", 9: "i", 10: "i", 11: "f", 12: "d",
    13: "I", 16: "Q", 17: "q", 18: "Q",
}  # fmt: skip

_RATIONALS = frozenset({5, 10})
_MOST_ENTRIES = 4096
_MOST_BYTES = 1 << 20  # of a value that is read; tables of strips may be longer
ASCII, SHORT, LONG, RATIONAL, UNDEFINED, DOUBLE, LONG8 = 2, 3, 4, 5, 7, 12, 16


@dataclass(frozen=True, slots=True)
class Entry:
    """One field of a directory.

    Args:
        kind: Field type, 1 to 18.
        count: Number of values.
        field: The raw value field: the values themselves if they fit, else their offset.
        data: The raw values, in the byte order of the file; empty for an unknown type or more than 1 MiB.
        order: "<" or ">".
        at: Offset of the entry.
        data_at: Offset of the values.
    """

    kind: int
    count: int
    field: bytes
    data: bytes
    order: Literal["<", ">"]
    at: int = 0
    data_at: int = 0

    @property
    def numbers(self) -> tuple[float, ...]:
        """The values as numbers, rationals divided (0 for x/0); empty for text and unknown types."""
        code = _CODES.get(self.kind)
        if code is None:
            return ()
        many = len(self.data) // struct.calcsize(code)
        found = struct.unpack_from(f"{self.order}{many}{code}", self.data)
        if self.kind not in _RATIONALS:
            return found
        return tuple(above / below if below else 0.0 for above, below in zip(found[::2], found[1::2], strict=False))

    @property
    def text(self) -> str:
        """The values as text, up to the first NUL; UTF-8, else Latin-1."""
        raw = self.data.split(b"\0", 1)[0]
        try:
            return raw.decode("utf-8").strip()
        except UnicodeDecodeError:
            return raw.decode("latin-1").strip()


@dataclass(frozen=True, slots=True)
class Directory:
    """The fields of a directory by tag, and the offsets of its link to the next directory.

    Args:
        order: "<" or ">".
        big: Whether it is a BigTIFF.
        entries: By tag; of a tag that is there twice the first.
        link_at: Where the offset of the next directory stands.
        next: The offset of the next directory; 0 if there is none.
    """

    order: Literal["<", ">"]
    big: bool
    entries: dict[int, Entry]
    link_at: int
    next: int

    def number(self, tag: int, default: int = 0) -> int:
        """The first value of a tag, as an integer."""
        entry = self.entries.get(tag)
        numbers = entry.numbers if entry is not None else ()
        return int(numbers[0]) if numbers else default

    def numbers(self, tag: int) -> tuple[float, ...]:
        """All values of a tag; empty if it is missing."""
        entry = self.entries.get(tag)
        return () if entry is None else entry.numbers

    def text(self, tag: int) -> str:
        """The text of a tag; empty if it is missing."""
        entry = self.entries.get(tag)
        return "" if entry is None else entry.text


def read_directory(file: BinaryIO, offset: int | None = None) -> Directory:
    """The directory at `offset`, or the first one. Raises `ValueError` if it is damaged."""
    file.seek(0)
    head = file.read(16)
    orders: dict[bytes, Literal["<", ">"]] = {b"II": "<", b"MM": ">"}
    order = orders.get(head[:2])
    try:
        if order is None:
            raise ValueError("expected a byte order of II or MM")
        version = struct.unpack_from(order + "H", head, 2)[0]
        if version not in (42, 43):
            raise ValueError(f"expected version 42 or 43, got {version}")
        big = version == 43
        wide, entry_bytes, room = ("Q", 20, 8) if big else ("I", 12, 4)
        if offset is None:
            (offset,) = struct.unpack_from(order + wide, head, 8 if big else 4)
        assert offset is not None
        file.seek(offset)
        (count,) = struct.unpack(order + ("Q" if big else "H"), file.read(8 if big else 2))
        first = file.tell()
        raw = file.read(entry_bytes * min(count, _MOST_ENTRIES))
        if count > _MOST_ENTRIES or len(raw) < entry_bytes * count:
            raise ValueError(f"the directory of {count} entries is cut short")
        link_at = first + entry_bytes * count
        link = file.read(room)
        entries: dict[int, Entry] = {}
        for start in range(0, len(raw), entry_bytes):
            tag, kind, many = struct.unpack_from(order + "HH" + wide, raw, start)
            field = raw[start + entry_bytes - room : start + entry_bytes]
            size = _BYTES.get(kind, 0) * many
            data, data_at = b"", first + start + entry_bytes - room
            if 0 < size <= room:
                data = field[:size]
            elif 0 < size <= _MOST_BYTES:
                (data_at,) = struct.unpack(order + wide, field)
                file.seek(data_at)
                data = file.read(size)
            entries.setdefault(tag, Entry(kind, many, field, data, order, first + start, data_at))
        following = struct.unpack(order + wide, link)[0] if len(link) == room else 0
    except (struct.error, OSError, OverflowError) as error:
        raise ValueError(f"the directory is unreadable: {error}") from error
    return Directory(order, big, entries, link_at, following)


def entry(kind: int, values: bytes | tuple[float, ...], order: Literal["<", ">"] = "<") -> Entry:
    """A new field of raw bytes (`ASCII`, `UNDEFINED`) or numbers; rationals to a ten-thousandth."""
    if isinstance(values, bytes):
        return Entry(kind, len(values) // _BYTES[kind], b"", values, order)
    code = _CODES[kind]
    if kind in _RATIONALS:
        whole = [part for value in values for part in ratio(value)]
        return Entry(kind, len(values), b"", struct.pack(f"{order}{len(whole)}{code}", *whole), order)
    numbers = values if kind in (11, 12) else [int(value) for value in values]
    return Entry(kind, len(values), b"", struct.pack(f"{order}{len(values)}{code}", *numbers), order)


def ratio(value: float) -> tuple[int, int]:
    """A positive number as a rational of 32 bits."""
    below = 10_000
    while below > 1 and round(value * below) >= 1 << 32:
        below //= 10
    return min(round(value * below), (1 << 32) - 1), below


def with_entries(data: bytes | bytearray, changes: Mapping[int, Entry | None]) -> bytes:
    """`data`, a TIFF file or an EXIF block, with fields of its first directory added, replaced or (None) removed.

    The changed directory is appended and all else stays where it is, so that no offset in it becomes wrong. Raises
    `ValueError` for a damaged directory.
    """
    file = io.BytesIO(data)
    change_entries(file, bytearray(), changes)
    return file.getvalue()


def change_entries(file: BinaryIO, body: bytearray, changes: Mapping[int, Entry | None]) -> None:
    """As `with_entries`, in a file open for reading and writing; first, `body` is appended to it."""
    size = file.seek(0, 2)
    before = read_directory(file)
    merged: dict[int, Entry | None] = {**before.entries, **changes}
    kept = frozenset(before.entries.keys() - changes.keys())
    entries = {tag: found for tag, found in merged.items() if found is not None}
    place = append_directory(body, entries, before.order, before.big, kept, size)
    wide, at = ("Q", 8) if before.big else ("I", 4)
    struct.pack_into(before.order + wide, body, len(body) - at, before.next)
    file.seek(size)
    file.write(body)
    file.seek(at)
    file.write(struct.pack(before.order + wide, place))


def append_directory(
    body: bytearray,
    entries: Mapping[int, Entry],
    order: Literal["<", ">"],
    big: bool = False,
    in_place: frozenset[int] = frozenset(),
    base: int = 0,
) -> int:
    """Append a directory of `entries` and their values to `body`, linked to no other one; returns its offset.

    The values of the tags `in_place` stand in the file already, where their fields point. `body` begins at the offset
    `base` of the file.
    """
    wide, room = ("Q", 8) if big else ("I", 4)
    body += bytes(-(base + len(body)) % 8)
    rows: list[bytes] = []
    for tag in sorted(entries):
        found = entries[tag]
        field = found.field
        if tag not in in_place:
            values = _reordered(found, order)
            field = values.ljust(room, b"\0")
            if len(values) > room:
                field = struct.pack(order + wide, base + len(body))
                body += values + bytes(-len(values) % 8)
        rows.append(struct.pack(order + "HH" + wide, tag, found.kind, found.count) + field)
    place = base + len(body)
    body += struct.pack(order + ("Q" if big else "H"), len(rows)) + b"".join(rows) + bytes(room)
    return place


def _reordered(found: Entry, order: Literal["<", ">"]) -> bytes:
    """The raw values in another byte order."""
    unit = struct.calcsize(_CODES[found.kind]) if found.kind in _CODES else 1
    if found.order == order or unit == 1:
        return found.data
    return b"".join(found.data[at : at + unit][::-1] for at in range(0, len(found.data), unit))
