"""Boxes of JP2 and JPEG XL, against Pillow and libheif-free readings of the standard's layout."""

from __future__ import annotations

import struct
from dataclasses import replace

import pytest

from upres.images.exif import of_resolution
from upres.images.ifd import entry, with_entries
from upres.images.iso_boxes import BoxMetadata, read_jp2, read_jxl, with_jp2, with_jxl

XMP = b"<x:xmpmeta xmlns:x='adobe:ns:meta/'><r:RDF xmlns:r='http://www.w3.org/1999/02/22-rdf-syntax-ns#'/></x:xmpmeta>"
EXIF = with_entries(bytearray(of_resolution((300.0, 150.0))), {271: entry(2, b"a maker\0")})


def box(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I4s", len(body) + 8, name) + body


COLOR = box(b"colr", bytes((1, 0, 0)) + struct.pack(">I", 16))
JP2 = (
    box(b"jP  ", b"\r\n\x87\n")
    + box(b"ftyp", b"jp2 \0\0\0\0jp2 ")
    + box(b"jp2h", box(b"ihdr", bytes(14)) + COLOR)
    + box(b"jp2c", b"pixels")
)
JXL = box(b"JXL ", b"\r\n\x87\n") + box(b"ftyp", b"jxl \0\0\0\0jxl ") + box(b"jxlc", b"pixels")
ALL = BoxMetadata(b"a profile", EXIF, XMP, (300.0, 150.0))


def test_jp2_comes_back() -> None:
    data = with_jp2(JP2, ALL, 4)
    assert read_jp2(data) == ALL
    assert data.endswith(box(b"jp2c", b"pixels"))
    assert box(b"cdef", bytes.fromhex("0004 0000 0000 0001 0001 0000 0002 0002 0000 0003 0003 0001 0000")) in data
    # 300 and 150 dots an inch in pixels a meter, as fractions: 3000 / 254 x 10^3
    assert box(b"resc", struct.pack(">HHHHbb", 3000, 254, 1500, 254, 3, 3)) in data
    assert read_jp2(with_jp2(JP2, BoxMetadata(), 1)) == BoxMetadata(is_srgb=True)
    assert b"cdef" not in with_jp2(JP2, BoxMetadata(), 3)


def test_jxl_comes_back() -> None:
    data = with_jxl(JXL, ALL)
    assert read_jxl(data) == replace(ALL, icc=None, dpi=None)
    assert data.startswith(JXL)
    assert box(b"Exif", bytes(4) + EXIF) in data  # the offset of the TIFF structure goes before


@pytest.mark.parametrize("data", [b"", b"\xff\x0a", JXL[:20], JP2[:40], box(b"JXL ", b"\r\n\x87\n") + b"\0\0\0\1Exif"])
def test_what_has_no_whole_boxes_says_nothing(data: bytes) -> None:
    assert read_jp2(data) == read_jxl(data) == BoxMetadata()


def test_an_exif_box_that_is_none_is_left_out() -> None:
    assert read_jxl(JXL + box(b"Exif", b"\xff\xff\xff\xffjunk")) == BoxMetadata()
