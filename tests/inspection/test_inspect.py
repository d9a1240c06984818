"""Whole pictures: what is told of them, and that odd ones are looked at or refused in words."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.inspection.made import Array, as_picture, decoded, jpeg, noisy, texture
from upres.errors import InputError
from upres.images.io import Picture, encode_picture, read_picture
from upres.images.jpeg_tables import read_tables
from upres.images.resize import imresize
from upres.inspection import inspect as inspect_module
from upres.inspection.inspect import inspect_decoded, inspect_picture
from upres.inspection.report import BANDED


def in_color(luma: Array) -> Array:
    return luma[:, :, None] * np.array([1.0, 0.8, 0.6], np.float32)


def test_a_sharp_photograph_has_no_faults(example_photo: Path) -> None:
    report = inspect_picture(example_photo)
    assert (report.format, report.height, report.width, report.channels, report.depth) == ("png", 224, 224, 3, 8)
    assert (report.alpha, report.profile) == (False, None)
    assert report.true_scale == 1.0 and report.blur_sigma_px == 0.0
    assert report.jpeg_quality is None and report.jpeg_grid_offset is None
    assert report.noise_luma_sigma_255 is not None and report.noise_luma_sigma_255 < 2.0
    assert (report.gray, report.banded) == (False, False) and report.drawn is not True


@pytest.mark.parametrize("quality", [35, 70, 92])
def test_a_jpeg_tells_its_own_quality(example_photo: Path, quality: int, tmp_path: Path) -> None:
    data = jpeg(read_picture(example_photo).pixels * 255.0, quality, subsampling=2)
    (tmp_path / "a.jpg").write_bytes(data)
    for source in (data, tmp_path / "a.jpg", str(tmp_path / "a.jpg"), io.BytesIO(data)):
        report = inspect_picture(source)
        assert (report.jpeg_quality, report.jpeg_quality_source, report.jpeg_grid_offset) == (quality, "tables", (0, 0))
        assert report.earlier_jpeg_quality is None
        assert report.noise_sigma_255 is None


def test_a_jpeg_that_became_a_png_tells_it_by_its_pixels() -> None:
    levels = decoded(jpeg(in_color(texture()), 65))[2:, 7:]
    report = inspect_picture(encode_picture(as_picture(levels), "png"))
    assert (report.jpeg_quality_source, report.jpeg_grid_offset) == ("pixels", (6, 1))
    assert report.jpeg_quality is not None and abs(report.jpeg_quality - 65) <= 2


def test_an_earlier_compression_on_the_same_grid_is_told_of_a_jpeg() -> None:
    report = inspect_picture(jpeg(decoded(jpeg(in_color(texture()), 40)), 90))
    assert report.jpeg_quality == 90 and report.earlier_jpeg_grid_offset == (0, 0)
    assert report.earlier_jpeg_quality is not None and abs(report.earlier_jpeg_quality - 40) <= 2


def test_noise_of_each_channel_and_of_luma_is_told() -> None:
    report = inspect_decoded(as_picture(noisy((3.0, 6.0, 9.0))))
    assert report.noise_sigma_255 == pytest.approx((3.0, 6.0, 9.0), rel=0.1)
    assert report.noise_luma_sigma_255 == pytest.approx(3.8, rel=0.1)


def test_an_enlarged_photograph_tells_its_true_scale(example_photo: Path) -> None:
    large = imresize(read_picture(example_photo).pixels, 2.0)
    report = inspect_decoded(as_picture(np.clip(large, 0, 1) * 255))
    assert report.true_scale == pytest.approx(2.0, rel=0.1)
    assert report.blur_sigma_px == pytest.approx(1.37, rel=0.1)


def test_a_turned_jpeg_is_looked_at_upright() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    target = io.BytesIO()
    Image.fromarray(texture(300)[:203, :].astype(np.uint8)).save(target, "JPEG", quality=50, exif=exif)
    report = inspect_picture(target.getvalue())
    assert (report.height, report.width) == (300, 203)
    assert (report.jpeg_quality, report.jpeg_grid_offset) == (50, (0, 203 % 8))


@pytest.mark.parametrize(
    "shape", [(1, 1, 3), (1, 1, 1), (3, 20000, 3), (20000, 3, 1), (8, 8, 3), (64, 64, 3), (143, 600, 3)]
)
@pytest.mark.parametrize("level", [0.0, 128.0, 255.0])
def test_small_thin_and_empty_pictures_are_looked_at(shape: tuple[int, int, int], level: float) -> None:
    report = inspect_decoded(as_picture(np.full(shape, level, np.float32)))
    assert (report.height, report.width, report.channels) == shape
    assert report.true_scale is None and report.jpeg_quality is None and report.drawn is None
    if min(shape[:2]) < 8 and shape[2] == 3:
        assert report.gray is None and report.noise_sigma_255 is None
    else:
        assert report.gray is True


def test_all_black_is_no_picture_without_noise() -> None:
    report = inspect_decoded(as_picture(np.zeros((600, 700, 3), np.float32)))
    assert report.noise_sigma_255 is None and report.true_scale_confidence is None
    assert report.banding == 0.0


def test_alpha_depth_and_gray() -> None:
    gray = inspect_decoded(as_picture(texture()))
    assert (gray.channels, gray.gray, gray.alpha) == (1, True, False)
    assert gray.noise_sigma_255 is not None and len(gray.noise_sigma_255) == 1
    pixels = as_picture(in_color(texture()), depth=16)
    deep = inspect_decoded(Picture(pixels.pixels, alpha=np.ones((320, 320), np.float32), depth=16))
    assert (deep.depth, deep.alpha, deep.gray) == (16, True, False)


def test_pixels_outside_of_srgb_are_looked_at() -> None:
    report = inspect_decoded(Picture(in_color(texture()) / np.float32(128.0) - np.float32(0.3)))
    assert report.noise_luma_sigma_255 is None or np.isfinite(report.noise_luma_sigma_255)


def test_a_report_does_not_depend_on_when_it_is_made(example_photo: Path) -> None:
    assert inspect_picture(example_photo) == inspect_picture(example_photo)


@pytest.mark.parametrize(("data", "words"), [(b"", "is empty"), (b"hello, this is text", "seems to be text")])
def test_what_is_no_picture_is_refused(data: bytes, words: str, tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(data)
    for source in (data, path):
        with pytest.raises(InputError, match=words):
            inspect_picture(source)


def test_a_jpeg_whose_tables_are_told_beforehand_is_not_read_again(example_photo: Path) -> None:
    data = jpeg(read_picture(example_photo).pixels * 255.0, 70)
    assert inspect_decoded(read_picture(data), read_tables(data)) == inspect_picture(data)


def test_banded_is_from_two_hundredths() -> None:
    rows, columns = np.mgrid[:300, :600].astype(np.float32)
    report = inspect_decoded(as_picture(in_color(40.0 + columns / 20.0 + rows / 300.0)))
    assert report.banding is not None and report.banding > BANDED and report.banded is True


@pytest.mark.parametrize("form", ["png", "jpeg"])
def test_a_large_picture_is_decoded_by_rows_and_reported_alike(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = np.random.default_rng(4).random((70, 80, 3)).astype(np.float32)
    large = np.clip(imresize(pixels, size=(1100, 1200)), 0.0, 1.0)
    data = encode_picture(Picture(large), form)
    whole = inspect_picture(data)
    monkeypatch.setattr(inspect_module, "_WHOLE_PIXELS", 1_000_000)
    monkeypatch.setattr(inspect_module, "read_picture", lambda _: pytest.fail("the whole picture was decoded"))
    assert inspect_picture(data) == whole
    assert inspect_picture(io.BytesIO(data)) == whole
