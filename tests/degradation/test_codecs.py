"""Codecs: what goes in comes out damaged in the way of its format."""

import numpy as np
import pytest
from skimage.io import imread

from upres.degradation.codecs import FORMATS, recode
from upres.errors import EngineError, UsageError


def picture(height: int = 96, width: int = 80, channels: int = 3) -> np.ndarray:
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)
    planes = [0.5 + 0.4 * np.sin(rows / (3 + c) + columns / (7 - c)) for c in range(channels)]
    return np.stack(planes, axis=2).astype(np.float32)


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("size", [(1, 1), (1, 9), (33, 47), (16, 16)])
def test_sizes_and_channels_stay(format: str, size: tuple[int, int]) -> None:
    for channels in (1, 3):
        image = picture(*size, channels)
        before = image.copy()
        found = recode(image, format, 80, True, (0, 0))
        assert found.shape == image.shape and found.dtype == np.float32 and np.array_equal(image, before)
        assert found.min() >= 0.0 and found.max() <= 1.0
        np.testing.assert_allclose(found * 255, np.rint(found * 255), atol=1e-4)


@pytest.mark.parametrize("format", FORMATS)
def test_lower_quality_is_worse(format: str) -> None:
    image = np.clip(picture() + np.random.default_rng(0).normal(0, 0.05, (96, 80, 3)), 0, 1).astype(np.float32)
    errors = [
        float(np.abs(recode(image, format, quality, True, (0, 0)) - image).mean()) for quality in (10, 40, 70, 95)
    ]
    assert errors == sorted(errors, reverse=True) and errors[0] > 1.5 * errors[-1]


def test_chroma_is_halved_only_where_asked() -> None:
    """Stripes of pure color, one pixel wide: gone in 4:2:0, there in 4:4:4."""
    image = np.zeros((64, 64, 3), np.float32)
    image[:, ::2, 0] = 0.6
    image[:, 1::2, 2] = 0.9
    contrast = {
        s: float(np.abs(np.diff(recode(image, "jpeg", 95, s, (0, 0))[..., 0], axis=1)).mean()) for s in (True, False)
    }
    assert contrast[False] > 0.5 and contrast[True] < 0.35


@pytest.mark.parametrize("shift", [(0, 0), (3, 5)])
def test_the_grid_of_blocks_lies_where_it_should(shift: tuple[int, int]) -> None:
    """At quality 1 a smooth picture becomes flat blocks, whose edges lie on the grid moved up and left by the shift."""
    rows, columns = np.mgrid[0:64, 0:64].astype(np.float32)
    image = np.repeat((rows + columns)[..., None] / 200, 3, axis=2)
    found = recode(image, "jpeg", 1, True, shift)[..., 1]
    for axis, moved in ((0, shift[0]), (1, shift[1])):
        steps = np.abs(np.diff(found, axis=axis)).mean(axis=1 - axis)
        on_grid = (np.arange(63) + 1 + moved) % 8 == 0
        assert steps[on_grid].mean() > 20 * max(1e-9, steps[~on_grid].mean())


def test_it_is_a_real_jpeg(tmp_path) -> None:  # type: ignore[no-untyped-def]
    """libvips at the same quality, read by another decoder, gives the same picture but for rounding."""
    import pyvips

    levels = np.rint(picture() * 255).astype(np.uint8)
    pyvips.Image.new_from_array(levels).copy(interpretation="srgb").jpegsave(
        str(tmp_path / "a.jpg"), Q=60, subsample_mode="off"
    )
    found = np.rint(recode(picture(), "jpeg", 60, False, (0, 0)) * 255)
    assert np.abs(found - imread(tmp_path / "a.jpg").astype(float)).max() <= 2


@pytest.mark.parametrize("format", FORMATS)
def test_gray_is_the_picture_of_three_equal_channels(format: str) -> None:
    """A gray picture is coded as gray, which is what its luma would be: no color, no shift of its level."""
    gray = picture(64, 64, 1)
    alone, color = recode(gray, format, 80, True, (0, 0)), recode(np.repeat(gray, 3, axis=2), format, 80, True, (0, 0))
    assert float(np.abs(color - color.mean(axis=2, keepdims=True)).max()) <= 2.1 / 255
    assert float(np.abs(alone - color).mean()) < 1.5 / 255 and abs(float((alone - gray).mean())) < 0.5 / 255


@pytest.mark.parametrize("format", FORMATS)
def test_the_best_quality_is_close(format: str) -> None:
    """Within a level on average; of a picture without color, as WebP halves chroma at any quality."""
    image = np.repeat(picture(64, 64, 1), 3, axis=2)
    assert float(np.abs(recode(image, format, 100, False, (0, 0)) - image).mean()) * 255 < 1.0


@pytest.mark.parametrize("size", [(1, 1), (2, 9), (33, 47)])
def test_a_shift_keeps_the_size(size: tuple[int, int]) -> None:
    """Also where more pixels are reflected than there are."""
    found = recode(picture(*size), "jpeg", 95, False, (7, 6))
    assert found.shape == (*size, 3) and float(np.abs(found - picture(*size)).mean()) < 0.03


def test_what_is_out_of_range_is_clipped_first() -> None:
    image = picture() * 4 - 1
    assert np.array_equal(
        recode(image, "jpeg", 90, False, (0, 0)), recode(np.clip(image, 0, 1), "jpeg", 90, False, (0, 0))
    )


def test_an_unknown_format_is_refused() -> None:
    with pytest.raises(UsageError, match="unknown format 'gif': expected one of jpeg, webp, avif"):
        recode(picture(), "gif", 90, True, (0, 0))
    for quality in (0, 101):
        with pytest.raises(UsageError, match=f"the quality of jpeg must be in .1, 100., got {quality}"):
            recode(picture(), "jpeg", quality, True, (0, 0))


def test_a_codec_that_libvips_lacks_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    import pyvips

    def absent(*_: object, **__: object) -> bytes:
        raise pyvips.Error("VipsOperation: class heifsave_buffer not found")

    monkeypatch.setattr(pyvips.Image, "heifsave_buffer", absent, raising=False)
    with pytest.raises(EngineError, match=r"this libvips cannot encode avif: .*heifsave_buffer not found.*pip install"):
        recode(picture(), "avif", 50, True, (0, 0))
