"""What a JPEG file says of its compression: its quantization tables and the quality that they stand for.

Sources: ITU-T T.81 (JPEG), annex B.2.4.1 for the segments and K.1 for the example tables; the quality 1 to 100 is the
Independent JPEG Group's (libjpeg, `jpeg_quality_scaling`), which scales these tables.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from functools import cache
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from upres.images.ifd import read_directory
from upres.images.jpeg_segments import FRAMES, segments

Table = NDArray[np.int32]  # 8 8, steps of the coefficients: [vertical, horizontal frequency]

LUMA_K1: Table = np.array(
    [
        [16, 11, 10, 16, 24, 40, 51, 61],
        [12, 12, 14, 19, 26, 58, 60, 55],
        [14, 13, 16, 24, 40, 57, 69, 56],
        [14, 17, 22, 29, 51, 87, 80, 62],
        [18, 22, 37, 56, 68, 109, 103, 77],
        [24, 35, 55, 64, 81, 104, 113, 92],
        [49, 64, 78, 87, 103, 121, 120, 101],
        [72, 92, 95, 98, 112, 100, 103, 99],
    ],
    np.int32,
)
_DQT, _APP1 = 0xDB, 0xE1
_ORIENTATION = 0x0112


@dataclass(frozen=True, slots=True)
class JpegTables:
    """The quantization tables of a file by their number, the one that its first component uses, and how the picture is
    turned.

    `orientation` is EXIF's, 1 to 8. `width` and `height` are those of the coded picture, before it is turned.
    """

    tables: dict[int, Table]
    luma: Table
    height: int
    width: int
    orientation: int = 1


def read_tables(data: bytes) -> JpegTables | None:
    """The tables before the first scan of a JPEG file; None where `data` is none, or is damaged before its scan."""
    return tables_in(io.BytesIO(data)) if data.startswith(b"\xff\xd8") else None


def tables_in(file: BinaryIO) -> JpegTables | None:
    """As `read_tables`, of an open JPEG file."""
    tables: dict[int, Table] = {}
    frame: tuple[int, int, int] | None = None  # height, width, number of the first component's table
    orientation = 1
    for marker, body in segments(file):
        if marker == _DQT:
            tables |= _parse_tables(body)
        elif marker in FRAMES and len(body) >= 9:
            frame = (int.from_bytes(body[1:3], "big"), int.from_bytes(body[3:5], "big"), body[8])
        elif marker == _APP1 and body.startswith(b"Exif\0\0"):
            orientation = _orientation(body[6:])
    if frame is None or frame[2] not in tables:
        return None
    return JpegTables(tables, tables[frame[2]], frame[0], frame[1], orientation)


def _parse_tables(segment: bytes) -> dict[int, Table]:
    """DQT: for each table a byte of (precision, number), then 64 steps of one or two bytes in zigzag order (T.81,
    B.2.4.1).
    """
    tables: dict[int, Table] = {}
    at = 0
    while at < len(segment):
        wide, number = segment[at] >> 4, segment[at] & 15
        size = 128 if wide else 64
        said = segment[at + 1 : at + 1 + size]
        if len(said) < size:
            break
        values = np.frombuffer(said, ">u2" if wide else "u1")
        table = np.empty(64, np.int32)
        table[ZIGZAG] = values
        tables[number] = np.maximum(table, 1).reshape(8, 8)
        at += 1 + size
    return tables


def _orientation(tiff: bytes) -> int:
    try:
        found = read_directory(io.BytesIO(tiff)).number(_ORIENTATION, 1)
    except ValueError:  # a damaged directory says nothing; decoders take the picture as it lies, too
        return 1
    return found if 1 <= found <= 8 else 1


def _zigzag() -> NDArray[np.intp]:
    """Place in the row-major 8 x 8 table of the k-th value in a file (T.81, figure A.6)."""
    cells = [(row, column) for row in range(8) for column in range(8)]
    cells.sort(key=lambda cell: (sum(cell), cell[0] if sum(cell) % 2 else cell[1]))
    return np.array([8 * row + column for row, column in cells], np.intp)


ZIGZAG = _zigzag()


def standard_table(quality: int, base: NDArray[Any] = LUMA_K1) -> Table:
    """The luma table of quality 1 to 100 as libjpeg scales it, every step 1 to 255 (baseline)."""
    scale = 5000 // quality if quality < 50 else 200 - 2 * quality
    return np.clip((base * scale + 50) // 100, 1, 255).astype(np.int32)


def quality_of(table: Table) -> tuple[int, bool]:
    """(the quality whose standard luma table is nearest, by the mean of log steps; whether it is that very table)."""
    distances = np.abs(_logs_of_standard() - np.log(table)).mean(axis=(1, 2))
    best = int(np.argmin(distances))
    return best + 1, float(distances[best]) == 0.0


@cache
def _logs_of_standard() -> NDArray[np.float64]:
    """Logarithms of the steps of qualities 1 to 100: 100 8 8."""
    return np.log(np.stack([standard_table(quality) for quality in range(1, 101)]))


def upright_grid(tables: JpegTables) -> tuple[int, int]:
    """(rows, columns) before the first border of the file's blocks in the upright picture, 0 to 7: (0, 0) unless it is
    turned.
    """
    turn = tables.orientation
    height, width = (tables.width, tables.height) if turn >= 5 else (tables.height, tables.width)
    return (height % 8 if turn in (3, 4, 7, 8) else 0, width % 8 if turn in (2, 3, 6, 7) else 0)


def upright_table(tables: JpegTables) -> Table:
    """The luma table as the upright picture has it: turning by a quarter swaps its frequencies."""
    return np.ascontiguousarray(tables.luma.T) if tables.orientation >= 5 else tables.luma
