"""`upres doctor`: what is installed, what is missing and how to get it, what runs now, and what this project never ran.

Whatever may be broken runs in a process of its own (`upres.doctor.probe`) with a time limit: a wheel that cannot be
imported, or a driver that crashes or hangs, is a line of the report. This module imports no numpy, engine or codec.
Nothing is sent anywhere.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from upres.doctor.hints import hints
from upres.doctor.report import Core, DoctorReport, EngineCheck, Run
from upres.doctor.requirements import TESTED, UNTESTED, untested
from upres.errors import OutputError
from upres.system.hardware import look
from upres.system.packages import (
    ENGINES,
    PACKAGES,
    builds_of,
    install_command,
    missing_modules,
    remedy_for_import,
    repair_command,
    version_of,
)
from upres.system.subprocesses import Job, ProcessOutcome, python_command, run_all

TIMEOUT_S = 60.0  # the first start of a GPU library compiles and loads a gigabyte or two
_SLOWEST_FIRST = ("torch", "spandrel", "openvino", "onnx", "ncnn")
_CORE = {  # by step of the probe: what it needs, and what its failure means
    "numpy": ("numpy", "numpy does not run"),
    "codecs": ("pyvips", "pictures cannot be read or written (pyvips)"),
    "models": ("upres", "the bundled models cannot be read"),
}


def examine(*, quick: bool = False, tell: Callable[[str], None] | None = None) -> DoctorReport:
    """Examine this machine and installation.

    quick: run no engine, only the codecs.
    tell: called with the name of each process that starts.
    Raises OutputError where no temporary file can be written.
    """
    try:
        tempfile.gettempdir()
    except FileNotFoundError as error:
        reason = f"cannot write to any folder for temporary files ({error.strerror})"
        raise OutputError(f"{reason}; free some space or set TMPDIR") from error
    machine = look()
    names = ("upres", *(name for package in PACKAGES for name in builds_of(package.module)), "pyvips-binary")
    packages = {name: version_of(name) for name in names}
    engines = [] if quick else [engine for engine in _SLOWEST_FIRST if not missing_modules(engine)]

    def devices(outcome: ProcessOutcome) -> list[Job]:
        """A process for each device that the first process of an engine found."""
        return [(outcome.job[0], device) for device, _, _ in outcome.first("devices").get("devices", ())]

    jobs = [("core",), *((engine,) for engine in engines)]
    at_once = max(1, min(4, machine.processor.cores))
    command = python_command("upres.doctor.probe")  # by name: it imports what this module must not
    ended = run_all(jobs, command, devices, at_once=at_once, timeout_s=TIMEOUT_S, tell=tell)
    outcomes = {outcome.job: outcome for outcome in ended}
    checks = tuple(check for engine in ENGINES for check in _checks(engine, quick, outcomes))
    core, choices = _core(outcomes["core",], checks[0])
    builds = {job[0]: build for job, outcome in outcomes.items() if (build := outcome.first("build"))}
    return DoctorReport(
        schema=1, upres=packages["upres"] or "unknown", folder=str(Path(__file__).resolve().parent.parent),
        machine=machine, packages=packages, core=core, engines=checks, choices=choices, untested=untested(machine),
        hints=tuple(hints(machine, packages, checks, builds)),
    )  # fmt: skip


def _checks(engine: str, quick: bool, outcomes: dict[Job, ProcessOutcome]) -> list[EngineCheck]:
    """The CPU, then each device that was found, then what keeps the engine from finding more."""

    def blank(device: str, kind: str, name: str = "") -> EngineCheck:
        tested = TESTED.get((engine, kind), UNTESTED)
        return EngineCheck(engine, device, kind, name, version, "not-run", "", (), tested, None)

    version = next((found for name in builds_of(ENGINES[engine][0]) if (found := version_of(name))), None)
    cpu = blank("cpu", "cpu")
    if missing := missing_modules(engine):
        words = f"{' and '.join(missing)} not installed"
        return [replace(cpu, state="missing", words=words, remedy=install_command(engine))]
    if quick:
        return [cpu]
    outcome = outcomes[engine,]
    found = outcome.first("devices")
    devices = [(device, blank(device, kind, name)) for device, kind, name in found.get("devices", ())]
    checks = [_check(cpu, outcome), *(_check(check, outcomes[engine, device]) for device, check in devices)]
    if checks[0].runs and not outcome.ended_well:  # the CPU ran: what went wrong came after it
        others = _failed(blank("others", "others"), outcome)
        words = f"while looking for devices: {others.words}"
        checks.append(replace(others, words=words, remedy="update the GPU driver"))
    if found.get("reason") and not devices:
        checks.append(replace(blank("vulkan", "vulkan"), state="absent", words=found["reason"]))
    return checks


def _check(blank: EngineCheck, outcome: ProcessOutcome) -> EngineCheck:
    """The check of one device, from what its process told and from how it ended."""
    runs = tuple(Run(**{name: told[name] for name in Run.__slots__}) for told in outcome.all("run"))
    version = outcome.first("ready").get("version", blank.version or "").split(" ", 1)[-1] or None
    check, cpu = replace(blank, runs=runs, version=version), blank.device == "cpu"
    if not runs or (not cpu and (outcome.crashed or outcome.timed_out)):
        imported = not cpu or outcome.first("ready")
        remedy = None if imported else remedy_for_import(ENGINES[blank.engine][0], outcome.reason)
        return replace(_failed(check, outcome), remedy=remedy)
    if not runs[0].right:
        return replace(check, state="wrong", words="its result is wrong: use another engine or device")
    return replace(check, state="ok", words="" if cpu or outcome.ended_well else f"no half precision: {outcome.reason}")


def _failed(check: EngineCheck, outcome: ProcessOutcome) -> EngineCheck:
    state = "timeout" if outcome.timed_out else "crashed" if outcome.crashed else "failed"
    return replace(check, state=state, words=_end(outcome))


def _end(outcome: ProcessOutcome) -> str:
    """Why a process did not end well."""
    if outcome.timed_out:
        return f"no answer within {TIMEOUT_S:g} s"
    return outcome.reason if outcome.reason and not outcome.crashed else f"its process {outcome.ending}"


def _core(outcome: ProcessOutcome, ncnn: EngineCheck) -> tuple[Core, dict[str, Any]]:
    numpy, codecs, models, choices = (outcome.first(step) for step in (*_CORE, "choices"))
    problems = [
        f"{failure}: {_end(outcome)}; remedy: {remedy_for_import(package, outcome.reason) or repair_command(package)}"
        for step, (package, failure) in _CORE.items() if not outcome.first(step)
    ][:1]  # fmt: skip
    problems += [f"{fault}; remedy: {repair_command('pyvips')}" for fault in codecs.get("faults", ())]
    problems += models.get("damaged", ())
    if ncnn.state not in ("ok", "not-run"):
        failure = "ncnn, the engine of every installation, does not run"
        problems.append(f"{failure}: {ncnn.words}; remedy: {ncnn.remedy or install_command('ncnn')}")
    core = Core(
        works=False if problems else None if ncnn.state == "not-run" else True, problems=tuple(problems),
        numpy=numpy.get("version", version_of("numpy")), libvips=codecs.get("libvips"),
        reads=tuple(codecs.get("reads", ())), writes=tuple(codecs.get("writes", ())), house_models=models.get("count"),
    )  # fmt: skip
    return core, {"path": choices.get("path"), "count": choices.get("count")}
