"""The job of `upres evaluate`: its sets, its models, what it says in the end."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from upres.cli.errors import DONE, INPUT_FAILED, say
from upres.cli.progress import JobProgress, counted
from upres.errors import UsageError
from upres.system.text import shown

if TYPE_CHECKING:
    from upres.engines.options import EngineOptions
    from upres.evaluation.measures import Distance, Measures
    from upres.evaluation.report import Report
    from upres.evaluation.sets import PictureSet
    from upres.metrics.dists import Dists
    from upres.metrics.lpips import Lpips


def find_picture_sets(
    scale: int, hr: Path | None, lr: Path | None, named: Sequence[str], others: Sequence[str]
) -> list[PictureSet]:
    """The sets of the command line, with their names and headers checked before models are opened."""
    from dataclasses import replace

    from upres.evaluation.sets import find_others, find_set, parse_named
    from upres.images.pairing import FilePair, check_scale, check_sizes

    check_scale(scale)
    if named and (hr is not None or lr is not None):
        raise UsageError("`sets` and `hr` exclude each other; LR of a set is named by NAME=HR,LR")
    found: dict[str, PictureSet] = {}
    for text in named:
        name, folders = parse_named(text, "sets")
        if name in found:
            raise UsageError(f"`sets` names {name} twice")
        found[name] = find_set(name, folders[0], folders[1] if len(folders) > 1 else None, scale)
    if not named:
        folder = hr or lr
        name = "pictures" if folder is None else folder.resolve().name
        found[name] = find_set(name, hr, lr, scale)
    if others and len(found) > 1:
        raise UsageError("`others` fits one set only; measure the sets one by one and join them by `join`")
    results = [parse_named(text, "others") for text in others]
    for name, one in found.items():
        files = {title: find_others(one, folders[0], scale) for title, folders in results}
        found[name] = replace(one, others=files)
        check_sizes([pair for pair in one.pictures if isinstance(pair, FilePair)], scale)
    return list(found.values())


def load_distances(lpips: str | None, dists: bool, folder: Path | None) -> tuple[Distance | None, Distance | None]:
    """LPIPS in the network `lpips` and DISTS, where they are asked for; files from `folder`, or downloaded."""
    from upres.evaluation.measures import Distance
    from upres.metrics.dists import load_dists
    from upres.metrics.lpips import load_lpips

    def of(metric: Lpips | Dists) -> Distance:
        source = metric.backbone
        words = (
            f"{source.name} with the SHA-256 {source.sha256[:16]}, weights {metric.sha256[:16]}; 8-bit RGB, not resized"
        )
        return Distance(metric.name, metric, words)

    return of(load_lpips(lpips, folder)) if lpips else None, of(load_dists(folder)) if dists else None


def measure_sets(
    sets: Sequence[PictureSet],
    names: Sequence[str],
    scale: int,
    measures: Measures,
    options: EngineOptions,
    *,
    choose_engine: bool,
) -> Report:
    """Measure the named models on all sets.

    choose_engine: Use ncnn, so that results do not depend on the machine.
    """
    from contextlib import ExitStack

    from upres.cli.download import have_models
    from upres.evaluation.costs import share_memory
    from upres.evaluation.evaluate import check_models
    from upres.evaluation.evaluate import evaluate as measure_pictures
    from upres.evaluation.open_models import open_models
    from upres.evaluation.report import Report
    from upres.evaluation.tables import BICUBIC
    from upres.system.packages import version_of

    named = [name for name in names if name != BICUBIC]  # always measured
    have_models(name for name in named if not Path(name).is_dir())
    with ExitStack() as stack:
        opened = open_models(named, options, stack, choose_engine=choose_engine)
        upscalers = {name: model.upscaler for name, model in opened.items()}
        check_models(upscalers, scale)
        report = Report(version_of("upres") or "unknown", facts={name: model.facts for name, model in opened.items()})
        total = sum(len(one.pictures) for one in sets)
        with JobProgress("measuring", total, counted("pictures")) as job:
            done = 0
            for one in sets:
                report.sets[one.name] = measure_pictures(
                    one.pictures,
                    upscalers,
                    scale=scale,
                    measures=measures,
                    others=one.others,
                    progress=lambda now, _, before=done: job.update(before + now),
                )
                done += len(one.pictures)
                if one.left_out:
                    count = f"{one.left_out} result{'s' if one.left_out > 1 else ''}"
                    report.sets[one.name].notes.append(f"{count} of upres beside the pictures of {one.name} left out")
        share_memory(evaluation.costs for evaluation in report.sets.values())
        return report


def tell(report: Report) -> int:
    """Print notes and failures; returns the exit code."""
    code = DONE
    for evaluation in report.sets.values():
        for note in dict.fromkeys(evaluation.notes):
            say(f"note: {note}")
        if evaluation.failed:
            code = INPUT_FAILED
            total = len(evaluation.files) + len(evaluation.failed)
            say(f"{len(evaluation.failed)} of {total} pictures failed and are left out of all rows:")
            for name, reason in evaluation.failed.items():
                say(f"  {reason}" if shown(name) in reason else f"  {shown(name)}: {reason}")
    return code
