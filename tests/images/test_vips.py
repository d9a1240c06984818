from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

# A program of its own: what is tested here would leave this process with a libvips that no later fork survives.
_PROGRAM = """
import multiprocessing, sys
from pathlib import Path
import numpy as np
from upres.images.io import Picture, encode_picture, read_picture

def work(data):
    try:
        picture = read_picture(data)
        return picture.pixels.shape, len(encode_picture(picture, "png")) > 0
    except Exception as error:
        return type(error).__name__, str(error)

if __name__ == "__main__":
    method, parent = sys.argv[1:]
    data = Path(sys.argv[0]).with_name("picture.png").read_bytes()
    if parent == "read":
        read_picture(data)
    if parent == "write":
        encode_picture(Picture(np.zeros((8, 9, 3), np.float32)), "jpeg")
    with multiprocessing.get_context(method).Pool(1) as pool:
        print(*pool.apply(work, (data,)), sep="|")
"""


no_windows = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no fork")


def run(folder: Path, method: str, parent: str) -> str:
    import numpy as np

    from upres.images.io import Picture, write_picture

    write_picture(Picture(np.full((8, 9, 3), 0.5, np.float32)), folder / "picture.png")
    program = folder / "program.py"
    program.write_text(_PROGRAM)
    done = subprocess.run([sys.executable, program, method, parent], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@no_windows
@pytest.mark.parametrize("parent", ["read", "write"])
def test_a_forked_child_is_told_at_once_what_it_cannot_do(tmp_path: Path, parent: str) -> None:
    kind, words = run(tmp_path, "fork", parent).split("|")
    assert kind == "ForkedError"
    assert "'forkserver' or 'spawn'" in words


@no_windows
def test_a_child_forked_before_the_first_picture_works(tmp_path: Path) -> None:
    assert run(tmp_path, "fork", "nothing") == "(8, 9, 3)|True"


@pytest.mark.parametrize("method", ["spawn", pytest.param("forkserver", marks=no_windows)])
def test_other_ways_to_start_a_child_work(tmp_path: Path, method: str) -> None:
    assert run(tmp_path, method, "read") == "(8, 9, 3)|True"


def test_no_python_runs_in_threads_of_libvips() -> None:
    """The garbage collector, run there by a logged warning, freed other threads' regions: libvips ended the process."""
    program = "import os, upres.images.vips as v; print(v.pyvips._log_handler_id, os.environ['VIPS_WARNING'])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=120)
    assert (done.stdout.split(), done.stderr) == (["None", "1"], "")
