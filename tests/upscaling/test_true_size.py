"""Pictures that hold less detail than their pixels say are reduced first; the result has the size that was asked."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.tiny import FakeRunner, compact, noise, picture
from upres.images.ifd import entry
from upres.images.io import Picture, read_picture
from upres.images.resize import imresize
from upres.upscaling.output_size import OutputSize
from upres.upscaling.true_size import reduced
from upres.upscaling.upscaler import Upscaler


def upscaler(**options: object) -> Upscaler:
    runner, reference = FakeRunner(2), FakeRunner(2)
    return Upscaler(compact(2), runner=runner, reference=reference, **options)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def sharp(example_photo: Path) -> Picture:
    return read_picture(example_photo)


@pytest.fixture(scope="module")
def soft(sharp: Picture) -> Picture:
    pixels = np.clip(imresize(sharp.pixels, 2.0), 0.0, 1.0)
    return picture(pixels, alpha=np.ascontiguousarray(pixels[:, :, 0]), dpi=(200.0, 100.0))


def test_an_enlarged_picture_is_reduced_with_all_it_has(sharp: Picture, soft: Picture) -> None:
    small, note = reduced(soft)

    height, width = small.pixels.shape[:2]
    assert (height, width) == pytest.approx(sharp.pixels.shape[:2], rel=0.1)
    assert small.alpha is not None and small.alpha.shape == (height, width)
    assert small.dpi == soft.dpi  # of a print: kept, as by any enlargement
    assert note == f"it looks enlarged {soft.pixels.shape[0] / height:.1f} times, so it was reduced to " \
        f"{width} x {height} first"  # fmt: skip


def test_a_sharp_picture_and_one_that_tells_nothing_stay(sharp: Picture) -> None:
    assert reduced(sharp) == (sharp, "it has full detail for its size, so it was not reduced")
    flat = picture(np.full((40, 40, 3), 0.5, np.float32))
    small, note = reduced(flat)
    assert small is flat and note == "its true resolution cannot be told, so it was not reduced"


@pytest.mark.parametrize(
    "size", [None, OutputSize(factor=1.7), OutputSize(width=333), OutputSize(long_side=901), OutputSize(factor=0.5)]
)
def test_the_result_has_the_size_it_would_have_without(soft: Picture, size: OutputSize | None) -> None:
    with upscaler() as plain, upscaler(true_size=True) as reducing:
        usual, result = plain(soft, size=size), reducing(soft, size=size)

    assert result.pixels.shape == usual.pixels.shape
    assert result.dpi == pytest.approx(usual.dpi)
    assert any("reduced to" in note for note in result.notes)


def test_the_network_sees_the_reduced_picture(soft: Picture) -> None:
    runner = FakeRunner(2)
    with Upscaler(compact(2), runner=runner, reference=FakeRunner(2), true_size=True, tile_px=1000) as reducing:
        reducing(picture(soft.pixels))
        seen = max(runner.calls[0][2:])
    small, _ = reduced(soft)

    assert small.pixels.shape[0] <= seen < soft.pixels.shape[0]


def test_an_exact_size_is_that_whatever_the_proportions() -> None:
    size = OutputSize(exact=(31, 77))
    assert size.resolve(10, 20, native=2) == (31, 77)
    assert size.factor_for(10, 20) == pytest.approx(3.85)
    with upscaler() as plain:
        assert plain(picture(noise(10, 20)), size=size).pixels.shape == (31, 77, 3)


def test_measured_lengths_stay(soft: Picture) -> None:
    """A resolution per centimeter follows the picture, through the reduction too."""
    per_cm = {
        tag: entry(kind, values) for tag, kind, values in ((282, 5, (40.0,)), (283, 5, (40.0,)), (296, 3, (3.0,)))
    }
    measured = replace(picture(soft.pixels), tiff_tags=per_cm, dpi=(101.6, 101.6))
    with upscaler() as plain, upscaler(true_size=True) as reducing:
        usual, result = plain(measured), reducing(measured)

    assert result.dpi == pytest.approx(usual.dpi, rel=1e-3)
    assert result.dpi == pytest.approx((203.2, 203.2), rel=1e-3)
    assert sum("measured lengths" in note for note in result.notes) == 1
