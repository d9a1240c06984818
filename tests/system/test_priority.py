"""The priority of a process that gives way, in a process of its own, and of threads that a library made real-time."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import pytest

from tests import REPOSITORY
from upres.system.priority import no_real_time

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


def may_be_real_time() -> bool:
    if sys.platform != "linux":
        return False
    code = "import os; os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode == 0


@pytest.mark.skipif(not may_be_real_time(), reason="needs the right to real-time scheduling")
@pytest.mark.parametrize("before", ["SCHED_OTHER", "SCHED_RR"])
def test_what_a_library_made_real_time_is_ordinary_again(before: str) -> None:
    """But for what was real-time before. All in a thread of its own: the others keep what they have."""
    found: list[int] = []

    def run() -> None:
        policy = getattr(os, before)
        os.sched_setscheduler(0, policy, os.sched_param(0 if policy == os.SCHED_OTHER else 1))
        with no_real_time():
            os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
            inherits = threading.Thread(target=done.wait)
            inherits.start()
            assert inherits.native_id is not None
        found.extend(os.sched_getscheduler(task) for task in (0, inherits.native_id))
        done.set()
        inherits.join()

    done = threading.Event()
    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert found == [os.SCHED_OTHER if before == "SCHED_OTHER" else os.SCHED_FIFO] * 2
