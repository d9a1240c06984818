from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.tiny import noise, picture
from upres.batch import left
from upres.batch.journal import Journal
from upres.batch.journal_rows import Seen
from upres.batch.left import pixels_left
from upres.images.io import Picture, write_picture


def journal_of(folder: Path, settings: dict[str, str], files: list[Path]) -> Journal:
    journal = Journal(folder)
    journal.begin(settings, "none.lock")
    found = [
        Seen(0, str(path), str(path), "", path.name, f"/out/{path.name}", path.stat().st_size, 0) for path in files
    ]
    journal.see(found, replace=False, retry=False, limits="")
    return journal


def drawings_then_photographs(folder: Path) -> list[Path]:
    """Ten pictures of some bytes, then ten of many bytes and nearly the same size."""
    files = [folder / f"{index:02}.png" for index in range(20)]
    for index, path in enumerate(files):
        flat = Picture(np.full((40, 50 + index, 3), 0.5, np.float32))
        write_picture(flat if index < 10 else picture(noise(40, 50 + index, seed=index)), path)
    return files


@pytest.mark.parametrize(
    ("settings", "pixels"),
    [
        ({}, lambda height, width: 9 * height * width),  # by a model whose scale is 3
        ({"factor": "1.5"}, lambda height, width: round(1.5 * height) * round(1.5 * width)),
        ({"width": "30"}, lambda height, width: round(30 * height / width) * 30),
    ],
)
def test_headers_tell_what_bytes_do_not(tmp_path: Path, settings: dict[str, str], pixels: object) -> None:
    assert callable(pixels)
    files = drawings_then_photographs(tmp_path)
    journal = journal_of(tmp_path, settings, files)
    assert pixels_left(journal.data) is None
    for item in journal.claim(10):
        journal.done(item, "0" * 64, pixels(40, 50 + int(Path(item.source).stem)), 1.0)
    truth = sum(pixels(40, 50 + index) for index in range(10, 20))
    assert pixels_left(journal.data) == pytest.approx(truth, rel=0.03)
    for path in files[10:]:
        path.unlink()  # then bytes are all there is
    told = pixels_left(journal.data)
    assert told is not None and told > 5 * truth
    for item in journal.claim(100):
        journal.failed(item, 3, "gone", None)
    assert pixels_left(journal.data) == 0.0
    journal.data.close()


def test_many_pictures_are_known_by_some(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(left, "_OPEN_SAMPLE", 5)
    journal = journal_of(tmp_path, {}, drawings_then_photographs(tmp_path))
    journal.done(journal.claim(1)[0], "0" * 64, 16 * 40 * 50, 1.0)
    read = list[Path]()
    real = left.read_header
    monkeypatch.setattr(left, "read_header", lambda path: (read.append(path), real(path))[1])
    told = pixels_left(journal.data)
    assert told == pytest.approx(16 * 40 * sum(range(51, 70)), rel=0.15)
    assert len(read) < 12
    journal.data.close()
