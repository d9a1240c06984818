"""Child processes: each has a time limit and never stays behind.

Whatever may hang, crash or exhaust memory (drivers, model files of strangers) runs in one. `run` waits for one process,
`run_all` for several at a time, and `Conversation` talks to one line by line.
"""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from upres.system.child import answer_in

_POLL_S = 0.02
_LONGEST_REASON = 300
_WINDOWS_CRASH = 0xC0000000  # NTSTATUS codes of severity "error"
_END_S = 5.0  # from the end of the output to the end of the process
Job = tuple[str, ...]


def python_command(module: str) -> list[str]:
    """The command that calls `module.main(arguments)` in a new Python, which imports the same packages as this one."""
    return [sys.executable, "-P", str(Path(__file__).with_name("child.py")), str(os.getpid()), module]


@dataclass(frozen=True, slots=True)
class ProcessOutcome:
    """What a process told (see `child.tell`) and how it ended.

    job: its arguments.
    told: its answers, in order, also before a crash.
    code: its exit code, or minus the signal that ended it.
    timed_out: whether it was killed at its time limit.
    reason: the last line of its stderr, or the exception of a traceback.
    """

    job: Job
    told: tuple[dict[str, Any], ...]
    code: int
    timed_out: bool
    reason: str

    def first(self, step: str) -> dict[str, Any]:
        """The first answer of that step, or {}."""
        return next(iter(self.all(step)), dict[str, Any]())

    def all(self, step: str) -> list[dict[str, Any]]:
        """All answers of that step."""
        return [answer for answer in self.told if answer.get("step") == step]

    @property
    def ended_well(self) -> bool:
        return self.code == 0 and not self.timed_out

    @property
    def crashed(self) -> bool:
        """Whether a signal ended it."""
        return not self.timed_out and (self.code < 0 or self.code >= _WINDOWS_CRASH)

    @property
    def ending(self) -> str:
        """ "was ended by signal SIGSEGV (last line of its stderr)", "ended with code 1 (ValueError: ...)"."""
        if not self.crashed:
            how = f"ended with code {self.code}"
        elif self.code < 0:
            known = {int(one): one.name for one in signal.Signals}
            how = f"was ended by signal {known.get(-self.code, -self.code)}"
            how += ", as when memory is short" if how.endswith("SIGKILL") else ""
        else:
            how = f"was ended by code 0x{self.code:08X}"  # 0xC0000005 is an access violation
        return f"{how} ({self.reason})" if self.reason else how


def run(command: Sequence[str], *, timeout_s: float) -> ProcessOutcome:
    """Run one process. Raises OSError if it does not start."""
    (outcome,) = run_all([()], command, lambda _: (), at_once=1, timeout_s=timeout_s)
    return outcome


def run_all(
    jobs: Sequence[Job],
    command: Sequence[str],
    more: Callable[[ProcessOutcome], Sequence[Job]],
    *,
    at_once: int,
    timeout_s: float,
    tell: Callable[[str], None] | None = None,
) -> list[ProcessOutcome]:
    """Run `command` with the arguments of each job, and of the jobs that `more` returns for each outcome.

    jobs, more: the arguments of each process.
    at_once: how many run at a time; timeout_s: how long each may take.
    tell: called with the arguments of each process that starts.
    Raises OSError if a process does not start; none is left running.
    """
    waiting, running, done = list(jobs), list[_Running](), list[ProcessOutcome]()
    try:
        while waiting or running:
            while waiting and len(running) < at_once:
                running.append(_start(waiting.pop(0), command, timeout_s))
                if tell is not None:
                    tell(" ".join(running[-1].job))
            ended = [one for one in running if one.process.poll() is not None or time.monotonic() > one.deadline]
            for one in ended:
                running.remove(one)
                outcome = _finish(one)
                done.append(outcome)
                waiting.extend(more(outcome))
            if not ended:
                time.sleep(_POLL_S)
    finally:
        for one in running:
            _finish(one)
    return done


@dataclass(slots=True)
class _Running:
    job: Job
    process: subprocess.Popen[bytes]
    out: BinaryIO
    err: BinaryIO
    deadline: float


