"""`prepare` leaves out pictures of which a part is among the pictures to exclude."""

# ruff: noqa: F811  # an argument has the name of the fixture that it asks for

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("cv2")

from tests.training.data.test_excerpts import (
    part,
    photos,  # noqa: F401  # a fixture, which pytest finds by name
)
from upres.images.io import Picture, write_picture
from upres.training.data.crops import Options
from upres.training.data.prepare import prepare


@pytest.mark.slow
def test_prepare_leaves_it_out(photos: list[np.ndarray], tmp_path: Path) -> None:
    for folder, images in (("photos", photos), ("test", [part(photos[1])])):
        (tmp_path / folder).mkdir()
        for i, image in enumerate(images):
            write_picture(Picture(image.astype(np.float32) / np.float32(255)), tmp_path / folder / f"{i}.png")
    report = prepare(
        [tmp_path / "photos"], tmp_path / "s", Options(96, 64, 96, validation=0), exclude=[tmp_path / "test"]
    )
    assert report.pictures == 4 and len(report.left_out) == 1
    assert report.left_out[0].endswith(f"1.png shares a part with {tmp_path / 'test' / '0.png'} (`exclude`)")
