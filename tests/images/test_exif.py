"""EXIF is carried as bytes: only what became untrue is changed. Pillow is the judge."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from upres.images.exif import is_adobe_rgb, made_true, of_resolution, read_dpi
from upres.images.io import Picture, encode_picture, read_picture, writing_notes

PIXELS = np.random.default_rng(2).random((6, 8, 3), dtype=np.float32)
MAKER_NOTE = b"OLYMP\0\1\0" + bytes(range(256)) * 40


def block(**more: object) -> bytes:
    """Tags that libraries drop: a rating, the host computer, one of EXIF 3.0, an unknown one, and a maker note."""
    exif = Image.Exif()
    exif[0x010F], exif[0x0112], exif[0x4746], exif[0x013C], exif[0x9400] = "ACME", 6, 5, "iPhone 14", 7
    exif[0x8769] = {0x927C: MAKER_NOTE, 0xA002: 8, 0xA003: 6, 0xA436: "a title", 0x8827: 100}
    for name, value in more.items():
        exif[int(name[1:], 16)] = value
    return exif.tobytes().removeprefix(b"Exif\0\0")


def loaded(data: bytes) -> Image.Exif:
    return Image.open(io.BytesIO(data)).getexif()


@pytest.mark.parametrize("format", ["png", "jpeg", "webp", "avif"])
def test_every_tag_survives_and_only_the_untrue_ones_change(format: str) -> None:
    source = block()
    picture = Picture(PIXELS.repeat(4, axis=0).repeat(4, axis=1), exif=source)
    exif = loaded(encode_picture(picture, format))
    assert (exif[0x010F], exif[0x0112], exif[0x4746], exif[0x013C], exif[0x9400]) == ("ACME", 1, 5, "iPhone 14", 7)
    inner = exif.get_ifd(0x8769)
    assert inner[0x927C] == MAKER_NOTE
    assert (inner[0xA002], inner[0xA003], inner[0xA436], inner[0x8827]) == (32, 24, "a title", 100)


@pytest.mark.parametrize("format", ["png", "webp", "avif"])
def test_more_than_64_kb_survive(format: str) -> None:
    picture = Picture(PIXELS, exif=block(x010e="workflow:" + "x" * 70_000))
    assert writing_notes(picture, format) == ()
    assert len(loaded(encode_picture(picture, format))[0x010E]) == 70_009
    assert "EXIF do not fit into jpeg" in writing_notes(picture, "jpeg")[0]
    assert 0x010E not in loaded(encode_picture(picture, "jpeg"))


def test_the_rest_of_the_block_is_the_same_to_the_byte() -> None:
    source = block()
    result = made_true(source, 24, 32, None)
    assert len(result) == len(source)
    assert sum(a != b for a, b in zip(result, source, strict=True)) <= 8  # orientation, and two sizes with their types


def test_a_thumbnail_goes_and_what_lies_behind_it_stays() -> None:
    stream = io.BytesIO()
    Image.new("RGB", (16, 12), (200, 10, 10)).save(stream, "JPEG")
    thumbnail = stream.getvalue()
    exif = Image.Exif()
    exif[0x010F] = "ACME"
    body = exif.tobytes().removeprefix(b"Exif\0\0")
    order = "little" if body[:2] == b"II" else "big"
    link = 8 + 2 + 12 * int.from_bytes(body[8:10], order)
    second = b"".join(
        (
            (2).to_bytes(2, order),
            *(
                tag.to_bytes(2, order) + (4).to_bytes(2, order) + (1).to_bytes(4, order) + value.to_bytes(4, order)
                for tag, value in ((513, len(body) + 30), (514, len(thumbnail)))
            ),
            bytes(4),
        )
    )
    whole = body[:link] + len(body).to_bytes(4, order) + body[link + 4 :] + second + thumbnail
    for behind in (b"", b"a maker note"):
        result = made_true(whole + behind, 9, 9, None)
        assert thumbnail not in result and thumbnail[20:60] not in result
        assert result.endswith(behind) and result[link : link + 4] == bytes(4)
        found = Image.Exif()
        found.load(result)
        assert found[0x010F] == "ACME"


def test_a_resolution_is_read_only_where_it_is_said_whole() -> None:
    assert read_dpi(of_resolution((300.0, 150.0))) == (300.0, 150.0)
    assert read_dpi(block(x011a=100.0, x011b=50.0, x0128=3)) == (127.0, 254.0)
    for silent in (block(), block(x011a=72.0, x011b=72.0), block(x011a=72.0, x011b=72.0, x0128=1), b"exif"):
        assert read_dpi(silent) is None


@pytest.mark.parametrize("given", [block(), block(x011a=72.0, x011b=72.0, x0128=2)])
def test_a_resolution_is_written_into_it(given: bytes) -> None:
    result = made_true(given, 6, 8, (300.0, 150.0))
    assert read_dpi(result) == (300.0, 150.0)
    found = Image.Exif()
    found.load(result)
    assert found.get_ifd(0x8769)[0x927C] == MAKER_NOTE and found[0x4746] == 5


@pytest.mark.parametrize("format", ["webp", "avif", "png"])
def test_a_resolution_that_nobody_wrote_is_not_invented(format: str) -> None:
    exif = Image.Exif()
    exif[0x010F] = "ACME"
    stream = io.BytesIO()
    Image.fromarray((PIXELS * 255).astype(np.uint8)).save(stream, format.upper(), exif=exif)
    picture = read_picture(stream.getvalue())
    assert picture.exif is not None and picture.dpi is None
    assert "dpi" not in Image.open(io.BytesIO(encode_picture(picture, "png"))).info


def test_colors_that_exif_calls_adobe_rgb_get_its_profile() -> None:
    exif = Image.Exif()
    exif[0x8769] = {0xA001: 0xFFFF, 0xA005: {1: "R03", 2: b"0100"}}
    assert is_adobe_rgb(exif.tobytes().removeprefix(b"Exif\0\0"))
    stream = io.BytesIO()
    Image.new("RGB", (8, 8), (0, 255, 0)).save(stream, "JPEG", exif=exif, quality=100, subsampling=0)
    picture = read_picture(stream.getvalue())
    assert picture.icc is not None and "Adobe RGB" in picture.notes[0]
    assert picture.pixels[0, 0, 0] < -0.3  # this green lies outside sRGB
    back = Image.open(io.BytesIO(encode_picture(picture, "png")))
    assert back.getpixel((4, 4)) == pytest.approx((0, 255, 0), abs=2)
    assert back.info["icc_profile"] == picture.icc
    assert not is_adobe_rgb(block()) and not is_adobe_rgb(b"exif")


def test_damaged_blocks_are_carried_as_they_are() -> None:
    for damaged in (b"exif", b"II*\0", b"II*\0" + b"\xff" * 60, bytes(100)):
        assert made_true(damaged, 5, 5, (72.0, 72.0)) == damaged
        picture = replace(Picture(PIXELS), exif=damaged)
        assert read_picture(encode_picture(picture, "png")).pixels.shape == (6, 8, 3)
