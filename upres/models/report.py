"""What is known of a model or a file, and whether the files on this machine are still what they were."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from upres.errors import ModelError
from upres.graph.opaque import WHOLE_PICTURE_PX, OpaqueModel
from upres.models import catalog
from upres.models.catalog import MODELS
from upres.models.load import load_model
from upres.models.model import UNKNOWN_LICENSE, Model, downloadable_models, store_folder
from upres.models.store import added_names, read_added
from upres.system.checksums import Source, expected_sha256, pin_path, problem
from upres.system.files import sha256_of
from upres.weights.ncnn_file import find_pair

State = Literal["house", "here", "added", ""]  # as scripts read it: bundled, downloaded, added, not downloaded


def state_of(model: Model) -> State:
    """Whether the model is on this machine, and why."""
    if model.kind == "downloadable":
        return "here" if model.local_files() else ""
    return "house" if model.kind == "bundled" else "added"


def bytes_of(model: Model) -> int | None:
    """Size of its files on this machine, or else of those that a download gives; None where that is not known."""
    here = model.local_files()
    if here:
        return sum(path.stat().st_size for path in here)
    sizes = [file.bytes for file in model.formats[0]]
    return None if None in sizes else sum(size or 0 for size in sizes)


def row(model: Model) -> dict[str, object]:
    """The entry of a model in a JSON list, whose keys scripts rely on."""
    facts = {key: getattr(model, key) for key in ("name", "aliases", "family", "scale", "license")}
    return {**facts, "bytes": bytes_of(model), "state": state_of(model), "purpose": model.purpose}


@dataclass(frozen=True, slots=True)
class FileFacts:
    """A file of a model on this machine."""

    path: str
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of one model. What follows from its network is None where its file is not here or cannot be used:
    see `problem`.

    path, sha256: of its first file (ncnn has two): the SHA-256 of the file that is here, else the one it must have,
    None where none is known. bytes: of all its files together. receptive_field: radius in input pixels; None also where
    `sees_whole_picture`. macs_per_pixel: multiply-adds for one input pixel. notes: what was measured of a file that is
    run as it is.
    """

    name: str
    aliases: tuple[str, ...]
    state: State
    license: str
    purpose: str
    page: str
    addresses: tuple[str, ...]
    path: str | None
    bytes: int | None
    sha256: str | None
    sha256_from: Literal["catalog", "pinned", "computed", "unknown"]
    family: str | None
    scale: int | None
    in_channels: int | None = None
    out_channels: int | None = None
    alignment: int | None = None
    parameters: int | None = None
    macs_per_pixel: float | None = None
    receptive_field: int | None = None
    sees_whole_picture: bool = False
    files: tuple[FileFacts, ...] = ()
    notes: tuple[str, ...] = ()
    problem: str | None = None


def facts(name_or_path: str) -> Facts:
    """Facts of a model by name, downloaded or not, or of any file. Downloads nothing.

    Raises ModelError for an unknown name and for a path to nothing; of a file that cannot be used, `Facts.problem` says
    why.
    """
    model = catalog.find(name_or_path)
    return _of_file(catalog.resolve(name_or_path)) if model is None else _of_model(model)


def _of_model(model: Model) -> Facts:
    here = {path.name for path in model.local_files()}
    wanted = next((files for files in model.formats if all(file.name in here for file in files)), model.formats[0])
    paths = [model.folder / file.name for file in wanted]
    source, path = wanted[0], paths[0]
    expected = expected_sha256(source, path)
    origin = "unknown" if expected is None else "catalog" if source.sha256 else "pinned"
    known = Facts(
        *(model.name, model.aliases, state_of(model), model.license, model.purpose, model.page, source.urls),
        *(None, bytes_of(model), expected, origin, model.family, model.scale),
    )
    if not here:
        missing = next(path for path in paths if not path.is_file())
        return known if model.kind == "downloadable" else replace(known, problem=f"{missing} does not exist")
    there = replace(known, path=str(path))
    for file, at in zip(wanted, paths, strict=True):
        wrong = problem(file, at)
        if wrong:
            return replace(there, problem=wrong, sha256=sha256_of(path), sha256_from="computed")
    found = expected_sha256(source, path) or sha256_of(path)
    return _with_network(replace(there, sha256=found, sha256_from=origin if expected else "pinned"), path)


def _of_file(path: Path) -> Facts:
    """Facts of a file, with the name and the license of the model that has its SHA-256, if any."""
    try:
        size, found = path.stat().st_size, sha256_of(path)
    except OSError as error:
        raise ModelError(
            f"model file {path}: it cannot be read ({error.strerror or error}). Check its path and permissions"
        ) from error
    models = (*MODELS.values(), *downloadable_models().values())
    known = next((model for model in models if any(file.sha256 == found for file in model.files)), None)
    words = (path.name, (), "", UNKNOWN_LICENSE, "", "")
    if known is not None:
        words = (known.name, known.aliases, "", known.license, known.purpose, known.page)
    return _with_network(Facts(*words, (), str(path), size, found, "computed", None, None), path)


def _with_network(known: Facts, path: Path) -> Facts:
    try:
        (network,) = load_model(path).networks
    except ModelError as error:
        return replace(known, problem=str(error))
    files = tuple(FileFacts(str(file), file.stat().st_size, sha256_of(file)) for file in find_pair(path) or (path,))
    whole = network.receptive_field >= WHOLE_PICTURE_PX
    return replace(
        known,
        bytes=sum(file.bytes for file in files),
        family=network.family,
        scale=network.scale,
        in_channels=network.in_channels,
        out_channels=network.out_channels,
        alignment=network.alignment,
        parameters=network.parameters,
        macs_per_pixel=network.macs_per_pixel,
        receptive_field=None if whole else network.receptive_field,
        sees_whole_picture=whole,
        files=files,
        notes=network.notes if isinstance(network, OpaqueModel) else (),
    )


@dataclass(frozen=True, slots=True)
class FileCheck:
    """A file on this machine, hashed again. `sound` says whether it can be used, `note` what was found."""

    name: str
    path: Path
    sound: bool
    note: str


def verify() -> Iterator[FileCheck]:
    """Hash every model on this machine: bundled, added, downloaded. Pins files whose SHA-256 was unknown."""
    for model in MODELS.values():
        yield from _checks(model)
    for name in added_names():
        try:
            model = read_added(name)
        except ModelError as error:
            yield FileCheck(name, store_folder() / name, False, str(error))
            continue
        yield from _checks(model)
    for model in downloadable_models().values():
        yield from _checks(model, only_present=True)


def _checks(model: Model, *, only_present: bool = False) -> Iterator[FileCheck]:
    for file in model.files:
        path = model.folder / file.name
        if path.is_file() or not only_present:
            yield _check(model.name, file, path)


def _check(name: str, source: Source, path: Path) -> FileCheck:
    was_pinned = pin_path(path).is_file()
    try:
        wrong = problem(source, path)
    except ModelError as error:
        wrong = str(error)
    if wrong is not None:
        return FileCheck(name, path, False, wrong or f"{path} does not exist")
    if source.sha256 is not None:
        return FileCheck(name, path, True, "as expected")
    return FileCheck(
        name,
        path,
        True,
        "as pinned at its first download" if was_pinned else "no checksum known: pinned as it is now",
    )