def _start(job: Job, command: Sequence[str], timeout_s: float) -> _Running:
    # Files, not pipes: they keep what a process wrote before it hung, and never fill up.
    out, err = tempfile.TemporaryFile(), tempfile.TemporaryFile()  # noqa: SIM115  # `_finish` closes them
    try:
        process = subprocess.Popen([*command, *job], stdin=subprocess.DEVNULL, stdout=out, stderr=err)
    except BaseException:
        out.close()
        err.close()
        raise
    return _Running(job, process, out, err, time.monotonic() + timeout_s)


def _finish(one: _Running) -> ProcessOutcome:
    """Its outcome; if it still runs, it is killed and counts as timed out."""
    timed_out = one.process.poll() is None
    if timed_out:
        one.process.kill()
    code = one.process.wait()
    with one.out as out, one.err as err:
        told = (answer_in(line) for line in _text(out).splitlines())
        return ProcessOutcome(
            one.job, tuple(answer for answer in told if answer is not None), code, timed_out, _reason(_text(err))
        )


def _text(file: BinaryIO) -> str:
    file.seek(0)
    return file.read().decode("utf-8", "replace")


def _reason(text: str) -> str:
    """The exception of a traceback, without its module, and of our errors the message alone; else the last line."""
    lines = text.split("\n")
    begun = max((index for index, line in enumerate(lines) if line.startswith("Traceback ")), default=-1)
    words = [line.strip() for line in lines[begun + 1 :] if line.strip() and not line.startswith(" ")]
    if not words:
        return ""
    name, colon, rest = words[0 if begun >= 0 else -1].partition(": ")
    if colon and name.startswith("upres.errors."):  # a message for users already
        return rest[:_LONGEST_REASON]
    return f"{name.rpartition('.')[2] if colon else name}{colon}{rest}"[:_LONGEST_REASON]


class Conversation:
    """A process that answers each line of its standard input (see `child.tell`). The caller must `end` it."""

    def __init__(
        self, command: Sequence[str], *, pass_fds: Sequence[int] = (), env: Mapping[str, str] | None = None
    ) -> None:
        self._err = tempfile.TemporaryFile()  # noqa: SIM115 (closed by `end`)  # an unread pipe would block it once full
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._err, pass_fds=pass_fds, env=env
        )
        self._answers: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        self._reader = threading.Thread(
            target=self._read, daemon=True
        )  # Windows cannot wait for a pipe with a time limit
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            answer = answer_in(line.decode("utf-8", "replace").rstrip("\r\n"))
            if answer is not None:
                self._answers.put(answer)
        self._answers.put(None)

    def ask(self, line: str | None, timeout_s: float) -> dict[str, Any] | None:
        """The answer to a line, or for None to the end of input; None if it ended instead. Raises TimeoutError."""
        # From a thread: a process that hangs before it reads would block us once the pipe is full.
        threading.Thread(target=self._send, args=(line,), daemon=True).start()
        try:
            return self._answers.get(timeout=timeout_s)
        except queue.Empty:
            raise TimeoutError(f"it did not answer within {timeout_s:.0f} s") from None

    def _send(self, line: str | None) -> None:
        stdin = self._process.stdin
        assert stdin is not None
        with suppress(OSError, ValueError):  # it has ended; the end of its answers says how
            if line is not None:
                stdin.write(line.encode() + b"\n")
                stdin.flush()
            else:
                stdin.close()

    def outcome(self) -> ProcessOutcome:
        """How the process ended, once it has stopped answering; it is killed if it still runs."""
        timed_out = False
        try:
            self._process.wait(_END_S)
        except subprocess.TimeoutExpired:
            timed_out = True
            self._process.kill()
        return ProcessOutcome((), (), self._process.wait(), timed_out, _reason(_text(self._err)))

    def end(self) -> None:
        """Kill the process, whatever it does."""
        self._process.kill()
        self._process.wait()
        self._reader.join()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                with suppress(OSError):  # unsent input is lost
                    stream.close()
        self._err.close()
