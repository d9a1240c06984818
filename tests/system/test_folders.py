"""The walk through a folder: what is found, in which order, and a count of what is passed over."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import pytest

from upres.system.folders import exists, find_files, is_file, is_folder
from upres.system.walk import stream_files


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in ("b.png", "a.PNG", "z/c.png", "z/deep/d.jpg", "out/e.png", ".hidden.png", ".folder/f.png", "notes.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


def names(tree: Path, files: list[Path]) -> list[str]:
    return [path.relative_to(tree).as_posix() for path in files]


def test_files_of_a_folder_come_before_those_below_it(tree: Path) -> None:
    found = find_files(tree, {".png", ".jpg"}, keep_out=tree / "out")
    assert names(tree, found.files) == ["a.PNG", "b.png", "z/c.png", "z/deep/d.jpg"]
    assert found.passed_over == {"hidden file": 1, "file that is not a picture": 1}


def test_folders_inside_are_counted_where_they_are_not_gone_into(tree: Path) -> None:
    found = find_files(tree, {".png"}, recursive=False)
    assert names(tree, found.files) == ["a.PNG", "b.png"]
    assert found.words == "1 x file that is not a picture, 2 x folder inside a folder, 1 x hidden file"


@pytest.mark.skipif(os.name != "posix", reason="Windows gives the right to make links to administrators only")
def test_links_and_what_is_no_file(tree: Path) -> None:
    (tree / "good.png").symlink_to(tree / "b.png")
    (tree / "gone.png").symlink_to(tree / "none.png")
    (tree / "circle").symlink_to(tree)
    os.mkfifo(tree / "pipe.png")
    found = find_files(tree, {".png"})
    assert "good.png" in names(tree, found.files) and not {"gone.png", "pipe.png"} & set(names(tree, found.files))
    for reason in ("link that leads nowhere", "link to a folder", "picture that is not a file"):
        assert found.passed_over[reason] == 1, reason


def test_a_folder_that_cannot_be_read_is_counted(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By hand: no permission holds the superuser back, as whom containers run."""
    whole = os.scandir

    def refuse(path: str) -> object:
        if str(path).endswith("deep"):
            raise PermissionError(13, "Permission denied")
        return whole(path)

    monkeypatch.setattr(os, "scandir", refuse)
    assert find_files(tree, {".jpg"}).passed_over["folder that cannot be read"] == 1
    assert find_files(tree / "none", {".jpg"}).words == "1 x folder that cannot be read"
    assert find_files(tree / "z" / "c.png", {".jpg"}).files == []


def test_a_path_that_cannot_be_looked_at_is_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert is_folder(tmp_path) and is_file(tmp_path / "file") and exists(tmp_path)
    long = tmp_path / ("n" * 300)
    assert not (is_folder(long) or is_file(long) or exists(str(long)))


def test_files_of_other_endings_may_be_told_by_name(tmp_path: Path) -> None:
    for name in ("a.png", "b.CBZ", "c.cbr", "d.txt", "e.tar.gz"):
        (tmp_path / name).touch()
    told = {".cbz": "book", ".cbr": "", ".tar.gz": "book"}
    assert find_files(tmp_path, [".png"], told=told).passed_over == {"book": 2, "file that is not a picture": 1}
    streamed = Counter[str]()
    list(stream_files(str(tmp_path), frozenset({".png"}), streamed, recursive=True, told=told))
    assert streamed == {"book": 2, "file that is not a picture": 1}
