"""The priority of a process that gives way, in a process of its own."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests import REPOSITORY

_SHOW = (
    "import os, threading\n"
    "from upres.system.priority import lower_priority\n"
    "{before}\n"
    "lower_priority()\n"
    "def show(): print(os.getpriority(os.PRIO_PROCESS, 0))\n"
    "thread = threading.Thread(target=show); thread.start(); thread.join(); show()\n"
)


@pytest.mark.skipif(sys.platform == "win32", reason="getpriority(2)")
@pytest.mark.parametrize(("before", "after"), [("os.nice(0)", 10), ("os.nice(19)", 19)])
def test_other_programs_go_first_and_threads_inherit_it(before: str, after: int) -> None:
    command = ["nice", "-n", "0", sys.executable, "-c", _SHOW.format(before=before)]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True)
    found = [int(line) for line in done.stdout.split()]
    assert len(found) == 2
    assert found[0] == found[1] >= after
