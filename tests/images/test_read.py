from __future__ import annotations

import io
import os
import struct
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
import pyvips
from numpy.typing import NDArray
from PIL import Image

from upres.errors import InputError
from upres.images.io import Header, read_header, read_picture

FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "AVIF", "GIF")


def noise(height: int, width: int, channels: int = 3, top: int = 256) -> NDArray[np.uint8]:
    return np.random.default_rng(3).integers(0, top, (height, width, channels)).astype(np.uint8)


def pillow(image: Image.Image, form: str, **settings: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, form, **settings)  # type: ignore[arg-type]
    return stream.getvalue()


def vips(pixels: NDArray[np.generic], interpretation: str) -> pyvips.Image:
    height, width, bands = pixels.shape
    format = {"uint8": "uchar", "uint16": "ushort", "float32": "float", "uint32": "uint", "int16": "short"}[
        pixels.dtype.name
    ]
    return pyvips.Image.new_from_memory(np.ascontiguousarray(pixels), width, height, bands, format).copy(
        interpretation=interpretation
    )


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png_of_size(width: int, height: int, data: bytes) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA"])
def test_png_modes_read_as_pillow_reads_them(mode: str) -> None:
    image = Image.fromarray(noise(7, 9, 4))
    image = (image.convert("RGB") if mode == "P" else image).convert(mode)
    picture = read_picture(pillow(image, "PNG"))
    gray = mode in ("1", "L", "LA")
    expected = np.asarray(image.convert("LA" if gray else "RGBA")).astype(np.float32) / 255
    np.testing.assert_array_equal(picture.pixels, expected[:, :, :-1])
    assert (picture.alpha is not None) == (mode in ("LA", "RGBA"))
    if picture.alpha is not None:
        np.testing.assert_array_equal(picture.alpha, expected[:, :, -1])
    assert picture.pixels.dtype == np.float32
    assert picture.pixels.flags.c_contiguous
    assert read_header(pillow(image, "PNG")) == Header(7, 9, 1 if gray else 3, mode in ("LA", "RGBA"), 8, "png")


def test_a_transparent_color_of_a_palette_becomes_alpha() -> None:
    image = Image.frombytes("P", (4, 3), bytes(range(12)))
    image.putpalette([value for index in range(256) for value in (index, 255 - index, 7)])
    picture = read_picture(pillow(image, "PNG", transparency=5))
    assert picture.alpha is not None
    assert np.argwhere(picture.alpha == 0).tolist() == [[1, 1]]
    np.testing.assert_array_equal(np.rint(picture.pixels[2, 3] * 255), [11, 244, 7])


@pytest.mark.parametrize("form", FORMATS)
def test_the_content_counts_and_not_the_name(form: str, tmp_path: Path) -> None:
    path = tmp_path / "wrong.ending"
    path.write_bytes(pillow(Image.fromarray(noise(20, 30)), form))
    assert read_picture(path).format == form.lower()
    assert read_header(path).format == form.lower()
    assert (read_header(path).height, read_header(path).width) == (20, 30)


def test_a_name_need_not_be_utf_8_or_plain(tmp_path: Path) -> None:
    data = pillow(Image.fromarray(noise(4, 4)), "PNG")
    names = [b"sp ace[1].png", "Bäume 森.png".encode()] + ([b"\xff\xfe.png"] if os.name == "posix" else [])
    for name in names:
        path = tmp_path / os.fsdecode(name)
        path.write_bytes(data)
        assert read_picture(path).pixels.shape == (4, 4, 3)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = noise(5, 8)
    data = pillow(Image.fromarray(stored), "PNG", exif=exif.tobytes())
    # CIPA DC-008, tag 274: which side of the scene the first row and the first column of the file show.
    expected = {
        1: stored,
        2: np.fliplr(stored),
        3: np.rot90(stored, 2),
        4: np.flipud(stored),
        5: np.swapaxes(stored, 0, 1),
        6: np.rot90(stored, -1),
        7: np.swapaxes(np.rot90(stored, 2), 0, 1),
        8: np.rot90(stored, 1),
    }[orientation]
    picture, header = read_picture(data), read_header(data)
    np.testing.assert_array_equal(np.rint(picture.pixels * 255).astype(np.uint8), expected)
    assert (header.height, header.width) == expected.shape[:2]
    assert picture.pixels.flags.c_contiguous


def test_cmyk_jpeg_is_white_where_no_ink_is() -> None:
    """Pillow writes CMYK as Adobe does, inverted."""
    ink = np.zeros((16, 48, 4), np.uint8)
    ink[:, 16:32] = (0, 255, 255, 0)
    ink[:, 32:] = (0, 0, 0, 255)
    picture = read_picture(pillow(Image.frombytes("CMYK", (48, 16), ink.tobytes()), "JPEG", quality=100))
    assert picture.pixels[8, 8].min() > 0.98
    assert picture.pixels[8, 24, 0] > 0.8 > 0.2 > picture.pixels[8, 24, 1:].max()
    assert picture.pixels[8, 40].max() < 0.2
    assert picture.notes == ("CMYK was converted to sRGB",)
    assert picture.icc is None


