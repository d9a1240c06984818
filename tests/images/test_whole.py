from __future__ import annotations

import io
import struct
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from upres.errors import InputError
from upres.images import whole
from upres.images.io import read_header, read_picture, read_source
from upres.images.sniff import HEAD_BYTES
from upres.images.whole import check_complete, tail_note
from upres.system.memory import peak_bytes


def noise(form: str, side: int = 64, **settings: object) -> bytes:
    stream = io.BytesIO()
    pixels = np.random.default_rng(1).integers(0, 256, (side, side, 3)).astype(np.uint8)
    Image.fromarray(pixels).save(stream, form, **settings)  # type: ignore[arg-type]
    return stream.getvalue()


def box(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", 8 + len(data)) + kind + data


def located(offset: int, length: int, *, version: int = 0, method: int = 0) -> bytes:
    """A file whose only item has an extent there; versions as in ISO/IEC 14496-12, 8.11.3."""
    item = struct.pack(">I" if version == 2 else ">H", 1)
    item += (struct.pack(">H", method) if version else b"") + struct.pack(">HHII", 0, 1, offset, length)
    count = struct.pack(">I" if version == 2 else ">H", 1)
    iloc = box(b"iloc", bytes([version, 0, 0, 0, 0x44, 0x00]) + count + item)
    return box(b"ftyp", b"avif0000avif") + box(b"meta", bytes(4) + box(b"hdlr", bytes(9)) + iloc)


def test_every_cut_of_an_avif_is_refused() -> None:
    data = noise("AVIF", 128)
    check_complete("a", "avif", data)
    for size in range(len(data) // 2, len(data), 97):
        with pytest.raises(InputError, match=r"damaged or truncated AVIF \(it has [\d,]+ bytes, but data up to"):
            check_complete("a", "avif", data[:size])


@pytest.mark.parametrize("version", [0, 1, 2])
def test_an_extent_beyond_the_file_is_refused(version: int, tmp_path: Path) -> None:
    size = len(located(0, 0, version=version))
    path = tmp_path / "a.avif"
    path.write_bytes(located(size - 10, 10, version=version))
    check_complete("a", "avif", path)
    path.write_bytes(located(size - 10, 11, version=version))
    with pytest.raises(InputError, match=f"it has {size} bytes, but data up to {size + 1}"):
        check_complete("a", "avif", path)


def test_an_extent_within_the_metadata_is_not_one_of_the_file() -> None:
    check_complete("a", "avif", located(0, 10_000, version=1, method=1))


def test_stray_bytes_after_the_end_and_damaged_boxes_are_left_to_the_decoder() -> None:
    data = noise("AVIF")
    check_complete("a", "avif", data + b"\xff\xff\xff\xffjunk" + bytes(90))
    whole_file = located(0, 10)
    for cut in range(len(whole_file) - 40, len(whole_file)):
        broken = whole_file[:24] + struct.pack(">I", cut - 24) + whole_file[28:cut]
        check_complete("a", "avif", broken)


@pytest.mark.parametrize("form", ["JPEG", "WEBP", "GIF", "AVIF"])
def test_a_zeroed_tail_is_told_and_padding_is_not(form: str) -> None:
    data = noise(form, 96)
    assert tail_note(form.lower(), data) == ()
    assert tail_note(form.lower(), data + bytes(4096)) == ()  # after the end: harmless
    zeroed = data[: 2 * len(data) // 3] + bytes(len(data) - 2 * len(data) // 3)
    (words,) = tail_note(form.lower(), zeroed)
    assert "parts of the picture may be missing (the file ends in " in words
    try:
        notes = read_picture(zeroed).notes
    except InputError:
        return
    assert words in notes


def test_uncompressed_black_is_no_zeroed_tail() -> None:
    stream = io.BytesIO()
    Image.new("RGB", (64, 64)).save(stream, "TIFF")
    assert read_picture(stream.getvalue()).notes == ()


def png(side: int, depth: int, color: int, data: bytes) -> bytes:
    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    head = struct.pack(">IIBBBBB", side, side, depth, color, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


# SOF0 of 20,900 x 20,960 pixels over the tables of a tiny JPEG.
def jpeg_of(height: int, width: int) -> bytes:
    data = noise("JPEG", 8, quality=10)
    at = data.index(b"\xff\xc0") + 5
    return data[:at] + struct.pack(">HH", height, width) + data[at + 4 :]


def webp_of(side: int) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (side, side)).save(stream, "WEBP", lossless=True)
    return stream.getvalue()


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(jpeg_of(20_900, 20_960), id="JPEG"),
        pytest.param(png(16_384, 1, 0, zlib.compress(bytes(2049 * 16_384), 9)), id="1-bit PNG"),
        pytest.param(png(30_000, 8, 2, zlib.compress(bytes(100))), id="PNG of a few bytes"),
        pytest.param(
            b"RIFF\x1e\0\0\0WEBPVP8L\x11\0\0\0/" + struct.pack("<I", 16_382 | 16_382 << 14) + bytes(13), id="WebP"
        ),
    ],
)
def test_a_claim_that_no_picture_makes_is_refused_before_memory_is_taken(data: bytes) -> None:
    begun, before = time.monotonic(), peak_bytes() or 0
    for read in (read_header, read_picture):
        with pytest.raises(InputError, match=r"the picture claims [\d,]+ x [\d,]+ pixels in [\d,]+ bytes, which no"):
            read(data)
    assert time.monotonic() - begun < 2.0
    assert (peak_bytes() or 0) - before < 64 << 20


@pytest.mark.parametrize("form", ["PNG", "JPEG", "GIF", "WEBP", "TIFF", "AVIF"])
def test_plain_pictures_of_one_color_are_read(form: str) -> None:
    stream = io.BytesIO()
    Image.new("RGB", (3000, 2000), (10, 20, 30)).save(stream, form)
    assert read_picture(stream.getvalue()).pixels.shape == (2000, 3000, 3)


class Endless(io.RawIOBase):
    """A picture, as far as its first bytes go, and then zeros without end."""

    def __init__(self, head: bytes) -> None:
        self.head, self.read_bytes = head, 0

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        self.read_bytes += size
        part, self.head = self.head[:size], self.head[size:]
        return part or bytes(size)


def test_what_is_no_picture_is_refused_by_its_first_bytes() -> None:
    stream = Endless(b"")
    with pytest.raises(InputError, match=r"standard input has an unknown format, expected one of PNG, "):
        read_source(stream, "standard input")  # type: ignore[arg-type]
    assert stream.read_bytes <= HEAD_BYTES


def test_a_stream_without_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(whole, "_STREAM_BYTES", 4 << 20)
    with pytest.raises(InputError, match=r"standard input has more than 4.0 MB; save it as a file and name that"):
        read_source(Endless(b"\x89PNG\r\n\x1a\n"), "standard input")  # type: ignore[arg-type]
