"""Check results: all of a folder against its journal, or one by making it again from its own record."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, cast

import numpy as np

from upres.batch import record
from upres.batch.job import Encoding, Job
from upres.batch.journal_rows import DONE, SCHEMA, get
from upres.batch.paths import Destination, InputFile
from upres.batch.place import UrlPlace
from upres.batch.plan import Planner
from upres.batch.provenance import made_by, read_made_by, sidecar_of
from upres.batch.request import Request
from upres.batch.run import run_jobs
from upres.batch.status import journals
from upres.engines.registry import DEVICES
from upres.errors import InputError, OutputError, UsageError
from upres.images.animation import ANIMATED_FORMATS, count_frames, read_animation
from upres.images.io import Picture, quantize, read_header, read_picture, read_xmp
from upres.system.database import Database
from upres.system.files import sha256_of
from upres.upscaling.options import UpscaleOptions
from upres.upscaling.output_size import OutputSize

# What the last bit of a result depends on besides its settings.
_CIRCUMSTANCES = {
    "upres": "upres",
    "engines": "engine",
    "processor": "processor",
    "cores": "cores",
    "tiles_px": "tiles",
    "codecs": "codecs",
    "signed": "signature",
}


@dataclass(frozen=True, slots=True)
class Checked:
    """A result of a folder. fault: "missing", "damaged", "unreadable (why)"; "" if it is as it was written."""

    path: Path
    fault: str


def check_folder(folder: Path, place: UrlPlace | None = None) -> Iterator[Checked]:
    """Compare every result in `folder` with its journal. Raises `InputError` if there is none, `DamagedError`.

    place: Where the results are, if not in the folder of the journal.
    """
    for journal in journals(folder):
        with Database(journal, SCHEMA, reading=True) as data:
            rows = data.stream(
                "SELECT target, result FROM pictures WHERE state = ? ORDER BY job, rank, source", (DONE,)
            )
            with closing(rows):
                for target, result in rows:
                    name = get(target)
                    yield _checked(folder / name, result) if place is None else _checked_at(place, name, result)


def _checked(path: Path, result: str) -> Checked:
    try:
        return Checked(path, "" if sha256_of(path) == result else "damaged")
    except FileNotFoundError:
        return Checked(path, "missing")
    except OSError as error:
        return Checked(path, f"unreadable ({error.strerror})")


def _checked_at(place: UrlPlace, target: str, result: str) -> Checked:
    try:
        if not place.has(target):
            return Checked(place.path(target), "missing")
        return Checked(place.path(target), "" if place.sha256(target) == result else "damaged")
    except OutputError as error:
        return Checked(place.path(target), f"unreadable ({error})")


@dataclass(frozen=True, slots=True)
class MadeAgain:
    """A result beside another one that was made from its record.

    same_bytes: The files are equal.
    levels: The largest difference of two pixels, in levels of the file's depth; None if sizes differ.
    circumstances: What was different when it was made, which may change the last bit: "engine: ncnn 1.0, now ncnn 1.1".
    """

    same_bytes: bool
    levels: int | None
    circumstances: tuple[str, ...]

    @property
    def good(self) -> bool:
        """The same bytes; where something was different when it was made, pixels within one level."""
        return self.same_bytes or (bool(self.circumstances) and self.levels is not None and self.levels <= 1)


def make_again(result: Path, source: Path, model: str | None = None) -> MadeAgain:
    """Make `result` again from `source` by its record, and compare.

    model: The file of a model that has no name here.

    Raises:
        InputError: The result or its sidecar has no record, or is made from another picture.
        UsageError: The model's file is needed, or is another one.
        ModelError, EngineError: The model or the engine cannot be had.
    """
    settings, by = _records(result)
    if settings.get(record.INPUT) != record.digest(source):
        raise InputError(f"{result} was not made from {source}: their contents do not match")
    request = _request(result, settings, by, model)
    made: list[bytes] = []
    said = read_made_by(read_xmp(result)) is not None
    encoding = Encoding(
        by.get("quality"),
        by.get("png_level"),
        by.get("target_kb"),
        by.get("chroma"),
        provenance=said,
        sink=made.append,
    )
    job = _plan(request, Destination(str(by.get("format")), stdout=True), InputFile(source))
    if job.model_files != by.get("models") and job.plan.passes:
        raise UsageError(
            f"{result} was made with {_words(by.get('models'))}, and the model here is {_words(job.model_files)}; "
            "name that file with `model`"
        )
    report = run_jobs([job], encoding, _Silent())
    for outcome in report.failed:
        assert outcome.error is not None
        raise outcome.error
    now = made_by(job, encoding)
    circumstances = tuple(
        f"{words}: {_words(by.get(name))}, now {_words(now[name])}"
        for name, words in _CIRCUMSTANCES.items()
        if by.get(name) != now[name]
    )
    same = made[0] == result.read_bytes()
    return MadeAgain(same, 0 if same else _levels(result, made[0]), circumstances)


def _records(result: Path) -> tuple[dict[str, str], dict[str, Any]]:
    settings, by = record.read_record(result), read_made_by(read_xmp(result))
    beside = sidecar_of(result)
    if (settings is None or by is None) and beside.is_file():
        packet = beside.read_bytes()
        settings, by = record.record_in(packet), read_made_by(packet)
    if settings is None or by is None:
        raise InputError(f"{result} does not say how it was made: it has no record of upres, or one without versions")
    return settings, by


def _request(result: Path, settings: Mapping[str, str], by: Mapping[str, Any], model: str | None) -> Request:
    """The request that the record describes."""
    asked = {name: value for name, value in settings.items() if name not in (record.INPUT, record.SIZE)}
    label = asked.pop("model", "")
    if model is None and "@" in label:
        raise UsageError(f"{result} was made with {label}; name the file of that model with `model`")
    known = {field.name: field for field in fields(UpscaleOptions)}
    options: dict[str, Any] = {"precision": asked.pop("precision")} if "precision" in asked else {}
    for name, value in asked.items():
        if name not in known:
            raise InputError(f"{result} was made by another version of upres, with {name}={value}; use that version")
        options[name] = float(value) if value else True
    engine, device, precision = _engine(by)
    tiles = by.get("tiles_px") or [None]
    options |= {"threads": by.get("threads", 0), "exact": by.get("exact", False), "tile_px": tiles[0]}
    options |= {"engine": engine, "device": device} | ({"precision": precision} if engine != "auto" else {})
    size = OutputSize(**by.get("size", {}))
    return Request((), size=size, model=model or label, options=UpscaleOptions().replace(**options))


def _engine(by: Mapping[str, Any]) -> tuple[str, str, str]:
    """(engine, device, precision) of the record; "auto" for one that cannot be chosen."""
    for name in by.get("engines", [])[:1]:
        words = str(name).split(" ")
        engine = words[0].replace("onnxruntime", "onnx")
        if engine in DEVICES and len(words) >= 4:
            return engine, words[-2], words[-1]
    return "auto", "auto", "auto"


def _plan(request: Request, destination: Destination, found: InputFile) -> Job:
    planner = Planner(request, destination, {})
    assert found.path is not None
    planned = planner.look(found, found.path)
    planner.expect(planned)
    return planner.job(planned)


def _levels(result: Path, made: bytes) -> int | None:
    before, now = _frames(result), _frames(made)
    if len(before) != len(now):
        return None
    levels = [_levels_of(one, other) for one, other in zip(before, now, strict=True)]
    known = [level for level in levels if level is not None]
    return max(known) if len(known) == len(levels) else None


def _frames(source: Path | bytes) -> list[Picture]:
    """The pictures of an animation, or the only one."""
    header = read_header(source)
    if header.format not in ANIMATED_FORMATS.values() or count_frames(source) == 1:
        return [read_picture(source)]
    animation = read_animation(source)
    return [animation.picture(index) for index in range(len(animation.frames))]


def _levels_of(before: Picture, now: Picture) -> int | None:
    pairs = [(before.pixels, now.pixels)]
    if before.alpha is not None and now.alpha is not None:
        pairs.append((before.alpha, now.alpha))
    if before.pixels.shape != now.pixels.shape or (before.alpha is None) != (now.alpha is None):
        return None
    depth = before.depth
    return max(
        int(np.max(np.abs(quantize(one, depth).astype(np.int64) - quantize(other, depth).astype(np.int64))))
        for one, other in pairs
    )


def _words(value: object) -> str:
    if isinstance(value, Mapping):
        files = cast("Mapping[str, object]", value)
        return ", ".join(f"{name} ({str(sha256)[:12]})" for name, sha256 in files.items()) or "nothing"
    return ", ".join(map(str, cast("list[object]", value))) if isinstance(value, list) else str(value)


class _Silent:
    def advanced(self, pixels: int) -> None: ...

    def dropped(self, pixels: int) -> None: ...

    def finished(self, outcome: object) -> None: ...
