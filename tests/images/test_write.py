from __future__ import annotations

import errno
import io
import logging
import os
import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from upres.errors import InputError, OutputError
from upres.images.io import (
    CORE_SUFFIXES,
    READABLE_SUFFIXES,
    Picture,
    check_writable,
    encode_picture,
    quantize,
    read_header,
    read_picture,
    write_picture,
    writing_notes,
)

FORMATS = ("png", "jpeg", "webp", "tiff", "avif")


def smooth(height: int, width: int, channels: int, depth: int) -> NDArray[np.float32]:
    """Whole levels, without the fine detail that lossy formats lose."""
    rows, columns = np.mgrid[0:height, 0:width]
    planes = [0.5 + 0.45 * np.sin((rows * (1 + c) + columns) / 23) for c in range(channels)]
    top = 2**depth - 1
    return (np.rint(np.stack(planes, axis=-1) * top) / top).astype(np.float32)


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("alpha", [False, True])
@pytest.mark.parametrize("depth", [8, 16])
def test_every_format_gives_back_what_it_can_hold(
    format: str, channels: int, alpha: bool, depth: int, caplog: pytest.LogCaptureFixture
) -> None:
    pixels = smooth(40, 51, channels, depth)
    veil = smooth(40, 51, 1, depth)[::-1, :, 0].copy() if alpha else None
    picture = Picture(pixels, veil, depth, dpi=(300.0, 150.0))
    with caplog.at_level(logging.WARNING):
        data = encode_picture(picture, format)
    back = read_picture(data)
    assert [record.message for record in caplog.records] == list(writing_notes(picture, format))
    assert back.format == format
    assert back.depth == (8 if format in ("jpeg", "webp") else depth)
    assert back.dpi == pytest.approx((300, 150), abs=0.02)
    expected = pixels
    if format == "jpeg" and veil is not None:
        expected = pixels * veil[:, :, None] + 1 - veil[:, :, None]
    if format in ("webp", "avif"):  # these have no gray
        expected = np.broadcast_to(expected, (*pixels.shape[:2], 3))
    assert back.pixels.shape == expected.shape
    assert (back.alpha is not None) == (alpha and format != "jpeg")
    if format in ("png", "tiff"):
        np.testing.assert_array_equal(back.pixels, pixels)
        if veil is not None:
            np.testing.assert_array_equal(back.alpha, veil)
    else:
        assert np.abs(back.pixels - expected).mean() < 0.01
        if veil is not None and back.alpha is not None:
            assert np.abs(back.alpha - veil).max() < 0.05
    header = read_header(data)
    assert (header.height, header.width, header.channels) == back.pixels.shape
    assert (header.has_alpha, header.depth) == (back.alpha is not None, back.depth)


def test_another_reader_sees_the_same(tmp_path: Path) -> None:
    pixels = smooth(9, 14, 3, 8)
    for name in ("a.png", "a.tif"):
        write_picture(Picture(pixels), tmp_path / name)
        np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / name)), np.rint(pixels * 255))


def test_all_gray_levels_survive_png() -> None:
    levels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    stream = io.BytesIO()
    Image.fromarray(levels).save(stream, "PNG")
    back = Image.open(io.BytesIO(encode_picture(read_picture(stream.getvalue()), "png")))
    assert back.mode == "L"
    np.testing.assert_array_equal(np.asarray(back), levels)


def test_a_ramp_of_sixteen_bits_survives_png_and_tiff() -> None:
    ramp = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    picture = Picture((ramp.astype(np.float32) / 65535)[:, :, None], depth=16)
    for format in ("png", "tiff"):
        np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(encode_picture(picture, format)))), ramp)


@pytest.mark.parametrize("shape", [(1, 1), (1, 19), (19, 1), (3, 20000), (20000, 3)])
def test_strange_shapes(shape: tuple[int, int], tmp_path: Path) -> None:
    for ending in (".png", ".jpg", ".tif"):
        write_picture(Picture(np.full((*shape, 3), 0.5, np.float32)), tmp_path / f"a{ending}")
        assert read_picture(tmp_path / f"a{ending}").pixels.shape == (*shape, 3)


def test_pixels_need_not_be_contiguous() -> None:
    pixels = smooth(8, 10, 3, 8)
    np.testing.assert_array_equal(
        read_picture(encode_picture(Picture(pixels.transpose(1, 0, 2)), "png")).pixels, pixels.transpose(1, 0, 2)
    )


