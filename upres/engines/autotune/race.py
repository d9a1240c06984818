"""A race of engines on one network and picture size: each in a process of its own, taking turns.

Measured one after the other, engines differ by whatever else the machine does. So all are loaded first, one at a
time; then each runs once per round while the others wait, and its fastest run counts. A process that crashes or hangs
is ended, and that is its result: so a broken GPU driver is found.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from upres.system.subprocesses import Conversation, python_command

ROUNDS, ROUNDS_S = 3, 6.0  # no round starts after that time
ANSWER_S = 15.0  # for loading and the first run, and for each run
BUDGET_S = 45.0  # in all; those not started by then are left out
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
    """`run_s` is the fastest run, `load_s` includes the first. None after an `error`; `broken`: it crashed or hung."""

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
    """A result for each candidate, in order. `structure` is `graph.serialize.structure`; tests replace `program`."""
    command = program if program is not None else python_command(_PROGRAM)
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
                entrant.result = replace(entrant.result, error="no time was left to try it")
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

    def __init__(self, candidate: Candidate, command: Sequence[str]) -> None:
        self.result = Measured(candidate)
        self._process = Conversation(command)

    def load(self, request: dict[str, Any], seconds: float) -> None:
        """Send the request; wait for the first run."""
        answer = self._ask(json.dumps(request), seconds)
        if answer is not None:
            self.result = replace(self.result, load_s=answer["load_s"])

    def run(self, seconds: float) -> None:
        """One run; the fastest counts."""
        answer = self._ask("run", seconds)
        if answer is not None:
            before = self.result.run_s
            self.result = replace(
                self.result, run_s=answer["run_s"] if before is None else min(before, answer["run_s"])
            )

    def finish(self) -> None:
        """Ask for the peak memory and let it end."""
        if not self.result.error:
            answer = self._ask(None, 5.0)
            if answer is not None:
                self.result = replace(self.result, peak_bytes=answer["peak_bytes"])

    def _ask(self, line: str | None, seconds: float) -> dict[str, Any] | None:
        """The answer to a line, or for None to the end of input; if there is none, `result` says why."""
        try:
            answer = self._process.ask(line, seconds)
        except TimeoutError as error:
            self._fail(str(error), broken=True)
            return None
        if answer is None:
            outcome = self._process.outcome()
            self._fail(
                "it closed its output but did not exit" if outcome.timed_out else f"it {outcome.ending}", broken=True
            )
            return None
        if "error" in answer:
            self._fail(answer["error"], broken=False)
            return None
        return answer

    def _fail(self, reason: str, *, broken: bool) -> None:
        self.result = replace(self.result, run_s=None, error=reason, broken=broken)
        self.end()

    def end(self) -> None:
        """End the process, whatever it does."""
        self._process.end()