def test_sixteen_bits_keep_every_level() -> None:
    ramp = np.arange(65536, dtype=np.uint16).reshape(256, 256, 1)
    for data in (vips(ramp, "grey16").pngsave_buffer(), vips(ramp, "grey16").tiffsave_buffer()):
        picture = read_picture(data)
        assert picture.depth == 16
        np.testing.assert_array_equal(np.rint(picture.pixels.astype(np.float64) * 65535), ramp)


@pytest.mark.parametrize("shape", [(1, 1), (1, 17), (17, 1), (3, 20000), (20000, 3)])
def test_strange_shapes(shape: tuple[int, int]) -> None:
    for form in ("PNG", "TIFF", "JPEG"):
        assert read_picture(pillow(Image.fromarray(noise(*shape)), form)).pixels.shape == (*shape, 3)


@pytest.mark.parametrize(("form", "word"), [("GIF", "frames"), ("WEBP", "frames"), ("TIFF", "pages")])
def test_only_the_first_frame_is_read_and_that_is_said(form: str, word: str) -> None:
    frames = [Image.fromarray(np.full((6, 7, 3), value, np.uint8)) for value in (10, 120, 240)]
    picture = read_picture(pillow(frames[0], form, save_all=True, append_images=frames[1:]))
    assert picture.pixels.shape == (6, 7, 3)
    assert picture.pixels.max() < 0.1
    assert picture.notes == (f"only the first of 3 {word} was read",)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "is empty"),
        (b"this was a picture once\n", "seems to be text"),
        (b'<?xml version="1.0"?><svg/>', "SVG"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "SVG"),
        (b"%PDF-1.7", "PDF"),
        (b"\0\0\1\0" + bytes(30), "Windows icon"),
        (b"\0\0\0\x18ftypisom\0\0\0\0mp42isom", "video"),
        (bytes(range(64)), "has an unknown format"),
    ],
)
def test_what_is_not_a_picture_is_refused_by_name(data: bytes, words: str, tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(data)
    for read in (read_picture, read_header):
        with pytest.raises(InputError) as caught:
            read(path)
        assert str(path) in str(caught.value)
        assert words in str(caught.value)
        assert "expected one of PNG, JPEG, WebP, TIFF, AVIF, GIF" in str(caught.value)


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("part", [0.02, 0.5, 0.95])
def test_a_file_cut_short_is_refused(form: str, part: float, tmp_path: Path) -> None:
    data = pillow(Image.fromarray(noise(200, 220)), form)
    path = tmp_path / "cut"
    path.write_bytes(data[: max(16, int(len(data) * part))])
    with pytest.raises(InputError, match="damaged or truncated") as caught:
        read_picture(path)
    assert str(path) in str(caught.value)
    assert "copy or download it again" in str(caught.value)


def test_a_flipped_bit_in_a_png_is_found() -> None:
    data = bytearray(pillow(Image.fromarray(noise(50, 50)), "PNG"))
    data[len(data) // 2] ^= 4
    with pytest.raises(InputError, match="damaged"):
        read_picture(bytes(data))


def test_altered_bytes_of_a_progressive_jpeg_are_told() -> None:
    image = Image.fromarray(noise(60, 80))
    for settings in ({}, {"progressive": True}):
        assert read_picture(pillow(image, "JPEG", **settings)).notes == ()
    data = pillow(image, "JPEG", progressive=True)
    told = 0
    for at in range(len(data) // 4, len(data) - 2, 37):
        try:
            notes = read_picture(data[:at] + bytes([data[at] ^ 0x55]) + data[at + 1 :]).notes
        except InputError:
            continue
        told += any("parts of the picture may be damaged" in note and "check the result" in note for note in notes)
    assert told > 10  # a decoder cannot see every altered byte, but these it does


def test_a_stray_byte_is_no_reason_to_refuse_a_photograph() -> None:
    data = pillow(Image.fromarray(noise(30, 40)), "JPEG")
    odd = read_picture(data[:20] + b"\0\0" + data[20:])  # between two markers
    np.testing.assert_array_equal(odd.pixels, read_picture(data).pixels)
    assert len(odd.notes) == 1 and "extraneous bytes" in odd.notes[0]


def test_premultiplied_colors_of_a_tiff_are_divided_by_alpha() -> None:
    tifffile = pytest.importorskip("tifffile")
    colors, alpha = noise(20, 30), noise(20, 30, 1) // 2 + 128
    stored = np.rint(colors * (alpha / 255)).astype(np.uint8)
    stream = io.BytesIO()
    tifffile.imwrite(stream, np.concatenate((stored, alpha), axis=2), photometric="rgb", extrasamples=["assocalpha"])
    picture = read_picture(stream.getvalue())
    assert picture.alpha is not None
    np.testing.assert_array_equal(np.rint(picture.alpha * 255), alpha[:, :, 0])
    assert np.abs(picture.pixels * 255 - colors).max() <= 1.01


@pytest.mark.parametrize("bits", [10, 12])
def test_every_level_of_a_deep_avif_is_where_it_belongs(bits: int) -> None:
    top = 2**bits - 1
    levels = np.arange(top + 1, dtype=np.uint16).reshape(-1, 64, 1)
    image = vips(np.repeat(levels << (16 - bits), 3, axis=2), "rgb16")
    picture = read_picture(image.heifsave_buffer(compression="av1", bitdepth=bits, lossless=True))
    assert picture.depth == 16
    assert picture.pixels.min() == 0.0 and picture.pixels.max() == 1.0
    # libheif's lossless is to within a level of 10 bits; on the average nothing may move
    error = picture.pixels * top - levels
    assert abs(error.mean()) < 0.02
    assert np.abs(error).max() < (3.1 if bits == 10 else 0.1)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes here")
def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(InputError, match=r"pipe\.png is a pipe or a device, expected a file; use -"):
        read_header(tmp_path / "pipe.png")


def test_a_bomb_is_refused_by_its_header() -> None:
    data = png_of_size(50_000, 50_000, bytes(100_000))
    start = time.process_time()
    for read in (read_header, read_picture):
        with pytest.raises(InputError, match="claims 50,000 x 50,000 pixels in 177 bytes"):
            read(data)
    assert time.process_time() - start < 1.0
    with pytest.raises(InputError, match=r"more than the limit of 5; .*raise the limit \(max_pixels\)"):
        read_picture(pillow(Image.new("RGB", (3, 2)), "PNG"), max_pixels=5)
    assert read_picture(pillow(Image.new("RGB", (3, 2)), "PNG"), max_pixels=6).pixels.shape == (2, 3, 3)


def test_a_png_that_promises_more_rows_than_it_has_is_refused() -> None:
    with pytest.raises(InputError, match="damaged"):
        read_picture(png_of_size(100, 100, bytes(301 * 50)))


@pytest.mark.parametrize(
    ("dtype", "words"),
    [("float32", "32-bit floating point"), ("uint32", "32-bit integers"), ("int16", "signed integers")],
)
def test_samples_that_are_not_8_or_16_bits_are_refused(dtype: str, words: str) -> None:
    data = vips(np.ones((4, 4, 3), dtype), "multiband").tiffsave_buffer()
    for read in (read_picture, read_header):
        with pytest.raises(InputError, match=f"{words}, expected 8- or 16-bit integers"):
            read(data)


def test_too_many_channels_are_refused() -> None:
    with pytest.raises(InputError, match="declares several bands as transparency"):
        read_picture(vips(np.zeros((4, 4, 6), np.uint8), "multiband").tiffsave_buffer())


def test_folders_missing_files_and_locked_files(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is a folder, expected a picture"):
        read_picture(tmp_path)
    with pytest.raises(InputError, match=r"none\.png does not exist"):
        read_header(tmp_path / "none.png")
    with pytest.raises(InputError, match=r"cannot read .*: Not a directory|does not exist"):
        (tmp_path / "file").touch()
        read_header(tmp_path / "file" / "a.png")


def test_a_file_without_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)  # root, which tests may run as, may read everything
    with pytest.raises(InputError, match=r"a\.png is not readable; change its permissions"):
        read_header(tmp_path / "a.png")


def test_resolution_is_what_the_file_says_or_nothing() -> None:
    image = Image.fromarray(noise(4, 6))
    for form in ("PNG", "JPEG", "TIFF"):
        assert read_picture(pillow(image, form)).dpi is None
        assert read_picture(pillow(image, form, dpi=(300, 150))).dpi == pytest.approx((150, 300), abs=0.02)
    exif = Image.Exif()
    exif[0x011A], exif[0x011B], exif[0x0128] = 200.0, 100.0, 2
    assert read_picture(pillow(image, "WEBP", exif=exif.tobytes())).dpi == pytest.approx((100, 200))
    assert read_picture(pillow(image, "WEBP")).dpi is None


def test_untrusted_loaders_are_blocked() -> None:
    with pytest.raises(pyvips.Error):
        pyvips.Image.new_from_buffer(b"P5 1 1 255\n\0", "")


def test_a_picture_is_read_from_bytes_and_from_an_open_file(tmp_path: Path) -> None:
    data = pillow(Image.fromarray(noise(5, 6)), "PNG")
    (tmp_path / "a.png").write_bytes(data)
    expected = read_picture(tmp_path / "a.png").pixels
    with (tmp_path / "a.png").open("rb") as file:
        for source in (data, bytearray(data), memoryview(data), io.BytesIO(data), file):
            np.testing.assert_array_equal(read_picture(source).pixels, expected)
    with (tmp_path / "a.png").open("rb") as file:
        assert read_header(file) == Header(5, 6, 3, False, 8, "png")


@pytest.mark.parametrize("source", [io.StringIO("text"), None, 7, np.zeros((4, 4, 3), np.uint8)])
def test_what_is_neither_a_path_nor_bytes_nor_a_binary_file_is_refused(source: object) -> None:
    with pytest.raises(InputError, match="expected a path, bytes or a file open in binary mode, got "):
        read_picture(source)  # type: ignore[arg-type]
