"""What `upres doctor` finds. The fields of `DoctorReport` are the keys of `--json`; docs/doctor.md describes each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from upres.system.hardware import Machine

State = Literal["ok", "wrong", "failed", "crashed", "timeout", "missing", "absent", "not-run"]  # docs/doctor.md


@dataclass(frozen=True, slots=True)
class Run:
    """A tiny network on one device, compared with numpy in float64."""

    precision: str
    right: bool
    difference: float | None  # the largest, on the range 0 to 1; None where it is not a number
    seconds: float
    words: str  # why a precision that was tried is not used


@dataclass(frozen=True, slots=True)
class EngineCheck:
    """An engine on a device."""

    engine: str
    device: str
    kind: str  # the device as `requirements.TESTED` names it
    device_name: str
    version: str | None
    state: State
    words: str  # the reason for the state
    runs: tuple[Run, ...]
    tested: str  # where this project runs it
    remedy: str | None  # a command, or advice


@dataclass(frozen=True, slots=True)
class Core:
    """What upscaling cannot do without."""

    works: bool | None  # None where nothing was run (`--quick`) and nothing is known to be missing
    problems: tuple[str, ...]
    numpy: str | None
    libvips: str | None
    reads: tuple[str, ...]  # formats that were just written and read back
    writes: tuple[str, ...]
    house_models: int | None


@dataclass(frozen=True, slots=True)
class Hint:
    """A fault or a shortage: what was found, why it matters, and the remedy."""

    what: str
    why: str
    remedy: str


@dataclass(frozen=True, slots=True)
class DoctorReport:
    schema: int
    upres: str
    folder: str
    machine: Machine
    packages: dict[str, str | None]  # the installed version of each; None: not installed
    core: Core
    engines: tuple[EngineCheck, ...]
    choices: dict[str, str | int | None]  # of `--engine auto`: "path" of their file and their "count", None if unknown
    untested: tuple[str, ...]
    hints: tuple[Hint, ...]
