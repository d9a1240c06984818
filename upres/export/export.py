"""Export a model to ONNX, ncnn or safetensors, and compare it with its source before putting it in place.

The files are written to a hidden folder beside their target, and opened and run there by the engines that users have.
Another engine runs the source, from the graph as it was read, not as it was written. If all pictures are within the
tolerance, the files and the report are moved into place together; otherwise none is.
"""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from upres.errors import EngineError, ModelError, OutputError, UsageError, nearest
from upres.export.compare import Comparison, SourceFile, checked, report_bytes, run_source, versions
from upres.export.ncnn import open_ncnn, upscayl_name, upscayl_notes, write_ncnn
from upres.export.onnx import check_range, open_onnx, write_onnx
from upres.export.safetensors import open_state, write_state
from upres.graph.graph import Graph
from upres.graph.nodes import Array
from upres.models import catalog
from upres.models.expression import parse
from upres.models.load import LoadedModel, Weights, load_model
from upres.system.files import commit_partial, output_error, partial_path, sha256_of, write_atomic

# File suffixes of each format, and the engines for the source, in order of preference; the engine that runs the files
# comes last.
FORMATS: dict[str, tuple[str, ...]] = {"onnx": (".onnx",), "ncnn": (".param", ".bin"), "safetensors": (".safetensors",)}
_REFERENCES = {
    "onnx": ("ncnn",),
    "ncnn": ("torch", "onnxruntime", "ncnn"),
    "safetensors": ("torch", "onnxruntime", "ncnn"),
}


