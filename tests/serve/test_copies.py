"""Copies of results: complete, never over another file, and their failure is told."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

pytest.importorskip("starlette")

from tests.serve.running import running
from upres.errors import OutputError
from upres.serve import copies
from upres.serve.copies import save_copy


@pytest.fixture
def result(tmp_path: Path) -> Path:
    path = tmp_path / "result"
    path.write_bytes(b"pixels" * 1000)
    return path


@pytest.mark.parametrize("links", [True, False])
def test_a_name_that_is_taken_gets_a_number(
    result: Path, tmp_path: Path, links: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not links:

        def link(*_: object) -> None:
            raise OSError("FAT has none")

        monkeypatch.setattr(os, "link", link)
    folder = tmp_path / "new" / "folder"
    saved = [save_copy(result, "photo_x4.png", folder).name for _ in range(3)]
    assert saved == ["photo_x4.png", "photo_x4 (2).png", "photo_x4 (3).png"]
    assert sorted(path.name for path in folder.iterdir()) == sorted(saved)
    assert all((folder / name).read_bytes() == result.read_bytes() for name in saved)


def test_no_path_in_a_name_leads_out_of_the_folder(result: Path, tmp_path: Path) -> None:
    assert save_copy(result, "../../evil.png", tmp_path / "folder") == tmp_path / "folder" / "evil.png"


def test_a_copy_that_breaks_off_leaves_nothing(result: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(copies.shutil, "copyfileobj", full)
    with pytest.raises(OutputError, match="the disk is full"):
        save_copy(result, "photo.png", tmp_path / "folder")
    assert list((tmp_path / "folder").iterdir()) == []


def test_a_folder_that_cannot_be_written_stops_no_job(tmp_path: Path) -> None:
    (tmp_path / "in the way").touch()
    with running(tmp_path / "data", out=str(tmp_path / "in the way" / "folder")) as server:
        for name in ("first-job", "second-job"):
            assert server.put(name, {}).status_code == 201
            job = server.wait(name)
            assert job["state"] == "done" and "saved_as" not in job["result"]
            assert job["notes"][-1].startswith("no copy was saved: cannot write")
            assert server.client.get(f"/v1/jobs/{name}/result").status_code == 200
