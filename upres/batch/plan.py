"""Turn a request into jobs: model, size, destination and memory of every picture, before any pixel is decoded."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from upres.batch import record, resume
from upres.batch.job import BatchReport, Job, Outcome
from upres.batch.paths import Destination, InputFile, check_targets, choose_destination, find_pictures, make_folder
from upres.batch.request import Request
from upres.errors import InputError, OutputError, UpresError, UsageError
from upres.graph.opaque import Network, OpaqueModel
from upres.images.io import READABLE_SUFFIXES, WRITABLE_FORMATS, Header, check_writable, read_header
from upres.models import catalog
from upres.models.expression import parse
from upres.models.load import load_model
from upres.upscaling.tiled_run import TURNS
from upres.upscaling.upscaler import Upscaler

DEFAULT_FACTOR = 4.0  # if neither a size nor a model is given


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
    """

    destination: Destination
    jobs: list[Job] = field(default_factory=list[Job])
    failures: list[Outcome] = field(default_factory=list[Outcome])
    existing: list[Path] = field(default_factory=list[Path])
    unknown: list[Path] = field(default_factory=list[Path])
    other: dict[str, list[Path]] = field(default_factory=dict[str, list[Path]])
    left_out: Counter[str] = field(default_factory=Counter[str])


class Upscalers:
    """One upscaler per model of a request. Networks are loaded at first use, engines only for jobs."""

    def __init__(self, request: Request) -> None:
        self._request = request
        self._networks: dict[str, tuple[Network, ...]] = {}
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
        return (self._asked.notes if self._asked else ()) + measured + engines

    def _name(self, height: int, width: int) -> str:
        """The requested model, or the bundled one for the factor, loaded. Raises as `load_model` does."""
        factor = self._request.size.factor_for(height, width)
        composition = self._asked or parse(catalog.default_model(DEFAULT_FACTOR if factor is None else factor))
        name = str(composition)
        if name not in self._networks:
            self._networks[name] = load_model(composition).networks
            self._labels[name] = record.label(composition)
        return name

    def scale_for(self, height: int, width: int) -> int:
        """Scale of the model for a picture of (height, width). Raises `ModelError`, and `UsageError` for a malformed
        expression.
        """
        return math.prod(network.scale for network in self._networks[self._name(height, width)])

    def record(self, height: int, width: int, source: Path | bytes) -> dict[str, str]:
        """The record of the result for a picture of (height, width). Raises as `scale_for` does."""
        size = self._request.size.resolve(height, width, native=self.scale_for(height, width))
        settings = self._request.settings() | {"model": self._labels[self._name(height, width)]}
        return record.make_record(settings, *size, source)

    def expect(self, height: int, width: int) -> None:
        """Announce a job for a picture of (height, width): the engine is chosen for all jobs together."""
        self._expected[self._name(height, width)].append(height * width)

    def for_picture(self, height: int, width: int) -> Upscaler:
        """The upscaler for a picture of (height, width). Raises as `scale_for` does, `EngineError`, and `UsageError`
        for its options.
        """
        name = self._name(height, width)
        if name not in self._loaded:
            expected = sorted(self._expected[name]) or [height * width]
            options = self._request.options.replace(
                denoise=None,  # the networks are blended already
                denoise_with=None,
                expected_px=sum(expected) * (TURNS if self._request.options.tta else 1),
                picture_px=expected[len(expected) // 2],
            )
            self._loaded[name] = Upscaler(self._networks[name], options)
        return self._loaded[name]


def prepare(request: Request, read_stdin: Callable[[], bytes]) -> Prepared:
    """Plan a job for every picture, from its name and header.

    request: What the user asked for.
    read_stdin: Returns the bytes of standard input.

    Problems with a single picture become failures in the result. Problems with the request raise `UsageError`,
    `ModelError`, `OutputError` for a folder that cannot be written, or `InputError` if there are no pictures.
    """
    request.options.engine_options.check_installed()  # even if nothing is left to do
    destination = choose_destination(request.inputs, request.out, request.format, WRITABLE_FORMATS)
    findings = find_pictures(
        request.inputs,
        recursive=request.recursive,
        suffixes=READABLE_SUFFIXES,
        keep_out=destination.folder,
        beside=destination.beside,
    )
    prepared = Prepared(destination, left_out=findings.left_out)
    if not findings.pictures:
        passed = "".join(f"; skipped {count} x {reason}" for reason, count in sorted(findings.left_out.items()))
        raise InputError(f"{', '.join(request.inputs)} contains no pictures{passed}")
    upscalers = Upscalers(request)
    ending = _ending(destination.format if destination.file is None else destination.file.suffix.lower())
    planned: list[tuple[InputFile, Path | bytes, Header, Path | None]] = []
    for found in findings.pictures:
        try:
            source = read_stdin() if found.path is None else found.path
            header = read_header(source)
        except UpresError as error:
            prepared.failures.append(Outcome(found.name, None, 0, error=error))
            continue
        suffix = request.size.suffix(
            header.height, header.width, native=upscalers.scale_for(header.height, header.width)
        )
        planned.append((found, source, header, destination.target(found, suffix, ending)))
    clashes = check_targets((found, target) for found, _, _, target in planned)
    wanted: list[tuple[InputFile, Path | bytes, Header, Path | None]] = []
    for place, (found, source, header, target) in enumerate(planned):
        if place in clashes:
            prepared.failures.append(Outcome(found.name, None, 0, error=clashes[place]))
        elif target is not None and target.exists() and not request.overwrite and not target.is_dir():
            _keep(prepared, target, upscalers.record(header.height, header.width, source))
        else:
            wanted.append((found, source, header, target))
            upscalers.expect(header.height, header.width)
    if destination.folder is not None and not request.overwrite:
        _refuse_mixing(prepared, destination.folder, request)
    for found, source, header, target in wanted:
        upscalers.for_picture(
            header.height, header.width
        )  # an error of the engine or its options concerns the whole request
        try:
            prepared.jobs.append(_job(request, upscalers, destination, found, source, header, target))
        except UpresError as error:
            prepared.failures.append(Outcome(found.name, target, 0, error=error))
    top = destination.folder or (destination.file.parent if destination.file is not None else None)
    if prepared.jobs and top is not None:
        make_folder(top)
    if prepared.jobs and destination.folder is not None:
        resume.begin(destination.folder, request.settings())
    return prepared


def settle(prepared: Prepared, report: BatchReport) -> None:
    """Call after the jobs have ended: forget the settings of the folder, unless pictures failed or were not started."""
    folder = prepared.destination.folder
    if folder is not None and not (report.left or report.failed or prepared.failures):
        resume.end(folder)


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
    return next(ending for ending, name in WRITABLE_FORMATS.items() if name == format_or_ending)


def _job(
    request: Request,
    upscalers: Upscalers,
    destination: Destination,
    found: InputFile,
    source: Path | bytes,
    header: Header,
    target: Path | None,
) -> Job:
    if target is not None and target.is_dir():
        raise OutputError(f"{target} is a folder; rename it, or choose another `out`")
    upscaler = upscalers.for_picture(header.height, header.width)
    height, width = request.size.resolve(header.height, header.width, native=upscaler.scale)
    if height * width > request.max_pixels:
        raise InputError(
            f"the result would be {width:,} x {height:,}, {height * width:,} pixels, but `max_pixels` is "
            f"{request.max_pixels:,}; request a smaller size, or raise `max_pixels`"
        )
    check_writable(destination.format, height, width)
    plan = upscaler.plan(
        header.height,
        header.width,
        channels=header.channels,
        has_alpha=header.has_alpha,
        depth=header.depth,
        size=request.size,
    )
    made_with = upscalers.record(header.height, header.width, source)
    return Job(
        found, source, header, upscaler, request.size, plan, target, destination.format, upscalers.notes, made_with
    )
