"""The verb `upres doctor`: what is here, what runs, what is missing and how to get it."""

from __future__ import annotations

import json
import shutil
import sys
import textwrap
from typing import TYPE_CHECKING, Annotated

import typer

from upres.cli.errors import DEBUG_HELP, DONE, INPUT_FAILED, run_verb, say

if TYPE_CHECKING:
    from collections.abc import Callable

    from upres.doctor.report import DoctorReport, EngineCheck, Run

_STATES = {"missing": "not installed", "absent": "none found", "timeout": "timed out", "not-run": "not run", "wrong": "WRONG RESULT"}
_WIDTH = 140


def doctor(
    quick: Annotated[bool, typer.Option("--quick", help="Run no engine: only look what is installed.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="JSON on standard output.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help=DEBUG_HELP)] = False,
) -> None:
    """Tell what is here, what runs right now, what is missing and how to get it. Sends nothing anywhere.

    Exit code 3 where upscaling does not work; what is optional and missing is no error. Example: upres doctor --json > doctor.json
    """

    def work() -> int:
        from dataclasses import asdict

        from upres.doctor.examine import examine

        report = examine(quick=quick, tell=_progress())
        _wipe()
        if as_json:
            print(json.dumps(asdict(report), indent=2, ensure_ascii=False), flush=True)
        else:
            print("\n".join(text_of(report)), flush=True)
        for problem in report.core.problems:
            say(f"upres: {problem}")
        return INPUT_FAILED if report.core.works is False else DONE

    run_verb(work, debug)


def _progress() -> Callable[[str], None] | None:
    """On a terminal one line, written over and over; elsewhere nothing."""
    if not sys.stderr.isatty():
        return None
    return lambda what: print(f"\r{f'trying {what} ...':<40}", end="", file=sys.stderr, flush=True)


def _wipe() -> None:
    if sys.stderr.isatty():
        print(f"\r{'':<40}\r", end="", file=sys.stderr, flush=True)


def text_of(report: DoctorReport) -> list[str]:
    """The report for a person, line by line."""
    return [*_facts(report), "", *_engines(report), *_hints(report), "", *_end(report)]


def _facts(report: DoctorReport) -> list[str]:
    from upres.system.text import words_for_bytes

    machine, core = report.machine, report.core
    python, system, processor, memory, cache = machine.python, machine.system, machine.processor, machine.memory, machine.cache
    share = "" if processor.quota is None else f", the container has the time of {processor.quota:g}"
    of = "" if memory.total is None else f" of {words_for_bytes(memory.total)}"
    limit = "" if memory.limit is None else f", the container may use {words_for_bytes(memory.limit)}"
    size = words_for_bytes(cache.bytes) if cache.bytes else "empty"
    state = "cannot be written" if cache.problem else "writable" if cache.exists else "not made yet"
    kept = "where is not known" if report.choices.path is None else f"{report.choices.path}, {report.choices.count} measured"
    makers = ", ".join(machine.cards.makers) or ("none seen" if system.kind == "linux" else "not known")
    lines = [
        ("upres", f"{report.upres}, {report.folder}"),
        ("python", f"{python.version} ({python.implementation}), {python.executable}"),
        ("system", f"{system.name}, {system.machine}{', in a container' if system.container else ''}"),
        ("processor", f"{processor.model}, {processor.cores} cores to use{share}"),
        ("memory", f"{words_for_bytes(memory.available)} free{of}{limit}"),
        ("graphics", makers),
        ("cache", f"{cache.path}, {size}, {words_for_bytes(cache.disk_free)} free on its disk, {state}"),
        ("choices", f"{kept} (--engine auto)"),
        ("numpy", core.numpy or "NOT INSTALLED"),
        ("pictures", _codecs(report)),
        ("models", "not looked at" if core.house_models is None else f"{core.house_models} ship with upres"),
    ]
    return [f"{title:<11}{value}" for title, value in lines]


def _codecs(report: DoctorReport) -> str:
    core = report.core
    if core.libvips is None:
        return "DO NOT WORK"
    only = [form for form in core.reads if form not in core.writes]
    return f"libvips {core.libvips}, reads and writes {', '.join(core.writes)}" + (f"; reads {', '.join(only)}" if only else "")


def _engines(report: DoctorReport) -> list[str]:
    table = [("ENGINE", "DEVICE", "STATE", "VERSION", "TESTED", "NOTE")]
    for check in report.engines:
        tested = "" if check.state in ("missing", "absent") else "untested" if check.tested.startswith("untested") else "yes"
        state = _STATES.get(check.state, check.state)
        table.append((check.engine, check.device if check.state != "missing" else "", state, check.version or "", tested, _note(check)))
    widths = [max(len(line[column]) for line in table) for column in range(5)]
    lines: list[str] = []
    for line in table:
        cells = "  ".join(cell.ljust(width) for cell, width in zip(line[:5], widths, strict=False))
        lines += _wrapped(f"{cells}  ", line[5])
    return lines


def _note(check: EngineCheck) -> str:
    runs = ", ".join(_run(run) for run in check.runs)
    return "; ".join(part for part in (check.device_name, runs, check.words, check.remedy or "") if part)


def _run(run: Run) -> str:
    """A difference in levels of 255, which people know."""
    far = run.words or ("no numbers" if run.difference is None else f"{255 * run.difference:.3g} levels off at most")
    return f"{run.precision} {'right' if run.right else 'WRONG'} ({far})"


def _hints(report: DoctorReport) -> list[str]:
    lines: list[str] = []
    for hint in report.hints:
        lines += ["", *_wrapped("hint     ", hint.what), *_wrapped("  why    ", hint.why), *_wrapped("  remedy ", hint.remedy)]
    return lines


def _end(report: DoctorReport) -> list[str]:
    works = {True: "all that upscaling needs works", False: "UPSCALING DOES NOT WORK", None: "all that upscaling needs is there (not run)"}
    return [
        *_wrapped("untested   ", f"{', '.join(report.untested)}: never run by this project; they may work, and reports are welcome"),
        *_wrapped("private    ", "nothing was sent anywhere; paths and names of devices above are all that this text tells of you"),
        *_wrapped("result     ", works[report.core.works]),
    ]


def _wrapped(title: str, text: str) -> list[str]:
    """`text` behind its title, in lines that are not broken within words, so that paths and addresses stay whole."""
    width = min(_WIDTH, shutil.get_terminal_size((_WIDTH, 24)).columns)  # all of it in a file or a pipe, unless COLUMNS says less
    room = max(50, width - len(title))
    parts = textwrap.wrap(text, room, break_long_words=False, break_on_hyphens=False) or [""]
    return [f"{title}{parts[0]}".rstrip(), *(" " * len(title) + part for part in parts[1:])]
