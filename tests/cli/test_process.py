from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

START = "import sys; from upres.cli.process import begin, end, imported, importing; begin(); "


def run(program: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    command = [sys.executable, "-c", START + program]
    return subprocess.run(command, capture_output=True, text=True, env=environment)


def test_exit_functions_run_and_what_was_printed_arrives(tmp_path: Path) -> None:
    file = tmp_path / "end"
    ended = run(
        f"import atexit, pathlib; atexit.register(pathlib.Path({str(file)!r}).write_text, 'ran'); "
        "print('x' * 100_000); sys.stderr.write('told'); end(3)"
    )
    assert (ended.returncode, len(ended.stdout), ended.stderr) == (3, 100_001, "told")
    assert file.read_text() == "ran"


def test_a_thread_that_works_is_waited_for() -> None:
    program = (
        "import threading, time; threading.Thread(target=lambda: (time.sleep(0.3), print('done'))).start(); end(4)"
    )
    ended = run(program)
    assert (ended.returncode, ended.stdout) == (4, "done\n")


def test_a_profiler_gets_its_end() -> None:
    ended = run("sys.setprofile(lambda *_: None); import gc; end(5)")
    assert ended.returncode == 5


def test_a_closed_standard_output_is_no_fault() -> None:
    ended = run("import os; os.close(1); sys.stdout.write('lost'); end(6)")
    assert ended.returncode == 6


def test_garbage_is_looked_for_once_all_is_imported() -> None:
    ended = run(
        "import gc\nassert not gc.isenabled()\nwith importing():\n    assert not gc.isenabled()\n"
        "assert gc.isenabled() and gc.get_freeze_count() > 1000\nimported()\nprint('fine')\nend(0)"
    )
    assert (ended.returncode, ended.stdout) == (0, "fine\n"), ended.stderr


def test_numpys_threads_do_not_spin_unless_the_user_says_so() -> None:
    assert run("import os; print(os.environ['OPENBLAS_THREAD_TIMEOUT']); end(0)").stdout == "4\n"
    given = "import os; os.environ['OPENBLAS_THREAD_TIMEOUT'] = '20'; begin(); "
    assert run(given + "print(os.environ['OPENBLAS_THREAD_TIMEOUT']); end(0)").stdout == "20\n"


def test_a_process_that_did_not_begin_here_keeps_its_collector() -> None:
    program = "import gc; from upres.cli.process import imported; imported(); print(gc.get_freeze_count())"
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ended.stdout == "0\n"
