"""The tutorials keep their word: every command of every ```sh block runs, in small, in the order of the text, and
leaves what is promised.

A block behind `<!-- not run: reason -->` is not run. All happens in one folder that holds what the text asks its reader
for. What the commands of a tutorial do in minutes, with files from the network, is done here in seconds and without:
`in_small` says how.
"""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("tensorboard")
pytest.importorskip("matplotlib")

from tests import REPOSITORY
from tests.test_readme import commands, local_links
from tests.training.made import draw_photographs, features_file
from upres.__main__ import main
from upres.images.io import Picture, read_picture, write_picture
from upres.training import pretrained
from upres.training.losses.feature_files import load_features

ENGLISH, CHINESE = (REPOSITORY / "docs" / "tutorials" / name for name in ("esrgan.md", "esrgan.zh-CN.md"))
BOTH = pytest.mark.parametrize("path", [ENGLISH, CHINESE], ids=lambda path: path.name)
FEATURES, NIQE = "vgg_normalised_conv3_1.pth", "niqe.npz"

# What a command of the text leaves behind, beside the run's files that the text has a table of.
RUNS = ("psnr", "gan_own", "gan", "gan_two", "trial_psnr", "trial_gan")
RESULTS = (
    "photo_x4.png",
    "photographs/large.png",
    "mine.safetensors",
    "photo_mine.png",
    "photo_gan.png",
    "held_out_x4/a.png",
    "comparison.png",
    "comparison.html",
)


def in_small(command: str) -> list[str]:
    """The words of a command as the test runs it; the one place where it differs from the text.

    Training: two steps of two small patches; RRDB and SRResNet with one thin block, while compact keeps its size, since
    it begins with the bundled model. The feature network is the made one and NIQE is not measured, so nothing is
    downloaded. There is a judge, again the made network, and so the costly sweep, in one run alone: the one of whose
    files the text has a table. Measuring: NIQE with made parameters, so that these are not downloaded either.
    """
    words = shlex.split(command)[1:]
    if words[0] == "train":
        settings = ["steps=2", "batch=2", "patch_px=16", "discriminator_width=4"]
        judged = "runs/gan" in words and "--resume" not in words
        settings += ["features=vgg19-conv3_1", f"judge={'vgg19-conv3_1' if judged else ''}", "niqe=false"]
        if not words[1].startswith("compact"):
            settings += ["width=8", "depth=1", "growth=4"]
        words += [word for setting in settings for word in ("--set", setting)]
        words += [] if "--features" in words else ["--features", FEATURES]
    return [word for each in words for word in (("--niqe-parameters", NIQE) if each == "--niqe" else (each,))]


def run(words: list[str], monkeypatch: pytest.MonkeyPatch) -> int:
    """The exit code. In this process, which has torch already; a launcher of processes gets one of its own."""
    if "--processes" in words:
        return subprocess.run([sys.executable, "-m", "upres", *words], check=False, stdin=subprocess.DEVNULL).returncode
    monkeypatch.setattr(sys, "argv", ["upres", *words])
    with pytest.raises(SystemExit) as end:
        main()
    return int(end.value.code or 0)


def blocks(text: str) -> list[str]:
    return re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def files_of_a_run(text: str) -> list[str]:
    """The names in the first column of the table of a run's files."""
    table = text[text.index("| `crops/` |") :].partition("\n\n")[0]
    return [name for line in table.splitlines() for name in re.findall(r"`([^`]+)`", line.split("|")[1])]


