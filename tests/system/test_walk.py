from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import pytest

from upres.system.folders import find_files
from upres.system.walk import StreamedFile, folds_names, stream_files

PNG = frozenset({".png"})


def made(top: Path) -> Path:
    for name in ("b.PNG", "deep/a.png", "deep/deeper/c.png", "notes.txt", ".hidden.png", ".git/x.png", "out/r.png"):
        path = top / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    (top / "link.png").symlink_to(top / "b.PNG")
    (top / "lost.png").symlink_to(top / "none")
    (top / "round").symlink_to(top)
    (top / "folder.png").mkdir()
    (top / ".upres-journal.sqlite").touch()
    return top


@pytest.mark.parametrize("recursive", [True, False])
def test_it_finds_what_the_walk_of_the_other_verbs_finds(tmp_path: Path, recursive: bool) -> None:
    top, counted = made(tmp_path / "in"), Counter[str]()
    found = list(stream_files(str(top), PNG, counted, recursive=recursive, keep_out=str(top / "out")))
    known = find_files(top, PNG, recursive=recursive, keep_out=top / "out")
    assert sorted(one.path for one in found) == sorted(map(str, known.files))
    known.passed_over["hidden file"] -= 1  # files of our own are not counted
    assert +counted == +known.passed_over


def test_what_is_told_of_a_file(tmp_path: Path) -> None:
    top = made(tmp_path / "in")
    found = {one.path: one for one in stream_files(str(top), PNG, Counter(), recursive=True)}
    state = (top / "deep" / "a.png").stat()
    path = str(top / "deep" / "a.png")
    assert found[path] == StreamedFile(path, "deep", os.path.realpath(path), 10, state.st_mtime_ns)
    assert found[str(top / "link.png")].real == os.path.realpath(top / "b.PNG")


def test_a_folder_that_changes_meanwhile_raises_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for index in range(5):
        (tmp_path / "in" / f"{index}").mkdir(parents=True)
        (tmp_path / "in" / f"{index}" / "a.png").touch()
    counted, seen = Counter[str](), []
    for one in stream_files(str(tmp_path / "in"), PNG, counted, recursive=True):
        seen.append(one.path)
        (tmp_path / "in").rename(tmp_path / "gone") if len(seen) == 1 else None
    assert len(seen) == 1
    assert counted == {"folder that cannot be read": 4}


def test_whether_names_fold_is_asked_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    assert folds_names(tmp_path) == (tmp_path / "A").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
