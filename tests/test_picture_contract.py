"""What goes into a picture's file comes out: format x mode x depth x profile x orientation x metadata.

Files are made by Pillow, tifffile or NumPy, read and written by upres, and judged by Pillow or tifffile, never by the
code that wrote them.
"""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageOps, PngImagePlugin

from upres.errors import InputError
from upres.images.formats import FORMATS
from upres.images.io import encode_picture, read_picture, writing_notes
from upres.images.said_colors import adobe_rgb, profile_of_codes

LADDER = np.array([0, 64, 128, 191, 255], np.uint8)
COLORS = np.stack(np.meshgrid(LADDER, LADDER, LADDER, indexing="ij"), axis=-1).reshape(5, 25, 3)
PATCHES = COLORS.repeat(16, axis=0).repeat(16, axis=1)  # the 125 colors, each 16 x 16
INSIDE = np.s_[:, 4:12, :, 4:12]
MODES = ("L", "LA", "RGB", "RGBA", "P", "1")
PROFILES = {
    "sRGB": None,
    "Adobe RGB": adobe_rgb(),
    "Display P3": profile_of_codes(12, 13),
    "BT.2020": profile_of_codes(9, 13),
}
LOSSLESS = ("png", "tiff", "bmp", "tga", "pnm", "pam", "jxl", "jp2")
EXACT_IF_FLAT = ("webp", "avif")  # without a quality that is asked for
PILLOW = {"jpeg": "JPEG", "png": "PNG", "tiff": "TIFF", "webp": "WEBP", "bmp": "BMP", "tga": "TGA"}
EVERY = [pytest.param(name, id=name) for name in FORMATS if name not in ("exr", "hdr")]
XMP = b"<x:xmpmeta xmlns:x='adobe:ns:meta/'><r:RDF xmlns:r='http://www.w3.org/1999/02/22-rdf-syntax-ns#'/></x:xmpmeta>"


def need(format: str) -> None:
    pytest.importorskip(FORMATS[format].module or "numpy")
    if format == "heic":
        pytest.importorskip("pillow_heif").register_heif_opener()


def saved(image: Image.Image, format: str = "PNG", **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def is_jxl(data: bytes) -> bool:
    return data.startswith((b"\xff\x0a", b"\0\0\0\x0cJXL "))


def judged(data: bytes, mode: str) -> NDArray[Any]:
    """By Pillow; PAM, which it does not read, by the layout of its bytes, and JPEG XL by imagecodecs."""
    if is_jxl(data):
        return np.asarray(pytest.importorskip("imagecodecs").jpegxl_decode(data)).astype(int)
    if data.startswith(b"P7"):
        levels = np.frombuffer(data, np.uint8, offset=data.index(b"ENDHDR\n") + 7)
        return levels.reshape(*PATCHES.shape[:2], -1).astype(int)
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image.convert(mode)).astype(int)


def holds_profile(data: bytes, icc: bytes) -> bool:
    """Pillow tells it, but for JPEG 2000, where it stands in a box as it is, and JPEG XL."""
    if is_jxl(data):
        return pytest.importorskip("pyjpegxl").probe(data).icc == icc
    with Image.open(io.BytesIO(data)) as image:
        return image.info.get("icc_profile") == icc or (image.format == "JPEG2000" and b"colr\2\0\0" + icc in data)


def holds_xmp(data: bytes) -> bool:
    """Where it is compressed, as in PNG."""
    if data.startswith(b"P7") or is_jxl(data):  # there it stands in a box as it is
        return False
    with Image.open(io.BytesIO(data)) as image:
        image.load()
        found = image.info.get("xmp") or image.info.get("XML:com.adobe.xmp") or b""
    return XMP[:20] in (found.encode() if isinstance(found, str) else found)


def patches_differ(one: NDArray[Any], other: NDArray[Any]) -> int:
    shape = (5, 16, 25, 16, -1)
    return int(np.abs(one.reshape(shape)[INSIDE].astype(int) - other.reshape(shape)[INSIDE].astype(int)).max())


