"""`upres jobs`: how far a job into a folder is, what failed and why."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from upres.cli.errors import DEBUG_HELP, DONE, run_verb
from upres.cli.streams import put
from upres.errors import UsageError
from upres.system.text import json_text, shown, words_for_estimate

if TYPE_CHECKING:
    from upres.batch.status import Status

_REPORT = "Report"
_LISTED = 100


def jobs(
    folder: Annotated[str, typer.Argument(metavar="OUT", help="The output folder or URL of `upres upscale -o OUT`.")],
    as_json: Annotated[
        bool,
        typer.Option("--json", help="One JSON object per line: the job, then each picture.", rich_help_panel=_REPORT),
    ] = False,
    as_csv: Annotated[
        bool, typer.Option("--csv", help="A CSV table of all pictures.", rich_help_panel=_REPORT)
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help=DEBUG_HELP)] = False,
) -> None:
    """Tell how far a job into a folder is: done, open, failed with reasons, speed and time left. At any time.

    \b
    Examples:
      upres jobs large
      upres jobs large --csv > report.csv
    """

    def work() -> int:
        from upres.batch.status import read_status
        from upres.system.storage import home_of, is_url

        out = home_of(folder) if is_url(folder) else Path(folder)
        if as_json and as_csv:
            raise UsageError("`as_json` and `as_csv` exclude each other; set one of them")
        if as_csv:
            _print_csv(out)
        elif as_json:
            _print_json(out, read_status(out))
        else:
            _print_text(out, read_status(out))
        return DONE

    run_verb(work, debug)


def _print_text(out: Path, status: Status) -> None:
    from upres.batch.journal_rows import FAILED
    from upres.batch.status import pictures

    total = status.pictures.total()
    states = ", ".join(f"{status.pictures[state]:,} {state}" for state in status.pictures if status.pictures[state])
    put(f"{shown(out)}: {total:,} pictures: {states}")
    if status.speed is not None:
        put(f"  {status.pixels / 1e6:,.1f} MP made, {status.speed / 1e6:,.2f} MP/s{_left(status)}")
    if status.runs:
        put(f"  {status.runs} process{'' if status.runs == 1 else 'es'} at work")
    for settings in status.settings:
        put("  " + (", ".join(f"{name}={value or 'yes'}" for name, value in settings.items()) or "default settings"))
    failed = status.pictures["failed"]
    for place, one in enumerate(pictures(out, FAILED)):
        if place == _LISTED:
            put(f"  and {failed - _LISTED:,} more failed; --csv lists all")
            return
        reason = one.reason or ""
        put("  failed: " + shown(reason if reason.startswith(one.source) else f"{one.source}: {reason}"))


def _left(status: Status) -> str:
    if status.left_s is None or not status.pictures["open"] + status.pictures["running"]:
        return ""
    return f", about {words_for_estimate(status.left_s)} left"


def _print_json(out: Path, status: Status) -> None:
    from dataclasses import asdict, fields

    from upres.batch.status import pictures

    job = {field.name: getattr(status, field.name) for field in fields(status)}
    put(json_text({"event": "job", "folder": str(out), **job}))
    for one in pictures(out):
        put(json_text({"event": "picture", **asdict(one)}))


def _print_csv(out: Path) -> None:
    import csv
    import sys
    from dataclasses import astuple, fields

    from upres.batch.status import PictureStatus, journals, pictures

    journals(out)
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow([field.name for field in fields(PictureStatus)])
    for one in pictures(out):
        writer.writerow([shown(value) if isinstance(value, str) else value for value in astuple(one)])
    sys.stdout.flush()
