"""The verb `upres doctor`: what is installed, what runs, what is missing and how to get it."""

from __future__ import annotations

import shutil
import textwrap
from typing import TYPE_CHECKING, Annotated

import typer

from upres.cli.command import as_options
from upres.cli.errors import DEBUG_HELP, DONE, INPUT_FAILED, run_verb, say
from upres.cli.streams import put, show
from upres.system.text import json_text

if TYPE_CHECKING:
    from upres.doctor.report import DoctorReport, EngineCheck, Run

_STATES = {"missing": "not installed", "absent": "none found", "timeout": "timed out", "not-run": "not run"}
_RESULTS = {True: "upscaling works", False: "UPSCALING DOES NOT WORK", None: "nothing is missing (engines not run)"}
_WIDTH = 140


def doctor(
    quick: Annotated[
        bool, typer.Option("--quick", help="Only look at what is installed; run no engine.", rich_help_panel="Report")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.", rich_help_panel="Report")] = False,
    debug: Annotated[bool, typer.Option("--debug", help=DEBUG_HELP)] = False,
) -> None:
    """Show what works on this machine, what is missing and how to get it.

    Sends nothing anywhere. Exits with 3 if upscaling does not work; missing optional engines are no error.

    \b
    Examples:
      upres doctor --quick
      upres doctor --json > doctor.json
    """

    def work() -> int:
        from dataclasses import asdict

        from upres.doctor.examine import examine

        report = examine(quick=quick, tell=lambda what: show(f"trying {what} ..."))
        show("")
        lines = [json_text(asdict(report), indent=2)] if as_json else text_of(report)
        put("\n".join(lines))
        for problem in report.core.problems:
            say(f"upres: {problem}")
        return INPUT_FAILED if report.core.works is False else DONE

    run_verb(work, debug)


def text_of(report: DoctorReport) -> list[str]:
    """The report for a person, line by line."""
    lines = [f"{title:<11}{value}" for title, value in _facts(report).items()]
    lines += ["", *_engines(report.engines)]
    for hint in report.hints:
        lines += ["", *_wrapped("hint     ", hint.what), *_wrapped("  why    ", hint.why)]
        lines += _wrapped("  remedy ", hint.remedy)
    untested = f"{', '.join(report.untested)}: this project has never run them; they may work, and reports are welcome"
    private = "nothing was sent anywhere; this text contains paths and device names, and nothing else about you"
    lines += ["", *_wrapped("untested   ", untested), *_wrapped("private    ", private)]
    return [*lines, *_wrapped("result     ", _RESULTS[report.core.works])]


def _facts(report: DoctorReport) -> dict[str, str]:
    from upres.system.text import words_for_bytes as size

    machine, core, choices = report.machine, report.core, report.choices
    python, system, processor, memory = machine.python, machine.system, machine.processor, machine.memory
    cache = machine.cache
    quota = "" if processor.quota is None else f", the container may use {processor.quota:g}"
    total = "" if memory.total is None else f" of {size(memory.total)}"
    limit = "" if memory.limit is None else f", the container may use {size(memory.limit)}"
    used = size(cache.bytes) if cache.bytes else "empty"
    state = "not writable" if cache.problem else "writable" if cache.exists else "not created yet"
    only_read = ", ".join(name for name in core.reads if name not in core.writes)
    codecs = f"libvips {core.libvips}, reads and writes {', '.join(core.writes)}{only_read and f'; reads {only_read}'}"
    return {
        "upres": f"{report.upres}, {report.folder}",
        "python": f"{python.version} ({python.implementation}), {python.executable}",
        "system": f"{system.name}, {system.machine}{', in a container' if system.container else ''}",
        "processor": f"{processor.model}, {processor.cores} usable cores{quota}",
        "memory": f"{size(memory.available)} free{total}{limit}",
        "graphics": ", ".join(machine.cards.makers) or ("none found" if system.kind == "linux" else "unknown"),
        "cache": f"{cache.path}, {used}, {size(cache.disk_free)} free on its disk, {state}",
        "choices": f"{choices['path'] or 'unknown'}, {choices['count'] or 0} measured (--engine auto)",
        "numpy": core.numpy or "NOT INSTALLED",
        "pictures": "DO NOT WORK" if core.libvips is None else codecs,
        "video": (
            f"PyAV {report.packages['av']}, whose wheels carry x264 and x265 (GPL)"
            if report.packages.get("av")
            else "not installed: pip install 'upres[video]'"
        ),
        "models": "not examined" if core.house_models is None else f"{core.house_models} bundled",
    }


def _engines(checks: tuple[EngineCheck, ...]) -> list[str]:
    table = [("ENGINE", "DEVICE", "STATE", "VERSION", "TESTED", "NOTE")]
    for check in checks:
        device = "" if check.state == "missing" else check.device
        tested = "untested" if check.tested.startswith("untested") else "yes"
        tested = "" if check.state in ("missing", "absent") else tested
        note = "; ".join(filter(None, (check.device_name, ", ".join(map(_run, check.runs)), check.words, check.remedy)))
        state = "WRONG RESULT" if check.state == "wrong" else _STATES.get(check.state, check.state)
        table.append((check.engine, device, state, check.version or "", tested, note))
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    rows = ["".join(f"{cell:<{width}}  " for cell, width in zip(row[:5], widths, strict=False)) for row in table]
    return [line for cells, row in zip(rows, table, strict=True) for line in _wrapped(cells, row[5])]


def _run(run: Run) -> str:
    """The difference in levels of 255, which people know."""
    far = run.words or ("no numbers" if run.difference is None else f"at most {255 * run.difference:.3g} levels off")
    return f"{run.precision} {'right' if run.right else 'WRONG'} ({far})"


def _wrapped(title: str, text: str) -> list[str]:
    """`text` after its title, wrapped between words only, so that paths and addresses stay whole."""
    width = min(_WIDTH, shutil.get_terminal_size((_WIDTH, 24)).columns)  # a file or a pipe has `_WIDTH`, or COLUMNS
    room = max(50, width - len(title))
    parts = textwrap.wrap(as_options(text), room, break_long_words=False, break_on_hyphens=False) or [""]
    return [f"{title}{parts[0]}".rstrip(), *(" " * len(title) + part for part in parts[1:])]
