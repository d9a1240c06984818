"""From a request to a list of jobs: the model, the size, the destination and the memory of every picture, before any pixel is decoded."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from upres import catalog
from upres.batch import Job, Outcome
from upres.errors import InputError, OutputError, UpresError
from upres.jobs import Destination, Found, check_targets, choose_destination, find_pictures, make_folder
from upres.picture import READABLE_SUFFIXES, WRITABLE_FORMATS, Header, check_writable, read_header
from upres.target import TargetSize
from upres.upscale import Upscaler

DEFAULT_FACTOR = 4.0  # when neither a size nor a model is given


@dataclass(frozen=True, slots=True)
class Request:
    """Everything that `upres upscale` was asked for, in one value. None means "choose"."""

    inputs: tuple[str, ...]
    out: str | None = None
    size: TargetSize = field(default_factory=TargetSize)
    model: str | None = None
    engine: str = "auto"
    threads: int = 0
    exact: bool = False
    tile_px: int | None = None
    memory_bytes: int | None = None
    format: str | None = None
    max_pixels: int = 1_000_000_000
    overwrite: bool = False
    recursive: bool = False


@dataclass(slots=True)
class Prepared:
    """`jobs` to run, `failures` that are known already, `existing` results that are kept, and counts of files that were passed over."""

    destination: Destination
    jobs: list[Job] = field(default_factory=list[Job])
    failures: list[Outcome] = field(default_factory=list[Outcome])
    existing: list[Path] = field(default_factory=list[Path])
    left_out: Counter[str] = field(default_factory=Counter[str])


class Upscalers:
    """One upscaler for each model that a request needs, loaded when first asked for."""

    def __init__(self, request: Request) -> None:
        self._request = request
        self._loaded: dict[str, Upscaler] = {}

    def for_picture(self, height: int, width: int) -> tuple[str, Upscaler]:
        """Name and upscaler for a picture of that size: the model asked for, or the house model for the factor. Raises `ModelError`."""
        factor = self._request.size.factor_for(height, width)
        name = self._request.model or catalog.default_model(DEFAULT_FACTOR if factor is None else factor)
        if name not in self._loaded:
            asked = self._request
            self._loaded[name] = Upscaler(
                catalog.load_graph(name),
                engine=asked.engine,
                threads=asked.threads,
                exact=asked.exact,
                tile_px=asked.tile_px,
                memory_bytes=asked.memory_bytes,
            )
        return name, self._loaded[name]


def compression_hint(format: str, model: str, cards: Mapping[str, catalog.ModelCard]) -> tuple[str, ...]:
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
    planned: list[tuple[Found, Path | bytes, Header, Path | None]] = []
    for found in findings.pictures:
        try:
            source = read_stdin() if found.path is None else found.path
            header = read_header(source)
        except UpresError as error:
            prepared.failures.append(Outcome(found.name, None, 0, error=error))
            continue
        _, upscaler = upscalers.for_picture(header.height, header.width)
        suffix = request.size.suffix(header.height, header.width, native=upscaler.graph.scale)
        planned.append((found, source, header, destination.target(found, suffix, ending)))
    clashes = check_targets((found, target) for found, _, _, target in planned)
    for place, (found, source, header, target) in enumerate(planned):
        if place in clashes:
            prepared.failures.append(Outcome(found.name, None, 0, error=clashes[place]))
            continue
        if target is not None and target.exists() and not request.overwrite and not target.is_dir():
            prepared.existing.append(target)
            continue
        try:
            prepared.jobs.append(_job(request, upscalers, destination, found, source, header, target))
        except UpresError as error:
            prepared.failures.append(Outcome(found.name, target, 0, error=error))
    top = destination.folder or (destination.file.parent if destination.file is not None else None)
    if prepared.jobs and top is not None:
        make_folder(top)
    return prepared


def _ending(format_or_ending: str) -> str:
    """`.png` for "png" or ".png": the first file ending that the format is written with."""
    if format_or_ending.startswith("."):
        return format_or_ending
    return next(ending for ending, name in WRITABLE_FORMATS.items() if name == format_or_ending)


def _job(
    request: Request,
    upscalers: Upscalers,
    destination: Destination,
    found: Found,
    source: Path | bytes,
    header: Header,
    target: Path | None,
) -> Job:
    if target is not None and target.is_dir():
        raise OutputError(f"{target} is a folder: rename it, or write elsewhere with -o")
    name, upscaler = upscalers.for_picture(header.height, header.width)
    height, width = request.size.resolve(header.height, header.width, native=upscaler.graph.scale)
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
    notes = compression_hint(header.format, name, catalog.MODELS)
    return Job(found, source, header, upscaler, request.size, plan, target, destination.format, notes)
