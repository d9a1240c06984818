"""Closed, full and abandoned standard streams, and names that would drive a terminal."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from upres.images.io import Picture, write_picture

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs /dev/full and a POSIX shell")
EVIL = "a\x1b]0;owned\x07\x1b[31m\nupres: all done.png"


def shell(command: str, folder: Path) -> subprocess.CompletedProcess[bytes]:
    """Run with `upres` as a shell function; the exit code is that of the first command of a pipe."""
    define = f'upres() {{ "{sys.executable}" -m upres "$@"; }}; set -o pipefail; '
    return subprocess.run(["bash", "-c", define + command], cwd=folder, capture_output=True, check=False)


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    write_picture(Picture(np.random.default_rng(0).random((24, 32, 3), np.float32)), tmp_path / "a.png")
    return tmp_path


@pytest.mark.parametrize("command", ["upres --help | true", "upres --version >/dev/full", "upres --version >&-"])
def test_output_that_nobody_takes_is_exit_code_5_without_a_traceback(command: str, tmp_path: Path) -> None:
    done = shell(command, tmp_path)
    assert done.returncode == 5, done.stderr
    assert b"Traceback" not in done.stderr
    assert b"Exception ignored" not in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("where", ["2>&-", "2>/dev/full"])
def test_what_cannot_be_told_does_not_stop_the_work(where: str, photo: Path) -> None:
    (photo / "bad.png").write_bytes(b"no picture")
    done = shell(f"upres upscale a.png -n compact-x2 -o b.png {where}", photo)
    assert (done.returncode, done.stdout) == (0, b"")
    assert (photo / "b.png").stat().st_size > 100
    done = shell(f"upres inspect bad.png {where}", photo)
    assert (done.returncode, done.stdout) == (3, b"")


def test_names_are_escaped_in_messages_tables_and_json(tmp_path: Path) -> None:
    pixels = Picture(np.random.default_rng(0).random((48, 64, 3), np.float32))
    write_picture(pixels, tmp_path / EVIL)
    (tmp_path / f"bad{EVIL}").write_bytes(b"x")
    (tmp_path / os.fsdecode(b"caf\xe9.png")).write_bytes((tmp_path / EVIL).read_bytes())
    done = shell("upres inspect *.png; upres inspect --json a*.png; upres evaluate --hr . -s 2 --json t.json", tmp_path)
    assert b"Traceback" not in done.stderr
    assert b"a bug of upres" not in done.stderr
    for text in (done.stdout, done.stderr):
        assert b"\x1b" not in text
        assert b"\x07" not in text
        assert b"\nupres: all done" not in text
    table = json.loads((tmp_path / "t.json").read_bytes())
    assert table
    lines = [line for line in done.stdout.splitlines() if line.startswith(b"{")]
    assert json.loads(lines[0])["picture"] == EVIL
