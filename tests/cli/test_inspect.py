"""`upres inspect` as its users run it: its words, its JSON and its exit codes."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from tests.inspection.made import as_picture, jpeg, noisy, texture
from upres.images.io import read_picture, write_picture

Run = Callable[..., tuple[str, str]]


@pytest.fixture
def run(upres: Callable[..., tuple[str, str]]) -> Run:
    return partial(upres, "inspect")


def test_a_picture_is_told_in_words(example_photo: Path, run: Run) -> None:
    out, err = run(example_photo)
    assert err == ""
    lines = out.splitlines()
    assert lines[0] == str(example_photo)
    assert lines[1] == "  picture      png, 224 x 224, RGB, 8 bits, no profile"
    assert lines[2].startswith("  resolution   full detail for its size (")
    assert lines[3] == "  compression  no traces of JPEG"
    assert lines[4].startswith("  noise        0.") and "red, green, blue" in lines[4]
    assert lines[5:] == [
        "  banding      none seen",
        "  kind         drawn or photograph: not known; in color",
        "  fits         compact-x4 for x4: clean",
    ]


def test_a_compressed_picture_gets_another_model(example_photo: Path, tmp_path: Path, run: Run) -> None:
    (tmp_path / "a.jpg").write_bytes(jpeg(read_picture(example_photo).pixels * 255.0, 40))
    out, _ = run(tmp_path / "a.jpg")
    assert "compression  JPEG quality 40 (from its tables), grid offset (0, 0)\n" in out
    assert "fits         photo-x4 for x4: JPEG quality 40" in out


def test_json_has_every_field_of_every_picture(example_photo: Path, tmp_path: Path, run: Run) -> None:
    shutil.copy(example_photo, tmp_path / "b.png")
    (tmp_path / "a.jpg").write_bytes(jpeg(texture(), 55))
    out, err = run(tmp_path, "--json", "-s", 2)
    assert err == ""
    first, second = (json.loads(line) for line in out.splitlines())
    assert "NaN" not in out and "Infinity" not in out  # which are not JSON
    assert first["picture"] == str(tmp_path / "a.jpg") and second["picture"] == str(tmp_path / "b.png")
    assert (first["jpeg_quality"], first["jpeg_quality_source"], first["jpeg_grid_offset"]) == (55, "tables", [0, 0])
    assert first["gray"] is True and second["gray"] is False
    assert second["true_scale"] == 1.0 and second["banded"] is False
    assert second["model"] == {"name": "compact-x2", "scale": 2.0, "reason": "clean"}
    assert set(first) == set(second)


def test_one_bad_picture_is_named_and_the_rest_is_told(example_photo: Path, tmp_path: Path, run: Run) -> None:
    shutil.copy(example_photo, tmp_path / "b.png")
    (tmp_path / "a.png").write_bytes(b"")
    (tmp_path / "c.jpg").write_text("not a picture")
    out, err = run(tmp_path, tmp_path / "missing.png", code=3)
    assert out.splitlines()[0] == str(tmp_path / "b.png")
    assert "a.png is empty" in err and "c.jpg seems to be text" in err and "missing.png does not exist" in err


def test_small_gray_and_empty_pictures_are_told_in_words(tmp_path: Path, run: Run) -> None:
    write_picture(as_picture(np.zeros((1, 1, 3), np.float32)), tmp_path / "dot.png")
    out, _ = run(tmp_path / "dot.png")
    assert "resolution   not known: the picture is too small or has no detail" in out
    assert "noise        not known" in out
    assert "kind         drawn or photograph: not known; gray or in color: not known" in out
    write_picture(as_picture(noisy((5.0,)), depth=16), tmp_path / "gray.png")
    out, _ = run(tmp_path / "gray.png")
    assert "png, 320 x 320, gray, 16 bits, no profile" in out
    assert re.search(r"noise        (4\.[89]|5\.[0-2]) of 255 \(standard deviation of luma\)\n", out)


def test_empty_folders_and_scales_that_are_none_are_refused(tmp_path: Path, example_photo: Path, run: Run) -> None:
    _, err = run(tmp_path, code=3)
    assert "contains no pictures" in err
    _, err = run(example_photo, "-s", 0, code=2)
    assert "-s must be positive and finite" in err
