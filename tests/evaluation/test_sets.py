"""Sets: what is in them, and results of other programs."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.tiny import noise, picture
from upres.errors import InputError, UsageError
from upres.evaluation.sets import LowFile, find_others, find_set, parse_named
from upres.images.io import write_picture
from upres.images.pairing import FilePair


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("hr/a", "hr/b", "hr/a_x4", "lr/ax2", "lr/b", "sr/a_SR", "sr/b", "sr/more"):
        path = tmp_path / f"{name}.png"
        path.parent.mkdir(exist_ok=True)
        write_picture(picture(noise(8, 8)), path)
    return tmp_path


def test_a_set_leaves_results_of_upres_out(folder: Path) -> None:
    found = find_set("s", folder / "hr", None, 2)
    assert [pair.name for pair in found.pictures] == ["a.png", "b.png"] and found.left_out == 1
    found = find_set("s", folder / "hr", folder / "lr", 2)
    assert found.pictures[0] == FilePair(folder / "hr" / "a.png", folder / "lr" / "ax2.png")
    found = find_set("s", None, folder / "lr", 2)
    assert found.pictures == [LowFile(folder / "lr" / "ax2.png"), LowFile(folder / "lr" / "b.png")]
    with pytest.raises(UsageError, match="name a folder of HR pictures"):
        find_set("s", None, None, 2)


def test_a_missing_lr_picture_is_named(folder: Path) -> None:
    (folder / "lr" / "b.png").unlink()
    with pytest.raises(InputError, match=r"b\.png has no LR picture in"):
        find_set("s", folder / "hr", folder / "lr", 2)


def test_results_are_matched_by_name(folder: Path) -> None:
    found = find_set("s", folder / "hr", None, 2)
    assert find_others(found, folder / "sr", 2) == {
        "a.png": folder / "sr" / "a_SR.png",
        "b.png": folder / "sr" / "b.png",
    }
    (folder / "sr" / "b.png").unlink()
    with pytest.raises(InputError, match=r"do not match the set s: b\.png has no SR picture in"):
        find_others(found, folder / "sr", 2)


def test_names_with_folders() -> None:
    assert parse_named("Set5=a/b", "sets") == ("Set5", [Path("a/b")])
    assert parse_named("Set5=a, b", "sets") == ("Set5", [Path("a"), Path("b")])
    for text in ("Set5", "=a", "Set5=", "Set5=a,b,c"):
        with pytest.raises(UsageError, match="`sets` must be NAME=DIR"):
            parse_named(text, "sets")
