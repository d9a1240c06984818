"""A child runs this very upres, finds what its parent finds, and does not outlive it."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests import REPOSITORY
from upres.system.child import answer_in, tell
from upres.system.subprocesses import python_command, run

SAY = """
import sys, upres
from upres.system.child import tell
def main(arguments):
    tell(path=sys.path, home=upres.__file__, got=arguments)
"""


def test_answers_are_told_from_what_drivers_print() -> None:
    out = io.StringIO()
    out.write("unfinished")
    tell(out, load_s=1.5, name="é")
    assert [answer_in(line) for line in out.getvalue().splitlines()] == [None, {"load_s": 1.5, "name": "é"}]
    assert answer_in('upres-child {"load_s": {}') is None  # cut short


def test_a_child_runs_this_upres_and_looks_where_its_parent_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "upres").mkdir()
    (tmp_path / "upres/__init__.py").write_text("raise ImportError('another upres')")
    (tmp_path / "saying.py").write_text(SAY)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    plain = subprocess.run(
        [sys.executable, "-P", "-c", "import sys, json; print(json.dumps(sys.path))"], capture_output=True, check=True
    )
    outcome = run([*python_command("saying"), "a", "b"], timeout_s=60.0)
    assert outcome.ended_well, outcome.reason
    (said,) = outcome.told
    assert (said["path"], said["got"]) == (json.loads(plain.stdout), ["a", "b"])
    assert Path(said["home"]) == REPOSITORY / "upres/__init__.py"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process that its parent has ended")
def test_a_child_does_not_outlive_a_parent_that_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "waiting.py").write_text(
        "import os, time\ndef main(_):\n    print(os.getpid(), flush=True)\n    time.sleep(60)\n"
    )
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{REPOSITORY}")
    program = "import subprocess\nfrom upres.system.subprocesses import python_command\n"
    program += "subprocess.run(python_command('waiting'))"
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        parent.kill()
        end = time.monotonic() + 30.0
        while is_alive(child) and time.monotonic() < end:
            time.sleep(0.01)
        assert not is_alive(child)


def is_alive(process: int) -> bool:
    try:
        return "State:\tZ" not in Path(f"/proc/{process}/status").read_text()
    except FileNotFoundError:
        return False
