"""The lock file: one process at a time, and none for ever."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from upres.system.files import alone

_HOLD = (
    "import sys, pathlib\nfrom upres.system.files import alone\nwith alone(pathlib.Path(sys.argv[1])):\n    print('held', flush=True)\n"
    "    sys.stdin.read()"
)
_TRY = (
    "import fcntl, sys\nfile = open(sys.argv[1], 'ab')\ntry:\n    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)\n    print('free')\n"
    "except BlockingIOError:\n    print('held')"
)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no flock")
def test_another_process_waits_until_the_holder_ends(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    with subprocess.Popen([sys.executable, "-c", _HOLD, str(lock)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None and holder.stdout.readline() == "held\n"
        asked = [sys.executable, "-c", _TRY, str(lock)]
        assert subprocess.run(asked, capture_output=True, text=True, check=True).stdout == "held\n"
        holder.kill()
        holder.wait()
        with alone(lock):  # given back by a process that was killed
            pass
    assert lock.is_file()


def test_a_folder_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), alone(tmp_path / "none" / "lock"):
        pass
