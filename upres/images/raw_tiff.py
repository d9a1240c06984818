"""An uncompressed BigTIFF around levels: how libvips pulls pixels that are made, or kept in a file, by rows."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportMissingTypeStubs=false

from __future__ import annotations

import struct
from typing import Any

import numpy as np

from upres.images.levels import levels_type
from upres.images.picture import Picture
from upres.images.write import describe

_STRIP_ROWS = 16


class RawTiff:
    """A file of gray samples, `channels` times as wide as the picture: its header, then the levels from the top.

    frame: The picture; of its pixels only the shape is read.
    format: That the levels (`levels_to_write`) are for.
    """

    def __init__(self, frame: Picture, format: str) -> None:
        height, width = frame.pixels.shape[:2]
        self._frame, self._format = frame, format
        dtype, self.channels = levels_type(frame, format)
        self.dtype = dtype.newbyteorder("<")
        row = width * self.channels * dtype.itemsize
        count = -(-height // _STRIP_ROWS)
        arrays_at = 16 + 8 + 9 * 20 + 8
        self.pixels_at = arrays_at + (16 * count if count > 1 else 0)
        self.end = self.pixels_at + height * row
        offsets = [self.pixels_at + index * _STRIP_ROWS * row for index in range(count)]
        sizes = [min(_STRIP_ROWS, height - index * _STRIP_ROWS) * row for index in range(count)]
        entries = (
            (256, 4, 1, width * self.channels),
            (257, 4, 1, height),
            (258, 3, 1, 8 * dtype.itemsize),
            (259, 3, 1, 1),  # uncompressed
            (262, 3, 1, 1),  # black is zero
            (273, 16, count, arrays_at if count > 1 else offsets[0]),
            (277, 3, 1, 1),
            (278, 4, 1, _STRIP_ROWS),
            (279, 16, count, arrays_at + 8 * count if count > 1 else sizes[0]),
        )
        head = struct.pack("<2sHHHQQ", b"II", 43, 8, 0, 16, len(entries))
        head += b"".join(struct.pack("<HHQQ", *entry) for entry in entries) + bytes(8)
        self.head = head + struct.pack(f"<{2 * count}Q", *offsets, *sizes) if count > 1 else head

    def bytes_of(self, band: Any) -> memoryview:
        """Levels as the file has them."""
        return np.ascontiguousarray(band, self.dtype).data.cast("B")

    def picture_of(self, image: Any) -> Any:
        """The loaded image with its channels, profile, XMP and resolution."""
        if self.channels > 1:
            image = image.bandfold(factor=self.channels)
        names = ("grey16", "rgb16") if image.format == "ushort" else ("b-w", "srgb")
        return describe(image.copy(interpretation=names[self.channels >= 3]), self._frame, self._format)
