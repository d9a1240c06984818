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
    from collections.abc import Sequence
    from pathlib import Path

    from upres.batch.job import BatchReport, Job
    from upres.batch.plan import Prepared
    from upres.batch.request import Request

TELL_FROM_S = 30.0  # a longer job announces its estimate
_TELL_WORK_FROM = 3.0  # times the picture that tiles read: then what makes the job so long is told too


def tell_left_out(prepared: Prepared) -> None:
    """Report skipped files and kept results."""
    for reason, count in sorted(prepared.left_out.items()):
        say(f"skipped: {count} x {reason}")
    remedy = "(`overwrite=True` replaces {})"
    _tell_kept(prepared.existing, f" {remedy}".format("it"), f" {remedy}".format("them"))
    unknown = f"; {{}} settings are unknown {remedy}"
    _tell_kept(prepared.unknown, unknown.format("its", "it"), unknown.format("their", "them"))
    for told, targets in prepared.other.items():
        remedy = f", {told}: add `overwrite=True`, or choose another `out`"
        _tell_kept(targets, remedy, remedy)


def _tell_kept(targets: Sequence[Path], of_one: str, of_many: str) -> None:
    if len(targets) == 1:
        say(f"kept: {targets[0]} exists{of_one}")
    elif targets:
        say(f"kept: {len(targets)} results exist{of_many}")


def tell_choices(jobs: Sequence[Job]) -> None:
    """Report the models that were chosen, one line each, with the reason and how to choose otherwise."""
    chosen: defaultdict[str, list[Job]] = defaultdict(list)
    for job in jobs:
        if job.choice is not None and job.plan.passes:
            chosen[job.choice.name].append(job)
    for name, of_name in chosen.items():
        first = of_name[0]
        assert first.choice is not None
        reason, other = first.choice.reason, first.choice.other
        if len(jobs) > 1:
            reason = f"{len(of_name)} of {len(jobs)} pictures ({first.found.name}: {reason})"
        say(f"{reason}: {name}" + (f" (another: -n {other})" if other else ""))


def tell_start(jobs: list[Job], seconds: float) -> None:
    """Announce the estimate of a job that takes long."""
    if seconds <= TELL_FROM_S:
        return
    engine = words_for_engine(jobs[0].upscaler.runner)
    megapixels = sum(job.plan.pixels for job in jobs) / 1e6
    if len(jobs) == 1:
        plan, header = jobs[0].plan, jobs[0].header
        what = f"{header.width} x {header.height} -> {plan.width} x {plan.height} ({megapixels:,.1f} MP)"
    else:
        largest = max((job.plan for job in jobs), key=lambda plan: plan.pixels)
        what = f"{len(jobs)} pictures, {megapixels:,.1f} MP in all, the largest {largest.width} x {largest.height}"
    say(f"{what}: about {words_for_estimate(seconds)} with {engine}")
    tilings = [step.tiling for job in jobs for step in job.plan.passes]
    most = max(tilings, key=lambda tiling: tiling.work, default=None)
    if most is not None and most.work >= _TELL_WORK_FROM:
        say(
            f"tiles of {most.tile_px} px that overlap by {most.overlap_px} px make the network read {most.work:.0f} "
            "times the picture; larger tiles (`memory_bytes`, `tile_px`) or less overlap (no `exact`) take less time"
        )


def tell_end(request: Request, prepared: Prepared, report: BatchReport, seconds: float, debug: bool) -> None:
    """Report notes, results and failures, and how to continue."""
    names_of: defaultdict[str, list[str]] = defaultdict(list)
    for outcome in report.done:
        for note in dict.fromkeys(outcome.notes):
            names_of[note].append(outcome.name)
    for note, names in names_of.items():
        others = f" and {len(names) - 1} more" if len(names) > 1 else ""
        say(f"note: {shown(names[0])}{others}: {note}")
    if len(report.done) == 1 and len(report.outcomes) == 1:
        outcome, job = report.done[0], prepared.jobs[0]
        if outcome.target is not None:
            size, took = f"{job.plan.width} x {job.plan.height}", words_for_seconds(seconds)
            say(f"{shown(outcome.target)}: {size}, {took}{_engines([job])}")
    elif report.done:
        megapixels = sum(outcome.pixels for outcome in report.done) / 1e6
        folder = prepared.destination.folder
        where = f" in {folder}" if folder is not None else " beside their inputs" if prepared.destination.beside else ""
        say(
            f"{_count(report.done)} done{where}: {megapixels:,.1f} MP in "
            f"{words_for_seconds(seconds)}{_engines(prepared.jobs)}"
        )
    if report.failed:
        total = len(report.outcomes) + report.left
        if total > 1:
            say(f"{len(report.failed)} of {total} pictures failed:")
        for outcome in report.failed:
            say(("  " if total > 1 else "upres: ") + failure_line(outcome))
            if debug:
                traceback.print_exception(outcome.error)
    again = (
        f"run the same command again{' without --overwrite' if request.overwrite else ''}; finished pictures are kept"
    )
    if report.interrupted:
        say(f"upres: stopped by {signals.words()}; {report.left} of {_count(prepared.jobs)} not done: {again}")
    elif report.stopped_by is not None and report.left:
        pictures = "1 picture" if report.left == 1 else f"{report.left} pictures"
        say(f"upres: stopped; {pictures} not started: fix the problem and {again}")


def _engines(jobs: list[Job]) -> str:
    """ " with ncnn 1.0": the engines that ran; "" if no network ran."""
    names = dict.fromkeys(
        words_for_engine(network.runner) for job in jobs if job.plan.passes for network in job.upscaler.networks
    )
    return f" with {', '.join(names)}" if names else ""


def _count(things: Sequence[object]) -> str:
    return f"{len(things)} picture{'' if len(things) == 1 else 's'}"
