"""`upres compare` as its users run it: its files, its words and its exit codes."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from tests.tiny import compact_file, noise, picture
from upres.images.io import read_header, write_picture
from upres.images.resize import imresize

Run = Callable[..., tuple[str, str]]


@pytest.fixture
def run(upres: Callable[..., tuple[str, str]]) -> Run:
    return partial(upres, "compare")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two models of scale 2, two pictures of different sizes in hr/, and the LR of both in lr/."""
    for name in ("hr", "lr"):
        (tmp_path / name).mkdir()
    for name, size in (("a.png", (40, 50)), ("b.png", (64, 36))):
        pixels = noise(*size)
        write_picture(picture(pixels), tmp_path / "hr" / name)
        write_picture(picture(np.clip(imresize(pixels, 0.5), 0, 1)), tmp_path / "lr" / name)
    compact_file(tmp_path / "one.safetensors", 2, strength=0.01)
    compact_file(tmp_path / "two.safetensors", 2, strength=0.02, seed=5)
    return tmp_path


def data_of(page: Path) -> dict:
    text = page.read_text(encoding="utf-8")
    return json.loads(text.split('<script type="application/json" id="data">')[1].split("</script>")[0])


def test_a_sheet_and_a_page(folder: Path, run: Run) -> None:
    names = f"{folder / 'one.safetensors'},{folder / 'two.safetensors'}"
    out, err = run(folder / "lr", "--hr", folder / "hr", "-n", names, "-o", folder / "c.png")
    assert out.splitlines() == [str(folder / "c.png"), str(folder / "c.html")] and err == ""
    assert read_header(folder / "c.png").width > 600
    data = data_of(folder / "c.html")
    assert [one["name"] for one in data["pictures"]] == ["a.png", "b.png"] and data["title"] == "x2: one, two"
    assert [one["name"] for one in data["pictures"][0]["versions"]] == ["LR", "bicubic", "one", "two", "HR"]


def test_maps_of_what_lr_does_not_vouch_for(folder: Path, run: Run) -> None:
    run(folder / "lr", "--hr", folder / "hr", "-n", folder / "one.safetensors", "--invented", "-o", folder / "c.png")
    versions = data_of(folder / "c.html")["pictures"][0]["versions"]
    assert [(one["name"], one["kind"]) for one in versions[2:]] == [
        ("one", "model"), ("one: invented", "map"), ("HR", "HR"),
    ]  # fmt: skip
    assert versions[3]["psnr"] is None


def test_hr_alone_and_a_pdf_for_a_paper(folder: Path, run: Run) -> None:
    arguments = ("--hr", folder / "hr", "-n", folder / "one.safetensors", "--paper", "--no-page", "--at", "4,4,20,20")
    out, err = run(*arguments, "-o", folder / "c.pdf")
    assert out.splitlines() == [str(folder / "c.pdf")] and err == ""
    assert (folder / "c.pdf").read_bytes().startswith(b"%PDF-1.4") and not (folder / "c.html").exists()


def test_what_fails_is_named_and_the_rest_is_shown(folder: Path, run: Run) -> None:
    (folder / "lr" / "broken.png").write_bytes(b"no picture")
    arguments = (folder / "lr", folder / "none.png", "-n", folder / "one.safetensors", "-o", folder / "c.png")
    _, err = run(*arguments, code=3)
    assert "2 of 4 pictures failed and are left out:" in err and "broken.png" in err and "none.png" in err
    assert [one["name"] for one in data_of(folder / "c.html")["pictures"]] == ["a.png", "b.png"]
    _, err = run(*arguments, "--at", "0,0,48,60", code=3)
    assert "the crop 0,0,48,60 reaches beyond b.png, which is 36 x 64 when enlarged" in err
    _, err = run(folder / "none.png", *arguments[2:], code=3)
    assert "none of the 1 pictures could be compared" in err


def test_bad_usage_has_its_words_and_codes(folder: Path, run: Run) -> None:
    compact_file(folder / "four.safetensors", 4)
    one = ("-n", folder / "one.safetensors")
    for arguments, code, words in [
        ((folder / "lr",), 2, "name at least one model by -n"),
        (one, 2, "name pictures to compare, or a folder of HR pictures by --hr"),
        ((folder / "lr", *one, "-n", folder / "four.safetensors"), 2, "compare models of one scale"),
        ((folder / "lr", *one, "-o", "c.jpg"), 2, "-o must end in .png or .pdf"),
        ((folder / "lr", *one, "--page", "c.txt"), 2, "--page must end in .html"),
        ((folder / "lr", *one, "-o", folder / "no" / "c.png"), 5, "a file in a folder that exists"),
        ((folder / "lr", *one, "--at", "1,2"), 2, "--at must be X,Y,W,H"),
        ((folder / "lr", "-n", "a,,b"), 2, "-n has an empty name"),
        ((folder / "hr" / "a.png", *one, "--hr", folder / "lr"), 3, "LR must be"),
    ]:
        out, err = run(*arguments, code=code)
        assert words in err, err
        assert out == ""
