"""What `upres doctor` found out, as data. The fields of `DoctorReport` are the keys of `--json`: docs/doctor.md says what each means."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from upres.system.hardware import Machine

State = Literal["ok", "wrong", "failed", "crashed", "timeout", "missing", "absent", "not-run"]


@dataclass(frozen=True, slots=True)
class Run:
    """A tiny network on one device, against numpy in float64. `difference` is the greatest, in shares of the range, None where there is
    no number. `words` say why a precision that was tried is not used."""

    precision: str
    right: bool
    difference: float | None
    seconds: float
    words: str


@dataclass(frozen=True, slots=True)
class EngineCheck:
    """An engine on a device.

    state: "ok"; "wrong": it ran and the result is not right; "failed": an error, which `words` tells; "crashed": its process was ended
    by a signal; "timeout"; "missing": not installed; "absent": no such device is found; "not-run": `--quick`.
    `kind` is the device as `requirements.TESTED` knows it; `tested` is from there. `remedy` is a command or an advice.
    """

    engine: str
    device: str
    kind: str
    device_name: str
    version: str | None
    state: State
    words: str
    runs: tuple[Run, ...]
    tested: str
    remedy: str | None


@dataclass(frozen=True, slots=True)
class Core:
    """What upscaling cannot do without. `works` is None where nothing was run (`--quick`) and nothing is known to be missing.

    `reads` and `writes` are formats that were written and read again just now.
    """

    works: bool | None
    problems: tuple[str, ...]
    numpy: str | None
    libvips: str | None
    reads: tuple[str, ...]
    writes: tuple[str, ...]
    house_models: int | None


@dataclass(frozen=True, slots=True)
class Choices:
    """Where `--engine auto` keeps what it measured, and how much is there; None where that could not be asked."""

    path: str | None
    count: int | None


@dataclass(frozen=True, slots=True)
class Hint:
    """Something to mend: what was seen, why it matters, and what to do."""

    what: str
    why: str
    remedy: str


@dataclass(frozen=True, slots=True)
class DoctorReport:
    """All that `upres doctor` tells; its fields are the keys of `--json`. `packages` has what pip knows of each, None for nothing."""

    schema: int
    upres: str
    folder: str
    machine: Machine
    packages: dict[str, str | None]
    core: Core
    engines: tuple[EngineCheck, ...]
    choices: Choices
    untested: tuple[str, ...]
    hints: tuple[Hint, ...]


@dataclass(frozen=True, slots=True)
class Findings:
    """What the hints are made from: the report so far, and what the libraries said of how they were built."""

    machine: Machine
    packages: dict[str, str | None]
    engines: tuple[EngineCheck, ...]
    builds: dict[str, dict[str, Any]]
