from __future__ import annotations

import math

import pytest

from upres.errors import UsageError
from upres.upscaling.output_size import OutputSize


@pytest.mark.parametrize(
    ("size", "expected", "suffix"),
    [
        (OutputSize(), (400, 600), "_x4"),
        (OutputSize(factor=2.5), (250, 375), "_x2.5"),
        (OutputSize(factor=0.5), (50, 75), "_x0.5"),
        (OutputSize(width=1920), (1280, 1920), "_1920x1280"),
        (OutputSize(height=1080), (1080, 1620), "_1620x1080"),
        (OutputSize(width=1920, height=1080), (1080, 1620), "_1620x1080"),
        (OutputSize(width=300, height=1080), (200, 300), "_300x200"),
        (OutputSize(long_side=3000), (2000, 3000), "_3000x2000"),
        (OutputSize(megapixels=6), (2000, 3000), "_3000x2000"),
    ],
)
def test_sizes_of_a_picture_of_100_by_150(size: OutputSize, expected: tuple[int, int], suffix: str) -> None:
    assert size.resolve(100, 150, native=4) == expected
    assert size.suffix(100, 150, native=4) == suffix


def test_a_long_side_may_be_the_height() -> None:
    assert OutputSize(long_side=3000).resolve(150, 100, native=4) == (3000, 2000)


def test_no_side_falls_below_one_pixel() -> None:
    assert OutputSize(width=10).resolve(1, 5000, native=4) == (1, 10)


def test_half_pixels_round_up() -> None:
    assert OutputSize(factor=2.5).resolve(101, 1, native=4) == (253, 3)


@pytest.mark.parametrize("factor", [0.0, -1.0, math.nan, math.inf, -math.inf, 1000.0])
def test_a_nonsense_factor_is_refused(factor: float) -> None:
    with pytest.raises(UsageError, match=r"`factor` must be in \(0, 64\], got"):
        OutputSize(factor=factor)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"factor": 2.0, "width": 100}, "`factor` and `width` exclude each other"),
        ({"width": 5, "height": 5, "long_side": 5}, "`width` and `height` and `long_side` exclude each other"),
        ({"long_side": 100, "megapixels": 1.0}, "`long_side` and `megapixels` exclude"),
        ({"width": 0}, "`width` must be between 1 and 1,000,000 pixels, got 0"),
        ({"height": -3}, "`height` must be between"),
        ({"long_side": 10**7}, "`long_side` must be between"),
        ({"megapixels": math.nan}, r"`megapixels` must be in \(0, "),
        ({"megapixels": 0.0}, r"`megapixels` must be in \(0, "),
    ],
)
def test_contradictions_and_nonsense_are_refused(arguments: dict[str, float], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        OutputSize(**arguments)  # type: ignore[arg-type]
