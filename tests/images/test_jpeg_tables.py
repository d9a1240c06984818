"""Quantization tables from the bytes of a file, against Pillow's reading of them, and the quality they stand for."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from tests.inspection.made import jpeg, texture
from upres.images.io import read_picture
from upres.images.jpeg_tables import (
    LUMA_K1,
    ZIGZAG,
    quality_of,
    read_tables,
    standard_table,
    upright_grid,
    upright_table,
)


@pytest.mark.parametrize("quality", [1, 10, 50, 75, 90, 100])
def test_tables_are_those_that_pillow_reads(quality: int) -> None:
    data = jpeg(np.stack([texture(40)] * 3, axis=2), quality)
    tables = read_tables(data)
    assert tables is not None
    with Image.open(io.BytesIO(data)) as image:
        theirs: dict[int, list[int]] = image.quantization  # type: ignore[attr-defined]  # of JpegImageFile, row by row
    assert {number: table.ravel().tolist() for number, table in tables.tables.items()} == theirs
    assert tables.luma.ravel().tolist() == theirs[0]
    assert (tables.height, tables.width, tables.orientation) == (40, 40, 1)


@pytest.mark.parametrize("quality", range(1, 101))
def test_the_quality_of_libjpeg_is_found(quality: int) -> None:
    table = standard_table(quality)
    found, exact = quality_of(table)
    assert exact
    assert np.array_equal(standard_table(found), table)  # several qualities near 1 have the same table
    assert found == quality or quality < 3


def test_another_makers_table_has_the_nearest_quality() -> None:
    other = standard_table(80)
    other[7, 7] += 3
    assert quality_of(other) == (80, False)


def test_the_zigzag_is_that_of_the_standard() -> None:
    assert ZIGZAG[:11].tolist() == [0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32]
    assert ZIGZAG[-3:].tolist() == [55, 62, 63]
    assert sorted(ZIGZAG.tolist()) == list(range(64))
    assert LUMA_K1[0].tolist() == [16, 11, 10, 16, 24, 40, 51, 61]


def test_tables_of_two_bytes_are_read() -> None:
    steps = np.arange(300, 364)
    segment = bytes([0x10]) + steps.astype(">u2").tobytes()
    frame = bytes([8, 0, 16, 0, 24, 1, 1, 0x11, 0])
    tables, start = (len(segment) + 2).to_bytes(2, "big") + segment, (len(frame) + 2).to_bytes(2, "big") + frame
    data = b"\xff\xd8\xff\xdb" + tables + b"\xff\xc1" + start + b"\xff\xda\0\x02"
    found = read_tables(data)
    assert found is not None
    assert found.luma.ravel()[ZIGZAG].tolist() == steps.tolist()
    assert (found.height, found.width) == (16, 24)


def test_what_is_no_whole_head_of_a_jpeg_has_no_tables() -> None:
    data = jpeg(texture(40), 80)
    assert read_tables(b"") is None
    assert read_tables(b"\x89PNG\r\n\x1a\n") is None
    for end in range(2, data.index(b"\xff\xda"), 7):
        tables = read_tables(data[:end])
        assert tables is None or tables.luma.tolist() == standard_table(80).tolist()
    assert read_tables(data[: data.index(b"\xff\xc0")]) is None


def test_a_table_that_is_cut_between_two_bytes_is_left_out() -> None:
    data = jpeg(np.stack([texture(8)] * 3, axis=2), 50)
    cut = b"\xff\xdb" + (2 + 1 + 127).to_bytes(2, "big") + b"\x11" + bytes(127)  # found by scripts/fuzz jpeg
    assert read_tables(data[:2] + cut + data[2:]) is not None


@pytest.mark.parametrize("turn", range(1, 9))
def test_the_grid_turns_with_the_picture(turn: int) -> None:
    levels = texture(64)[:45, :59]
    levels[:8, :8] = 0.0  # the first block
    levels[:8, 8:] = 255.0
    levels[8:, :] = 255.0
    target = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = turn
    Image.fromarray(levels.astype(np.uint8)).save(target, "JPEG", quality=60, exif=exif)
    tables = read_tables(target.getvalue())
    assert tables is not None and tables.orientation == turn
    upright = read_picture(target.getvalue()).pixels[:, :, 0]
    dark_rows, dark_columns = (np.flatnonzero(upright.min(axis=axis) < 0.5) for axis in (1, 0))
    top, left = upright_grid(tables)
    assert (dark_rows[0] - top) % 8 == 0 and (dark_columns[0] - left) % 8 == 0
    assert (len(dark_rows), len(dark_columns)) == (8, 8)
    assert np.array_equal(upright_table(tables), tables.luma.T if turn >= 5 else tables.luma)
