"""Some processes at a time, each with a limit of time, and what they told before they ended, however they ended."""

from __future__ import annotations

import json
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO

WORD = "upres-doctor "  # before each line that is ours: drivers print too
_POLL_S = 0.02
_LONGEST_REASON = 300
_WINDOWS_CRASH = 0xC0000000  # NTSTATUS codes of severity "error"
Job = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ProcessOutcome:
    """What a process told, line by line, and how it ended. `reason` is the last line of its stderr, of a traceback the exception."""

    job: Job
    told: tuple[dict[str, Any], ...]
    code: int
    timed_out: bool
    reason: str

    def first(self, step: str) -> dict[str, Any] | None:
        return next(iter(self.all(step)), None)

    def all(self, step: str) -> list[dict[str, Any]]:
        return [line for line in self.told if line["step"] == step]

    @property
    def ended_well(self) -> bool:
        return self.code == 0 and not self.timed_out

    @property
    def crashed(self) -> bool:
        """Ended from outside (a signal), not by an exception."""
        return not self.timed_out and (self.code < 0 or self.code >= _WINDOWS_CRASH)


@dataclass(slots=True)
class _Running:
    job: Job
    process: subprocess.Popen[bytes]
    out: BinaryIO
    err: BinaryIO
    deadline: float


def run_all(
    jobs: Sequence[Job],
    command: Sequence[str],
    more: Callable[[ProcessOutcome], Sequence[Job]],
    *,
    at_once: int,
    timeout_s: float,
    tell: Callable[[str], None] | None = None,
    env: Mapping[str, str] | None = None,
) -> list[ProcessOutcome]:
    """Run `command` with the words of each job, and of the jobs that `more` makes of each outcome. None is left running, come what may.

    Output goes to temporary files: a process that hangs has told what it told, and no pipe can fill up.
    """
    waiting, running, done = list(jobs), list[_Running](), list[ProcessOutcome]()
    try:
        while waiting or running:
            while waiting and len(running) < at_once:
                running.append(_start(waiting.pop(0), command, timeout_s, env))
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


def _start(job: Job, command: Sequence[str], timeout_s: float, env: Mapping[str, str] | None) -> _Running:
    out, err = tempfile.TemporaryFile(), tempfile.TemporaryFile()  # noqa: SIM115  # `_finish` closes them
    process = subprocess.Popen([*command, *job], stdin=subprocess.DEVNULL, stdout=out, stderr=err, env=env)
    return _Running(job, process, out, err, time.monotonic() + timeout_s)


def _finish(one: _Running) -> ProcessOutcome:
    """Its outcome; where it still runs it is ended, and counts as too slow."""
    timed_out = one.process.poll() is None
    if timed_out:
        one.process.kill()
    code = one.process.wait()
    with one.out as out, one.err as err:
        out.seek(0)
        err.seek(0)
        lines = out.read().decode("utf-8", "replace").splitlines()
        said = err.read().decode("utf-8", "replace").split("\n")
    told = tuple(json.loads(line.removeprefix(WORD)) for line in lines if line.startswith(WORD) and line.endswith("}"))
    return ProcessOutcome(one.job, told, code, timed_out, _reason(said))


def _reason(lines: list[str]) -> str:
    """The exception of a traceback without its module and the name of our own errors; else the last line."""
    begun = max((index for index, line in enumerate(lines) if line.startswith("Traceback ")), default=-1)
    words = [line.strip() for line in lines[begun + 1 :] if line.strip() and not line.startswith(" ")]
    if not words:
        return ""
    name, colon, rest = words[0 if begun >= 0 else -1].partition(": ")
    if colon and name.startswith("upres.errors."):  # words for users already
        return rest[:_LONGEST_REASON]
    return f"{name.rpartition('.')[2] if colon else name}{colon}{rest}"[:_LONGEST_REASON]
