"""Results beside their pictures, which have no journal, after SIGKILL."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.tiny import compact_file, noise, picture
from upres.images.io import write_picture


def results(folder: Path) -> dict[str, Path]:
    return {path.name: path for path in folder.glob("*_x2.png")}


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
def test_the_same_command_goes_on_beside_the_pictures_too(tmp_path: Path) -> None:
    inputs, whole, model = tmp_path / "in", tmp_path / "whole", compact_file(tmp_path / "tiny.safetensors", 2)
    inputs.mkdir()
    for index in range(60):
        write_picture(picture(noise(40, 50, seed=index)), inputs / f"{index:02}.png")
    shutil.copytree(inputs, whole)

    def command(folder: Path) -> list[str]:
        return [sys.executable, "-m", "upres", "upscale", str(folder), "-n", str(model), "--threads", "1"]

    child = subprocess.Popen(command(inputs), stderr=subprocess.DEVNULL)
    while len(results(inputs)) < 3:
        assert child.poll() is None
        time.sleep(0.01)
    child.kill()
    assert child.wait() == -signal.SIGKILL
    finished = {name: path.stat().st_mtime_ns for name, path in results(inputs).items()}
    assert 3 <= len(finished) < 60
    for folder in (inputs, whole):
        subprocess.run(command(folder), stderr=subprocess.DEVNULL, check=True)
    assert {name: path.read_bytes() for name, path in results(inputs).items()} == {
        name: path.read_bytes() for name, path in results(whole).items()
    }
    assert finished.items() <= {name: path.stat().st_mtime_ns for name, path in results(inputs).items()}.items()
    assert not list(inputs.glob(".*")), "something temporary is left"
