"""Ctrl-C, SIGTERM and SIGHUP end a program alike: what is being written is finished, and the exit code says which."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from upres.system import signals
from upres.system.signals import as_interrupts, exit_code, install, is_interrupt, words

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has other signals")

CODES = [(signal.SIGINT, 130, "Ctrl-C"), (signal.SIGTERM, 143, "SIGTERM"), (signal.SIGHUP, 129, "SIGHUP")]
_PROGRAM = """
import signal, sys, time
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    signal.signal(number, signal.SIG_IGN if "ignored" in sys.argv else signal.SIG_DFL)
from upres.system.signals import as_interrupts, end_at_once, exit_code
end_at_once()
if "early" in sys.argv:
    print("ready", flush=True)
    time.sleep(60)
with as_interrupts():
    try:
        print("ready", flush=True)
        time.sleep(0.5 if "ignored" in sys.argv else 60)
    except KeyboardInterrupt:
        print("finishing", flush=True)
        if "slow" in sys.argv:
            time.sleep(60)
        sys.exit(exit_code())
print("done")
"""


def start(*arguments: str) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", _PROGRAM, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


@pytest.mark.parametrize(("number", "code", "told"), CODES)
def test_the_first_signal_is_an_interrupt_with_its_own_code(number: int, code: int, told: str) -> None:
    before = signal.getsignal(number)
    with as_interrupts(), pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), number)
    assert (exit_code(), words()) == (code, told)
    assert signal.getsignal(number) == before
    signals.remember(signal.SIGINT)


@pytest.mark.parametrize(("number", "code", "told"), CODES)
def test_a_second_signal_ends_the_process_at_once(number: int, code: int, told: str) -> None:
    process = start("slow")
    assert process.stdout is not None
    process.send_signal(number)
    assert process.stdout.readline() == "finishing\n"
    process.send_signal(number)
    out, err = process.communicate(timeout=10)
    assert (process.returncode, out, err) == (code, "", "")


@pytest.mark.parametrize(("number", "code", "told"), CODES)
def test_before_and_after_the_work_a_signal_ends_the_process_without_a_word(number: int, code: int, told: str) -> None:
    process = start("early")
    process.send_signal(number)
    out, err = process.communicate(timeout=10)
    assert (process.returncode, out, err) == (code, "", "")


def test_signals_that_are_ignored_stay_so() -> None:
    process = start("ignored")
    for number, _, _ in CODES:
        process.send_signal(number)
    out, err = process.communicate(timeout=10)
    assert (process.returncode, out, err) == (0, "done\n", "")


def test_another_thread_leaves_them_alone() -> None:
    found: list[dict[int, object]] = []
    thread = threading.Thread(target=lambda: found.append(install(lambda number, frame: None)))
    thread.start()
    thread.join()
    assert found == [{}]


def test_the_command_line_dies_without_a_traceback_at_any_moment(tmp_path: Path) -> None:
    """While Python itself starts, the signal is the system's: -2. After that it is ours."""
    for delay in (0.0, 0.03, 0.06, 0.1, 0.2):
        process = subprocess.Popen(
            [sys.executable, "-m", "upres", "models", "list"], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        try:
            process.wait(delay)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=60)
        assert process.returncode in (0, 143, -signal.SIGTERM), err.decode()
        assert b"Traceback" not in err


def test_an_interrupt_that_strikes_a_lock_is_one() -> None:
    """As in `Future.result`: the condition's lock is released while it waits, and `with` releases it once more."""
    lock = threading.Lock()
    with pytest.raises(RuntimeError) as caught, lock:
        lock.release()
        raise KeyboardInterrupt
    assert is_interrupt(caught.value)
    assert is_interrupt(KeyboardInterrupt())
    assert not is_interrupt(RuntimeError("of its own"))
    assert not is_interrupt(None)


def test_a_signal_just_outside_the_verb_is_a_stop_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """As one does that strikes between the setting of the handler and the `try` of the verb."""
    from upres import __main__ as program

    def strike(*arguments: object, **keywords: object) -> None:
        signals.remember(signal.SIGTERM)
        raise KeyboardInterrupt

    told: list[str] = []
    monkeypatch.setattr("upres.cli.main.app_for", lambda verb: strike)
    monkeypatch.setattr("upres.cli.errors.say", told.append)
    monkeypatch.setattr(program, "end_at_once", lambda: None)
    monkeypatch.setattr("sys.argv", ["upres", "models"])
    with pytest.raises(SystemExit) as ended:
        program.main()
    assert ended.value.code == 143 and told == ["upres: stopped by SIGTERM"]
