"""A model for other programs: ONNX, ncnn or safetensors, compared with its source on a picture before it gets its name.

The files are written into a hidden folder beside their target, opened from there by the engines that their users have, and run; the source
is run by another engine, from the graph as it was read, not as it was written. Only when every picture is within the tolerance do they get
their names, together with the report, or none of them does.
"""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from upres.errors import EngineError, ModelError, OutputError, UsageError, nearest
from upres.export.compare import Comparison, SourceFile, checked, report_bytes, run_source, versions
from upres.export.ncnn import open_ncnn, upscayl_name, upscayl_notes, write_ncnn
from upres.export.onnx import check_range, open_onnx, write_onnx
from upres.export.safetensors import open_state, write_state
from upres.graph.architectures import UnknownNetworkError, canonical, graph_from_state_dict
from upres.graph.from_ncnn import graph_of
from upres.graph.graph import Graph
from upres.graph.nodes import Array
from upres.models import catalog
from upres.models.expression import blend, parse
from upres.models.load import kind_of
from upres.system.files import commit_partial, output_error, partial_path, sha256_of, write_atomic
from upres.weights.ncnn_file import compact_state, find_pair, read_ncnn
from upres.weights.read import read_weights

# Endings of the files of a format, and the engines that may run the source, the first that is installed: not the one that runs the files.
FORMATS: dict[str, tuple[str, ...]] = {"onnx": (".onnx",), "ncnn": (".param", ".bin"), "safetensors": (".safetensors",)}
_REFERENCES = {"onnx": ("ncnn",), "ncnn": ("torch", "onnxruntime", "ncnn"), "safetensors": ("torch", "onnxruntime", "ncnn")}
State = dict[str, NDArray[np.generic]]


