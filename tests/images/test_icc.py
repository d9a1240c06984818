from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import pyvips
from numpy.typing import NDArray
from PIL import Image, ImageCms

from upres.errors import OutputError
from upres.images.icc import color_space, is_srgb
from upres.images.io import Picture, encode_picture, read_picture, write_picture


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
    assert [color_space(built_in(name)) for name in ("srgb", "cmyk")] == ["RGB", "CMYK"]


def test_srgb_by_another_name_changes_no_level_and_is_kept() -> None:
    icc = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    picture = read_picture(file_with(cube(), icc))
    assert picture.icc == icc
    np.testing.assert_array_equal(stored(encode_picture(picture, "png")), cube())


@pytest.mark.parametrize("format", ["png", "tiff"])
def test_every_color_of_p3_comes_back_with_its_profile(format: str) -> None:
    icc = built_in("p3")
    picture = read_picture(file_with(cube(), icc))
    assert (picture.icc, picture.notes) == (icc, ())
    assert picture.pixels.dtype == np.float32
    assert picture.pixels.min() < -0.3  # more than half of them are outside sRGB, and stay there
    assert picture.pixels.max() > 1.05
    data = encode_picture(picture, format)
    np.testing.assert_array_equal(stored(data), cube())
    assert Image.open(io.BytesIO(data)).info["icc_profile"] == icc


def test_a_saturated_p3_file_with_alpha_keeps_profile_levels_and_alpha(tmp_path: Path) -> None:
    icc = built_in("p3")
    strong = np.array(
        [[[255, 0, 0, 255], [0, 255, 0, 128], [0, 0, 255, 1]], [[255, 255, 0, 9], [0, 255, 255, 0], [1, 0, 254, 77]]],
        np.uint8,
    )
    (tmp_path / "in.png").write_bytes(file_with(strong, icc))
    write_picture(read_picture(tmp_path / "in.png"), tmp_path / "out.png")
    found = Image.open(tmp_path / "out.png")
    np.testing.assert_array_equal(np.asarray(found), strong)
    assert found.info["icc_profile"] == icc


def test_a_picture_of_p3_is_turned_upright() -> None:
    """Floats take the way of levels: EXIF orientation 6 is a quarter turn clockwise."""
    levels, exif = cube()[:, :40], Image.Exif()
    exif[274] = 6
    stream = io.BytesIO()
    Image.fromarray(levels).save(stream, "PNG", icc_profile=built_in("p3"), exif=exif)
    picture = read_picture(stream.getvalue())
    assert picture.pixels.flags.c_contiguous
    np.testing.assert_array_equal(stored(encode_picture(picture, "png")), np.rot90(levels, -1))


def test_strips_meet_without_a_seam() -> None:
    levels = np.random.default_rng(1).integers(0, 256, (600, 300, 3)).astype(np.uint8)
    picture = read_picture(file_with(levels, built_in("p3")))
    np.testing.assert_array_equal(stored(encode_picture(picture, "png")), levels)


def test_values_that_are_not_numbers_are_refused() -> None:
    pixels = np.full((2, 2, 3), 0.5, np.float32)
    pixels[1, 1, 2] = np.nan
    with pytest.raises(OutputError, match="got NaN"):
        encode_picture(Picture(pixels, icc=built_in("p3")), "png")


def test_the_network_sees_srgb() -> None:
    """Little CMS by way of Pillow, 8 bits, is the other opinion, but clipped."""
    icc = built_in("p3")
    theirs = ImageCms.profileToProfile(
        Image.fromarray(cube()),
        ImageCms.ImageCmsProfile(io.BytesIO(icc)),
        ImageCms.createProfile("sRGB"),
        renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
    )
    ours = read_picture(file_with(cube(), icc)).pixels.clip(0.0, 1.0) * 255
    assert np.abs(ours - np.asarray(theirs)).max() < 1.5
    assert np.abs(ours - cube()).max() > 10  # it does matter


def look_up_table() -> bytes:
    """A profile of a wide RGB space that is look-up tables alone: `mft2` tags A2B0 and B2A0 to XYZ (ICC.1:2001-04,
    6.5.7).

    Linear in light, so that the corners of the cube say it all; values of XYZ are stored in units of 1/32768.
    """
    to_xyz = np.array([[0.51512, 0.29198, 0.15710], [0.24120, 0.69225, 0.06657], [-0.00105, 0.04189, 0.78407]])
    corners = np.stack(np.meshgrid([0.0, 1.0], [0.0, 1.0], [0.0, 1.0], indexing="ij"), axis=-1).reshape(-1, 3)
    there = np.rint((corners @ to_xyz.T).clip(0.0) * 32768)
    grid = np.linspace(0.0, 65535 / 32768, 33)
    points = np.stack(np.meshgrid(grid, grid, grid, indexing="ij"), axis=-1).reshape(-1, 3)
    back = np.rint((points @ np.linalg.inv(to_xyz).T).clip(0.0, 1.0) * 65535)

    def table(values: NDArray[np.float64], nodes: int) -> bytes:
        unit = b"".join(int(v * 65536).to_bytes(4, "big") for v in np.eye(3).ravel())
        straight = np.array([0, 65535] * 3, ">u2").tobytes()
        head = b"mft2" + bytes(4) + bytes((3, 3, nodes, 0)) + unit + b"\0\x02\0\x02"
        return head + straight + values.astype(">u2").tobytes() + straight

    return with_tags([(b"A2B0", table(there, 2)), (b"B2A0", table(back, 33))], b"RGB ")


