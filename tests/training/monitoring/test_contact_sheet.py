"""Contact sheets: panels are copied pixel for pixel, words stay above their own panel, every file name can be drawn."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("matplotlib")

from upres.images.io import quantize, read_picture
from upres.training.monitoring.contact_sheet import PAPER, Levels, Panel, contact_sheet, enlarge_nearest, write_png

GROUND = np.array([int(PAPER[i : i + 2], 16) for i in (1, 3, 5)], np.uint8)


def noise(seed: int, height: int = 100, width: int = 100) -> Levels:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def find(sheet: Levels, image: Levels) -> tuple[int, int]:
    """Where `image` stands in `sheet`, pixel for pixel."""
    height, width = image.shape[:2]
    starts = np.argwhere(
        (sheet[: sheet.shape[0] - height + 1, : sheet.shape[1] - width + 1] == image[0, 0]).all(axis=2)
    )
    found = [(y, x) for y, x in starts if np.array_equal(sheet[y : y + height, x : x + width], image)]
    assert len(found) == 1
    return found[0]


def test_panels_are_copied_enlarged_by_a_whole_factor_in_rows_and_columns() -> None:
    images = [[noise(10 * row + column) for column in range(3)] for row in range(2)]
    sheet = contact_sheet([[Panel(image, "caption", "note") for image in row] for row in images], "title")
    places = np.array([[find(sheet, enlarge_nearest(image, 2)) for image in row] for row in images])
    assert len(set(places[:, :, 0].ravel())) == 2 and len(set(places[:, :, 1].ravel())) == 3
    assert (places[0, :, 0] == places[0, 0, 0]).all() and (places[:, 0, 1] == places[0, 0, 1]).all()
    assert (np.diff(places[0, :, 1]) > 200).all()  # with ground between them
    assert (sheet[-1] == GROUND).all() and (sheet[:, 0] == GROUND).all()


def test_large_panels_are_not_enlarged_and_rows_may_differ_in_length_and_size() -> None:
    images = [[noise(1, 300, 200), noise(2, 150, 280)], [noise(3, 64, 64)]]
    sheet = contact_sheet([[Panel(image, "") for image in row] for row in images], "")
    for image in images[0] + images[1]:
        find(sheet, image)


def test_words_stay_above_their_panel_and_do_not_touch_each_other() -> None:
    black = np.zeros((128, 128, 3), np.uint8)
    name = "a very long name of a file that nobody will read to its end.png"
    panels = [Panel(black, "LR", name), Panel(black, name, "31.42 dB (Y)"), Panel(black, "")]
    sheet = contact_sheet([panels], "title")
    first, _, last = (
        x for x in np.flatnonzero((sheet[-20] == 0).all(axis=1) & np.append(True, (sheet[-20, :-1] != 0).any(axis=1)))
    )
    line = (sheet[42:64] != GROUND).any(axis=(0, 2))  # columns with letters, above the panels
    assert line[first : first + 256].sum() > 100 and line[first + 266 : first + 522].sum() > 100
    assert not line[last:].any() and not line[first + 257 : first + 265].any()


def test_names_in_other_scripts_and_with_formula_signs_are_drawn_without_a_warning() -> None:
    sheet = contact_sheet([[Panel(noise(0), "照片 $x^2$ \\alpha", "émoji 😀")]], "标题 $")
    assert (sheet[:30] != GROUND).any()


def test_a_png_holds_the_very_levels(tmp_path: Path) -> None:
    levels = np.arange(768, dtype=np.uint16).reshape(16, 16, 3).astype(np.uint8)
    write_png(tmp_path / "new" / "a.png", levels)
    np.testing.assert_array_equal(quantize(read_picture(tmp_path / "new" / "a.png").pixels, 8), levels)
