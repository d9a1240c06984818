"""Turn a request into jobs: model, size, destination and memory of every picture, before any pixel is decoded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from upres.batch import measured, record
from upres.batch.animated import frames_of
from upres.batch.books import reasons_in_folders
from upres.batch.job import Job, Kept, Outcome
from upres.batch.model_choice import ModelChooser
from upres.batch.paths import (
    Destination,
    InputFile,
    check_targets,
    choose_destination,
    find_pictures,
    make_folder,
)
from upres.batch.request import Request
from upres.batch.upscalers import Upscalers
from upres.errors import InputError, ModelError, OutputError, UpresError
from upres.images.animation import check_animated
from upres.images.io import NAMED_SUFFIXES, READABLE_SUFFIXES, Header, check_writable, read_header
from upres.science.work import MeasuredFile
from upres.system.folders import exists, is_folder
from upres.upscaling.choose_model import ModelChoice
from upres.upscaling.upscale_file import plan_file, plan_in_memory


@dataclass(slots=True)
class Prepared:
    """What `prepare` found.

    destination: Where results go.
    jobs: To run.
    failures: Pictures that cannot be upscaled, known before the run.
    kept: Results that were there.
    left_out: Number of skipped files, by reason.
    """

    destination: Destination
    jobs: list[Job] = field(default_factory=list[Job])
    failures: list[Outcome] = field(default_factory=list[Outcome])
    kept: Kept = field(default_factory=Kept)
    left_out: Counter[str] = field(default_factory=Counter[str])


@dataclass(frozen=True, slots=True)
class Planned:
    """A picture, its model (and why it was chosen), and where its result goes."""

    found: InputFile
    source: Path | bytes
    header: Header
    model: str
    choice: ModelChoice | None
    target: Path | None
    measured: MeasuredFile | None = None


class Planner:
    """Plans the pictures of a request, one at a time.

    request: What the user asked for.
    destination: Where results go.
    recorded: Models of an unfinished job, by picture.
    """

    def __init__(self, request: Request, destination: Destination, recorded: Mapping[str, str]) -> None:
        self.upscalers = Upscalers(request)
        self._request, self._destination = request, destination
        self._chooser = ModelChooser(request, recorded)
        self._ending = destination.ending

    def load_asked(self) -> None:
        """Load the model of the request, if it names one. Raises `ModelError`, which concerns every picture."""
        if self.upscalers.asked is not None:
            self.upscalers.scale_of(self.upscalers.asked)

    def look(self, found: InputFile, source: Path | bytes, model: str | None = None) -> Planned:
        """Read the header of a picture and choose its model. Raises `InputError` for a bad picture, `ModelError`.

        model: The bundled model that it got before; None: choose.
        """
        data = measured.open_file(self._request, self._destination, source)
        header = read_header(source) if data is None else data.header
        choice = None if data is None else measured.choose(self._request, header)
        if self.upscalers.asked is not None:
            choice = None
        elif data is None:
            choice = self._chooser.choose(found.name, source, header, model)
        name = self.upscalers.asked if choice is None else choice.name
        assert name is not None
        suffix = self._request.size.suffix(header.height, header.width, native=self.upscalers.scale_of(name))
        target = measured.target(self._destination, found, suffix, self._ending if data is None else data.ending)
        return Planned(found, source, header, name, choice, target, data)

    def record(self, item: Planned) -> dict[str, str]:
        """The settings of its result, for the XMP."""
        return self.upscalers.record(item.model, item.header.height, item.header.width, item.source)

    def expect(self, item: Planned, times: float = 1.0) -> None:
        """Announce it, before any job is made: see `Upscalers.expect`."""
        self.upscalers.expect(item.model, item.header.height, item.header.width, times)

    def job(self, item: Planned) -> Job:
        """Its job. Raises `InputError` or `OutputError` if its result cannot be made."""
        request, header, target = self._request, item.header, item.target
        if target is not None and is_folder(target):
            raise OutputError(f"{target} is a folder; rename it, or choose another `out`")
        upscaler = self.upscalers.open(item.model)
        height, width = request.size.resolve(header.height, header.width, native=upscaler.scale)
        if height * width > request.max_pixels:
            raise InputError(
                f"the result would be {width:,} x {height:,}, {height * width:,} pixels, but `max_pixels` is "
                f"{request.max_pixels:,}; request a smaller size, or raise `max_pixels`"
            )
        made, data, format = self.record(item), item.measured, self._destination.format
        task, frames = None, 1
        if data is not None:
            task, format = measured.make_job(request, data, item.model, made), data.kind
            plan = task.plan(upscaler, (height, width))
        else:
            frames = frames_of(item.source, header, format)
            check = check_animated if frames > 1 else check_writable
            check(format, height, width)
            # Without a target, its bytes go to standard output at the end.
            plan = (
                plan_in_memory(upscaler, header, request.size)
                if target is None or frames > 1
                else plan_file(upscaler, header, request.size, format)
            )
            plan = replace(plan, macs=plan.macs * frames)
        notes, files = self.upscalers.notes, self.upscalers.hashes(item.model)
        return Job(
            item.found, item.source, header, upscaler, request.size, plan, target, format, notes, made, item.choice,
            files, task, frames,
        )  # fmt: skip


def prepare(request: Request, read_stdin: Callable[[], bytes]) -> Prepared:
    """Plan a job for every picture, from its name and header. `batch.collection` is for folders of results.

    request: What the user asked for.
    read_stdin: Returns the bytes of standard input.

    Problems with a single picture become failures in the result. Problems with the request raise `UsageError`,
    `ModelError`, `OutputError` for a folder that cannot be written, or `InputError` if there are no pictures.
    """
    request.options.engine_options.check_installed()  # even if nothing is left to do
    destination = choose_destination(request.inputs, request.out, request.format, measured.formats(request))
    findings = find_pictures(
        request.inputs,
        recursive=request.recursive,
        suffixes=PICTURE_SUFFIXES,
        keep_out=destination.folder,
        beside=destination.beside,
        told=reasons_in_folders(request.books),
    )
    prepared = Prepared(destination, left_out=findings.left_out)
    if not findings.pictures:
        raise no_pictures(request, findings.left_out)
    planner = Planner(request, destination, {})
    planner.load_asked()
    planned: list[Planned] = []
    for found in findings.pictures:
        try:
            planned.append(planner.look(found, read_stdin() if found.path is None else found.path))
        except ModelError:  # concerns the whole request
            raise
        except UpresError as error:
            prepared.failures.append(Outcome(found.name, None, 0, error=error))
    clashes = check_targets((item.found, item.target) for item in planned)
    wanted: list[Planned] = []
    for place, item in enumerate(planned):
        target = item.target
        if place in clashes:
            prepared.failures.append(Outcome(item.found.name, None, 0, error=clashes[place]))
        elif target is not None and exists(target) and not request.overwrite and not is_folder(target):
            prepared.kept.add(target, record.kept_words(target, planner.record(item)))
        else:
            wanted.append(item)
            planner.expect(item)
    for item in wanted:
        planner.upscalers.open(item.model)  # an error of the engine or its options concerns the whole request
        try:
            prepared.jobs.append(planner.job(item))
        except UpresError as error:
            prepared.failures.append(Outcome(item.found.name, item.target, 0, error=error))
    top = destination.folder or (destination.file.parent if destination.file is not None else None)
    if prepared.jobs and top is not None:
        make_folder(top)
    return prepared


PICTURE_SUFFIXES = frozenset(READABLE_SUFFIXES | NAMED_SUFFIXES)


def no_pictures(request: Request, left_out: Counter[str]) -> InputError:
    """The refusal of inputs among which are no pictures."""
    passed = "".join(f"; skipped {count} x {reason}" for reason, count in sorted(left_out.items()))
    return InputError(f"{', '.join(request.inputs)} contains no pictures{passed}")
