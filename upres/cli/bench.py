"""The verb `upres bench`: which engine is fastest on this machine, for which model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from upres.cli.engine_options import SPEED_PANEL, DeviceOption, Engine, Precision, PrecisionOption
from upres.cli.errors import DEBUG_HELP, DONE, INPUT_FAILED, run_verb, say
from upres.cli.streams import put, show

if TYPE_CHECKING:
    from upres.engines.autotune.bench import Bench, BenchRow

USUAL = ("compact-x4", "compact-x2", "photo-x4")


def bench(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="MODEL", help=f"Model names or files. Default: {', '.join(USUAL)}."),
    ] = None,
    engine: Annotated[
        Engine,
        typer.Option("--engine", help="Measure this engine alone; auto is all of them.", rich_help_panel=SPEED_PANEL),
    ] = Engine.auto,
    device: DeviceOption = "auto",
    precision: PrecisionOption = Precision.auto,
    threads: Annotated[
        int,
        typer.Option("--threads", min=0, metavar="N", help="Threads; 0: one per core.", rich_help_panel=SPEED_PANEL),
    ] = 0,
    busy: Annotated[
        int,
        typer.Option(
            "--busy",
            min=0,
            max=64,
            metavar="N",
            help="Run N processes beside that only count: what a machine in use does. Nothing is kept then.",
            rich_help_panel=SPEED_PANEL,
        ),
    ] = 0,
    issue: Annotated[
        bool,
        typer.Option(
            "--issue",
            help="Print a text to paste into an issue: no path and no name of yours is in it.",
            rich_help_panel="Report",
        ),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.", rich_help_panel="Report")] = False,
    debug: Annotated[bool, typer.Option("--debug", help=DEBUG_HELP)] = False,
) -> None:
    """Measure models on every engine of this machine, in less than two minutes; --engine auto takes the fastest.

    Every engine gives the same picture but for rounding. Sends nothing anywhere. Exits with 3 if no engine runs.

    \b
    Examples:
      upres bench
      upres bench compact-x4 --busy 2 --issue
    """

    def work() -> int:
        from upres.cli.download import have_models
        from upres.engines.autotune.bench import bench as measure
        from upres.engines.options import EngineOptions
        from upres.errors import UsageError
        from upres.models.load import load_model

        if issue and as_json:
            raise UsageError("`issue` and `as_json` exclude each other; set one of them")
        wanted = list(dict.fromkeys(names or USUAL))
        have_models(wanted)
        networks = [(name, load_model(name).graph) for name in wanted]
        options = EngineOptions(engine.value, device, precision.value, threads)
        options.check_installed()

        result = measure(networks, options, busy=busy, tell=lambda name: show(f"measuring {name} ..."))
        show("")
        if as_json:
            put(_json(result))
        else:
            put("\n".join(_issue(result) if issue else _table(result)))
        for name in result.left_out:
            say(f"{name}: not measured, no time was left; name it alone")
        if not busy and result.disturbed:
            say("other programs used the processor: the figures may be low, and none is kept for --engine auto")
        return DONE if any(row.fastest is not None for row in result.rows) else INPUT_FAILED

    run_verb(work, debug)


def _lines(result: Bench) -> list[tuple[str, ...]]:
    """The table: one line a model and engine."""
    from upres.system.text import words_for_bytes

    lines: list[tuple[str, ...]] = [("MODEL", "ENGINE", "MP/S", "RUN", "START", "MEMORY", "")]
    for row in result.rows:
        for found in row.measured:
            if found.run_s is None:
                lines.append((row.model, str(found.candidate), "-", "-", "-", "-", f"failed: {found.error}"))
                continue
            speed = row.megapixels_per_second(found)
            start = "-" if found.load_s is None else f"{found.load_s:.2f} s"
            memory = "-" if found.peak_bytes is None else words_for_bytes(found.peak_bytes)
            mark = "fastest" if found.candidate == row.fastest else ""
            lines.append((row.model, str(found.candidate), f"{speed:.2f}", f"{found.run_s:.3f} s", start, memory, mark))
    return lines


def _table(result: Bench) -> list[str]:
    from upres.system.text import aligned

    return [
        *aligned(_lines(result)),
        "",
        *map(_words, result.rows),
        f"{_conditions(result)}; took {result.seconds:.0f} s",
    ]


def _words(row: BenchRow) -> str:
    if row.fastest is None:
        return f"{row.model}: no engine ran"
    kept = "--engine auto takes it from now on" if row.kept else "not kept"
    device = row.fastest.device
    return f"{row.model}: --engine {row.fastest.engine} --device {device} --precision {row.fastest.precision} ({kept})"


def _conditions(result: Bench) -> str:
    beside = f", beside {result.busy} processes that count" if result.busy else ""
    disturbed = ", other programs at work" if result.disturbed else ""
    sides = ", ".join(dict.fromkeys(f"{row.side} x {row.side}" for row in result.rows))
    where = f"inputs of {sides} pixels, {result.threads} threads{beside}{disturbed}"
    return f"{where}; MP/S: megapixels of the result a second"


def _issue(result: Bench) -> list[str]:
    """Markdown, with the machine but nothing of its owner."""
    from pathlib import Path

    machine = result.machine
    head, *rest = _lines(result)
    lines = [
        f"upres {machine.upres}, {machine.system}",
        "",
        f"{machine.cpu}, {machine.cores} cores, {machine.memory_gib} GiB; {', '.join(machine.gpus) or 'no GPU'}",
        "",
        ", ".join(machine.engines),
        "",
        f"| {' | '.join(head)} |",
        "|" + "---|" * len(head),
    ]
    lines += [f"| {' | '.join((Path(name).name, *cells))} |" for name, *cells in rest]
    return [*lines, "", f"{_conditions(result)}."]


def _json(result: Bench) -> str:
    from upres.system.text import json_text

    rows = [
        {
            "model": row.model,
            "side": row.side,
            "scale": row.scale,
            "fastest": None if row.fastest is None else str(row.fastest),
            "kept": row.kept,
            "engines": [
                {**found.as_json(), "megapixels_per_second": row.megapixels_per_second(found)} for found in row.measured
            ],
        }
        for row in result.rows
    ]
    return json_text(
        {
            "machine": result.machine.as_json(),
            "threads": result.threads,
            "busy": result.busy,
            "disturbed": result.disturbed,
            "seconds": round(result.seconds, 1),
            "rows": rows,
            "left_out": list(result.left_out),
        },
        indent=2,
    )