@dataclass(frozen=True, slots=True)
class Exported:
    """What an export wrote.

    files: In the order of the suffixes in `FORMATS`.
    report: The JSON file beside them.
    checks: The comparisons.
    not_run: Engines that are not installed.
    notes: For the user.
    """

    files: tuple[Path, ...]
    report: Path
    checks: tuple[Comparison, ...]
    not_run: tuple[str, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class _Source:
    model: str  # the expression
    name: str  # of the files, without a suffix
    graph: Graph
    weights: Weights | None
    files: tuple[SourceFile, ...]
    paths: tuple[Path, ...]
    notes: tuple[str, ...]


def export_model(
    model: str | os.PathLike[str] | LoadedModel,
    target: str | os.PathLike[str] | None = None,
    *,
    format: str | None = None,
    half: bool = False,
    picture: Array | None = None,
    overwrite: bool = False,
    threads: int = 0,
) -> Exported:
    """Export a model, with a report (`FILE.json`) beside it. Nothing is left behind if anything fails.

    `upres.export_model("compact-x4", "compact-x4.onnx")`

    model: What `load_model` takes or returns, except a chain.
    target: A file or an existing folder. Default: the name of the model, in the current folder.
    format: "onnx", "ncnn" (a .param and a .bin) or "safetensors". Default: by the suffix of `target`.
    half: Store weights as float16.
    picture: (h, w, c) in [0, 1], c 3 or 1, for the comparison. Default: `upres.engines.sample_picture`.
    overwrite: Replace existing files.
    threads: Of the engines for the comparison; 0: one per core.

    Raises UsageError for a chain, an unknown format or a `target` that does not match it; ModelError for a model that
    cannot be loaded, or not be expressed in the format; OutputError for a file that exists or cannot be written;
    EngineError if the engine for the comparison is missing, fails, or its results differ from those of the source.
    """
    format = format_of(target) if format is None else format
    if format not in FORMATS:
        raise UsageError(f"unknown format {format!r}; expected {', '.join(FORMATS)}{nearest(format, FORMATS)}")
    source = _load(model)
    if format == "safetensors" and source.weights is None:
        raise ModelError(
            f"model {source.model} has an unknown architecture, so its weights have no names for safetensors; "
            "use the same network as .pth, or export to onnx or ncnn"
        )
    try:
        targets = _targets(source, format, target, half)
        _check_targets(targets, source.paths, overwrite)
    except OSError as error:  # name too long, or no access to the folder
        raise output_error(Path() if target is None else Path(target), error) from error
    staged = partial_path(targets[0])
    files = tuple(staged / file.name for file in targets[:-1])
    try:
        try:
            staged.mkdir()
        except OSError as error:
            raise output_error(targets[0], error) from error
        checks, not_run, reference = _write_and_check(source, format, files, half, picture, threads)
        report = report_bytes(
            source.model,
            format,
            source.graph,
            source.files,
            files,
            numbers=_numbers(half),
            reference=reference,
            checks=checks,
            not_run=not_run,
        )
        write_atomic(staged / targets[-1].name, report)
        _check_targets(targets, source.paths, overwrite)
        _commit(staged, targets)
    except OutputError as error:
        if isinstance(error.__cause__, OSError):  # name the target: the user does not know the hidden folder
            raise output_error(targets[0], error.__cause__) from error
        raise
    finally:
        shutil.rmtree(staged, ignore_errors=True)
    notes = upscayl_notes(targets[0].stem, source.graph) if format == "ncnn" else ()
    return Exported(targets[:-1], targets[-1], checks, not_run, (*source.notes, *notes))


def format_of(target: str | os.PathLike[str] | None) -> str:
    """The format for the suffix of `target`. Raises UsageError if there is none."""
    suffix = Path(target or "").suffix.lower()
    found = next((format for format, endings in FORMATS.items() if suffix in endings), None)
    if found is None:
        raise UsageError(f"specify `format`, or a target with the suffix of one: expected {', '.join(FORMATS)}")
    return found


def _numbers(half: bool) -> str:
    return "float16" if half else "float32"


# The source


def _load(model: str | os.PathLike[str] | LoadedModel) -> _Source:
    loaded = model if isinstance(model, LoadedModel) else load_model(model)
    if len(loaded.networks) > 1:
        each = ", ".join(loaded.name.split(">"))
        raise UsageError(
            f"{loaded.name!r} is a chain of {len(loaded.networks)} networks; export them one by one: {each}"
        )
    files = tuple(SourceFile(file.path.name, sha256_of(file.path), file.license, file.share) for file in loaded.files)
    paths = tuple(file.path for file in loaded.files)
    return _Source(loaded.name, _file_name(loaded.name), loaded.graph, loaded.weights, files, paths, loaded.notes)


def _file_name(expression: str) -> str:
    """The file name without suffix: the model, or the models of a blend with their shares."""
    (parts,) = parse(expression).stages
    if len(parts) == 1:
        return _stem(parts[0].model)
    return "_".join(f"{_stem(part.model)}_{part.share:.2f}" for part in parts)


def _stem(model: str) -> str:
    known = catalog.find(model)
    return Path(model).stem if known is None else known.name


# The targets


def _targets(source: _Source, format: str, out: str | os.PathLike[str] | None, half: bool) -> tuple[Path, ...]:
    """The files to write, then the report."""
    endings = FORMATS[format]
    name = upscayl_name(source.name, source.graph.scale) if format == "ncnn" else source.name
    name = f"{name}-fp16" if half else name
    folder = Path() if out is None else Path(out).expanduser()
    if out is not None and not folder.is_dir():
        if str(out).endswith(("/", os.sep)):
            raise OutputError(f"the folder {out} does not exist; create it, or choose another target")
        if folder.suffix.lower() not in endings:
            raise UsageError(
                f"the target for format {format} must be a folder or end in {' or '.join(endings)}, got {out}"
            )
        name, folder = folder.stem, folder.parent
    if not folder.is_dir():
        raise OutputError(f"the folder of the target {out} does not exist; create it, or choose another target")
    files = [folder / f"{name}{ending}" for ending in endings]
    return (*(file.resolve() if file.is_symlink() else file for file in files), folder / f"{files[0].name}.json")


def _check_targets(targets: tuple[Path, ...], sources: tuple[Path, ...], overwrite: bool) -> None:
    for target in targets:
        if target.is_dir():
            raise OutputError(f"{target} is a folder; choose another target")
        if not target.exists():
            continue
        if any(target.samefile(source) for source in sources):
            raise UsageError(f"{target} is the model to export; choose another target")
        if not overwrite:
            raise OutputError(f"{target} exists; use `overwrite=True`, or choose another target")


def _commit(staged: Path, targets: tuple[Path, ...]) -> None:
    """Move all files from `staged` to their targets, or restore what was there before. Raises OutputError."""
    moved: list[Path] = []
    try:
        for target in targets:
            if target.exists():
                _keep(target, staged / f"{target.name}.before")
        for target in targets:
            moved.append(target)
            commit_partial(staged / target.name, target)
    except BaseException as error:  # Ctrl-C too: never mix the files of two exports
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
    except OSError:  # no hard links on this file system
        shutil.copy2(target, before)


# The comparison


def _write_and_check(
    source: _Source, format: str, files: tuple[Path, ...], half: bool, picture: Array | None, threads: int
) -> tuple[tuple[Comparison, ...], tuple[str, ...], str]:
    """Returns (checks, engines not installed, engine of the source). Raises EngineError if results differ."""
    facts = _facts(source, half)
    if format == "onnx":
        write_onnx(source.graph, files[0], half=half, facts=facts)
        engines = open_onnx(files[0], threads)
    elif format == "ncnn":
        write_ncnn(source.graph, files[0], files[1], half=half)
        engines = open_ncnn(files[0], files[1], threads)
    else:
        assert source.weights is not None  # checked by export_model
        write_state(source.weights, files[0], half=half, facts=facts)
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
            checks += checked(opened, source.model, expected, _numbers(half))
    if not checks:
        raise EngineError(
            f"no engine for {format} is installed to compare with ({', '.join(not_run)}); pip install 'upres[onnx]'"
        )
    return tuple(checks), tuple(not_run), expected.engine


def _facts(source: _Source, half: bool) -> dict[str, str]:
    """The metadata of a file. No date, so that equal exports are equal files."""
    graph = source.graph
    facts = {
        "upres.version": versions().get("upres", "unknown"),
        "upres.model": source.model,
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