@pytest.mark.parametrize("profile", list(PROFILES))
@pytest.mark.parametrize("format", EVERY)
def test_125_colors_come_back(format: str, profile: str) -> None:
    """Levels in the profile of the file; where a format holds none, the same colors in sRGB are compared by upres."""
    need(format)
    icc = PROFILES[profile]
    picture = read_picture(saved(Image.fromarray(PATCHES), **({} if icc is None else {"icc_profile": icc})))
    assert picture.icc == icc
    data = encode_picture(picture, format)
    if "icc" not in FORMATS[format].holds and icc is not None:
        assert any("colors were converted to sRGB" in note for note in writing_notes(picture, format))
        shown, wanted = judged(data, "RGB"), np.rint(255 * np.clip(picture.pixels, 0, 1))
    else:
        shown, wanted = judged(data, "RGB"), PATCHES
        assert icc is None or holds_profile(data, icc)
    assert patches_differ(shown, wanted) <= (0 if format in (*LOSSLESS, *EXACT_IF_FLAT) else 1)
    if icc is None:  # what is black, middle and white stays
        grays = COLORS.reshape(-1, 3).min(1) == COLORS.reshape(-1, 3).max(1)
        for level in (0, 128, 255):
            place = int(np.flatnonzero(grays & (COLORS.reshape(-1, 3)[:, 0] == level))[0])
            patch = shown.reshape(5, 16, 25, 16, 3)[place // 25, 4:12, place % 25, 4:12]
            assert (patch == level).all(), (level, patch.min(), patch.max())


@pytest.mark.parametrize("format", EVERY)
def test_flat_grays_come_back(format: str) -> None:
    need(format)
    grays = np.arange(0, 250, 2).reshape(5, 25).repeat(16, axis=0).repeat(16, axis=1).astype(np.uint8)
    data = encode_picture(read_picture(saved(Image.fromarray(grays))), format)
    shown = judged(data, "L").reshape(80, 400, -1)
    assert patches_differ(shown, grays[:, :, None]) <= (0 if format in LOSSLESS else 1)


@pytest.mark.parametrize("format", ["png", "tiff", "jpeg", "webp", "bmp", "tga"])
@pytest.mark.parametrize("mode", MODES)
def test_every_mode_goes_in_and_out(format: str, mode: str) -> None:
    """Pillow's reading of what went in against its reading of what came out as PNG, and in the format itself."""
    random = np.random.default_rng(1)
    image = Image.fromarray(random.integers(0, 256, (20, 24, 4)).astype(np.uint8)).convert("RGBA")
    image = image.convert("RGB").quantize(16) if mode == "P" else image.convert(mode)
    if (format, mode) in {
        ("jpeg", "LA"),
        ("jpeg", "RGBA"),
        ("jpeg", "P"),
        ("bmp", "LA"),
        ("webp", "1"),
    }:
        with pytest.raises(OSError) if format != "webp" else _nothing():  # Pillow writes no such file
            saved(image, PILLOW[format])
        return
    source = saved(image, PILLOW[format], **({"lossless": True} if format == "webp" else {}))
    declared = format != "bmp"  # Pillow's BMP has a fourth byte, and does not say what it is
    full = "RGBA" if mode in ("LA", "RGBA") and declared else "RGB"
    picture = read_picture(source)
    assert (picture.alpha is not None) == (full == "RGBA")
    before, after = judged(source, full), judged(encode_picture(picture, "png"), full)
    if full == "RGBA":  # under full transparency colors mean nothing
        before[before[:, :, 3] == 0] = after[after[:, :, 3] == 0] = 0
    np.testing.assert_array_equal(after, before)
    if format in LOSSLESS and (full == "RGB" or "alpha" in FORMATS[format].holds):
        np.testing.assert_array_equal(
            judged(encode_picture(picture, format), full)[:, :, :3], judged(source, full)[:, :, :3]
        )
    if mode in ("L", "LA"):  # gray stays gray, in files too
        assert picture.pixels.shape[2] == (1 if format != "webp" else 3)


class _nothing:
    def __enter__(self) -> None: ...
    def __exit__(self, *_: object) -> None: ...


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("format", ["png", "tiff", "jp2", "jxl", "pam"])
def test_16_bits_stay_to_the_last(format: str, channels: int) -> None:
    tifffile: Any = pytest.importorskip("tifffile")
    need(format)
    levels = np.random.default_rng(2).integers(0, 65536, (20, 24, channels)).astype(np.uint16)
    levels[0, 0], levels[0, 1], levels[0, 2] = 0, 65535, 32768
    extra = ["unassalpha"] if channels in (2, 4) else None
    file = io.BytesIO()
    tifffile.imwrite(file, levels.squeeze(), photometric="rgb" if channels > 2 else "minisblack", extrasamples=extra)
    data = encode_picture(read_picture(file.getvalue()), format)
    if format == "tiff":
        found = tifffile.imread(io.BytesIO(data))
    elif format == "pam":
        found = np.frombuffer(data[data.index(b"ENDHDR\n") + 7 :], ">u2")
    elif format in ("jp2", "jxl"):
        codecs = pytest.importorskip("imagecodecs")
        found = codecs.jpeg2k_decode(data) if format == "jp2" else codecs.jpegxl_decode(data)
    else:
        found = pytest.importorskip("imagecodecs").png_decode(data)
    np.testing.assert_array_equal(np.asarray(found).reshape(levels.shape), levels)


@pytest.mark.parametrize("turn", range(1, 9))
@pytest.mark.parametrize("format", ["png", "jpeg", "webp", "tiff"])
def test_every_orientation_stands_upright(format: str, turn: int) -> None:
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = turn, "Acme"
    pixels = PATCHES[:48, :64]
    options: dict[str, Any] = {"jpeg": {"quality": 100, "subsampling": 0}, "webp": {"lossless": True}}.get(format, {})
    source = saved(Image.fromarray(pixels), PILLOW[format], exif=exif, **options)
    with Image.open(io.BytesIO(source)) as image:
        upright = np.asarray(ImageOps.exif_transpose(image).convert("RGB")).astype(int)
    for out in ("png", "tiff"):
        data = encode_picture(read_picture(source), out)
        np.testing.assert_array_equal(judged(data, "RGB"), upright)
        with Image.open(io.BytesIO(data)) as image:
            assert image.getexif().get(0x0112, 1) == 1 and image.getexif()[0x010F] == "Acme"


@pytest.mark.parametrize("format", EVERY)
def test_metadata_is_there_or_told(format: str) -> None:
    need(format)
    exif = Image.Exif()
    exif[0x010F] = "Acme"
    text = PngImagePlugin.PngInfo()
    text.add_itxt("XML:com.adobe.xmp", XMP.decode())
    source = saved(Image.fromarray(PATCHES), exif=exif, dpi=(300, 300), pnginfo=text, icc_profile=adobe_rgb())
    picture = read_picture(source)
    data, notes = encode_picture(picture, format), " ".join(writing_notes(picture, format))
    found = {
        "exif": b"Acme" in data,
        "icc": format != "pam" and holds_profile(data, adobe_rgb()),
        "xmp": XMP[:20] in data or holds_xmp(data),
    }
    words = {"exif": "EXIF is not written", "icc": "color profile is not written", "xmp": "XMP is not written"}
    for name, there in found.items():
        assert there == (name in FORMATS[format].holds), name
        assert there != (words[name] in notes), name


def test_cmyk_and_lab() -> None:
    """CMYK becomes sRGB with a note; Lab is refused by its name."""
    image = Image.fromarray(PATCHES).convert("CMYK")
    for format in ("TIFF", "JPEG"):
        picture = read_picture(saved(image, format))
        assert "CMYK was converted to sRGB" in picture.notes and picture.pixels.shape[2] == 3
        white = picture.pixels.reshape(5, 16, 25, 16, 3)[4, 8, 24, 8]
        np.testing.assert_allclose(white, 1.0, atol=1 / 255)
    tifffile: Any = pytest.importorskip("tifffile")
    file = io.BytesIO()
    tifffile.imwrite(file, PATCHES, photometric="cielab")
    with pytest.raises(InputError, match="TIFF in Lab color"):
        read_picture(file.getvalue())