def exif_of(orientation: int, thumbnail: bytes) -> bytes:
    """Two directories: orientation, maker and a link to the picture's size; then a JPEG thumbnail (TIFF 6.0, section
    2).
    """

    def entry(tag: int, kind: int, count: int, value: int) -> bytes:
        return struct.pack("<HHII", tag, kind, count, value)

    detail = 8 + 2 + 3 * 12 + 4
    small = detail + 2 + 2 * 12 + 4
    data = small + 2 + 3 * 12 + 4
    return b"".join(
        (
            b"II*\0\x08\0\0\0\x03\0",
            entry(0x010F, 2, 4, int.from_bytes(b"abc\0", "little")),
            entry(0x0112, 3, 1, orientation),
            entry(0x8769, 4, 1, detail),
            struct.pack("<I", small),
            b"\x02\0" + entry(0xA002, 4, 1, 6) + entry(0xA003, 4, 1, 4) + bytes(4),
            b"\x03\0"
            + entry(0x0103, 3, 1, 6)
            + entry(0x0201, 4, 1, data)
            + entry(0x0202, 4, 1, len(thumbnail))
            + bytes(4),
            thumbnail,
        )
    )


@pytest.mark.parametrize("format", ["png", "jpeg", "webp", "avif"])
def test_exif_is_kept_and_made_true(format: str) -> None:
    stream = io.BytesIO()
    Image.new("RGB", (16, 12), (200, 10, 10)).save(stream, "JPEG")
    thumbnail = stream.getvalue()
    stream = io.BytesIO()
    Image.fromarray(quantize(smooth(4, 6, 3, 8), 8)).save(stream, "JPEG", exif=b"Exif\0\0" + exif_of(6, thumbnail))
    picture = read_picture(stream.getvalue())
    assert picture.pixels.shape == (6, 4, 3)
    larger = replace(picture, pixels=np.repeat(np.repeat(picture.pixels, 8, axis=0), 8, axis=1))
    data = encode_picture(larger, format)
    assert thumbnail not in data
    image = Image.open(io.BytesIO(data))
    exif = image.getexif()
    assert exif[0x010F].rstrip("\0") == "abc"
    assert exif.get(0x0112, 1) == 1
    assert (exif.get_ifd(0x8769)[0xA002], exif.get_ifd(0x8769)[0xA003]) == (32, 48) == image.size
    assert read_picture(data).pixels.shape == (48, 32, 3)


@pytest.mark.parametrize("format", FORMATS)
def test_xmp_is_kept_and_no_exif_is_invented(format: str) -> None:
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"></x:xmpmeta>'
    back = read_picture(encode_picture(Picture(smooth(16, 16, 3, 8), xmp=xmp), format))
    assert back.xmp == xmp
    assert back.exif is None
    if format == "jpeg":
        plain = Picture(smooth(16, 16, 3, 8), xmp=xmp, dpi=(300.0, 150.0))
        assert read_picture(encode_picture(plain, format)).dpi == pytest.approx((300, 150))
    assert back.dpi is None


@pytest.mark.parametrize("exif", [b"exif", b"II*\0", b"II*\0" + b"\xff" * 60, b"MM\0*" + bytes(40)])
@pytest.mark.parametrize("format", FORMATS)
def test_damaged_exif_harms_nothing(exif: bytes, format: str) -> None:
    assert read_picture(encode_picture(Picture(smooth(16, 16, 3, 8), exif=exif), format)).pixels.shape == (16, 16, 3)


def test_what_a_format_cannot_hold_is_said() -> None:
    picture = Picture(smooth(4, 4, 3, 16), np.ones((4, 4), np.float32), 16, exif=bytes(70_000))
    assert writing_notes(Picture(smooth(4, 4, 3, 8)), "jpeg") == ()
    assert writing_notes(picture, "png") == ()
    expected = ("16 bits a sample were rounded to 8", "blended with white", "70,000")
    assert all(words in note for words, note in zip(expected, writing_notes(picture, "jpeg"), strict=True))
    assert "damaged EXIF is not written to tiff" in writing_notes(picture, "tiff")[0]
    assert "rounded to 12" in writing_notes(picture, "avif")[0]


def test_jpeg_is_not_subsampled_and_quality_counts() -> None:
    picture = Picture(np.random.default_rng(0).random((64, 64, 3), dtype=np.float32))
    data = encode_picture(picture, "jpeg")
    assert [component[1:3] for component in Image.open(io.BytesIO(data)).layer] == [(1, 1)] * 3  # type: ignore[attr-defined]
    assert len(encode_picture(picture, "jpeg", quality=40)) < len(data)
    assert len(encode_picture(picture, "webp", quality=40)) < len(encode_picture(picture, "webp"))
    flat = Picture(smooth(200, 200, 3, 8))
    assert (
        len(encode_picture(flat, "png", png_level=9))
        <= len(encode_picture(flat, "png"))
        < len(encode_picture(flat, "png", png_level=0))
    )


@pytest.mark.slow
def test_limits_are_known_before_the_work() -> None:
    for format, longest in (("jpeg", 65_500), ("webp", 16_383), ("avif", 16_384), ("png", 1_000_000)):
        check_writable(format, 1, longest, 8)
        encode_picture(Picture(np.zeros((1, longest, 1), np.float32)), format)
        with pytest.raises(
            OutputError,
            match=rf"{format} holds at most {longest:,} pixels a side, the result has 1 x {longest + 1:,}; write",
        ):
            check_writable(format, longest + 1, 1, 16)
    with pytest.raises(OutputError, match=r"format must be one of png, jpeg, webp, tiff, avif, .*, got 'gif'"):
        check_writable("gif", 1, 1, 8)
    with pytest.raises(OutputError, match="at least one pixel"):
        check_writable("png", 0, 1, 8)


