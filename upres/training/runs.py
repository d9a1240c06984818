"""The runs below a folder, from the files that they keep: how far they are, their best figures, how they differ."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from upres.errors import DataError, UpresError
from upres.system.lock import is_held
from upres.training.checkpoint import newest_step
from upres.training.config import TrainConfig, plain_config
from upres.training.monitoring.curves import CURVE, read_validations
from upres.training.run_file import RUN_FILE, RunFile, read_run_folder

# Measures of a validation, and whether more is better.
MEASURES = {"psnr_y": True, "ssim_y": True, "lr_psnr": True, "feature_distance": False, "niqe": False}
_LOCK = ".upres.lock"
_DEEPEST = 4  # folders below the one that is searched


@dataclass(frozen=True)
class FoundRun:
    """One run.

    folder: where it lies. file, config: what it was asked for. step: of the newest checkpoint, 0 before the first.
    running: whether a process trains it now. validations: its rows, oldest first.
    """

    folder: Path
    file: RunFile
    config: TrainConfig
    step: int
    running: bool
    validations: Sequence[Mapping[str, Any]]

    @property
    def state(self) -> str:
        """ "running", "finished" or "stopped"."""
        return "running" if self.running else "finished" if self.step >= self.config.steps else "stopped"

    def best(self, measure: str) -> tuple[float, int] | None:
        """The best value of one of `MEASURES` and the step it was measured at; None if it never was."""
        sign = 1.0 if MEASURES[measure] else -1.0
        found = [(sign * float(row[measure]), row["step"]) for row in self.validations if row.get(measure) is not None]
        if not found:
            return None
        value, step = max(found, key=lambda one: one[0])
        return sign * value, int(step)


def find_runs(folder: Path) -> tuple[list[FoundRun], list[str]]:
    """The runs in `folder`, which may be one itself, and below it, sorted by path; and messages on those that cannot be
    read. Raises `DataError` if there is none.
    """
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder")
    found: list[FoundRun] = []
    problems: list[str] = []
    for path in _run_folders(folder, _DEEPEST):
        try:
            found.append(read_run(path))
        except UpresError as error:
            problems.append(str(error))
    if not found and not problems:
        raise DataError(f"{folder} holds no runs: looked for {RUN_FILE} and config.json in it and below it")
    return found, problems


def _run_folders(folder: Path, depth: int) -> Iterator[Path]:
    if (folder / RUN_FILE).is_file() or ((folder / "config.json").is_file() and (folder / "checkpoints").is_dir()):
        yield folder
        return
    try:
        below = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    except OSError:  # a folder that may not be entered
        return
    for path in below if depth else ():
        yield from _run_folders(path, depth - 1)


def read_run(folder: Path) -> FoundRun:
    """The run in `folder`. Raises `DataError` or `UsageError` if its files cannot be read."""
    file, config = read_run_folder(folder)
    rows = read_validations(folder, may_be_empty=True) if (folder / CURVE).is_file() else []
    running = (folder / _LOCK).exists() and is_held(folder / _LOCK)
    return FoundRun(folder, file, config, newest_step(folder / "checkpoints") or 0, running, rows)


def differences(one: FoundRun, other: FoundRun) -> dict[str, tuple[object, object]]:
    """The keys of two runs' files that differ, each with both values."""
    values = [_flat(run) for run in (one, other)]
    keys = dict.fromkeys((*values[0], *values[1]))
    return {key: (values[0].get(key), values[1].get(key)) for key in keys if values[0].get(key) != values[1].get(key)}


def _flat(run: FoundRun) -> dict[str, object]:
    options = {key: getattr(run.file, key) for key in RunFile.__struct_fields__ if key not in ("settings", "recipe")}
    for name in ("data", "validation"):
        options[name] = [f"{one.hr} x {one.weight:g}" + (f" (LR {one.lr})" if one.lr else "") for one in options[name]]
    return plain_config(run.config) | options


def json_of(run: FoundRun) -> dict[str, object]:
    """A run as JSON data."""
    best = {name: dict(zip(("value", "step"), found, strict=True)) for name in MEASURES if (found := run.best(name))}
    finite = {name: one for name, one in best.items() if math.isfinite(one["value"])}
    return {
        "folder": str(run.folder), "recipe": run.config.recipe, "state": run.state, "step": run.step,
        "steps": run.config.steps, "best": finite, "validations": len(run.validations),
    }  # fmt: skip
