"""Where models differ most."""

from __future__ import annotations

import numpy as np
import pytest

from tests.comparison.made import compared
from upres.comparison.compare import ComparedPicture
from upres.comparison.crops import Box, check_inside, choose_box, difference_map, parse_box
from upres.errors import InputError, UsageError


def test_the_window_covers_the_difference() -> None:
    differences = difference_map(compared())
    assert (differences[20:28, 30:38] > 0).any() and differences[:20].max() == 0.0
    box = choose_box(differences, (8, 8))
    assert box == Box(20, 30, 8, 8)
    assert choose_box(differences, (400, 8)).height == 40  # cut down to the picture


def test_one_model_is_held_against_bicubic() -> None:
    whole = compared()
    alone = ComparedPicture(whole.name, 2, (*whole.versions[:3], whole.versions[4]))
    assert difference_map(alone).mean() > 0.0


def test_the_window_agrees_with_a_search_of_all() -> None:
    differences = np.random.default_rng(3).random((23, 31))
    best = max(
        ((differences[y : y + 7, x : x + 9].sum(), y, x) for y in range(17) for x in range(23)), key=lambda one: one[0]
    )
    assert choose_box(differences, (7, 9)) == Box(best[1], best[2], 7, 9)
    inside = choose_box(differences, (3, 3), Box(10, 12, 8, 9))
    assert 10 <= inside.top <= 15 and 12 <= inside.left <= 18


def test_equal_windows_give_the_first() -> None:
    assert choose_box(np.zeros((20, 20)), (5, 5)) == Box(0, 0, 5, 5)


def test_a_box_in_words() -> None:
    assert parse_box("10,20,30,40") == Box(top=20, left=10, height=40, width=30)
    for text in ("10,20,30", "a,b,c,d", "1,2,1,9", "-1,2,3,4"):
        with pytest.raises(UsageError, match="X,Y,W,H"):
            parse_box(text)
    check_inside(Box(0, 0, 40, 60), compared())
    with pytest.raises(InputError, match=r"reaches beyond a\.png, which is 60 x 40"):
        check_inside(Box(0, 1, 40, 60), compared())
