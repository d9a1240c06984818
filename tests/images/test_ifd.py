from __future__ import annotations

import io

import pytest
from PIL import Image

from upres.images.ifd import (
    ASCII,
    DOUBLE,
    RATIONAL,
    SHORT,
    append_directory,
    entry,
    ratio,
    read_directory,
    with_entries,
)


def tiff(*, big: bool = False, **tags: object) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (8, 6), (9, 90, 200)).save(stream, "TIFF", big_tiff=big, **tags)  # type: ignore[arg-type]
    return stream.getvalue()


@pytest.mark.parametrize("big", [False, True])
def test_a_directory_has_the_tags_that_pillow_wrote(big: bool) -> None:
    page = read_directory(io.BytesIO(tiff(big=big, description="a sea", dpi=(300, 150))))
    assert (page.number(256), page.number(257), page.number(262), page.number(277)) == (8, 6, 2, 3)
    assert page.numbers(258) == (8, 8, 8)
    assert (page.numbers(282), page.numbers(283)) == ((300.0,), (150.0,))
    assert page.text(270) == "a sea"
    assert page.big is big
    assert page.number(9999, 7) == 7 and page.text(9999) == "" and page.numbers(9999) == ()


def test_the_order_of_motorola_is_read() -> None:
    data = b"MM\0*" + (8).to_bytes(4, "big") + b"\0\1" + b"\x01\x06\0\3\0\0\0\1\0\2\0\0" + bytes(4)
    assert read_directory(io.BytesIO(data)).numbers(262) == (2,)


@pytest.mark.parametrize("big", [False, True])
def test_pillow_reads_what_was_changed(big: bool) -> None:
    data = tiff(big=big, description="a sea", dpi=(300, 150))
    changes = {
        270: entry(ASCII, b"a much longer description of a lake\0"),
        282: entry(RATIONAL, (1200.5,)),
        296: None,
        33550: entry(DOUBLE, (0.5, 0.25, 0.0), ">"),
        65000: entry(SHORT, (1, 2)),
    }
    image = Image.open(io.BytesIO(with_entries(data, changes)))
    tags = image.tag_v2  # type: ignore[attr-defined]
    assert tags[270] == "a much longer description of a lake"
    assert float(tags[282]) == 1200.5 and float(tags[283]) == 150.0
    assert 296 not in tags
    assert tags[33550] == (0.5, 0.25, 0.0)
    assert tags[65000] == (1, 2)
    assert image.convert("RGB").getpixel((3, 3)) == (9, 90, 200)


def test_a_directory_can_be_appended_to_anything() -> None:
    body = bytearray(b"II*\0" + bytes(5))
    place = append_directory(body, {271: entry(ASCII, b"ACME\0"), 282: entry(RATIONAL, (72.0,))}, "<")
    found = read_directory(io.BytesIO(body), place)
    assert found.text(271) == "ACME" and found.numbers(282) == (72.0,) and found.next == 0


def test_large_ratios_fit_into_32_bits() -> None:
    for value in (72.0, 0.0001, 429_496.0, 1e8, 4e9):
        above, below = ratio(value)
        assert above < 1 << 32 and above / below == pytest.approx(value, rel=1e-9)


@pytest.mark.parametrize("big", [False, True])
def test_a_torn_directory_is_an_error_and_no_crash(big: bool) -> None:
    data = tiff(big=big)
    for length in range(len(data)):
        try:
            read_directory(io.BytesIO(data[:length]))
        except ValueError:
            continue
    for wrong in (b"", b"II", b"XX*\0" + bytes(20), b"II\x10\0" + bytes(20), b"II*\0\x08\0\0\0\xff\xff" + bytes(40)):
        with pytest.raises(ValueError, match=r"expected|unreadable|cut short"):
            read_directory(io.BytesIO(wrong))