def test_a_look_up_table_goes_by_libvips_and_what_it_clips_is_told() -> None:
    picture = read_picture(file_with(cube(), look_up_table()))
    assert picture.icc == look_up_table()
    assert len(picture.notes) == 1
    assert "have colors outside sRGB" in picture.notes[0]
    assert picture.pixels.min() >= 0.0
    grays = np.repeat(np.arange(40, 200, 5).astype(np.uint8)[None, :, None], 3, axis=2)
    found = read_picture(file_with(grays, look_up_table())).pixels
    light = grays / 255.0
    # IEC 61966-2-1: its values are linear light
    np.testing.assert_allclose(found, 1.055 * light ** (1 / 2.4) - 0.055, atol=0.01)


def test_sixteen_bits_with_a_profile_come_back() -> None:
    icc = built_in("p3")
    levels = np.random.default_rng(2).integers(0, 65536, (2, 4096, 3)).astype(np.uint16)
    levels[0] = np.linspace(0, 65535, 4096).astype(np.uint16)[:, None]
    image = pyvips.Image.new_from_memory(levels, 4096, 2, 3, "ushort").copy(interpretation="rgb16")
    image.set_type(pyvips.GValue.blob_type, "icc-profile-data", icc)
    picture = read_picture(image.tiffsave_buffer())
    assert (picture.depth, picture.icc) == (16, icc)
    back = pyvips.Image.new_from_buffer(encode_picture(picture, "tiff"), "").numpy().astype(np.int64)
    assert np.abs(back - levels).max() == 0


@pytest.mark.parametrize("form", ["JPEG", "TIFF"])
@pytest.mark.parametrize("kind", ["short", "text", "hollow"])
def test_a_damaged_profile_is_ignored_with_a_note(form: str, kind: str) -> None:
    whole = built_in("p3")
    icc = {"short": whole[:300], "text": b"not a profile", "hollow": whole[:200] + bytes(len(whole) - 200)}[kind]
    pixels = np.full((16, 16, 3), 100, np.uint8)
    picture = read_picture(file_with(pixels, icc, form))
    assert picture.icc is None
    assert ["profile was ignored" in note and "damaged" in note for note in picture.notes] == [True]
    np.testing.assert_array_equal(np.rint(picture.pixels * 255), pixels)


def test_a_profile_for_other_channels_is_ignored_with_a_note() -> None:
    picture = read_picture(file_with(np.full((8, 8, 3), 90, np.uint8), built_in("p3"), "TIFF", "L"))
    assert picture.icc is None
    assert picture.notes == ("the color profile was ignored (expected gray, got RGB)",)


def with_tags(more: list[tuple[bytes, bytes]], space: bytes) -> bytes:
    """A profile of version 2: description, copyright, white point and what is given (ICC.1:2001-04, 6.3.1)."""
    tags = [
        (b"desc", b"desc\0\0\0\0\0\0\0\x05gray\0" + bytes(4 + 4 + 2 + 1 + 67)),
        (b"cprt", b"text\0\0\0\0none\0"),
        (b"wtpt", b"XYZ \0\0\0\0" + b"".join(int(v * 65536).to_bytes(4, "big") for v in (0.9642, 1.0, 0.8249))),
        *more,
    ]
    table, body = len(tags).to_bytes(4, "big"), b""
    for name, data in tags:
        table += name + (132 + 12 * len(tags) + len(body)).to_bytes(4, "big") + len(data).to_bytes(4, "big")
        body += data + bytes(-len(data) % 4)
    size = 128 + len(table) + len(body)
    header = size.to_bytes(4, "big") + b"\0\0\0\0\x02\x10\0\0mntr" + space + b"XYZ " + bytes(12) + b"acsp" + bytes(28)
    header += b"".join(int(v * 65536).to_bytes(4, "big") for v in (0.9642, 1.0, 0.8249)) + bytes(48)
    return header + table + body


def gray_profile() -> bytes:
    return with_tags([(b"kTRC", b"curv\0\0\0\0\0\0\0\x01" + int(1.8 * 256).to_bytes(2, "big"))], b"GRAY")


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
    assert picture.notes == ("the color profile was ignored (damaged)", "CMYK was converted to sRGB")
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
