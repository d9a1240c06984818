"""Pictures that other packages decode, written by those packages or by Pillow, against the pixels that went in."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageCms

from upres.errors import InputError
from upres.images import foreign
from upres.images.io import Picture, read_header, read_picture
from upres.images.levels import levels_to_write
from upres.images.said_colors import adobe_rgb

NOISE = np.random.default_rng(8).integers(0, 256, (10, 14, 4)).astype(np.uint8)
RGB, GRAY = np.ascontiguousarray(NOISE[:, :, :3]), np.ascontiguousarray(NOISE[:, :, 0])


def levels(picture: Picture, depth: int = 8) -> NDArray[Any]:
    assert picture.depth == depth
    return np.rint(picture.pixels * (255 if depth == 8 else 65535)).astype(int)


def saved(pixels: NDArray[Any], form: str, **settings: Any) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, form, **settings)
    return stream.getvalue()


@pytest.mark.parametrize("form", ["BMP", "TGA", "PPM"])
@pytest.mark.parametrize("pixels", [RGB, GRAY], ids=["rgb", "gray"])
def test_plain_formats(tmp_path: Path, form: str, pixels: NDArray[Any]) -> None:
    path = tmp_path / f"a.{form.lower()}"
    path.write_bytes(saved(pixels, form))
    picture = read_picture(path)
    np.testing.assert_array_equal(levels(picture).squeeze(), pixels)
    header = read_header(path)
    assert (header.height, header.width, header.channels) == (10, 14, 1 if pixels.ndim == 2 else 3)
    assert picture.icc is None and picture.dpi is None and picture.alpha is None


def test_transparency_and_palettes(tmp_path: Path) -> None:
    path = tmp_path / "a.tga"
    path.write_bytes(saved(NOISE, "TGA"))
    picture = read_picture(path)
    np.testing.assert_array_equal(levels(picture), RGB)
    assert picture.alpha is not None
    np.testing.assert_array_equal(np.rint(picture.alpha * 255), NOISE[:, :, 3])
    painted = Image.fromarray(RGB).quantize(16)
    stream = io.BytesIO()
    painted.save(stream, "BMP")
    np.testing.assert_array_equal(levels(read_picture(stream.getvalue())), np.asarray(painted.convert("RGB")))


@pytest.mark.parametrize("codec", ["jpegxl", "jpeg2k"])
@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [1, 3])
def test_lossless_codecs(codec: str, kind: type, channels: int) -> None:
    imagecodecs: Any = pytest.importorskip("imagecodecs")
    pyjpegxl: Any = pytest.importorskip("pyjpegxl")
    pixels = (NOISE[:, :, :channels].astype(kind) * (np.iinfo(kind).max // 255)).squeeze()
    if codec == "jpeg2k":
        data = imagecodecs.jpeg2k_encode(pixels, level=0)
    elif kind is np.uint8:
        data = imagecodecs.jpegxl_encode(pixels, lossless=True)
    else:  # of 16 bits imagecodecs says that they are linear
        data = pyjpegxl.encode_from_numpy(pixels.reshape(*pixels.shape[:2], -1), lossless=True)
    picture = read_picture(data)
    np.testing.assert_array_equal(levels(picture, 8 * kind(0).itemsize).squeeze(), pixels)
    assert picture.notes == () and picture.icc is None


def test_jpeg_xl_of_10_bits_and_its_profile() -> None:
    imagecodecs: Any = pytest.importorskip("imagecodecs")
    pyjpegxl: Any = pytest.importorskip("pyjpegxl")
    ten = (RGB.astype(np.uint16) << 2) | (RGB >> 6)
    picture = read_picture(imagecodecs.jpegxl_encode(ten, lossless=True, bitspersample=10))
    assert picture.depth == 16
    assert picture.icc is not None  # imagecodecs says that they are linear
    np.testing.assert_allclose(levels_to_write(picture, "png") / 65535, ten / 1023, atol=1 / 65535)
    made = pyjpegxl.encode_from_numpy(np.ascontiguousarray(RGB), lossless=True, icc=adobe_rgb())
    assert read_picture(made).icc == adobe_rgb()
    floats = imagecodecs.jpegxl_encode(RGB.astype(np.float32) / 255, lossless=True)
    with pytest.raises(InputError, match="samples of 32 bits"):
        read_picture(floats)


@pytest.mark.parametrize("bits", [8, 10, 12])
def test_heic_of_every_depth(bits: int) -> None:
    pillow_heif: Any = pytest.importorskip("pillow_heif")
    ramp = np.linspace(0, 65535, 64 * 48 * 3).reshape(48, 64, 3)
    if bits == 8:
        pixels, mode = (ramp / 257).astype(np.uint8), "RGB"
    else:
        pixels, mode = ramp.astype(np.uint16), "RGB;16"
    file = pillow_heif.from_bytes(mode=mode, size=(64, 48), data=pixels.tobytes())
    stream = io.BytesIO()
    file.save(stream, quality=-1, chroma=444, bit_depth=bits)
    picture = read_picture(stream.getvalue())
    assert picture.depth == (8 if bits == 8 else 16) and picture.format == "png"
    wanted = pixels / np.iinfo(pixels.dtype).max
    assert np.abs(picture.pixels - wanted).max() < 2.0 / ((1 << bits) - 1)  # through YCbCr
    assert picture.pixels.min() == 0.0 and picture.pixels.max() == 1.0  # black and white stay


def test_heic_keeps_its_metadata_and_stands_upright() -> None:
    pillow_heif: Any = pytest.importorskip("pillow_heif")
    exif = Image.Exif()
    exif[0x010F], exif[0x0112] = "Acme", 6
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    file = pillow_heif.from_bytes(mode="RGB", size=(14, 10), data=RGB.tobytes())
    stream = io.BytesIO()
    file.save(stream, quality=-1, chroma=444, exif=exif.tobytes(), icc_profile=profile)
    picture = read_picture(stream.getvalue())
    turned = np.rot90(RGB, -1)  # pillow-heif writes EXIF's orientation as HEIF's own, which the decoder applies
    assert np.abs(picture.pixels * 255 - turned).max() <= 3
    assert picture.exif is not None
    kept = Image.Exif()
    kept.load(picture.exif)
    assert kept[0x010F] == "Acme" and kept.get(0x0112, 1) == 1


def test_a_missing_package_is_told_with_the_command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(foreign, "has_module", lambda _: False)
    for data, kind, extra in (
        (saved(RGB, "BMP"), "a BMP picture", "formats"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "an HEIC picture", "heic"),
        (b"\xff\x0a" + bytes(40), "a JPEG XL picture", "formats"),
        (b"II*\0\x10\0\0\0CR\2\0" + bytes(40), "a camera raw file", "raw"),
    ):
        with pytest.raises(InputError, match=rf"seems to be {kind}, .*: pip install 'upres\[{extra}\]'"):
            read_picture(data)
    assert read_picture(saved(RGB, "PPM")).pixels.shape == (10, 14, 3)  # needs none


@pytest.mark.parametrize(
    "data",
    [saved(RGB, "BMP")[:90], b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", b"\xff\x0a" + bytes(40), b"P6 9 9 255\n",
     b"8BPS\0\1" + bytes(60), b"II*\0\x10\0\0\0CR\2\0" + bytes(40), b"FUJIFILMCCD-RAW" + bytes(200)],
)  # fmt: skip
def test_damaged_files_are_refused(data: bytes) -> None:
    with pytest.raises(InputError, match="that is damaged, or of a kind that is not read"):
        read_picture(data)


def test_drawings_are_refused_by_their_name() -> None:
    with pytest.raises(InputError, match="is an SVG drawing, which has no pixels to enlarge"):
        read_picture(b'<svg xmlns="http://www.w3.org/2000/svg"/>')