@dataclass(frozen=True, slots=True)
class Exported:
    """What an export wrote: `files` in the order of their format's endings, `checks` engine by engine, `notes` for the user."""

    files: tuple[Path, ...]
    report: Path
    checks: tuple[Comparison, ...]
    not_run: tuple[str, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class _Source:
    name: str
    graph: Graph
    state: State | None  # None: an ncnn file that has no names for its weights
    files: tuple[SourceFile, ...]
    paths: tuple[Path, ...]
    notes: tuple[str, ...]


def export(
    model: str,
    format: str,
    out: str | Path | None = None,
    *,
    half: bool = False,
    picture: Array | None = None,
    overwrite: bool = False,
    threads: int = 0,
) -> Exported:
    """Write a model in another format, and its report (`FILE.json`) beside it; nothing is left where anything fails.

    model: a name, a file, or a blend, as `upscale -n` takes it; one that must be downloaded is. out: a file, or a folder that exists;
    default: the model's name, in the current folder. half: float16 numbers. picture: (h, w, c) in [0,1] to compare on, c 3 or 1; default:
    `upres.engines.sample_picture`.

    Raises UsageError for a chain, an unknown format and an `out` that does not fit it; ModelError for a model that has no such form;
    OutputError where a file is there already (unless `overwrite`) or cannot be written; EngineError where the engine to compare with is
    missing, fails, or gives another picture than the source.
    """
    if format not in FORMATS:
        raise UsageError(f"unknown format {format!r}; expected {', '.join(FORMATS)}{nearest(format, FORMATS)}")
    source = _load(model)
    if format == "safetensors" and source.state is None:
        raise ModelError(
            f"{model} is an ncnn network whose weights have no names, so it cannot become safetensors. Take the same network as .pth, "
            "or export it as onnx or ncnn"
        )
    try:
        targets = _targets(source, format, out, half)
        _check_targets(targets, source.paths, overwrite)
    except OSError as error:  # a name that is too long, a folder that may not be entered
        raise output_error(Path() if out is None else Path(out), error) from error
    staged = partial_path(targets[0])
    files = tuple(staged / target.name for target in targets[:-1])
    try:
        try:
            staged.mkdir()
        except OSError as error:
            raise output_error(targets[0], error) from error
        checks, not_run, reference = _write_and_check(source, model, format, files, half, picture, threads)
        report = report_bytes(
            model, format, source.graph, source.files, files, numbers=_numbers(half), reference=reference, checks=checks, not_run=not_run
        )
        write_atomic(staged / targets[-1].name, report)
        _check_targets(targets, source.paths, overwrite)
        _commit(staged, targets)
    except OutputError as error:
        if isinstance(error.__cause__, OSError):  # the user never asked for the hidden folder
            raise output_error(targets[0], error.__cause__) from error
        raise
    finally:
        shutil.rmtree(staged, ignore_errors=True)
    notes = upscayl_notes(targets[0].stem, source.graph) if format == "ncnn" else ()
    return Exported(targets[:-1], targets[-1], checks, not_run, (*source.notes, *notes))


def _numbers(half: bool) -> str:
    return "float16" if half else "float32"


# The source


def _load(text: str) -> _Source:
    composition = parse(text)
    parts, *others = composition.stages
    if others:
        each = ", ".join(",".join(part.model for part in stage) for stage in composition.stages)
        raise UsageError(f"{text!r} is a chain of {len(composition.stages)} networks; a file holds one. Export each by itself: {each}")
    paths: list[Path] = []
    files: list[SourceFile] = []
    for part in parts:
        path = catalog.resolve(part.model)
        card = catalog.find(part.model)
        for file in find_pair(path) or (path,):
            paths.append(file)
            files.append(SourceFile(file.name, sha256_of(file), "unknown" if card is None else card.license, part.share))
    names = [_name_of(part.model) for part in parts]
    if len(parts) == 1:
        graph, state = _read(parts[0].model, paths[0])
        return _Source(names[0], graph, state, tuple(files), tuple(paths), composition.notes)
    state = canonical(blend(parts))
    name = "_".join(f"{name}_{part.share:.2f}" for name, part in zip(names, parts, strict=True))
    return _Source(name, graph_from_state_dict(state), state, tuple(files), tuple(paths), composition.notes)


def _name_of(model: str) -> str:
    card = catalog.find(model)
    return Path(model).stem if card is None else card.name


def _read(model: str, path: Path) -> tuple[Graph, State | None]:
    kind = kind_of(path)
    if kind == "onnx":
        raise ModelError(
            f"{model} is an ONNX file of unknown make: upres runs it as it is and does not know its layers, so it cannot be exported. "
            "To have it elsewhere, copy the file; for another format take the same network as .pth or .safetensors"
        )
    if kind == "ncnn":
        pair = find_pair(path)
        assert pair is not None  # so `kind_of` has found
        read = read_ncnn(*pair)
        graph, state = graph_of(read), compact_state(read)
        if graph is None:
            raise ModelError(
                f"{model} is an ncnn network with layers that upres runs but cannot express otherwise, so it cannot be exported. To have "
                "it elsewhere, copy both files; for another format take the same network as .pth or .safetensors"
            )
        return graph, None if state is None else dict(state)
    state = read_weights(path)
    try:
        return graph_from_state_dict(state), state
    except UnknownNetworkError as error:
        raise ModelError(f"{model} cannot be exported: {error} (What spandrel runs stays with spandrel.)") from error


# The targets


def _targets(source: _Source, format: str, out: str | Path | None, half: bool) -> tuple[Path, ...]:
    """The files of the format, then the report."""
    endings = FORMATS[format]
    name = upscayl_name(source.name, source.graph.scale) if format == "ncnn" else source.name
    name = f"{name}-fp16" if half else name
    folder = Path() if out is None else Path(out).expanduser()
    if out is not None and not folder.is_dir():
        if str(out).endswith(("/", os.sep)):
            raise OutputError(f"the folder {out} is not there: create it, or choose another `out`")
        if folder.suffix.lower() not in endings:
            raise UsageError(f"`out` must be a folder, or a file that ends in {' or '.join(endings)} (format {format}); got {out}")
        name, folder = folder.stem, folder.parent
    if not folder.is_dir():
        raise OutputError(f"`out` must be in a folder that exists, got {out}")
    files = [folder / f"{name}{ending}" for ending in endings]
    return (*(file.resolve() if file.is_symlink() else file for file in files), folder / f"{files[0].name}.json")


def _check_targets(targets: tuple[Path, ...], sources: tuple[Path, ...], overwrite: bool) -> None:
    for target in targets:
        if target.is_dir():
            raise OutputError(f"{target} is a folder: choose another `out`")
        if not target.exists():
            continue
        if any(target.samefile(source) for source in sources):
            raise UsageError(f"{target} is the model that is exported: choose another `out`")
        if not overwrite:
            raise OutputError(f"{target} is there already: `overwrite=True` replaces it, or choose another `out`")


def _commit(staged: Path, targets: tuple[Path, ...]) -> None:
    """Give every target its file from `staged`, or none: what was there before comes back. Raises OutputError."""
    moved: list[Path] = []
    try:
        for target in targets:
            if target.exists():
                _keep(target, staged / f"{target.name}.before")
        for target in targets:
            moved.append(target)
            commit_partial(staged / target.name, target)
    except BaseException as error:  # Ctrl-C too: two files of one model are never of two exports
        for target in moved:
            before = staged / f"{target.name}.before"
            with suppress(OSError):
                if before.exists():
                    before.replace(target)
                elif not (staged / target.name).exists():
                    target.unlink()
        if isinstance(error, OSError):
            raise output_error(moved[-1] if moved else targets[0], error) from error
        raise


def _keep(target: Path, before: Path) -> None:
    try:
        os.link(target, before)
    except OSError:  # a file system without hard links
        shutil.copy2(target, before)


# The comparison


def _write_and_check(
    source: _Source, model: str, format: str, files: tuple[Path, ...], half: bool, picture: Array | None, threads: int
) -> tuple[tuple[Comparison, ...], tuple[str, ...], str]:
    """(checks, what was not run, what ran the source). Raises EngineError where a file does not give the source's pictures."""
    facts = _facts(source, model, half)
    if format == "onnx":
        write_onnx(source.graph, files[0], half=half, facts=facts)
        engines = open_onnx(files[0], threads)
    elif format == "ncnn":
        write_ncnn(source.graph, files[0], files[1], half=half)
        engines = open_ncnn(files[0], files[1], threads)
    else:
        assert source.state is not None  # refused before
        write_state(source.state, files[0], half=half, facts=facts)
        engines = open_state(files[0], threads)
    expected = run_source(source.graph, _REFERENCES[format], picture, threads)
    if half and format == "onnx":
        check_range(source.graph, expected.pictures[0][1], threads)
    checks: list[Comparison] = []
    not_run: list[str] = []
    for package, opened in engines:
        if opened is None:
            not_run.append(f"{package} is not installed")
        else:
            checks += checked(opened, model, expected, _numbers(half))
    if not checks:
        raise EngineError(f"no engine that reads {format} is here to compare with: {', '.join(not_run)}; pip install 'upres[onnx]'")
    return tuple(checks), tuple(not_run), expected.engine


def _facts(source: _Source, model: str, half: bool) -> dict[str, str]:
    """What a file that can says of itself. No date: equal exports are equal files."""
    graph = source.graph
    facts = {
        "upres.version": versions().get("upres", "unknown"),
        "upres.model": model,
        "upres.source.file": ", ".join(file.file for file in source.files),
        "upres.source.sha256": ", ".join(file.sha256 for file in source.files),
        "upres.numbers": _numbers(half),
        "family": graph.family,
        "scale": str(graph.scale),
        "channels": str(graph.in_channels),
        "alignment": str(graph.alignment),
        "receptive_field": str(graph.receptive_field),
        "value_range": "0 1",
    }
    licenses = dict.fromkeys(file.license for file in source.files)
    return facts if "unknown" in licenses else {**facts, "license": ", ".join(licenses)}
