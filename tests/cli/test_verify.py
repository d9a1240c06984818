from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.mark.parametrize("name", ["named.png", "named.jpg", "named.webp"])
def test_one_result_is_made_again(
    tmp_path: Path, photo: Path, name: str, upres: Callable[..., tuple[str, str]]
) -> None:
    made = tmp_path / name
    upres("upscale", photo, "-n", "compact-x2", "-o", made)
    words, _ = upres("verify", made, photo)
    assert words == f"{made}: the same bytes\n"
    made.write_bytes(made.read_bytes() + b"more")
    words, told = upres("verify", made, photo, code=3)
    assert words == f"{made}: within one level\n" and "the file was changed since" in told


def test_a_folder(tmp_path: Path, photo: Path, model: Path, upres: Callable[..., tuple[str, str]]) -> None:
    upres("upscale", photo, "-n", model, "-o", tmp_path / "out/")
    _, told = upres("verify", tmp_path / "out")
    assert "1 results are as they were written" in told
    (tmp_path / "out" / "photo.png").write_bytes(b"torn")
    words, told = upres("verify", tmp_path / "out", code=3)
    assert words == f"{tmp_path / 'out' / 'photo.png'}: damaged\n"
    assert "1 of 1 results are not as they were written" in told


def test_what_is_refused(tmp_path: Path, photo: Path, upres: Callable[..., tuple[str, str]]) -> None:
    _, told = upres("verify", tmp_path, code=3)
    assert "has no journal of a job" in told
    _, told = upres("verify", tmp_path, photo, code=2)
    assert "a folder is checked against its journal" in told
    _, told = upres("verify", photo, code=2)
    assert "name the picture that it was made from too" in told
