"""What a file says beside its pixels, format by format; Pillow and bytes built by hand are the judges."""

from __future__ import annotations

import io
import struct
import zlib
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, PngImagePlugin

from upres.errors import InputError
from upres.images import facts
from upres.images.io import Picture, encode_picture, read_header, read_picture, writing_notes

PIXELS = np.random.default_rng(7).integers(0, 256, (12, 16, 3)).astype(np.uint8)
IPTC = b"\x1c\x02\x19\0\x04bird\x1c\x02\x78\0\x09a caption"


def saved(form: str, pixels: NDArray[np.uint8] = PIXELS, **settings: object) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, form, **settings)  # type: ignore[arg-type]
    return stream.getvalue()


def opened(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png_with(name: bytes, data: bytes, pixels: NDArray[np.uint8] = PIXELS) -> bytes:
    png = saved("PNG", pixels)
    return png[:33] + chunk(name, data) + png[33:]


def png_with_text() -> bytes:
    info = PngImagePlugin.PngInfo()
    info.add_text("parameters", "a cat\nSteps: 20, Sampler: Euler")
    info.add_itxt("workflow", '{"name": "日本"}')
    info.add_text("prompt", "x" * 5000, zip=True)
    info.add_text("Title", "y" * 3000)
    return saved("PNG", pnginfo=info)


def test_text_of_a_png_is_kept() -> None:
    picture = read_picture(png_with_text())
    assert picture.notes == () and len(picture.texts) == 4
    info = opened(encode_picture(picture, "png")).info
    assert info["parameters"] == "a cat\nSteps: 20, Sampler: Euler"
    assert info["workflow"] == '{"name": "日本"}'
    assert info["prompt"] == "x" * 5000 and info["Title"] == "y" * 3000
    for format in ("jpeg", "webp", "avif", "tiff"):
        expected = f"text (parameters, workflow, prompt, Title) is not written to {format}; write png to keep it"
        assert writing_notes(picture, format) == (expected,)


def test_a_comment_of_a_jpeg_is_kept() -> None:
    picture = read_picture(saved("JPEG", comment="made by someone, é"))
    assert picture.texts == (("Comment", "made by someone, é"),)
    assert opened(encode_picture(picture, "jpeg")).info["comment"] == "made by someone, é".encode()
    assert opened(encode_picture(picture, "png")).info["Comment"] == "made by someone, é"
    plain = replace(picture, texts=(("Comment", "made by someone"),))
    assert opened(encode_picture(plain, "tiff")).tag_v2[270] == "made by someone"  # type: ignore[attr-defined]
    assert read_picture(encode_picture(picture, "tiff")).texts == (("Description", "made by someone, é"),)


def jpeg_with_iptc() -> bytes:
    jpeg = saved("JPEG")
    other = b"8BIM\x03\xed\x03abc" + struct.pack(">I", 3) + b"xyz\0"
    resource = b"Photoshop 3.0\0" + other + b"8BIM\x04\x04\0\0" + struct.pack(">I", len(IPTC)) + IPTC
    return jpeg[:2] + b"\xff\xed" + struct.pack(">H", len(resource) + 2) + resource + jpeg[2:]


def test_iptc_is_kept_in_every_format_that_has_it() -> None:
    picture = read_picture(jpeg_with_iptc())
    assert picture.iptc == IPTC
    found = opened(encode_picture(picture, "jpeg")).info["photoshop"]
    assert found[0x0404] == IPTC
    from PIL import IptcImagePlugin

    for format in ("jpeg", "tiff"):
        records = IptcImagePlugin.getiptcinfo(opened(encode_picture(picture, format)))
        assert records == {(2, 25): b"bird", (2, 120): b"a caption"}
    for format in ("png", "jpeg", "tiff"):
        assert read_picture(encode_picture(picture, format)).iptc == IPTC
        assert writing_notes(picture, format) == ()
    for format in ("webp", "avif"):
        assert writing_notes(picture, format) == (
            f"IPTC is not written to {format}; write png, jpeg or tiff to keep it",
        )
    digits = opened(encode_picture(picture, "png")).info["Raw profile type iptc"].split("\n", 3)
    assert digits[1] == "iptc" and bytes.fromhex(digits[3])[12 : 12 + len(IPTC)] == IPTC


@pytest.mark.parametrize("form", ["PNG", "AVIF"])
def test_an_animation_is_told(form: str) -> None:
    data = saved(form, save_all=True, append_images=[Image.fromarray(255 - PIXELS)] * 2)
    assert read_picture(data).notes == ("only the first of 3 frames was read",)


def test_the_second_picture_of_an_mpo_is_told() -> None:
    data = saved("MPO", save_all=True, append_images=[Image.fromarray(255 - PIXELS)])
    assert read_picture(data).notes == ("only the first of 2 pictures in the file was read",)


def test_the_resolution_of_a_png_without_a_unit_is_none() -> None:
    assert read_picture(png_with(b"pHYs", struct.pack(">IIB", 1, 2, 0))).dpi is None
    assert read_picture(png_with(b"pHYs", struct.pack(">IIB", 11811, 5906, 1))).dpi == (150.012, 299.999)


def linear(levels: NDArray[np.uint8]) -> NDArray[np.float64]:
    x = levels / 255.0
    return np.where(x <= 0.04045, x / 12.92, ((x + 0.055) / 1.055) ** 2.4)


def test_linear_light_of_a_png_is_converted_and_kept() -> None:
    stored = np.rint(linear(PIXELS) * 255).astype(np.uint8)
    picture = read_picture(png_with(b"gAMA", struct.pack(">I", 100_000), stored))
    assert np.abs(picture.pixels * 255 - PIXELS)[PIXELS > 60].max() < 2.5  # what 8 bits of linear light resolve
    data = encode_picture(picture, "png")
    assert b"iCCP" in data and np.array_equal(np.asarray(opened(data)), stored)
    assert picture.notes == ("the file says its colors without a profile; the result has them as a color profile",)


P3_CHRM = struct.pack(">8I", 31270, 32900, 68000, 32000, 26500, 69000, 15000, 6000)


@pytest.mark.parametrize(("name", "data"), [(b"cICP", bytes([12, 13, 0, 1])), (b"cHRM", P3_CHRM)])
def test_display_p3_of_a_png_is_converted_and_kept(name: bytes, data: bytes) -> None:
    red = np.full((8, 8, 3), (255, 0, 0), np.uint8)
    picture = read_picture(png_with(name, data, red))
    # sRGB of P3's red, extended: 1.0930, -0.2267, -0.1501 (CSS Color 4, color(display-p3 1 0 0))
    assert picture.pixels[0, 0] == pytest.approx((1.0930, -0.2267, -0.1501), abs=2e-3)
    assert np.array_equal(
        np.asarray(opened(encode_picture(picture, "jpeg", quality=100)).convert("RGB"))[0, 0], (254, 0, 0)
    )


@pytest.mark.parametrize(
    ("name", "data"),
    [
        (b"gAMA", struct.pack(">I", 45455)),
        (b"cICP", bytes([1, 13, 0, 1])),
        (b"cHRM", struct.pack(">8I", 31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000)),
        (b"gAMA", bytes(4)),
        (b"cHRM", bytes(32)),
    ],
)
def test_srgb_and_nonsense_change_nothing(name: bytes, data: bytes) -> None:
    picture = read_picture(png_with(name, data))
    assert (picture.icc, picture.notes) == (None, ())
    np.testing.assert_array_equal(np.rint(picture.pixels * 255), PIXELS)


@pytest.mark.parametrize(("transfer", "name"), [(16, "PQ"), (18, "HLG")])
def test_hdr_is_refused_by_name(transfer: int, name: str) -> None:
    for read in (read_header, read_picture):
        with pytest.raises(InputError, match=rf"has HDR colors \({name}\), which are not supported; convert it to SDR"):
            read(png_with(b"cICP", bytes([9, transfer, 0, 1])))
    avif = saved("AVIF")
    at = avif.index(b"nclx")
    with pytest.raises(InputError, match=rf"has HDR colors \({name}\)"):
        read_picture(avif[: at + 4] + struct.pack(">HH", 9, transfer) + avif[at + 8 :])
    with pytest.raises(InputError, match=r"colors of unknown kind \(color primaries 99, transfer function 13"):
        read_picture(png_with(b"cICP", bytes([99, 13, 0, 1])))


def test_display_p3_of_an_avif_is_converted_and_kept() -> None:
    avif = saved("AVIF", np.full((8, 8, 3), (255, 0, 0), np.uint8), quality=100, subsampling="4:4:4")
    at = avif.index(b"nclx")
    picture = read_picture(avif[: at + 4] + struct.pack(">HH", 12, 13) + avif[at + 8 :])
    assert picture.pixels[4, 4] == pytest.approx((1.0930, -0.2267, -0.1501), abs=0.02)
    assert picture.icc is not None and opened(encode_picture(picture, "png")).info["icc_profile"] == picture.icc


@pytest.mark.parametrize("range_", ["limited", "full"])
def test_gray_avif_is_gray_and_in_full_range(range_: str) -> None:
    ramp = np.tile(np.arange(256, dtype=np.uint8)[:, None], (1, 16))
    data = saved("AVIF", ramp, quality=100, subsampling="4:0:0", range=range_)
    picture = read_picture(data)
    assert picture.pixels.shape == (256, 16, 1) and read_header(data).channels == 1
    assert np.abs(picture.pixels[:, :, 0] * 255 - ramp).max() <= 1.2
    assert picture.pixels.min() == 0.0 and picture.pixels.max() == 1.0


def test_gray_with_a_gamma_keeps_it() -> None:
    picture = read_picture(png_with(b"gAMA", struct.pack(">I", 100_000), PIXELS[:, :, 0]))
    data = encode_picture(picture, "png")
    assert opened(data).mode == "L" and np.array_equal(np.asarray(opened(data)), PIXELS[:, :, 0])
    assert opened(data).info["icc_profile"][16:20] == b"GRAY"


def test_damaged_chunks_harm_nothing() -> None:
    for name, body in (
        (b"zTXt", b"key\0\0no zlib"),
        (b"iTXt", b"key"),
        (b"tEXt", b""),
        (b"pHYs", b"a"),
        (b"cICP", b""),
    ):
        assert read_picture(png_with(name, body)).texts in ((), (("", ""),))
    bomb = b"key\0\0" + zlib.compress(bytes(70 << 20))
    assert read_picture(png_with(b"zTXt", bomb)).texts == ()


@pytest.mark.parametrize("form", ["PNG", "JPEG", "AVIF"])
def test_a_file_cut_anywhere_gives_facts_or_an_error_of_ours(form: str) -> None:
    data = saved(form, **({"comment": b"x"} if form == "JPEG" else {}))
    for length in range(12, len(data), 11):
        try:
            read_picture(data[:length])
        except InputError:
            continue


def test_xmp_that_does_not_fit_is_told() -> None:
    picture = Picture(np.zeros((4, 4, 3), np.float32), xmp=b"<x:xmpmeta>" + b"x" * 70_000)
    assert writing_notes(picture, "jpeg") == ("70,011 bytes of XMP do not fit into jpeg; write png to keep them",)
    assert writing_notes(picture, "png") == ()
    assert writing_notes(replace(picture, xmp=b"x"), "jpeg") == ()


@pytest.mark.parametrize("installed", [False, True])
def test_bands_name_the_package_that_measures_them(installed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    tifffile: Any = pytest.importorskip("tifffile")
    monkeypatch.setattr(facts, "has_module", lambda _: installed)
    file = io.BytesIO()
    tifffile.imwrite(file, np.zeros((8, 8, 4), np.uint16), photometric="rgb", extrasamples=["unspecified"])
    words = "bands beyond the colors ran as gray pictures; with pip install 'upres[geo]' their values are measured"
    assert (words in facts.read_facts(file.getvalue(), "tiff").notes) == (not installed)
