from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest

from upres.cli.errors import verb_exit_code
from upres.cli.train_processes import Interrupt, sole_run
from upres.errors import OutputError, UsageError

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_the_first_signal_asks_to_save_and_the_code_tells_which_it_was(number: int, code: int) -> None:
    asked: list[bool] = []

    def work() -> None:
        with Interrupt(talks=False) as interrupt:
            os.kill(os.getpid(), number)
            asked.append(interrupt.pressed())
            raise KeyboardInterrupt  # as the loop does once it has saved

    assert verb_exit_code(work) == code
    assert asked == [True]


def test_two_runs_in_one_folder_are_refused_and_a_removed_folder_is_told(tmp_path: Path) -> None:
    out = tmp_path / "run"
    with sole_run(out, True):
        with (
            pytest.raises(UsageError, match=r"another upres train is running in .*run: wait for it"),
            sole_run(out, True),
        ):
            pass
        with sole_run(out, False):  # another rank of the same run
            pass
    with pytest.raises(OutputError, match=r"run was removed while the run wrote to it"), sole_run(out, True):
        (out / ".upres.lock").unlink()
        out.rmdir()
        (out / "curve").write_text("x")