@pytest.fixture
def place(tmp_path: Path, example_photo: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in which the text's reader works."""
    draw_photographs(tmp_path / "photographs", 4, 80, 96)  # a patch takes 64 pixels
    photo = read_picture(example_photo).pixels
    (tmp_path / "held_out").mkdir()
    for name, part in (("a.png", photo[:200, :104]), ("b.png", photo[24:, 120:])):  # two blocks of NIQE each
        write_picture(Picture(np.ascontiguousarray(part)), tmp_path / "held_out" / name)
    (tmp_path / "camera").mkdir()
    write_picture(Picture(photo), tmp_path / "camera" / "large.png")
    write_picture(Picture(np.ascontiguousarray(photo[:96, :96])), tmp_path / "photo.png")
    features_file(tmp_path / FEATURES)
    line = np.exp(-(np.arange(-3, 4) ** 2) / 2.7)
    window = np.outer(line, line) / line.sum() ** 2
    np.savez(tmp_path / NIQE, mu_pris_param=np.zeros((1, 36)), cov_pris_param=np.eye(36), gaussian_window=window)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("UPRES_CACHE", str(tmp_path / "cache"))
    # A single file is the loss's, and the judge comes from the cache or is downloaded: here it is the made network too.
    monkeypatch.setattr(pretrained, "fetch_features", lambda name, source: load_features(source or tmp_path / FEATURES))
    return tmp_path


@pytest.mark.slow
def test_every_command_runs_and_leaves_what_is_promised(
    place: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    text = ENGLISH.read_text(encoding="utf-8")
    for command in commands(text):
        code = run(in_small(command), monkeypatch)
        told = capfd.readouterr().err
        assert code == 0, f"{command}\n{told}"
        assert "download" not in told, f"{command}\n{told}"
    assert [path.name for path in (place / "cache").rglob("*") if path.suffix in (".pth", ".npz")] == []
    assert [name for name in RESULTS if not (place / name).is_file()] == []
    assert [name for name in RUNS if not (place / "runs" / name / "model.safetensors").is_file()] == []
    assert [name for name in files_of_a_run(text) if not (place / "runs" / "gan" / name).exists()] == []


@BOTH
def test_nothing_but_commands_of_ours_stands_in_the_blocks_that_are_run(path: Path) -> None:
    text = re.sub(
        r"<!-- not run: [^>]+ -->\n```sh\n.*?^```", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL
    )
    lines = [line for block in blocks(text) for line in re.sub(r"\\\n\s*", "", block).splitlines()]
    assert len(lines) > 15
    assert [line for line in lines if not line.startswith("upres ")] == []


def test_both_languages_show_the_same_commands_and_promise_the_same_files() -> None:
    english, chinese = (path.read_text(encoding="utf-8") for path in (ENGLISH, CHINESE))
    assert blocks(english) == blocks(chinese)
    assert commands(english) == commands(chinese)
    assert files_of_a_run(english) == files_of_a_run(chinese) != []


def headings(text: str) -> Iterator[str]:
    for line in text.splitlines():
        if found := re.match(r"(#+ (?:\d+\.)?)", line):
            yield found[1]


def test_both_languages_have_the_same_chapters() -> None:
    english, chinese = (list(headings(path.read_text(encoding="utf-8"))) for path in (ENGLISH, CHINESE))
    assert english == chinese
    assert "## 12." in english


@BOTH
def test_local_links_lead_somewhere(path: Path) -> None:
    links = local_links(path.read_text(encoding="utf-8"))
    assert links
    assert [target for target in links if not (path.parent / target).exists()] == []


@BOTH
def test_no_figure_is_left_open(path: Path) -> None:
    assert re.findall(r"@@\w*", path.read_text(encoding="utf-8")) == []


def test_a_command_is_run_in_small_and_no_setting_of_the_text_is_lost() -> None:
    words = in_small("upres train esrgan-x4 --shrink 9 --set batch=7")
    assert words[:6] == ["train", "esrgan-x4", "--shrink", "9", "--set", "batch=7"]
    assert words[-2:] == ["--features", FEATURES]
    assert words.index("batch=2") > words.index("batch=7")  # the later one counts
    assert in_small("upres evaluate --hr x --niqe") == ["evaluate", "--hr", "x", "--niqe-parameters", NIQE]
    assert in_small("upres upscale photo.png") == ["upscale", "photo.png"]
