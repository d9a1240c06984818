"""Turn a request into jobs: model, size, destination and memory of every picture, before any pixel is decoded."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from upres.batch import record, resume
from upres.batch.animated import frames_of
from upres.batch.job import BatchReport, Job, Outcome
from upres.batch.model_choice import ModelChooser
from upres.batch.paths import (
    Destination,
    InputFile,
    check_targets,
    choose_destination,
    find_pictures,
    leave_out_results,
    make_folder,
)
from upres.batch.request import Request
from upres.errors import InputError, OutputError, UpresError, UsageError
from upres.graph.opaque import Network, OpaqueModel
from upres.images.animation import ANIMATED_FORMATS, check_animated
from upres.images.io import NAMED_SUFFIXES, READABLE_SUFFIXES, WRITABLE_FORMATS, Header, check_writable, read_header
from upres.models.expression import parse
from upres.models.load import load_model
from upres.system.folders import exists, is_folder
from upres.system.lock import FileGuard
from upres.upscaling.choose_model import ModelChoice
from upres.upscaling.tiled_run import TURNS
from upres.upscaling.upscaler import Upscaler

_FORMATS = WRITABLE_FORMATS | ANIMATED_FORMATS


@dataclass(slots=True)
class Prepared:
    """What `prepare` found.

    destination: Where results go.
    jobs: To run.
    failures: Pictures that cannot be upscaled, known before the run.
    existing: Kept results that were made with the requested settings.
    unknown: Kept results that do not record their settings.
    other: Kept results that were made with other settings, by the description of the difference.
    left_out: Number of skipped files, by reason.
    lock: Held on the output folder until `settle`.
    """

    destination: Destination
    jobs: list[Job] = field(default_factory=list[Job])
    failures: list[Outcome] = field(default_factory=list[Outcome])
    existing: list[Path] = field(default_factory=list[Path])
    unknown: list[Path] = field(default_factory=list[Path])
    other: dict[str, list[Path]] = field(default_factory=dict[str, list[Path]])
    left_out: Counter[str] = field(default_factory=Counter[str])
    lock: FileGuard | None = None


class Upscalers:
    """One upscaler per model of a request. Networks are loaded at first use, engines only for jobs."""

    def __init__(self, request: Request) -> None:
        self._request = request
        self._networks: dict[str, tuple[Network, ...]] = {}
        self._model_notes: list[str] = []
        self._labels: dict[str, str] = {}
        self._expected: defaultdict[str, list[int]] = defaultdict(list)  # LR pixels of each picture
        self._loaded: dict[str, Upscaler] = {}
        composed = request.model is not None or request.options.denoise is not None
        self._asked = request.composition() if composed else None

    @property
    def notes(self) -> tuple[str, ...]:
        """Notes for the user: on the model, on the measured properties of an unknown architecture, on the engines."""
        networks = [network for upscaler in self._loaded.values() for network in upscaler.networks]
        measured = tuple(
            note for network in networks if isinstance(network.graph, OpaqueModel) for note in network.graph.notes
        )
        engines = tuple(note for network in networks for note in network.runner.notes)
        return (*self._model_notes, *measured, *engines)

    @property
    def asked(self) -> str | None:
        """The requested model as an expression; None: one is chosen for each picture."""
        return None if self._asked is None else str(self._asked)

    def _load(self, model: str) -> tuple[Network, ...]:
        """The networks of `model`, loaded once. Raises as `load_model` does."""
        if model not in self._networks:
            composition = self._asked or parse(model)
            loaded = load_model(composition)
            self._networks[model] = loaded.networks
            self._model_notes += loaded.notes
            self._labels[model] = record.label(composition)
        return self._networks[model]

    def scale_of(self, model: str) -> int:
        """Scale of `model`. Raises `ModelError`, and `UsageError` for a malformed expression."""
        return math.prod(network.scale for network in self._load(model))

    def record(self, model: str, height: int, width: int, source: Path | bytes) -> dict[str, str]:
        """The record of the result for a picture of (height, width) in `source`. Raises as `scale_of` does."""
        size = self._request.size.resolve(height, width, native=self.scale_of(model))
        return record.make_record(self._request.settings() | {"model": self._labels[model]}, *size, source)

    def expect(self, model: str, height: int, width: int) -> None:
        """Announce a job for a picture of (height, width): the engine is chosen for all jobs of a model together."""
        self._expected[model].append(height * width)

    def open(self, model: str) -> Upscaler:
        """The upscaler for `model`, for which a job was announced. Raises as `scale_of` does, `EngineError`, and
        `UsageError` for its options.
        """
        if model not in self._loaded:
            expected = sorted(self._expected[model])
            options = self._request.options.replace(
                denoise=None,  # the networks are blended already
                denoise_with=None,
                expected_px=sum(expected) * (TURNS if self._request.options.tta else 1),
                picture_px=expected[len(expected) // 2],
            )
            self._loaded[model] = Upscaler(self._load(model), options)
        return self._loaded[model]


@dataclass(frozen=True, slots=True)
class _Planned:
    """A picture, its model (and why it was chosen), and where its result goes."""

    found: InputFile
    source: Path | bytes
    header: Header
    model: str
    choice: ModelChoice | None
    target: Path | None


def prepare(request: Request, read_stdin: Callable[[], bytes]) -> Prepared:
    """Plan a job for every picture, from its name and header.

    request: What the user asked for.
    read_stdin: Returns the bytes of standard input.

    Problems with a single picture become failures in the result. Problems with the request raise `UsageError`,
    `ModelError`, `OutputError` for a folder that cannot be written, or `InputError` if there are no pictures.
    """
    request.options.engine_options.check_installed()  # even if nothing is left to do
    destination = choose_destination(request.inputs, request.out, request.format, _FORMATS)
    findings = find_pictures(
        request.inputs,
        recursive=request.recursive,
        suffixes=READABLE_SUFFIXES | NAMED_SUFFIXES,
        keep_out=destination.folder,
        beside=destination.beside,
    )
    if destination.folder is not None:
        leave_out_results(findings, destination, _ending(destination.format))
    prepared = Prepared(destination, left_out=findings.left_out)
    if not findings.pictures:
        passed = "".join(f"; skipped {count} x {reason}" for reason, count in sorted(findings.left_out.items()))
        raise InputError(f"{', '.join(request.inputs)} contains no pictures{passed}")
    upscalers = Upscalers(request)
    folder = destination.folder
    chooser = ModelChooser(request, {} if folder is None else resume.recorded_models(folder, request.settings()))
    ending = _ending(destination.format if destination.file is None else destination.file.suffix.lower())
    planned: list[_Planned] = []
    for found in findings.pictures:
        try:
            source = read_stdin() if found.path is None else found.path
            header = read_header(source)
            choice = chooser.choose(found.name, source, header) if upscalers.asked is None else None
        except UpresError as error:
            prepared.failures.append(Outcome(found.name, None, 0, error=error))
            continue
        model = upscalers.asked if choice is None else choice.name
        assert model is not None
        suffix = request.size.suffix(header.height, header.width, native=upscalers.scale_of(model))
        planned.append(_Planned(found, source, header, model, choice, destination.target(found, suffix, ending)))
    clashes = check_targets((item.found, item.target) for item in planned)
    wanted: list[_Planned] = []
    for place, item in enumerate(planned):
        target, header = item.target, item.header
        if place in clashes:
            prepared.failures.append(Outcome(item.found.name, None, 0, error=clashes[place]))
        elif target is not None and exists(target) and not request.overwrite and not is_folder(target):
            _keep(prepared, target, upscalers.record(item.model, header.height, header.width, item.source))
        else:
            wanted.append(item)
            upscalers.expect(item.model, header.height, header.width)
    if folder is not None and not request.overwrite:
        _refuse_mixing(prepared, folder, request)
    for item in wanted:
        upscalers.open(item.model)  # an error of the engine or its options concerns the whole request
        try:
            prepared.jobs.append(_job(request, upscalers, destination, item))
        except UpresError as error:
            prepared.failures.append(Outcome(item.found.name, item.target, 0, error=error))
    top = folder or (destination.file.parent if destination.file is not None else None)
    if prepared.jobs and top is not None:
        make_folder(top)
    if prepared.jobs and folder is not None:
        prepared.lock = resume.hold(folder, request.settings())
        resume.begin(folder, request.settings(), chooser.models)
    return prepared


def settle(prepared: Prepared, report: BatchReport) -> None:
    """Call after the jobs have ended: forget the settings of the folder, unless pictures failed or were not started.

    Raises `OutputError` if the folder is no longer writable.
    """
    folder = prepared.destination.folder
    try:
        if folder is not None and not (report.left or report.failed or prepared.failures):
            resume.end(folder)
    finally:
        if prepared.lock is not None:
            prepared.lock.release()


def _keep(prepared: Prepared, target: Path, wanted: Mapping[str, str]) -> None:
    """Classify the existing result `target` by its record: as requested, unknown, or made with other settings."""
    before = record.read_record(target)
    if before is None:
        prepared.unknown.append(target)
    elif told := record.difference(before, wanted):
        prepared.other.setdefault(told, []).append(target)
    else:
        prepared.existing.append(target)


def _refuse_mixing(prepared: Prepared, folder: Path, request: Request) -> None:
    """Raise `UsageError` if `folder` already contains results of other settings. A result of another picture is no
    reason: that input has changed.
    """
    others = sum(map(len, prepared.other.values()))
    resume.check(folder, request.settings(), len(prepared.existing) + len(prepared.unknown) + others)
    for told, targets in prepared.other.items():
        if told == record.OTHER_INPUT:
            continue
        results = str(targets[0]) if len(targets) == 1 else f"{len(targets)} results"
        raise UsageError(
            f"{folder} contains {results} {told}; use the same settings, choose another folder with `out`, "
            "or replace all results with `overwrite=True`"
        )


def _ending(format_or_ending: str) -> str:
    """ ".png" for "png" or ".png": the usual file suffix of a format."""
    if format_or_ending.startswith("."):
        return format_or_ending
    return next(ending for ending, name in _FORMATS.items() if name == format_or_ending)


def _job(request: Request, upscalers: Upscalers, destination: Destination, item: _Planned) -> Job:
    header, target = item.header, item.target
    if target is not None and is_folder(target):
        raise OutputError(f"{target} is a folder; rename it, or choose another `out`")
    upscaler = upscalers.open(item.model)
    height, width = request.size.resolve(header.height, header.width, native=upscaler.scale)
    if height * width > request.max_pixels:
        raise InputError(
            f"the result would be {width:,} x {height:,}, {height * width:,} pixels, but `max_pixels` is "
            f"{request.max_pixels:,}; request a smaller size, or raise `max_pixels`"
        )
    frames = frames_of(item.source, header, destination.format)
    if frames > 1:
        check_animated(destination.format, height, width)
    else:
        check_writable(destination.format, height, width)
    plan = upscaler.plan(
        header.height,
        header.width,
        channels=header.channels,
        has_alpha=header.has_alpha,
        depth=header.depth,
        size=request.size,
    )
    plan = replace(plan, macs=plan.macs * frames)
    return Job(
        item.found,
        item.source,
        header,
        upscaler,
        request.size,
        plan,
        target,
        destination.format,
        upscalers.notes,
        upscalers.record(item.model, header.height, header.width, item.source),
        item.choice,
        frames,
    )
