"""Numbered pictures in and out."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from tests.tiny import compact_file
from tests.video.made import make_video, times_of
from tests.video.test_run import Counting, upscale, whole
from upres.errors import InputError, OutputError
from upres.images.io import Picture, read_picture, write_picture
from upres.upscaling.upscaler import Upscaler
from upres.video.sequence import find_frames, is_sequence


def picture(number: int, depth: int = 8) -> Picture:
    rows, columns = np.mgrid[0:16, 0:24].astype(np.float32)
    waves = [0.5 + 0.3 * np.sin(0.4 * rows + number + channel) * np.cos(0.2 * columns) for channel in range(3)]
    return Picture(np.stack(waves, axis=2).astype(np.float32), None, depth)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(compact_file(tmp_path_factory.mktemp("model") / "tiny.safetensors", strength=0.01))


def test_numbers_not_letters_give_the_order(tmp_path: Path) -> None:
    for number in (1, 2, 10, 9, 100):
        write_picture(picture(number), tmp_path / f"frame{number}.png")
    (tmp_path / "notes.txt").write_text("no picture")
    wanted = ["frame1.png", "frame2.png", "frame9.png", "frame10.png", "frame100.png"]
    assert [path.name for path in find_frames(str(tmp_path))] == wanted
    assert [path.name for path in find_frames(str(tmp_path / "frame%d.png"))] == wanted
    assert is_sequence(str(tmp_path / "frame%05d.png"))
    assert not is_sequence(str(tmp_path / "frame1.png"))
    with pytest.raises(InputError, match="has no pictures"):
        find_frames(str(tmp_path / "other%d.png"))


@pytest.mark.parametrize("depth", [8, 16])
def test_pictures_to_pictures_are_those_of_the_upscaler(tmp_path: Path, model: str, depth: int) -> None:
    for number in range(4):
        write_picture(picture(number, depth), tmp_path / f"in-{number:03}.png")
    report = whole(upscale(tmp_path / "in-%03d.png", model, tmp_path / "out" / "large-%04d.png"))
    assert report.frames == 4
    with Upscaler(model, engine="ncnn", threads=1) as upscaler:
        for number in range(4):
            alone = upscaler(read_picture(tmp_path / f"in-{number:03}.png"))
            found = read_picture(tmp_path / "out" / f"large-{number + 1:04}.png")
            assert found.depth == depth
            tolerance = 0.51 / (255 if depth == 8 else 65535)
            np.testing.assert_allclose(found.pixels, np.clip(alone.pixels, 0, 1), atol=tolerance + 1e-6)
    with pytest.raises(OutputError, match=r"large-0001\.png exists"):
        upscale(tmp_path / "in-%03d.png", model, tmp_path / "out" / "large-%04d.png")


def test_pictures_to_a_video_that_is_stopped_and_goes_on(tmp_path: Path, model: str) -> None:
    folder = tmp_path / "frames"
    folder.mkdir()
    for number in range(12):
        write_picture(picture(number), folder / f"{number:03}.png")
    (folder / "005.png").write_bytes(b"\x89PNG\r\n\x1a\nbroken")
    straight, out = tmp_path / "straight.mp4", tmp_path / "out.mp4"
    report = whole(upscale(folder, model, straight, rate=Fraction(24)))
    assert times_of(straight) == [Fraction(number, 24) for number in range(12)]
    assert any("1 frame could not be decoded" in note for note in report.notes)
    upscale(folder, model, out, Counting(8.0), rate=Fraction(24))
    report = whole(upscale(folder, model, out, rate=Fraction(24)))
    assert report.resumed == 5
    assert out.read_bytes() == straight.read_bytes()


def test_a_video_to_pictures(tmp_path: Path, model: str) -> None:
    source = make_video(tmp_path / "in.mp4", 3)
    whole(upscale(source, model, tmp_path / "frames" / "%d.webp"))
    assert sorted(path.name for path in (tmp_path / "frames").iterdir()) == ["1.webp", "2.webp", "3.webp"]
    assert read_picture(tmp_path / "frames" / "1.webp").pixels.shape == (64, 96, 3)
