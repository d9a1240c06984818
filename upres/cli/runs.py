"""The verb `upres runs`: what was trained, how far it is, and how two runs differ."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from upres.cli.errors import DEBUG_HELP, DONE, INPUT_FAILED, run_verb, say
from upres.cli.streams import put

if TYPE_CHECKING:
    from collections.abc import Sequence

    from upres.training.runs import FoundRun

_TITLES = {"psnr_y": "PSNR (Y)", "ssim_y": "SSIM (Y)", "lr_psnr": "LR-PSNR", "feature_distance": "distance",
           "niqe": "NIQE"}  # fmt: skip
_FORMATS = {"psnr_y": "{:.2f}", "ssim_y": "{:.4f}", "lr_psnr": "{:.1f}", "feature_distance": "{:.4f}", "niqe": "{:.2f}"}


def runs(
    folders: Annotated[
        list[Path] | None,
        typer.Argument(metavar="DIR", help="Folders of runs, searched four folders deep. Default: runs."),
    ] = None,
    diff: Annotated[
        bool, typer.Option("--diff", help="Show how the files of two runs differ.", rich_help_panel="Output")
    ] = False,
    csv: Annotated[
        bool,
        typer.Option(
            "--csv", help="CSV: of several runs this table, of one its validations.", rich_help_panel="Output"
        ),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="JSON instead of a table.", rich_help_panel="Output")] = False,
    debug: Annotated[bool, typer.Option("--debug", help=DEBUG_HELP)] = False,
) -> None:
    """List training runs with their best validations.

    \b
    Examples:
      upres runs runs
      upres runs --diff runs/a runs/b
      upres runs runs/a --csv > a.csv
    """

    def work() -> int:
        from upres.errors import UsageError
        from upres.system.text import json_text
        from upres.training.runs import differences, find_runs, json_of

        found: list[FoundRun] = []
        problems: list[str] = []
        for folder in folders or [Path("runs")]:
            more, bad = find_runs(folder)
            found, problems = found + more, problems + bad
        for problem in problems:
            say(problem)
        if csv and (as_json or diff):
            raise UsageError("--csv excludes --json and --diff")
        if diff:
            if len(found) != 2:
                raise UsageError(f"--diff takes the folders of two runs, found {len(found)} runs")
            changed = differences(*found)
            if as_json:
                put(json_text({key: list(values) for key, values in changed.items()}, indent=2))
            else:
                put(_diff_text(found, changed))
        elif as_json:
            put(json_text([json_of(run) for run in found], indent=2))
        elif csv:
            put(_validations_csv(found[0]) if len(found) == 1 else _table_csv(found), end="")
        else:
            put(table(found))
        return INPUT_FAILED if problems else DONE

    run_verb(work, debug)


def _cells(run: FoundRun) -> list[str]:
    from upres.training.runs import MEASURES

    cells = [str(run.folder), run.config.recipe, run.state, f"{run.step:,} of {run.config.steps:,}"]
    for name in MEASURES:
        best = run.best(name)
        cells.append("-" if best is None else f"{_FORMATS[name].format(best[0])} @{best[1]}")
    return cells


def table(found: Sequence[FoundRun]) -> str:
    """One line a run; each best figure with the step it was measured at. Measures that no run has are left out."""
    from upres.system.text import aligned, shown

    rows = [["run", "recipe", "state", "step", *_TITLES.values()], *(_cells(run) for run in found)]
    kept = [i for i in range(len(rows[0])) if i < 4 or any(row[i] != "-" for row in rows[1:])]
    return "\n".join(aligned([[shown(row[i]) for i in kept] for row in rows]))


def _diff_text(found: Sequence[FoundRun], changed: dict[str, tuple[object, object]]) -> str:
    from upres.system.text import shown

    if not changed:
        return "the two runs were asked for the same"
    lines = [f"--- {found[0].folder}", f"+++ {found[1].folder}"]
    for key, values in changed.items():
        lines += [f"{sign}{key} = {value}" for sign, value in zip("-+", values, strict=True)]
    return "\n".join(map(shown, lines))


def _table_csv(found: Sequence[FoundRun]) -> str:
    from upres.training.runs import MEASURES

    rows: list[list[object]] = []
    for run in found:
        bests = [run.best(name) for name in MEASURES]
        figures = [value for best in bests for value in (best or ("", ""))]
        rows.append([run.folder, run.config.recipe, run.state, run.step, run.config.steps, *figures])
    titles = ["run", "recipe", "state", "step", "steps", *(t for name in MEASURES for t in (name, f"{name}_step"))]
    return _csv(titles, rows)


def _validations_csv(run: FoundRun) -> str:
    """One line a validation: its figures and the terms of the loss of its step."""
    losses = dict.fromkeys(f"loss/{name}" for row in run.validations for name in row.get("losses", {}))
    skipped = ("losses", "guard", "means", "went_back", "judge")
    names = dict.fromkeys(name for row in run.validations for name in row if name not in skipped)
    rows = [
        [row.get(name) for name in names] + [row.get("losses", {}).get(name.removeprefix("loss/")) for name in losses]
        for row in run.validations
    ]
    return _csv([*names, *losses], rows)


def _csv(titles: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    import csv
    import io

    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(titles)
    writer.writerows(rows)
    return text.getvalue()
