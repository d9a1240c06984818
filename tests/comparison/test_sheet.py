"""The layout of a contact sheet."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from tests.comparison.made import compared, random_levels
from upres.comparison.compare import ComparedPicture, Version
from upres.comparison.crops import Box
from upres.comparison.sheet import ContactSheet, Drawing, crop_figures, cut_version, figures_text
from upres.errors import InputError
from upres.metrics.psnr_ssim import psnr, ssim

LABELS = {"one": "One", "two": "Two"}
AT = Box(16, 24, 16, 20)


def sheet(*, hr: bool = True, paper: bool = False, pictures: int = 1, at: Box | None = AT) -> Drawing:
    made = ContactSheet("a title", LABELS, paper=paper, at=at)
    for index in range(pictures):
        made.add(compared(hr=hr, name=f"{index}.png"))
    return made.finish()


def texts(drawing: Drawing) -> list[str]:
    return [label.text for label in drawing.labels]


def test_the_overview_is_no_map() -> None:
    plain = compared(hr=False)
    drawn = random_levels(40, 60, 9)
    with_map = ComparedPicture(plain.name, plain.scale, (*plain.versions, Version("m", drawn, map_of="two")))
    made = ContactSheet("t", {})
    made.add(with_map)
    np.testing.assert_array_equal(made.finish().pictures[0].levels, plain.versions[-1].levels)


def test_crops_at_100_and_200_percent_with_names_and_figures() -> None:
    drawing, picture = sheet(), compared()
    assert texts(drawing)[-2:] == ["a title", "crops as chosen; PSNR and SSIM of each crop: Y of BT.601, whole crop"]
    for name in ("0.png   30 x 20, x2", "100 %", "200 %", "LR (nearest)", "bicubic", "One", "Two", "HR"):
        assert name in texts(drawing)
    overview, *panels = drawing.pictures
    assert overview.levels.shape == (40, 60, 3) and len(panels) == 2 * 5
    first, second = panels[4], panels[5]  # of the model `one`
    one = picture.versions[2].levels
    np.testing.assert_array_equal(first.levels, AT.cut(one))
    assert (first.zoom, second.zoom) == (1, 2) and second.levels.shape == (8, 10, 3)
    np.testing.assert_array_equal(second.levels, one[20:28, 28:38])  # where the models differ, within the crop
    assert figures_text(crop_figures(AT.cut(one), AT.cut(picture.versions[4].levels))) in texts(drawing)
    bold = [label.text for label in drawing.labels if label.bold and "dB" in label.text]
    assert len(bold) >= 2  # the best of each row


def test_everything_lies_inside_and_blocks_do_not_overlap() -> None:
    drawing = sheet(pictures=3, at=None)
    for placed in drawing.pictures:
        height, width = (side * placed.zoom for side in placed.levels.shape[:2])
        assert placed.left >= 0 and placed.left + width <= drawing.width
        assert placed.top >= 0 and placed.top + height <= drawing.height
    overviews = [drawing.pictures[index] for index in (0, 11, 22)]
    assert all(later.top > former.top + 80 for former, later in itertools.pairwise(overviews))
    assert len(drawing.frames) == 6


def test_paper_has_names_only() -> None:
    assert sorted(set(texts(sheet(paper=True)))) == ["HR", "LR (nearest)", "One", "Two", "bicubic"]


def test_without_hr_there_are_no_figures() -> None:
    drawing = sheet(hr=False)
    assert not any("dB" in text for text in texts(drawing)) and texts(drawing)[-1] == "crops as chosen"


def test_lr_is_cut_by_nearest_neighbor() -> None:
    picture = compared()
    lr = picture.versions[0]
    np.testing.assert_array_equal(
        cut_version(lr, Box(3, 5, 9, 7), 2), Box(3, 5, 9, 7).cut(lr.levels.repeat(2, axis=0).repeat(2, axis=1))
    )
    assert cut_version(Version("x", lr.levels), Box(0, 0, 2, 2), 2).shape == (2, 2, 3)


def test_figures_are_of_the_whole_crop() -> None:
    picture = compared()
    sr, hr = picture.versions[2].levels, picture.versions[4].levels
    assert crop_figures(sr, hr) == (psnr(sr, hr, border=0, luma=True), ssim(sr, hr, border=0, luma=True))
    assert crop_figures(sr[:10], hr[:10])[1] is None
    assert figures_text((28.414, 0.81234)) == "28.41 dB  0.8123" and figures_text((float("inf"), None)) == "inf dB"


def test_a_crop_beyond_the_picture_is_refused() -> None:
    with pytest.raises(InputError, match="reaches beyond"):
        sheet(at=Box(0, 0, 41, 20))
