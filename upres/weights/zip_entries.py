"""Entries of a zip from strangers: every size is checked before it is believed, and once more while unpacking."""

from __future__ import annotations

import struct
import zipfile
import zlib
from io import BytesIO

from upres.weights.tensors import Origin

MAX_ENTRIES = 20_000  # a network has one for each tensor
_LOCAL_HEADER = struct.Struct("<4s5H3L2H")  # APPNOTE.TXT 4.3.7
_ENCRYPTED = 0x1


class ZipEntries:
    """The entries of a zip held in memory.

    Raises ModelError for one that is damaged, a bomb, encrypted, or packed in an unusual way.
    """

    def __init__(self, data: bytes, origin: Origin) -> None:
        listed = data.count(b"PK\x01\x02")  # counted before the standard library makes an object of a kilobyte for each
        if listed > MAX_ENTRIES:
            raise origin.refuse(f"it is a zip of {listed:,} entries; expected at most {MAX_ENTRIES:,}")
        try:
            with zipfile.ZipFile(BytesIO(data)) as archive:
                infos = archive.infolist()
        # All that the standard library is known to raise for a damaged directory.
        except (
            zipfile.BadZipFile,
            NotImplementedError,
            ValueError,
            OverflowError,
            OSError,
            EOFError,
            struct.error,
        ) as error:
            raise origin.refuse(
                f"it begins as a zip, but its directory is missing or damaged ({error}): truncated?"
            ) from error
        self._infos = {info.filename: info for info in infos}
        if len(self._infos) != len(infos):
            raise origin.refuse("it is a zip with two entries of the same name")
        total = sum(info.file_size for info in infos)
        if total > origin.budget:
            raise origin.refuse(
                f"its entries unpack to {total:,} bytes, but the whole file has {origin.size:,}: a size bomb, or "
                "packed a second time",
                remedy="If you trust its author, load it with torch and save it again with torch.save, which does not "
                "compress",
            )
        self.names = frozenset(self._infos)
        self._data = data
        self._origin = origin
        end = 0
        for info in sorted(infos, key=lambda info: info.header_offset):
            if info.header_offset < end:
                raise origin.refuse(
                    f"its entry {info.filename!r} overlaps another: the zip is damaged, or made to deceive"
                )
            _, end = self._place(info)

    def read(self, name: str) -> memoryview:
        """The bytes of an entry: their number and CRC-32 are checked."""
        info = self._infos[name]
        begin, end = self._place(info)
        raw = memoryview(self._data)[begin:end]
        if info.flag_bits & _ENCRYPTED or info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise self._origin.refuse(
                f"its entry {name!r} is encrypted or packed in an unusual way; expected stored or deflated"
            )
        if info.compress_type == zipfile.ZIP_DEFLATED:
            inflater = zlib.decompressobj(-zlib.MAX_WBITS)
            try:
                raw = memoryview(inflater.decompress(raw, info.file_size + 1))
            except zlib.error as error:
                raise self._origin.refuse(f"its entry {name!r} is damaged ({error})") from error
        if len(raw) != info.file_size or zlib.crc32(raw) != info.CRC:
            raise self._origin.refuse(
                f"its entry {name!r} is damaged: size or checksum (CRC-32) is not what the zip says"
            )
        return raw

    def _place(self, info: zipfile.ZipInfo) -> tuple[int, int]:
        """First byte of an entry's packed content, and the one after its last."""
        start = info.header_offset
        if start < 0 or start + _LOCAL_HEADER.size > len(self._data):
            raise self._origin.refuse(f"its entry {info.filename!r} lies outside the file: truncated?")
        signature, *_, name_size, extra_size = _LOCAL_HEADER.unpack_from(self._data, start)
        start += _LOCAL_HEADER.size + name_size + extra_size
        if signature != b"PK\x03\x04" or start + info.compress_size > len(self._data):
            raise self._origin.refuse(f"its entry {info.filename!r} is not where the zip says: damaged or truncated")
        return start, start + info.compress_size
