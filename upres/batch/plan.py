"""From a request to a list of jobs: the model, the size, the destination and the memory of every picture, before any pixel is decoded."""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from upres.batch import resume
from upres.batch.paths import Destination, InputFile, check_targets, choose_destination, find_pictures, make_folder
from upres.batch.run import BatchReport, Job, Outcome
from upres.errors import InputError, OutputError, UpresError, UsageError
from upres.graph.opaque import Network, OpaqueModel
from upres.images.io import READABLE_SUFFIXES, WRITABLE_FORMATS, Header, check_writable, read_header
from upres.models import catalog
from upres.models.expression import NOISE_TWINS, Composition, parse, with_denoise
from upres.models.load import load_model
from upres.models.model import Model
from upres.upscaling.enlarge import Upscaler
from upres.upscaling.output_size import OutputSize
from upres.upscaling.tiled_run import TURNS

DEFAULT_FACTOR = 4.0  # when neither a size nor a model is given


@dataclass(frozen=True, slots=True)
class Request:
    """Everything that `upres upscale` was asked for, in one value. None means "choose"."""

    inputs: tuple[str, ...]
    out: str | None = None
    size: OutputSize = field(default_factory=OutputSize)
    model: str | None = None
    engine: str = "auto"
    device: str = "auto"
    precision: str = "auto"
    threads: int = 0
    exact: bool = False
    tile_px: int | None = None
    memory_bytes: int | None = None
    format: str | None = None
    max_pixels: int = 1_000_000_000
    overwrite: bool = False
    recursive: bool = False
    tta: bool = False
    blend: float = 1.0
    color_lock: bool = False
    wrap: bool = False
    denoise: float | None = None
    denoise_with: str | None = None

    def settings(self) -> dict[str, str]:
        """What the pixels of a result depend on, beside its picture, in the words of the command line: two jobs may be mixed where these
        are equal. Which engine runs, and in which tiles, changes rounding alone and is left out; half precision changes a little more,
        and is among them where it was asked for."""
        asked: dict[str, object] = {f"--{name.replace('_', '-')}": value for name, value in asdict(self.size).items()}
        asked["--scale"] = asked.pop("--factor")
        asked["-n"] = None if self.model is None else str(self.composition())
        asked |= {"--tta": self.tta, "--color-lock": self.color_lock, "--wrap": self.wrap}
        asked["--blend"] = None if self.blend == 1.0 else self.blend
        asked["--precision"] = None if self.precision in ("auto", "fp32") else self.precision
        return {name: "" if value is True else f"{value}" for name, value in asked.items() if value is not None and value is not False}

    def composition(self) -> Composition:
        """The model that was asked for by `-n`, `--denoise` and `--denoise-with`. Raises `UsageError`, also where there is no `-n`."""
        if self.denoise_with is not None and self.denoise is None:
            raise UsageError("--denoise-with names the twin for --denoise: give --denoise 0..1 too")
        if self.model is None:
            raise UsageError(f"--denoise needs a model: -n {next(iter(NOISE_TWINS))}, or another one with its twin (--denoise-with FILE)")
        composition = parse(self.model)
        return composition if self.denoise is None else with_denoise(composition, self.denoise, self.denoise_with)


@dataclass(slots=True)
class Prepared:
    """`jobs` to run, `failures` that are known already, `existing` results that are kept, and counts of files that were passed over."""

    destination: Destination
    jobs: list[Job] = field(default_factory=list[Job])
    failures: list[Outcome] = field(default_factory=list[Outcome])
    existing: list[Path] = field(default_factory=list[Path])
    left_out: Counter[str] = field(default_factory=Counter[str])


