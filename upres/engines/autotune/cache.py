"""The engine chosen for each network, size and machine: `engines.json` in the user's cache.

A file that cannot be read counts as empty and is replaced. In a folder that is not writable, choices are measured each
time. To measure everything again, delete the file.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from upres.engines.autotune.fingerprint import Fingerprint
from upres.engines.autotune.race import Candidate, Measured
from upres.engines.autotune.worth import choices_file as choices_file
from upres.engines.registry import DEVICES
from upres.errors import OutputError
from upres.system.files import write_atomic
from upres.system.text import parse_json

_FORMAT = 1
_MACHINES, _CHOICES = 4, 100  # kept, the latest (several machines may share a cache)
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Question:
    """What a choice depends on."""

    network: str  # digest of its structure
    side: int  # of the measured picture, in LR pixels; 0 is any
    threads: int
    device: str
    precision: str


@dataclass(frozen=True, slots=True)
class Choice:
    """The engine chosen, and why."""

    question: Question
    family: str  # for the reader, as `macs_per_pixel`
    macs_per_pixel: float
    chosen: Candidate
    measured: tuple[Measured, ...]
    date: str  # ISO 8601, UTC


@dataclass(slots=True)
class MachineRecord:
    """What is known about one machine. `broken` maps candidates that crashed or hung, and stay out, to the reason."""

    machine: dict[str, Any]
    broken: dict[str, str] = field(default_factory=dict[str, str])
    choices: list[Choice] = field(default_factory=list[Choice])

    def find(self, question: Question) -> Choice | None:
        """The choice for that question, if known; for any side, that of the largest picture."""
        if question.side:
            return next((choice for choice in self.choices if choice.question == question), None)
        alike = [choice for choice in self.choices if replace(choice.question, side=0) == question]
        return max(alike, key=lambda choice: choice.question.side, default=None)


def recall(machine: Fingerprint) -> MachineRecord:
    """What is known about this machine."""
    return _read().get(_key(machine)) or MachineRecord(machine.as_json())


def read_choices() -> list[Choice]:
    """The choices of all machines, for display."""
    return [choice for memory in _read().values() for choice in memory.choices]


def remember(machine: Fingerprint, choice: Choice) -> None:
    """Add a choice, and the candidates that broke. Another process may write at the same time."""
    from filelock import FileLock

    path = choices_file()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_name(".engines.json.lock")):
            known = _read()
            memory = known.pop(_key(machine), None) or MachineRecord(machine.as_json())
            memory.broken |= {str(result.candidate): result.error for result in choice.measured if result.broken}
            others = [old for old in memory.choices if old.question != choice.question]
            memory.choices = [*others[1 - _CHOICES :], choice]
            known = dict([*known.items()][1 - _MACHINES :]) | {_key(machine): memory}  # the latest last
            machines = {key: asdict(memory) for key, memory in known.items()}
            write_atomic(path, json.dumps({"format": _FORMAT, "machines": machines}, indent=1).encode())
    except (OSError, OutputError) as error:
        _log.debug("the choice of engine is not saved: %s", error)


@contextmanager
def measuring_alone() -> Generator[None]:
    """Processes that measure at once disturb each other: the second waits here, and finds the first one's choice."""
    from filelock import FileLock

    lock = FileLock(choices_file().with_name(".engines.measuring.lock"))
    try:
        choices_file().parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except OSError as error:  # not writable
        _log.debug("measuring without a lock: %s", error)
    try:
        yield
    finally:
        lock.release()


def _key(machine: Fingerprint) -> str:
    return hashlib.sha256(json.dumps(machine.as_json(), sort_keys=True).encode()).hexdigest()[:16]


def _read() -> dict[str, MachineRecord]:
    """By the key of the machine, the latest last."""
    path = choices_file()
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        return {}
    except OSError as error:
        _log.debug("cannot read %s: %s", path, error)
        return {}
    try:
        known = parse_json(text)
        if known["format"] != _FORMAT:
            raise ValueError(f"format {known['format']}")
        return {key: _memory(values) for key, values in known["machines"].items()}
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        _log.warning("%s is damaged and will be replaced (%s: %s)", path, type(error).__name__, error)
        return {}


def _memory(values: dict[str, Any]) -> MachineRecord:
    broken = {str(name): str(reason) for name, reason in values["broken"].items()}
    return MachineRecord(dict(values["machine"]), broken, [_choice(choice) for choice in values["choices"]])


def _choice(values: dict[str, Any]) -> Choice:
    measured = [Measured(**(result | {"candidate": _candidate(result["candidate"])})) for result in values["measured"]]
    return Choice(
        question=Question(**values["question"]),
        family=str(values["family"]),
        macs_per_pixel=float(values["macs_per_pixel"]),
        chosen=_candidate(values["chosen"]),
        measured=tuple(measured),
        date=str(values["date"]),
    )


def _candidate(values: dict[str, Any]) -> Candidate:
    candidate = Candidate(**values)
    if candidate.engine not in DEVICES:
        raise ValueError(f"engine {candidate.engine!r}")
    return candidate
