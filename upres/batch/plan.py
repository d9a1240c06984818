"""From a request to a list of jobs: the model, the size, the destination and the memory of every picture, before any pixel is decoded."""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from upres.batch import record, resume
from upres.batch.paths import Destination, InputFile, check_targets, choose_destination, find_pictures, make_folder
from upres.batch.request import Request
from upres.batch.run import BatchReport, Job, Outcome
from upres.errors import InputError, OutputError, UpresError, UsageError
from upres.graph.opaque import Network, OpaqueModel
from upres.images.io import READABLE_SUFFIXES, WRITABLE_FORMATS, Header, check_writable, read_header
from upres.models import catalog
from upres.models.expression import parse
from upres.models.load import load_model
from upres.models.model import Model
from upres.upscaling.tiled_run import TURNS
from upres.upscaling.upscaler import Upscaler

DEFAULT_FACTOR = 4.0  # when neither a size nor a model is given


@dataclass(slots=True)
class Prepared:
    """`jobs` to run, `failures` that are known already, results that are kept, and counts of files that were passed over.

    Of the kept results, `existing` were made with the settings that are asked for, `unknown` do not say how they were made, and `other`
    were made with other settings, by what is told of it.
    """

    destination: Destination
    jobs: list[Job] = field(default_factory=list[Job])
    failures: list[Outcome] = field(default_factory=list[Outcome])
    existing: list[Path] = field(default_factory=list[Path])
    unknown: list[Path] = field(default_factory=list[Path])
    other: dict[str, list[Path]] = field(default_factory=dict[str, list[Path]])
    left_out: Counter[str] = field(default_factory=Counter[str])


class Upscalers:
    """One upscaler for each model that a request needs, loaded when first asked for: its networks, and only for a job an engine."""

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
        """What the user should know of the model that was asked for, of a file of unknown make what was measured, and of the engine."""
        networks = [network for upscaler in self._loaded.values() for network in upscaler.networks]
        measured = tuple(note for network in networks if isinstance(network.graph, OpaqueModel) for note in network.graph.notes)
        engines = tuple(note for network in networks for note in network.runner.notes)
        return (self._asked.notes if self._asked else ()) + measured + engines

    def _name(self, height: int, width: int) -> str:
        """The model asked for, or the house model for the factor. Raises what loading it raises."""
        factor = self._request.size.factor_for(height, width)
        composition = self._asked or parse(catalog.default_model(DEFAULT_FACTOR if factor is None else factor))
        name = str(composition)
        if name not in self._networks:
            self._networks[name] = load_model(composition).networks
            self._labels[name] = record.label(composition)
        return name

    def scale_for(self, height: int, width: int) -> int:
        """The model's factor, for a picture of that size. Raises `ModelError`, and `UsageError` for an expression that is none."""
        return math.prod(network.scale for network in self._networks[self._name(height, width)])

    def record(self, height: int, width: int) -> dict[str, str]:
        """What the result for a picture of that size is made with. Raises as `scale_for` does."""
        size = self._request.size.resolve(height, width, native=self.scale_for(height, width))
        settings = self._request.settings() | {"model": self._labels[self._name(height, width)]}
        return record.make_record(settings, *size)

    def expect(self, height: int, width: int) -> None:
        """A job of that size will be asked for: an engine is chosen for all of them together."""
        self._expected[self._name(height, width)].append(height * width)

    def for_picture(self, height: int, width: int) -> tuple[str, Upscaler]:
        """Name and upscaler for a picture of that size. Raises as `scale_for` does, `EngineError`, and `UsageError` for its options."""
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
        return name, self._loaded[name]


def compression_hint(format: str, model: str, cards: Mapping[str, Model]) -> tuple[str, ...]:
    """A line for JPEG input that names the house model trained for it (its purpose "repairs ... compression"), while there is one."""
    trained = [name for name, card in cards.items() if re.search(r"\brepairs\b.*\bcompression\b", card.purpose)]
    if format != "jpeg" or not trained or model in trained:
        return ()
    return (f"a JPEG is better upscaled by a model trained for compression: {' or '.join(f'`model={name!r}`' for name in trained)}",)


