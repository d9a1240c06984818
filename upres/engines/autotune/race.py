"""Engines against each other on one network and one size of picture: each in a process of its own, taking turns run by run.

Two engines measured one after the other on a machine that does other things differ by luck. So all are loaded first, one at a time; then
each runs once in every round while the others wait, and its fastest run counts. A process that dies or does not answer is ended, and
the way it went is the result: that is how a broken GPU driver shows.
"""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

ROUNDS, ROUNDS_S = 3, 6.0  # no further round is begun after that time
ANSWER_S = 15.0  # for loading with the first run, and for each run
BUDGET_S = 45.0  # for all together; who has not begun by then is left out
_PROGRAM = "upres.engines.autotune.worker"  # by name: it is run, never imported


@dataclass(frozen=True, slots=True)
class Candidate:
    """An engine on a device, in a precision."""

    engine: str
    device: str
    precision: str

    def __str__(self) -> str:
        half = "" if self.precision == "fp32" else f" {self.precision}"
        return self.engine + ("" if self.device == "cpu" else f" on {self.device}") + half


@dataclass(frozen=True, slots=True)
class Measured:
    """`run_s` is the fastest run, `load_s` includes the first one. None where there is an `error`; `broken`: the process died or hung."""

    candidate: Candidate
    run_s: float | None = None
    load_s: float | None = None
    peak_bytes: int | None = None
    error: str = ""
    broken: bool = False

    def as_json(self) -> dict[str, Any]:
        """The fields, with the candidate as a dict too."""
        return asdict(self)


def race(
    candidates: Sequence[Candidate],
    structure: dict[str, Any],
    *,
    side: int,
    threads: int,
    program: Sequence[str] | None = None,
    answer_s: float = ANSWER_S,
    budget_s: float = BUDGET_S,
) -> tuple[Measured, ...]:
    """One result for each candidate, in their order. `structure` is `graph.serialize.structure`, `program` replaces the child (tests)."""
    command = tuple(program) if program is not None else (sys.executable, "-P", "-m", _PROGRAM)
    end = time.monotonic() + budget_s
    entrants: list[_Entrant] = []
    try:
        for candidate in candidates:
            entrant = _Entrant(candidate, command)
            entrants.append(entrant)
            room = min(answer_s, end - time.monotonic())
            if room > 0:
                request = {**asdict(candidate), "structure": structure, "side": side, "threads": threads}
                entrant.load(request, room)
            else:
                entrant.result = replace(entrant.result, error="there was no time left to try it")
        begun = time.monotonic()
        for number in range(ROUNDS):
            if number and time.monotonic() - begun > ROUNDS_S:
                break
            for entrant in entrants:
                room = min(answer_s, end - time.monotonic())
                if room > 0 and not entrant.result.error:
                    entrant.run(room)
        for entrant in entrants:
            entrant.finish()
    finally:
        for entrant in entrants:
            entrant.end()
    return tuple(entrant.result for entrant in entrants)


class _Entrant:
    """One candidate and its process."""

    def __init__(self, candidate: Candidate, command: tuple[str, ...]) -> None:
        self.result = Measured(candidate)
        self._words = tempfile.TemporaryFile()  # noqa: SIM115 (closed by `end`)  # a pipe that nobody reads would stop whoever has much to say
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._words, env=_environment())
        self._lines: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self._reader = threading.Thread(target=self._read, daemon=True)  # Windows cannot wait for a pipe with a time limit
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line)
        self._lines.put(b"")

    def load(self, request: dict[str, Any], seconds: float) -> None:
        """Send what to run; wait until it has run once."""
        answer = self._ask(json.dumps(request), seconds)
        if answer is not None:
            self.result = replace(self.result, load_s=answer["load_s"])

    def run(self, seconds: float) -> None:
        """One run; the fastest counts."""
        answer = self._ask("run", seconds)
        if answer is not None:
            before = self.result.run_s
            self.result = replace(self.result, run_s=answer["run_s"] if before is None else min(before, answer["run_s"]))

    def finish(self) -> None:
        """No more runs: it tells its memory and goes."""
        if not self.result.error:
            answer = self._ask(None, 5.0)
            if answer is not None:
                self.result = replace(self.result, peak_bytes=answer["peak_bytes"])

    def _send(self, line: str | None) -> None:
        stdin = self._process.stdin
        assert stdin is not None
        with suppress(OSError, ValueError):  # it is gone, or ended by us meanwhile; the end of its answers tells how
            if line is not None:
                stdin.write(line.encode() + b"\n")
                stdin.flush()
            else:
                stdin.close()

    def _ask(self, line: str | None, seconds: float) -> dict[str, Any] | None:
        """The answer to a line (None: to the end of the lines); without one, `result` says why."""
        # From a thread: a process that hangs before it reads would hold us too, once the pipe is full.
        threading.Thread(target=self._send, args=(line,), daemon=True).start()
        try:
            said = self._lines.get(timeout=seconds)
        except queue.Empty:
            self._fail(f"it did not answer within {seconds:.0f} s", broken=True)
            return None
        try:
            answer: Any = json.loads(said)
        except ValueError:
            self._fail(self._death(), broken=True)
            return None
        if "error" in answer:
            self._fail(answer["error"], broken=False)
            return None
        return answer

    def _fail(self, reason: str, *, broken: bool) -> None:
        self.result = replace(self.result, run_s=None, error=reason, broken=broken)
        self.end()

    def _death(self) -> str:
        try:
            code = self._process.wait(5.0)
        except subprocess.TimeoutExpired:
            return "it closed its output and did not end"
        self._words.seek(0)
        said = self._words.read().decode(errors="replace").strip().splitlines()
        last = f" ({said[-1][:200]})" if said else ""
        return (f"it was ended by signal {-code}" if code < 0 else f"it ended with code {code}") + last

    def end(self) -> None:
        """Whatever it does, it is over."""
        self._process.kill()
        self._process.wait()
        self._reader.join()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                with suppress(OSError):  # what was not sent yet cannot be sent any more
                    stream.close()
        self._words.close()


def _environment() -> dict[str, str]:
    """Ours, with the folder of this package first among those where the child looks for it."""
    package = str(Path(__file__).resolve().parents[3])
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [package, os.environ.get("PYTHONPATH", "")]))}
