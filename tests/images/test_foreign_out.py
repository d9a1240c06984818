"""Formats that other packages write, read by another library than the one that wrote them where there is one."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from tests.images.test_iso_boxes import EXIF, XMP
from upres.errors import OutputError
from upres.images import foreign_out
from upres.images.formats import FOREIGN_FORMATS
from upres.images.io import Picture, check_writable, encode_picture, read_picture, writing_notes
from upres.images.levels import levels_to_write
from upres.images.said_colors import adobe_rgb

RNG = np.random.default_rng(4)


def picture(channels: int, alpha: bool = False, depth: int = 8, **fields: Any) -> Picture:
    """Whole levels, in patches that lossy formats hardly change."""
    top = 255 if depth == 8 else 65535
    patches = RNG.integers(0, top + 1, (3, 4, channels + alpha)).astype(np.float32) / np.float32(top)
    levels = patches.repeat(16, axis=0).repeat(16, axis=1)
    return Picture(levels[:, :, :channels].copy(), levels[:, :, -1].copy() if alpha else None, depth, **fields)


def wanted(made: Picture, format: str) -> NDArray[np.float32]:
    """What a format without alpha shows."""
    if made.alpha is None or "alpha" in FOREIGN_FORMATS[format].holds:
        return made.pixels
    return made.pixels * made.alpha[:, :, None] + 1 - made.alpha[:, :, None]


@pytest.mark.parametrize("format", ["bmp", "tga", "pnm", "pam", "jxl", "jp2", "heic", "exr"])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("alpha", [False, True])
@pytest.mark.parametrize("depth", [8, 16])
def test_what_is_written_comes_back(format: str, channels: int, alpha: bool, depth: int) -> None:
    form = FOREIGN_FORMATS[format]
    pytest.importorskip(form.module or "numpy")
    made = picture(channels, alpha, depth)
    back = read_picture(encode_picture(made, format))
    assert (back.alpha is not None) == (alpha and "alpha" in form.holds)
    assert back.depth == (8 if depth == 8 and format != "exr" else min(16, 16 if form.bits > 8 else 8))
    exact = format in ("pam", "jxl", "jp2") or (format in ("bmp", "tga", "pnm") and not alpha)
    bound = 0.51 / 255 if depth == 8 else 0.51 / min(65535, (1 << form.bits) - 1)
    if format == "heic":  # lossy
        inside = np.s_[:, 4:12, :, 4:12]
        one, other = (
            x.reshape(3, 16, 4, 16, -1)[inside]
            for x in (back.pixels, np.broadcast_to(made.pixels, (48, 64, back.pixels.shape[2])))
        )
        assert np.abs(one - other).max() <= 1.01 / 255
        return
    if format == "exr":  # half precision, of light
        bound = 0.1 / 255
    if exact and form.bits >= depth:
        bound = 0.02 / 65535
    assert np.abs(back.pixels - wanted(made, format)).max() <= bound
    if back.alpha is not None and made.alpha is not None:
        assert np.abs(back.alpha - made.alpha).max() <= bound


@pytest.mark.parametrize(
    ("format", "mode"), [("bmp", "RGB"), ("tga", "RGBA"), ("pnm", "RGB"), ("jp2", "RGBA"), ("heic", "RGBA")]
)
def test_pillow_reads_them(format: str, mode: str) -> None:
    form = FOREIGN_FORMATS[format]
    pytest.importorskip(form.module or "numpy")
    if format == "heic":
        pytest.importorskip("pillow_heif").register_heif_opener()
    made = picture(3, mode == "RGBA")
    with Image.open(io.BytesIO(encode_picture(made, format, quality=100 if format == "heic" else None))) as image:
        assert image.mode == mode
        levels = np.asarray(image)
    np.testing.assert_array_equal(levels[:, :, :3], np.rint(made.pixels * 255))
    if made.alpha is not None:
        assert np.abs(levels[:, :, 3] - made.alpha * 255).max() <= (1 if format == "heic" else 0.01)


def test_16_bits_of_pnm_are_read_by_opencv() -> None:
    cv2: Any = pytest.importorskip("cv2")
    made = picture(3, depth=16)
    image = cv2.imdecode(np.frombuffer(encode_picture(made, "pnm"), np.uint8), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(image[:, :, ::-1], np.rint(made.pixels * 65535))


@pytest.mark.parametrize("format", ["heic", "jxl", "jp2"])
def test_metadata_is_kept(format: str) -> None:
    pytest.importorskip(FOREIGN_FORMATS[format].module)
    made = picture(3, icc=adobe_rgb(), exif=EXIF, xmp=XMP, dpi=(300.0, 150.0))
    back = read_picture(encode_picture(made, format, quality=None if format == "jp2" else 100))
    assert back.exif is not None and b"a maker" in back.exif
    assert back.xmp == XMP and back.dpi == (300.0, 150.0)
    assert back.icc == adobe_rgb() and writing_notes(made, format) == ()
    one, other = (levels_to_write(each, "png").astype(int) for each in (back, made))
    assert np.abs(one - other).max() <= 1


@pytest.mark.parametrize("format", ["bmp", "tga", "pnm", "pam", "hdr"])
def test_what_is_lost_is_told(format: str) -> None:
    notes = " ".join(writing_notes(picture(3, True, 16, icc=adobe_rgb(), exif=EXIF, xmp=XMP, dpi=(9.0, 9.0)), format))
    for words in ("EXIF is not written", "XMP is not written"):
        assert words in notes
    assert ("color profile" in notes) == (format != "hdr")
    assert ("resolution in dots per inch" in notes) == (format != "bmp")
    assert ("blended with white" in notes) == (format in ("bmp", "pnm", "hdr"))
    assert ("rounded to 8" in notes) == (format in ("bmp", "tga"))


def test_quality_and_size_of_lossy_ones() -> None:
    pytest.importorskip("pyjpegxl")
    noise = Picture(RNG.random((90, 90, 3), dtype=np.float32))
    assert len(encode_picture(noise, "jxl", quality=60)) < len(encode_picture(noise, "jxl", quality=90))
    assert len(encode_picture(noise, "jxl", target_kb=6)) <= 6000


def test_a_missing_package_is_told_before_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(foreign_out, "has_module", lambda _: False)
    with pytest.raises(OutputError, match=r"heic is written by another package: pip install 'upres\[heic\]'"):
        check_writable("heic", 9, 9)
    check_writable("pnm", 9, 9)
