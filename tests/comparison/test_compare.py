"""All versions of a picture: which files belong together, what each version is, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.tiny import FakeRunner, compact, noise, picture
from upres.comparison.compare import PictureFiles, check_scales, compare_picture, find_picture_files, label_of
from upres.errors import EngineError, InputError, UsageError
from upres.images.io import quantize, read_picture, write_picture
from upres.images.resize import imresize
from upres.metrics.psnr_ssim import psnr, ssim
from upres.upscaling.invented import draw_map
from upres.upscaling.upscaler import Upscaler


def nearest(scale: int = 2, **faults: object) -> Upscaler:
    runner, reference = (FakeRunner(scale, **faults) for _ in range(2))  # type: ignore[arg-type]
    return Upscaler(compact(scale), runner=runner, reference=reference)


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """hr/a.png of 40 x 50 and its LR lr/ax2.png."""
    for folder in ("hr", "lr"):
        (tmp_path / folder).mkdir()
    pixels = noise(40, 50)
    write_picture(picture(pixels), tmp_path / "hr" / "a.png")
    write_picture(picture(np.clip(imresize(pixels, 0.5), 0, 1)), tmp_path / "lr" / "ax2.png")
    return tmp_path


def test_versions_and_their_figures(files: Path) -> None:
    result = compare_picture(PictureFiles(files / "lr" / "ax2.png", files / "hr" / "a.png"), {"net": nearest()}, 2)
    assert [version.name for version in result.versions] == ["LR", "bicubic", "net", "HR"]
    lr, bicubic, net, hr = (version.levels for version in result.versions)
    np.testing.assert_array_equal(lr, quantize(read_picture(files / "lr" / "ax2.png").pixels, 8))
    np.testing.assert_array_equal(bicubic, imresize(lr, 2.0))
    np.testing.assert_array_equal(net, lr.repeat(2, axis=0).repeat(2, axis=1))
    assert result.hr is hr and result.size == (40, 50)
    assert result.versions[2].psnr_y == psnr(net, hr, border=2, luma=True)
    assert result.versions[2].ssim_y == ssim(net, hr, border=2, luma=True)
    assert result.versions[2].seconds is not None and result.versions[1].seconds is None
    assert [version.name for version in result.models] == ["net"]


def test_without_hr_there_are_no_figures(files: Path) -> None:
    result = compare_picture(PictureFiles(files / "lr" / "ax2.png", None), {"net": nearest()}, 2)
    assert [version.name for version in result.versions] == ["LR", "bicubic", "net"]
    assert result.hr is None and all(version.psnr_y is None for version in result.versions)


def test_maps_stand_before_hr_and_are_no_models(files: Path) -> None:
    pair = PictureFiles(files / "lr" / "ax2.png", files / "hr" / "a.png")
    result = compare_picture(pair, {"net": nearest(), "two": nearest()}, 2, invented=True)
    names = ["LR", "bicubic", "net", "two", "net: invented", "two: invented", "HR"]
    assert [version.name for version in result.versions] == names
    assert [version.name for version in result.models] == ["net", "two"]
    np.testing.assert_array_equal(result.versions[4].levels, draw_map(result.versions[2].levels, (20, 25)))
    assert label_of(result.versions[4], {"net": "short"}) == "short: invented"


def test_without_lr_it_is_made_from_hr(files: Path) -> None:
    result = compare_picture(PictureFiles(None, files / "hr" / "a.png"), {"net": nearest()}, 2)
    hr = quantize(read_picture(files / "hr" / "a.png").pixels, 8)
    np.testing.assert_array_equal(result.versions[0].levels, imresize(hr, size=(20, 25)))


def test_a_tiny_picture_is_shown_without_figures(tmp_path: Path) -> None:
    write_picture(picture(noise(12, 12)), tmp_path / "t.png")
    result = compare_picture(PictureFiles(None, tmp_path / "t.png"), {"net": nearest()}, 2)
    assert result.hr is not None and result.versions[2].psnr_y is None


def test_files_are_matched_by_name(files: Path) -> None:
    lr, hr = files / "lr" / "ax2.png", files / "hr" / "a.png"
    assert find_picture_files([lr], files / "hr", 2) == [PictureFiles(lr, hr)]
    assert find_picture_files([files / "lr", lr], files / "hr", 2) == [PictureFiles(lr, hr)]
    assert find_picture_files([lr], None, 2) == [PictureFiles(lr, None)]
    assert find_picture_files([], files / "hr", 2) == [PictureFiles(None, hr)]
    with pytest.raises(UsageError, match="name pictures to compare"):
        find_picture_files([], None, 2)
    with pytest.raises(InputError, match=r"other\.png has no HR picture in "):
        find_picture_files([files / "other.png"], files / "hr", 2)
    write_picture(picture(noise(20, 20)), files / "hr" / "a_GT.png")
    with pytest.raises(InputError, match="keep one"):
        find_picture_files([lr], files / "hr", 2)


def test_sizes_that_do_not_fit_are_refused(files: Path) -> None:
    write_picture(picture(noise(20, 30)), files / "lr" / "wide.png")
    with pytest.raises(InputError, match=r"a\.png is 50 x 40, so LR must be 25 x 20, but it is 30 x 20"):
        compare_picture(PictureFiles(files / "lr" / "wide.png", files / "hr" / "a.png"), {"net": nearest()}, 2)


def test_a_model_that_fails_is_named(files: Path) -> None:
    bad = nearest(spoil_call=0, error=EngineError("out of order"))
    with pytest.raises(InputError, match=r"^bad: .*out of order"):
        compare_picture(PictureFiles(None, files / "hr" / "a.png"), {"net": nearest(), "bad": bad}, 2)


def test_models_have_one_scale_and_their_own_names() -> None:
    assert check_scales({"a": nearest(3), "b": nearest(3)}) == 3
    with pytest.raises(UsageError, match="a by 2, b by 4; compare models of one scale"):
        check_scales({"a": nearest(2), "b": nearest(4)})
    with pytest.raises(UsageError, match="a model cannot be named HR"):
        check_scales({"HR": nearest(2)})