class Upscalers:
    """One upscaler for each model that a request needs, loaded when first asked for: its networks, and only for a job an engine."""

    def __init__(self, request: Request) -> None:
        self._request = request
        self._networks: dict[str, tuple[Network, ...]] = {}
        self._expected: defaultdict[str, list[int]] = defaultdict(list)  # LR pixels of each picture
        self._loaded: dict[str, Upscaler] = {}
        composed = request.model is not None or request.denoise is not None or request.denoise_with is not None
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
        return name

    def scale_for(self, height: int, width: int) -> int:
        """The model's factor, for a picture of that size. Raises `ModelError`, and `UsageError` for an expression that is none."""
        return math.prod(network.scale for network in self._networks[self._name(height, width)])

    def expect(self, height: int, width: int) -> None:
        """A job of that size will be asked for: an engine is chosen for all of them together."""
        self._expected[self._name(height, width)].append(height * width)

    def for_picture(self, height: int, width: int) -> tuple[str, Upscaler]:
        """Name and upscaler for a picture of that size. Raises as `scale_for` does, `EngineError`, and `UsageError` for its options."""
        asked = self._request
        name = self._name(height, width)
        if name not in self._loaded:
            expected = sorted(self._expected[name]) or [height * width]
            self._loaded[name] = Upscaler(
                self._networks[name],
                engine=asked.engine,
                threads=asked.threads,
                exact=asked.exact,
                device=asked.device,
                precision=asked.precision,
                expected_px=sum(expected) * (TURNS if asked.tta else 1),
                picture_px=expected[len(expected) // 2],
                tile_px=asked.tile_px,
                memory_bytes=asked.memory_bytes,
                tta=asked.tta,
                blend=asked.blend,
                color_lock=asked.color_lock,
                wrap=asked.wrap,
            )
        return name, self._loaded[name]


def compression_hint(format: str, model: str, cards: Mapping[str, Model]) -> tuple[str, ...]:
    """A line for JPEG input that names the house model trained for it (its purpose "repairs ... compression"), while there is one."""
    trained = [name for name, card in cards.items() if re.search(r"\brepairs\b.*\bcompression\b", card.purpose)]
    if format != "jpeg" or not trained or model in trained:
        return ()
    return (f"a JPEG is better upscaled by a model trained for compression: -n {' or -n '.join(trained)}",)


def prepare(request: Request, read_stdin: Callable[[], bytes]) -> Prepared:
    """Look at every input's name and header and plan its job.

    What is wrong with one picture becomes a failure in the result. What is wrong with the request raises: `UsageError`, `ModelError`,
    `OutputError` for a folder that cannot be written, `InputError` when there is no picture at all.
    """
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
            prepared.existing.append(target)
        else:
            wanted.append((found, source, header, target))
            upscalers.expect(header.height, header.width)
    for found, source, header, target in wanted:
        upscalers.for_picture(header.height, header.width)  # what is wrong with the engine or its options is wrong with the request
        try:
            prepared.jobs.append(_job(request, upscalers, destination, found, source, header, target))
        except UpresError as error:
            prepared.failures.append(Outcome(found.name, target, 0, error=error))
    if destination.folder is not None and not request.overwrite:
        resume.check(destination.folder, request.settings(), len(prepared.existing))
    top = destination.folder or (destination.file.parent if destination.file is not None else None)
    if prepared.jobs and top is not None:
        make_folder(top)
    if prepared.jobs and destination.folder is not None:
        resume.begin(destination.folder, request.settings())
    return prepared


def settle(prepared: Prepared, report: BatchReport) -> None:
    """To be called when the jobs have ended: what is left of them goes on with the same settings only."""
    if prepared.jobs and prepared.destination.folder is not None and not report.left:
        resume.end(prepared.destination.folder)


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
        raise OutputError(f"{target} is a folder: rename it, or write elsewhere with -o")
    name, upscaler = upscalers.for_picture(header.height, header.width)
    height, width = request.size.resolve(header.height, header.width, native=upscaler.scale)
    if height * width > request.max_pixels:
        raise InputError(
            f"the result would be {width:,} x {height:,}, {height * width:,} pixels, more than the {request.max_pixels:,} that "
            "--max-pixels allows: ask for a smaller size, or raise --max-pixels"
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
    return Job(found, source, header, upscaler, request.size, plan, target, destination.format, notes)
