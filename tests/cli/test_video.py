"""`upres video` as its user meets it: words, exit codes, what lies there afterwards."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.tiny import compact_file
from tests.video.made import make_video, times_of

Upres = Callable[..., tuple[str, str]]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compact_file(tmp_path_factory.mktemp("model") / "tiny.safetensors", strength=0.0)


def test_a_video(tmp_path: Path, model: Path, upres: Upres) -> None:
    source = make_video(tmp_path / "clip.mp4", 7, sound=True)
    _, err = upres("video", source, "-n", model, "--engine", "ncnn", "--threads", 1)
    out = tmp_path / "clip_x2.mp4"
    assert f"{out}: 96 x 64, 7 frames in" in err
    assert "flicker along motion:" in err
    assert times_of(out) == times_of(source)
    _, err = upres("video", source, "-n", model, code=5)
    assert "clip_x2.mp4 exists; choose another -o, or replace it with --overwrite" in err
    upres("video", source, "-n", model, "--overwrite", "--engine", "ncnn", "--threads", 1)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["clip.mp4", "clip_x2.mp4"]


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (["--codec", "h266"], 2, "--codec h266 is unknown, did you mean 'h26"),
        (["--crf", "99"], 2, "--crf of h264 must be between 0 and 51, got 99"),
        (["-o", "out.avi"], 2, "cannot write .avi; use .mp4, .m4v, .mov, .mkv, .webm"),
        (["-o", "out.webm", "--codec", "h264"], 2, "h264 does not go into a .webm file; name a file in .mp4, .mkv"),
        (["--codec", "prores", "--crf", "9", "-o", "out.mov"], 2, "--crf has no effect on prores"),
        (["--pix-fmt", "yuv420p12le"], 2, "--pix-fmt yuv420p12le is none of h264, did you mean 'yuv420p1"),
        (["--start", "soon"], 2, "--start must be seconds or h:mm:ss, such as 90 or 1:30.5, got 'soon'"),
        (["--start", "5", "--end", "4"], 2, "--end must be after the start, got 4 s"),
        (["--segment", "0"], 2, "--segment must be between 1 and 100,000 frames, got 0"),
        (["--start", "100"], 3, "has no frames in this part"),
        (["-n", "none-such"], 4, "none-such"),
    ],
)
def test_refusals(
    tmp_path: Path,
    model: Path,
    upres: Upres,
    monkeypatch: pytest.MonkeyPatch,
    options: list[str],
    code: int,
    words: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    make_video(tmp_path / "clip.mp4", 2)
    named = [] if "-n" in options else ["-n", model, "--engine", "ncnn", "--threads", 1]
    _, err = upres("video", "clip.mp4", *options, *named, code=code)
    assert words in err
    assert [path.name for path in tmp_path.iterdir()] == ["clip.mp4"]


def test_what_is_no_video(tmp_path: Path, upres: Upres) -> None:
    page = tmp_path / "page.mp4"
    page.write_text("<!doctype html>")
    _, err = upres("video", page, code=3)
    assert "seems to be a web page" in err
    _, err = upres("video", tmp_path / "missing.mp4", code=3)
    assert "cannot be read: No such file" in err


def test_without_pyav(tmp_path: Path, upres: Upres, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("upres.system.packages.has_module", lambda module: module != "av")
    _, err = upres("video", tmp_path / "clip.mp4", code=3)
    assert "video needs av, which is not installed; remedy: pip install 'upres[video]'" in err


def test_the_model_is_chosen_and_told(tmp_path: Path, upres: Upres) -> None:
    source = make_video(tmp_path / "clip.mp4", 2, size=(48, 64))
    _, err = upres("video", source, "--engine", "ncnn", "--threads", 1, "-o", tmp_path / "out.mkv")
    assert "(another: -n " in err
    assert "out.mkv: 128 x 96, 2 frames" in err
