from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from upres.errors import OutputError, UsageError
from upres.system.lock import FileGuard, is_held, only_user

_HOLDER = """
import sys
from pathlib import Path
from upres.system.lock import FileGuard
guard = FileGuard(Path(sys.argv[1]), "held")
print("held", flush=True)
sys.stdin.read()
"""


def holder(path: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", _HOLDER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_a_lock_of_another_process_refuses_until_that_ends(tmp_path: Path) -> None:
    path = tmp_path / "a.lock"
    with holder(path) as other:
        with pytest.raises(UsageError, match="someone works here"):
            FileGuard(path, "someone works here")
        assert is_held(path)
        other.kill()
        other.wait()
    assert path.exists()
    assert not is_held(path)
    assert not path.exists()
    guard = FileGuard(path, "someone works here")
    guard.release()
    guard.release()
    assert not path.exists()


def test_a_folder_made_for_nothing_is_removed(tmp_path: Path) -> None:
    with only_user(tmp_path / "run", "busy"):
        assert (tmp_path / "run").is_dir()
        with pytest.raises(UsageError, match="busy"), only_user(tmp_path / "run", "busy"):
            pass
    assert not (tmp_path / "run").exists()
    with only_user(tmp_path / "run", "busy"):
        (tmp_path / "run" / "result").touch()
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["result"]


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=r"cannot write .*file"), only_user(tmp_path / "file" / "run", "busy"):
        pass