def test_endings(tmp_path: Path) -> None:
    picture = Picture(smooth(4, 4, 3, 8))
    for ending, format in CORE_SUFFIXES.items():
        write_picture(picture, tmp_path / f"a{ending.upper()}")
        assert read_header(tmp_path / f"a{ending.upper()}").format == format
        assert ending in READABLE_SUFFIXES
    write_picture(picture, tmp_path / "b", format="webp")
    assert read_header(tmp_path / "b").format == "webp"
    with pytest.raises(OutputError, match=r"expected a suffix of \.png, .*; got \.xyz"):
        write_picture(picture, tmp_path / "a.xyz")


def test_a_full_disk_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = tmp_path / "old.png"
    old.write_bytes(b"what was there")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    for target in (tmp_path / "new.png", old):
        with pytest.raises(OutputError, match="the disk is full"):
            write_picture(Picture(smooth(4, 4, 3, 8)), target)
    assert list(tmp_path.iterdir()) == [old]
    assert old.read_bytes() == b"what was there"


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"cannot write .*a\.png: No such file"):
        write_picture(Picture(smooth(4, 4, 3, 8)), tmp_path / "none" / "a.png")


def test_sixteen_bits_are_rounded_to_the_twelve_of_avif() -> None:
    ramp = np.repeat(np.linspace(0, 1, 128 * 128, dtype=np.float32).reshape(128, 128, 1), 3, axis=2)
    back = read_picture(encode_picture(Picture(ramp, depth=16), "avif", quality=100)).pixels
    error = (back - ramp) * 4095
    assert abs(error.mean()) < 0.02  # cutting the lower bits off gives -0.5
    assert back.min() == 0.0 and back.max() == 1.0


@pytest.mark.parametrize(
    "said", [b'tiff:Orientation="6"', b"tiff:Orientation='8'", b"<tiff:Orientation>3</tiff:Orientation>"]
)
def test_xmp_does_not_turn_the_picture_a_second_time(said: bytes) -> None:
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><a exif:PixelXDimension="6"/>' + said + b"</x:xmpmeta>"
    back = read_picture(encode_picture(Picture(smooth(4, 5, 3, 8), xmp=xmp), "png")).xmp
    turned = said.replace(b"6", b"1").replace(b"8", b"1").replace(b"3", b"1")
    assert back == xmp.replace(said, turned)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes here")
def test_only_a_file_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "folder.png").mkdir()
    os.mkfifo(tmp_path / "pipe.png")
    for name, what in (("folder.png", "a folder"), ("pipe.png", "a pipe or a device")):
        with pytest.raises(OutputError, match=f"{name}: it is {what}, expected a file name"):
            write_picture(Picture(smooth(4, 5, 3, 8)), tmp_path / name)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder.png", "pipe.png"]
    assert not (tmp_path / "pipe.png").is_file()


def test_paths_are_text_as_well(tmp_path: Path) -> None:
    picture = Picture(np.full((3, 4, 3), 0.2, np.float32))
    write_picture(picture, str(tmp_path / "a.png"))
    again = read_picture(str(tmp_path / "a.png"))
    np.testing.assert_array_equal(again.pixels, read_picture(tmp_path / "a.png").pixels)
    assert read_header(str(tmp_path / "a.png")).width == 4
    with pytest.raises(InputError, match=r"none\.png"):
        read_picture(str(tmp_path / "none.png"))


def test_a_picture_is_written_to_an_open_file(tmp_path: Path) -> None:
    picture = Picture(np.full((4, 5, 3), 0.5, np.float32))
    memory = io.BytesIO()
    write_picture(picture, memory, format="png")
    assert memory.getvalue() == encode_picture(picture, "png")
    with (tmp_path / "raw").open("wb", buffering=0) as raw:
        write_picture(picture, raw, format="jpeg", quality=80)
    assert (tmp_path / "raw").read_bytes() == encode_picture(picture, "jpeg", quality=80)


def test_an_open_file_that_cannot_take_it_is_refused() -> None:
    picture = Picture(np.full((4, 5, 3), 0.5, np.float32))
    with pytest.raises(OutputError, match="format is needed to write to an open file; expected one of png, jpeg"):
        write_picture(picture, io.BytesIO())
    for wrong in (io.StringIO(), b"name.png", None):
        with pytest.raises(OutputError, match="expected a path or a file open in binary mode, got "):
            write_picture(picture, wrong, format="png")  # type: ignore[arg-type]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_an_open_file_on_a_full_disk_is_told() -> None:
    picture = Picture(np.full((4, 5, 3), 0.5, np.float32))
    with Path("/dev/full").open("wb", buffering=0) as full, pytest.raises(OutputError, match="the disk is full"):
        write_picture(picture, full, format="png")
