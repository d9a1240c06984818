"""A sheet as pixels: pictures arrive unchanged, and there are letters."""

from __future__ import annotations

import numpy as np

from tests.comparison.made import compared, random_levels
from upres.comparison.sheet import ContactSheet, Drawing, Frame, Label, Placed
from upres.comparison.sheet_png import draw_sheet


def test_pictures_are_copied_pixel_for_pixel() -> None:
    levels = random_levels(5, 7)
    drawing = Drawing(40, 50, pictures=[Placed(3, 4, levels), Placed(20, 10, levels, 2)])
    sheet = draw_sheet(drawing)
    assert sheet.shape == (40, 50, 3) and sheet.dtype == np.uint8
    np.testing.assert_array_equal(sheet[4:9, 3:10], levels)
    np.testing.assert_array_equal(sheet[10:20, 20:34], levels.repeat(2, axis=0).repeat(2, axis=1))
    assert (sheet[0] == sheet[0, 0]).all()


def test_letters_and_frames_are_drawn_and_paper_is_white() -> None:
    for paper, back in ((False, 0x20), (True, 0xFF)):
        sheet = draw_sheet(Drawing(60, 90, paper, labels=[Label(4, 4, "Text", 15.0)], frames=[Frame(50, 30, 20, 30)]))
        assert sheet[0, 0, 0] == back
        letters = sheet[4:26, 4:48].astype(int)
        assert np.abs(letters - letters[0, 0]).max() > 150
        assert (sheet[30:50, 50] != sheet[0, 0]).any() and (sheet[40, 65] == sheet[0, 0]).all()


def test_a_label_at_the_edge_is_cut() -> None:
    assert draw_sheet(Drawing(10, 12, labels=[Label(2, 2, "Wide text", 15.0)])).shape == (10, 12, 3)


def test_a_whole_sheet() -> None:
    made = ContactSheet("t", {})
    made.add(compared())
    drawing = made.finish()
    assert draw_sheet(drawing).shape == (drawing.height, drawing.width, 3)
