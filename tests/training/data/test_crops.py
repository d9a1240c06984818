"""Where crops lie."""

import pytest

from upres.training.data.crops import places


@pytest.mark.parametrize(
    ("side", "expected"), [(48, [0]), (30, [0]), (49, [0, 1]), (80, [0, 32]), (100, [0, 32, 52]), (112, [0, 32, 64])]
)
def test_crops_cover_every_pixel(side: int, expected: list[int]) -> None:
    assert places(side, 48, 32) == expected
