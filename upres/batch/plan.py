"""Turn a request into jobs: model, size, destination and memory of every picture, before any pixel is decoded."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from upres.batch import measured, record
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
from upres.engines.options import EngineOptions
from upres.errors import InputError, ModelError, OutputError, UpresError
from upres.graph.opaque import Network, OpaqueModel
from upres.images.io import NAMED_SUFFIXES, READABLE_SUFFIXES, Header, check_writable, read_header
from upres.models.expression import parse
from upres.models.load import ModelFile, load_model
from upres.science.work import MeasuredFile
from upres.system.files import sha256_of
from upres.system.folders import exists, is_folder
from upres.upscaling.choose_model import ModelChoice
from upres.upscaling.tiled_run import TURNS
from upres.upscaling.upscaler import Upscaler


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


class Upscalers:
    """One upscaler per model of a request. Networks are loaded at first use, engines only for jobs."""

    def __init__(self, request: Request) -> None:
        self._request = request
        self.engines: dict[str, EngineOptions] = {}  # of models that must run as before; else as requested
        self._networks: dict[str, tuple[Network, ...]] = {}
        self._model_notes: list[str] = []
        self._labels: dict[str, str] = {}
        self._expected: defaultdict[str, list[tuple[int, float]]] = defaultdict(list)  # (LR pixels, times)
        self._hashes: dict[str, dict[str, str]] = {}
        self._files: dict[str, tuple[ModelFile, ...]] = {}
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
            self._networks[model], self._files[model] = loaded.networks, loaded.files
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

    def expect(self, model: str, height: int, width: int, times: float = 1.0) -> None:
        """Announce a job for a picture of (height, width): the engine is chosen for all jobs of a model together.

        times: How many such pictures to expect in all.
        """
        self._expected[model].append((height * width, times))

    def open(self, model: str) -> Upscaler:
        """The upscaler for `model`, for which a job was announced. Raises as `scale_of` does, `EngineError`, and
        `UsageError` for its options.
        """
        if model not in self._loaded:
            expected = sorted(self._expected[model])
            options = self._request.options.replace(
                denoise=None,  # the networks are blended already
                denoise_with=None,
                engine_options=self.engines.get(model, self._request.options.engine_options),
            ).replace(
                expected_px=round(sum(px * times for px, times in expected))
                * (TURNS if self._request.options.tta else 1),
                picture_px=expected[len(expected) // 2][0],
            )
            self._loaded[model] = Upscaler(self._load(model), options)
        return self._loaded[model]

    @property
    def loaded(self) -> Mapping[str, Upscaler]:
        """Those that are open, by model."""
        return self._loaded

    def hashes(self, model: str) -> Mapping[str, str]:
        """SHA-256 of the files of `model`, by name. Raises as `scale_of` does."""
        if model not in self._hashes:
            self._hashes[model] = {file.path.name: sha256_of(file.path) for file in self.files(model)}
        return self._hashes[model]

    def files(self, model: str) -> tuple[ModelFile, ...]:
        """The files of `model`. Raises as `scale_of` does."""
        self._load(model)
        return self._files[model]


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
        task = None
        if data is not None:
            task, format = measured.make_job(request, data, item.model, made), data.kind
            plan = task.plan(upscaler, (height, width))
        else:
            check_writable(format, height, width)
            plan = upscaler.plan(
                header.height, header.width, channels=header.channels, has_alpha=header.has_alpha, bands=header.bands,
                depth=header.depth, size=request.size,
            )  # fmt: skip
        notes, files = self.upscalers.notes, self.upscalers.hashes(item.model)
        return Job(
            item.found, item.source, header, upscaler, request.size, plan, target, format, notes, made, item.choice,
            files, task,
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
