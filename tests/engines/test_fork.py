"""An `Upscaler` in worker processes: pickled where it arrives, refused at once in a fork that cannot run it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

# A program of its own: after a fork like this no engine runs in the process that is tested.
_PROGRAM = """
import multiprocessing, sys
import numpy as np
import upres

LR = np.random.default_rng(0).random((12, 10, 3), np.float32)

def work(upscaler):
    try:
        return float((upscaler or upres.Upscaler("compact-x2", engine="ncnn", threads=2))(LR).sum())
    except Exception as error:
        return f"{type(error).__name__}: {error}"

def inherited():
    return work(upscaler)

if __name__ == "__main__":
    method, parent = sys.argv[1:3]
    upscaler = None
    if parent == "used":
        upscaler = upres.Upscaler("compact-x2", upres.UpscaleOptions(blend=0.5), engine="ncnn", threads=2)
    expected = work(upscaler) if upscaler else 0.0
    with multiprocessing.get_context(method).Pool(1) as pool:
        is_inherited = method == "fork" and "--pickled" not in sys.argv
        found = pool.apply(inherited) if is_inherited else pool.apply(work, (upscaler,))
    print(found, abs(found - expected) < 1e-3 if isinstance(found, float) else "", sep="|")
"""

no_windows = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no fork")


def run(folder: Path, *arguments: str) -> list[str]:
    program = folder / "program.py"
    program.write_text(_PROGRAM)
    done = subprocess.run([sys.executable, program, *arguments], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip().split("|")


@no_windows
def test_a_forked_child_of_a_parent_that_used_an_engine_is_told_at_once(tmp_path: Path) -> None:
    for arguments in (("fork", "used"), ("fork", "used", "--pickled")):
        words, _ = run(tmp_path, *arguments)
        assert words.startswith("ForkedError: process ")
        assert "'forkserver' or 'spawn'" in words


@no_windows
def test_a_child_that_is_forked_before_works(tmp_path: Path) -> None:
    assert float(run(tmp_path, "fork", "unused")[0]) > 0.0


@pytest.mark.parametrize("method", ["spawn", pytest.param("forkserver", marks=no_windows)])
def test_a_pickled_upscaler_is_opened_again_where_it_arrives(tmp_path: Path, method: str) -> None:
    assert run(tmp_path, method, "used")[1] == "True"
