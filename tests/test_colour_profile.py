from __future__ import annotations

import io

import numpy as np
import pytest
import pyvips
from numpy.typing import NDArray
from PIL import Image, ImageCms

from upres.colour_profile import colour_space, from_srgb, is_srgb
from upres.picture import encode_picture, read_picture


def built_in(name: str) -> bytes:
    return bytes(pyvips.Operation.call("profile_load", name))


def file_with(pixels: NDArray[np.uint8], icc: bytes, form: str = "PNG", mode: str | None = None) -> bytes:
    stream = io.BytesIO()
    image = Image.fromarray(pixels)
    (image if mode is None else image.convert(mode)).save(stream, form, icc_profile=icc)
    return stream.getvalue()


def cube() -> NDArray[np.uint8]:
    ladder = np.linspace(0, 255, 18).round().astype(np.uint8)
    return np.stack(np.meshgrid(ladder, ladder, ladder), axis=-1).reshape(18, -1, 3)


def stored(data: bytes) -> NDArray[np.int64]:
    return np.asarray(Image.open(io.BytesIO(data))).astype(np.int64)


def test_srgb_is_known_by_what_it_does() -> None:
    assert is_srgb(built_in("srgb"))
    assert is_srgb(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    assert not is_srgb(built_in("p3"))
    assert [colour_space(built_in(name)) for name in ("srgb", "cmyk")] == ["RGB", "CMYK"]


def test_srgb_by_another_name_changes_no_level_and_is_kept() -> None:
    icc = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    picture = read_picture(file_with(cube(), icc))
    assert picture.icc == icc
    np.testing.assert_array_equal(stored(encode_picture(picture, "png")), cube())


@pytest.mark.parametrize("format", ["png", "tiff"])
def test_p3_comes_back_within_one_level(format: str) -> None:
    icc = built_in("p3")
    in_gamut = from_srgb(cube(), icc, 8).astype(np.uint8)
    picture = read_picture(file_with(in_gamut, icc))
    assert picture.icc == icc
    assert picture.notes == ()
    data = encode_picture(picture, format)
    assert np.abs(stored(data) - in_gamut).max() <= 1
    assert Image.open(io.BytesIO(data)).info["icc_profile"] == icc


def test_the_network_sees_srgb() -> None:
    """Little CMS by way of Pillow, 8 bits, is the other opinion."""
    icc = built_in("p3")
    theirs = ImageCms.profileToProfile(
        Image.fromarray(cube()),
        ImageCms.ImageCmsProfile(io.BytesIO(icc)),
        ImageCms.createProfile("sRGB"),
        renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
    )
    ours = read_picture(file_with(cube(), icc)).pixels * 255
    assert np.abs(ours - np.asarray(theirs)).max() < 1.5
    assert np.abs(ours - cube()).max() > 10  # it does matter


def test_colours_outside_srgb_are_told() -> None:
    picture = read_picture(file_with(cube(), built_in("p3")))
    assert len(picture.notes) == 1
    assert "have colours outside sRGB" in picture.notes[0]


def test_sixteen_bits_with_a_profile_keep_their_precision() -> None:
    icc = built_in("p3")
    levels = np.repeat(np.linspace(0, 65535, 4096).astype(np.uint16)[None, :, None], 3, axis=2)
    image = pyvips.Image.new_from_memory(levels, 4096, 1, 3, "ushort").copy(interpretation="rgb16")
    image.set_type(pyvips.GValue.blob_type, "icc-profile-data", icc)
    picture = read_picture(image.tiffsave_buffer())
    assert (picture.depth, picture.icc) == (16, icc)
    back = pyvips.Image.new_from_buffer(encode_picture(picture, "tiff"), "").numpy().astype(np.int64)
    assert np.abs(back - levels).mean() < 16  # of 65535: 12 bits and more
    assert np.abs(back - levels).max() <= 257  # one level of 8 bits, near black


@pytest.mark.parametrize("form", ["JPEG", "TIFF"])
@pytest.mark.parametrize("kind", ["short", "text", "hollow"])
def test_a_damaged_profile_is_ignored_with_a_note(form: str, kind: str) -> None:
    whole = built_in("p3")
    icc = {"short": whole[:300], "text": b"not a profile", "hollow": whole[:200] + bytes(len(whole) - 200)}[kind]
    pixels = np.full((16, 16, 3), 100, np.uint8)
    picture = read_picture(file_with(pixels, icc, form))
    assert picture.icc is None
    assert [note.startswith("its colour profile was ignored: it is ") for note in picture.notes] == [True]
    np.testing.assert_array_equal(np.rint(picture.pixels * 255), pixels)


def test_a_profile_for_other_channels_is_ignored_with_a_note() -> None:
    picture = read_picture(file_with(np.full((8, 8, 3), 90, np.uint8), built_in("p3"), "TIFF", "L"))
    assert picture.icc is None
    assert picture.notes == ("its colour profile was ignored: it is for RGB, the picture is gray",)


def gray_profile() -> bytes:
    """A gray profile of version 2 with gamma 1.8: description, copyright, white point and curve (ICC.1:2001-04, 6.3.1)."""
    tags = [
        (b"desc", b"desc\0\0\0\0\0\0\0\x05gray\0" + bytes(4 + 4 + 2 + 1 + 67)),
        (b"cprt", b"text\0\0\0\0none\0"),
        (b"wtpt", b"XYZ \0\0\0\0" + b"".join(int(v * 65536).to_bytes(4, "big") for v in (0.9642, 1.0, 0.8249))),
        (b"kTRC", b"curv\0\0\0\0\0\0\0\x01" + int(1.8 * 256).to_bytes(2, "big")),
    ]
    table, body = len(tags).to_bytes(4, "big"), b""
    for name, data in tags:
        table += name + (132 + 12 * len(tags) + len(body)).to_bytes(4, "big") + len(data).to_bytes(4, "big")
        body += data + bytes(-len(data) % 4)
    size = 128 + len(table) + len(body)
    header = size.to_bytes(4, "big") + b"\0\0\0\0\x02\x10\0\0mntrGRAYXYZ " + bytes(12) + b"acsp" + bytes(28)
    header += b"".join(int(v * 65536).to_bytes(4, "big") for v in (0.9642, 1.0, 0.8249)) + bytes(48)
    return header + table + body


@pytest.mark.parametrize("form", ["PNG", "JPEG", "TIFF"])
def test_gray_keeps_its_profile_and_its_values(form: str) -> None:
    levels = np.full((16, 16), 100, np.uint8)
    stream = io.BytesIO()
    Image.fromarray(levels).save(stream, form, icc_profile=gray_profile())
    picture = read_picture(stream.getvalue())
    assert picture.icc == gray_profile()
    assert picture.notes == ()
    data = encode_picture(picture, picture.format)
    np.testing.assert_array_equal(stored(data), levels)
    assert Image.open(io.BytesIO(data)).info["icc_profile"] == gray_profile()


def test_a_damaged_cmyk_profile_is_ignored_with_a_note() -> None:
    whole = built_in("cmyk")
    stream = io.BytesIO()
    Image.new("CMYK", (8, 8)).save(stream, "JPEG", icc_profile=whole[:200] + bytes(1000))
    picture = read_picture(stream.getvalue())
    assert picture.notes == ("its colour profile was ignored: it is damaged", "CMYK was converted to sRGB")
    assert picture.pixels.min() > 0.98


def test_cmyk_with_its_own_profile_becomes_srgb() -> None:
    ink = np.zeros((16, 16, 4), np.uint8)
    stream = io.BytesIO()
    Image.frombytes("CMYK", (16, 16), ink.tobytes()).save(stream, "JPEG", icc_profile=built_in("cmyk"))
    picture = read_picture(stream.getvalue())
    assert picture.pixels.shape == (16, 16, 3)
    assert picture.pixels.min() > 0.98
    assert picture.icc is None
    assert picture.notes == ("CMYK was converted to sRGB",)
    assert Image.open(io.BytesIO(encode_picture(picture, "jpeg"))).mode == "RGB"
