"""`upres doctor`: what is there, what is missing and how to get it, what runs right now, and what this project never ran.

Whatever may be broken is tried in a process of its own (`upres.doctor.probe`), with a limit of time: a wheel that cannot be imported, a
driver that crashes or hangs, is a line of the report. This module itself imports neither numpy nor an engine nor a codec, and nothing of
all this is sent anywhere.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from upres.doctor.hints import hints
from upres.doctor.report import Choices, Core, DoctorReport, EngineCheck, Findings, Run, State
from upres.doctor.requirements import (
    CORE,
    TESTED,
    TESTED_PYTHONS,
    TESTED_SYSTEMS,
    UNTESTED,
    mend,
    untested_kinds,
)
from upres.errors import OutputError
from upres.system.hardware import Machine, look
from upres.system.packages import ENGINES, PACKAGES, builds_of, install_command, missing_modules, version_of
from upres.system.subprocesses import ProcessOutcome, python_command, run_all

TIMEOUT_S = 60.0  # the first start of a GPU library compiles and loads a gigabyte or two
_REINSTALL = "install upres again, from where you had it (pip install --force-reinstall --no-deps SOURCE)"
_PROBE = "upres.doctor.probe"  # by name: it imports what this module must not
_SLOW = ("torch", "spandrel", "openvino", "onnx", "ncnn")  # the slowest first: all is done the sooner


def examine(*, quick: bool = False, timeout_s: float = TIMEOUT_S, tell: Callable[[str], None] | None = None) -> DoctorReport:
    """Look at everything. quick: no engine is run (the codecs are). tell: gets a line before each step, for a person who waits."""
    try:
        tempfile.gettempdir()
    except FileNotFoundError as error:
        raise OutputError(f"no folder for temporary files can be written ({error.strerror}): make room, or set TMPDIR") from error
    machine = look()
    names = ("upres", *(name for package in PACKAGES for name in builds_of(package.module)), "pyvips-binary", "pillow")
    packages = {name: version_of(name) for name in names}
    present = [engine for engine in _SLOW if not missing_modules(engine)]
    jobs = [("core",), *(() if quick else ((engine,) for engine in present))]

    def more(outcome: ProcessOutcome) -> list[tuple[str, ...]]:
        """A process for each device that the first process of an engine found."""
        found = outcome.first("devices")
        return [(outcome.job[0], device) for device, _, _ in found["devices"]] if found else []

    at_once = max(1, min(4, machine.processor.cores))
    outcomes = run_all(jobs, python_command(_PROBE), more, at_once=at_once, timeout_s=timeout_s, tell=tell)
    by_job = {outcome.job: outcome for outcome in outcomes}
    checks = tuple(check for engine in ENGINES for check in _checks(engine, engine in present, quick, by_job, timeout_s))
    core, choices = _core(by_job["core",], checks, timeout_s)
    builds = {engine: found for engine in present if (one := by_job.get((engine,))) and (found := one.first("build"))}
    return DoctorReport(
        schema=1,
        upres=packages["upres"] or "unknown",
        folder=str(Path(__file__).resolve().parent.parent),
        machine=machine,
        packages=packages,
        core=core,
        engines=checks,
        choices=choices,
        untested=_untested(machine),
        hints=hints(Findings(machine, packages, checks, builds)),
    )


def _checks(engine: str, there: bool, quick: bool, outcomes: dict[tuple[str, ...], ProcessOutcome], timeout_s: float) -> list[EngineCheck]:
    """The CPU, then each device that was found, then a line for what an engine could use and does not find."""
    version = next((found for name in builds_of(ENGINES[engine][0]) if (found := version_of(name))), None)
    blank = EngineCheck(engine, "cpu", "cpu", "", version, "not-run", "", (), TESTED[engine, "cpu"], None)
    if not there:
        words = f"{' and '.join(missing_modules(engine))} not installed"
        return [replace(blank, state="missing", words=words, remedy=install_command(engine))]
    if quick:
        return [blank]
    outcome = outcomes[engine,]
    checks = [_judge(blank, outcome, timeout_s)]
    found = outcome.first("devices")
    if found is None:
        if outcome.all("run"):  # the CPU did well: what went wrong came after it
            reason = f"while it looked for devices: {_end(outcome, timeout_s)}"
            checks[0] = replace(checks[0], state="ok" if checks[0].runs[0].right else "wrong", words="", remedy=None)
            others = replace(blank, device="others", kind="others", tested=UNTESTED)
            checks.append(replace(others, state=_state(outcome), words=reason, remedy="update the driver of the GPU"))
        return checks
    for device, kind, name in found["devices"]:
        tested = TESTED.get((engine, kind), UNTESTED)
        one = replace(blank, device=device, kind=kind, device_name=name, tested=tested)
        checks.append(_judge(one, outcomes[engine, device], timeout_s))
    if not found["devices"] and found["reason"]:
        checks.append(replace(blank, device="vulkan", kind="vulkan", state="absent", words=found["reason"], tested=UNTESTED))
    return checks


def _judge(blank: EngineCheck, outcome: ProcessOutcome, timeout_s: float) -> EngineCheck:
    """The check of one device from what its process told, and from how it ended."""
    runs = tuple(Run(one["precision"], one["right"], one["difference"], one["seconds"], one["words"]) for one in outcome.all("run"))
    ready = outcome.first("ready")
    version = ready["version"].split(" ", 1)[-1] if ready else blank.version
    check = replace(blank, runs=runs, version=version)
    if not outcome.ended_well:
        remedy = mend(blank.engine, outcome.reason) if ready is None and blank.device == "cpu" else None
        if runs and runs[0].right and blank.device != "cpu" and not outcome.crashed and not outcome.timed_out:
            return replace(check, state="ok", words=f"no half precision: {outcome.reason}")
        return replace(check, state=_state(outcome), words=_end(outcome, timeout_s), remedy=remedy)
    if not runs[0].right:
        return replace(check, state="wrong", words="its result is not right: use another engine or device", remedy=None)
    return replace(check, state="ok")


def _state(outcome: ProcessOutcome) -> State:
    return "timeout" if outcome.timed_out else "crashed" if outcome.crashed else "failed"


def _end(outcome: ProcessOutcome, timeout_s: float) -> str:
    """How a process ended that did not end well."""
    if outcome.timed_out:
        return f"no answer within {timeout_s:g} s"
    return outcome.reason if outcome.reason and not outcome.crashed else f"its process {outcome.ending}"


def _core(outcome: ProcessOutcome, checks: tuple[EngineCheck, ...], timeout_s: float) -> tuple[Core, Choices]:
    numpy, codecs, models, choices = (outcome.first(step) for step in ("numpy", "codecs", "models", "choices"))
    problems: list[str] = []
    if numpy is None:
        remedy = mend("numpy", outcome.reason) or CORE["numpy"]
        problems.append(f"numpy does not run: {_end(outcome, timeout_s)}; remedy: {remedy}")
    elif codecs is None:
        remedy = mend("pyvips", outcome.reason) or CORE["pyvips"]
        problems.append(f"pictures cannot be read or written (pyvips): {_end(outcome, timeout_s)}; remedy: {remedy}")
    elif codecs["faults"]:
        problems.extend(f"{fault}; remedy: {CORE['pyvips']}" for fault in codecs["faults"])
    elif models is None:
        problems.append(f"the models that ship with upres cannot be read: {_end(outcome, timeout_s)}; remedy: {_REINSTALL}")
    if models is not None:
        problems.extend(models["damaged"])
    ncnn = checks[0]
    if ncnn.state not in ("ok", "not-run"):
        remedy = ncnn.remedy or install_command("ncnn")
        problems.append(f"ncnn, the engine that every installation has, does not run: {ncnn.words}; remedy: {remedy}")
    core = Core(
        works=False if problems else None if ncnn.state == "not-run" else True,
        problems=tuple(problems),
        numpy=numpy["version"] if numpy else version_of("numpy"),
        libvips=codecs["libvips"] if codecs else None,
        reads=tuple(codecs["reads"]) if codecs else (),
        writes=tuple(codecs["writes"]) if codecs else (),
        house_models=models["count"] if models else None,
    )
    return core, Choices(choices["path"], choices["count"]) if choices else Choices(None, None)


def _untested(machine: Machine) -> tuple[str, ...]:
    """What of this machine, and which engines on which devices, no test of this project ever ran."""
    here: list[str] = []
    system, python = machine.system, machine.python.version.rsplit(".", 1)[0]
    if system.machine not in TESTED_SYSTEMS.get(system.kind, ()):
        here.append(f"this system: {system.kind} on {system.machine}")
    if python not in TESTED_PYTHONS or machine.python.implementation != "CPython":
        here.append(f"this Python: {machine.python.implementation} {python}")
    return (*here, *untested_kinds())
