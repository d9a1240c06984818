"""scripts/chromium on machines that lack something. Nothing is installed: apt-get is a stand-in."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests import REPOSITORY

pytestmark = pytest.mark.skipif(os.name != "posix", reason="the script is for a POSIX shell")


def run(folder: Path, **programs: str) -> tuple[int, str]:
    """The script on a PATH with nothing but these programs, each a line of shell."""
    for name, text in programs.items():
        path = folder / name.replace("_", "-")
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)
    script = str(REPOSITORY / "scripts" / "chromium")
    done = subprocess.run(["/bin/sh", script], env={"PATH": str(folder)}, capture_output=True, text=True, check=False)
    assert done.stdout == ""
    return done.returncode, done.stderr


def test_root_installs_it_once(tmp_path: Path) -> None:
    installs = f'echo "$*" >>{tmp_path}/log; : >{tmp_path}/chromium; /bin/chmod +x {tmp_path}/chromium'
    assert run(tmp_path, id="echo 0", apt_get=installs) == (0, "chromium: installing chromium\n")
    assert run(tmp_path) == (0, "")
    assert len((tmp_path / "log").read_text().splitlines()) == 1


def test_where_it_cannot_be_had_the_reason_is_told(tmp_path: Path) -> None:
    code, told = run(tmp_path, id="echo 1000")
    assert code == 1 and "no apt-get here: install Chromium" in told and "TESTS IN A BROWSER WILL BE SKIPPED" in told
    code, told = run(tmp_path, apt_get="exit 1")
    assert code == 1 and told.endswith("TESTS IN A BROWSER WILL BE SKIPPED until you run: sudo apt install chromium\n")
    code, told = run(tmp_path, id="echo 0")
    assert code == 1 and "apt-get could not install chromium" in told
    code, told = run(tmp_path, apt_get="exit 0")
    assert code == 1 and "there is no program of that name" in told
