"""Messages of `upres upscale`: skipped files, the estimate before a job, the summary after it."""

from __future__ import annotations

import traceback
from collections import defaultdict
from typing import TYPE_CHECKING

from upres.cli.engine_options import words_for_engine
from upres.cli.errors import say
from upres.cli.progress import failure_line
from upres.system import signals
from upres.system.text import shown, words_for_estimate, words_for_seconds

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from upres.batch.job import Counted, Job, Kept, Summary
    from upres.batch.paths import Destination
    from upres.batch.request import Request

TELL_FROM_S = 30.0  # a longer job announces its estimate
_LISTED = 100  # failures; `upres jobs` lists all
_TELL_WORK_FROM = 3.0  # times the picture that tiles read: then what makes the job so long is told too


def tell_left_out(left_out: Mapping[str, int], kept: Kept) -> None:
    """Report skipped files and kept results."""
    for reason, count in sorted(left_out.items()):
        say(f"skipped: {count} x {reason}")
    remedy = "(`overwrite=True` replaces {})"
    _tell_kept(kept.existing, f" {remedy}".format("it"), f" {remedy}".format("them"))
    unknown = f"; {{}} settings are unknown {remedy}"
    _tell_kept(kept.unknown, unknown.format("its", "it"), unknown.format("their", "them"))
    for told, targets in kept.other.items():
        remedy = f", {told}: add `overwrite=True`, or choose another `out`"
        _tell_kept(targets, remedy, remedy)


def _tell_kept(targets: Counted, of_one: str, of_many: str) -> None:
    if targets.count == 1:
        say(f"kept: {targets.first} exists{of_one}")
    elif targets.count:
        say(f"kept: {targets.count} results exist{of_many}")


def tell_choices(jobs: Sequence[Job], told: set[str] | None = None) -> None:
    """Report the models that were chosen, one line each, with the reason and how to choose otherwise.

    told: Models of which nothing is said again; these are added.
    """
    chosen: defaultdict[str, list[Job]] = defaultdict(list)
    for job in jobs:
        if job.choice is not None and job.plan.passes:
            chosen[job.choice.name].append(job)
    known = set[str]() if told is None else told
    for name, of_name in chosen.items():
        first = of_name[0]
        if name in known:
            continue
        known.add(name)
        assert first.choice is not None
        reason, other = first.choice.reason, first.choice.other
        if len(jobs) > 1:
            reason = f"{len(of_name)} of {len(jobs)} pictures ({first.found.name}: {reason})"
        say(f"{reason}: {name}" + (f" (another: -n {other})" if other else ""))


def tell_start(jobs: list[Job], seconds: float, pixels_more: float = 0.0, pictures_more: int = 0) -> None:
    """Announce the estimate of a job that takes long.

    pixels_more, pictures_more: What comes after these jobs, estimated.
    """
    if seconds <= TELL_FROM_S:
        return
    engine = words_for_engine(jobs[0].upscaler.runner)
    megapixels = (sum(job.plan.pixels for job in jobs) + pixels_more) / 1e6
    if len(jobs) + pictures_more == 1:
        plan, header = jobs[0].plan, jobs[0].header
        what = f"{header.width} x {header.height} -> {plan.width} x {plan.height} ({megapixels:,.1f} MP)"
    else:
        largest = max((job.plan for job in jobs), key=lambda plan: plan.pixels)
        size = f"the largest {largest.width} x {largest.height}"
        what = f"{len(jobs)} pictures, {megapixels:,.1f} MP in all, {size}"
        if pictures_more:
            what = f"{len(jobs) + pictures_more:,} pictures, about {megapixels:,.0f} MP in all"
    say(f"{what}: about {words_for_estimate(seconds)} with {engine}")
    tilings = [step.tiling for job in jobs for step in job.plan.passes]
    most = max(tilings, key=lambda tiling: tiling.work, default=None)
    if most is not None and most.work >= _TELL_WORK_FROM:
        say(
            f"tiles of {most.tile_px} px that overlap by {most.overlap_px} px make the network read {most.work:.0f} "
            "times the picture; larger tiles (`memory_bytes`, `tile_px`) or less overlap (no `exact`) take less time"
        )


def tell_end(request: Request, destination: Destination, summary: Summary, seconds: float, debug: bool) -> None:
    """Report notes, results and failures, and how to continue."""
    for note, (name, count) in summary.notes.items():
        others = f" and {count - 1} more" if count > 1 else ""
        say(f"note: {shown(name)}{others}: {note}")
    engines = _engines(summary)
    total = summary.done + summary.failed + summary.left
    if summary.only is not None and total == 1:
        outcome, job = summary.only
        if outcome.target is not None:
            size = f"{job.plan.width} x {job.plan.height}"
            say(f"{shown(outcome.target)}: {size}, {words_for_seconds(seconds)}{engines}")
    elif summary.done:
        folder = destination.folder
        where = f" in {folder}" if folder is not None else " beside their inputs" if destination.beside else ""
        took = f"{summary.pixels / 1e6:,.1f} MP in {words_for_seconds(seconds)}"
        say(f"{_count(summary.done)} done{where}: {took}{engines}")
    if summary.failed:
        _tell_failures(summary, total, debug)
    again = (
        f"run the same command again{' without --overwrite' if request.overwrite else ''}; finished pictures are kept"
    )
    if summary.interrupted:
        say(f"upres: stopped by {signals.words()}; {summary.left} of {_count(total)} not done: {again}")
    elif summary.stopped_by is not None and summary.left:
        say(f"upres: stopped; {_count(summary.left)} not started: fix the problem and {again}")


def _tell_failures(summary: Summary, total: int, debug: bool) -> None:
    if total > 1:
        say(f"{summary.failed} of {total} pictures failed:")
    listed = summary.failures if debug else summary.failures[:_LISTED]
    for outcome in listed:
        say(("  " if total > 1 else "upres: ") + failure_line(outcome))
        if debug:
            traceback.print_exception(outcome.error)
    if len(listed) < summary.failed:
        say(f"  and {summary.failed - len(listed)} more")


def _engines(summary: Summary) -> str:
    """ " with ncnn 1.0": the engines that ran; "" if no network ran."""
    names = dict.fromkeys(map(words_for_engine, summary.engines))
    return f" with {', '.join(names)}" if names else ""


def _count(pictures: int) -> str:
    return f"{pictures} picture{'' if pictures == 1 else 's'}"