def prepare(request: Request, read_stdin: Callable[[], bytes]) -> Prepared:
    """Look at every input's name and header and plan its job.

    What is wrong with one picture becomes a failure in the result. What is wrong with the request raises: `UsageError`, `ModelError`,
    `OutputError` for a folder that cannot be written, `InputError` when there is no picture at all.
    """
    request.options.engine_options.check_installed()  # also where no result is left to make
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
        passed = "".join(f"; {count} x {reason}" for reason, count in sorted(findings.left_out.items()))
        raise InputError(f"no picture to upscale in {', '.join(request.inputs)}{passed}")
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
        suffix = request.size.suffix(header.height, header.width, native=upscalers.scale_for(header.height, header.width))
        planned.append((found, source, header, destination.target(found, suffix, ending)))
    clashes = check_targets((found, target) for found, _, _, target in planned)
    wanted: list[tuple[InputFile, Path | bytes, Header, Path | None]] = []
    for place, (found, source, header, target) in enumerate(planned):
        if place in clashes:
            prepared.failures.append(Outcome(found.name, None, 0, error=clashes[place]))
        elif target is not None and target.exists() and not request.overwrite and not target.is_dir():
            _keep(prepared, target, upscalers.record(header.height, header.width))
        else:
            wanted.append((found, source, header, target))
            upscalers.expect(header.height, header.width)
    if destination.folder is not None and not request.overwrite:
        _refuse_mixing(prepared, destination.folder, request)
    for found, source, header, target in wanted:
        upscalers.for_picture(header.height, header.width)  # what is wrong with the engine or its options is wrong with the request
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
    """To be called when the jobs have ended: what is left of them, or failed, goes on with the same settings only."""
    folder = prepared.destination.folder
    if folder is not None and not (report.left or report.failed or prepared.failures):
        resume.end(folder)


def _keep(prepared: Prepared, target: Path, wanted: Mapping[str, str]) -> None:
    """`target` is there already: note whether it is what is asked for."""
    before = record.read_record(target)
    if before is None:
        prepared.unknown.append(target)
    elif told := record.difference(before, wanted):
        prepared.other.setdefault(told, []).append(target)
    else:
        prepared.existing.append(target)


def _refuse_mixing(prepared: Prepared, folder: Path, request: Request) -> None:
    """Raises `UsageError` where results of other settings are in the folder already."""
    others = sum(map(len, prepared.other.values()))
    resume.check(folder, request.settings(), len(prepared.existing) + len(prepared.unknown) + others)
    for told, targets in prepared.other.items():
        results = str(targets[0]) if len(targets) == 1 else f"{len(targets)} results"
        raise UsageError(
            f"{folder} holds {results} {told}: go on with those settings, choose another folder with `out`, or make all anew with "
            "`overwrite=True`"
        )


def _ending(format_or_ending: str) -> str:
    """`.png` for "png" or ".png": the first file ending that the format is written with."""
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
        raise OutputError(f"{target} is a folder: rename it, or choose another `out`")
    name, upscaler = upscalers.for_picture(header.height, header.width)
    height, width = request.size.resolve(header.height, header.width, native=upscaler.scale)
    if height * width > request.max_pixels:
        raise InputError(
            f"the result would be {width:,} x {height:,}, {height * width:,} pixels, more than the {request.max_pixels:,} that "
            "`max_pixels` allows: ask for a smaller size, or raise `max_pixels`"
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
    notes = upscalers.notes + compression_hint(header.format, name, catalog.MODELS)
    made_with = upscalers.record(header.height, header.width)
    return Job(found, source, header, upscaler, request.size, plan, target, destination.format, notes, made_with)
