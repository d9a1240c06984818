"""`upres upscale --invented` as its users run it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.test_upscale import names, upscale
from tests.tiny import noise, picture
from upres.images.io import read_header, write_picture


def test_a_map_of_one_picture(photo: Path, model: Path) -> None:
    chart = photo.with_name("map.png")
    words = upscale(photo, "-n", model, "--invented", chart).stderr.decode()

    assert (read_header(chart).height, read_header(chart).width) == (40, 60)
    assert "how it goes with the true error was not measured for tiny-x2.safetensors" in words
    assert names(photo.parent) == ["map.png", "photo.png", "photo_x2.png"]


@pytest.mark.slow
@pytest.mark.parametrize("jobs", ["1", "2"])
def test_a_map_for_each_picture_of_a_folder(tmp_path: Path, model: Path, jobs: str) -> None:
    (tmp_path / "in" / "deep").mkdir(parents=True)
    for index, name in enumerate(("a.png", "b.png", "deep/a.png")):
        write_picture(picture(noise(20, 30, seed=index)), tmp_path / "in" / name)
    (tmp_path / "in" / "c.png").write_bytes((tmp_path / "in" / "a.png").read_bytes())  # not taken over from a.png
    maps = tmp_path / "maps"
    upscale(tmp_path / "in", "-r", "-n", model, "-o", tmp_path / "out", "--invented", maps, "--jobs", jobs)

    assert names(maps) == ["a_invented.png", "b_invented.png", "c_invented.png", "deep/a_invented.png"]
    assert {read_header(path).width for path in maps.rglob("*.png")} == {60}


def test_what_has_no_meaning_is_refused_before_anything_is_made(photo: Path, model: Path) -> None:
    words = upscale(photo, "-n", model, "--invented", photo, code=2).stderr.decode()
    assert f"--invented {photo} is the picture or its result" in words
    words = upscale(photo, photo.parent, "-n", model, "--invented", "m.png", code=2).stderr.decode()
    assert "name a folder (--invented m/)" in words
    assert names(photo.parent) == ["photo.png"]
