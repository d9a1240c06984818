"""What the catalog says of its models: the rows of a list, the facts of one model or file, and whether what is here is still the same."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from upres.errors import ModelError, UsageError
from upres.models import catalog
from upres.models.catalog import MODELS, ModelCard
from upres.models.load import OpaqueModel, load_network
from upres.models.model import UNKNOWN_LICENSE, KnownModel, known_models
from upres.models.store import AddedModel, added_names, file_here, read_added, store_folder
from upres.system.checksums import Source, expected_sha256, pin_path, problem
from upres.system.files import sha256_of
from upres.weights.ncnn_file import find_pair

State = Literal["house", "here", "added", ""]
_FAMILY_NAMES = {"esrgan": "rrdb", "rrdbnet": "rrdb", "srvgg": "compact", "srvggnetcompact": "compact"}  # as others call them


@dataclass(frozen=True, slots=True)
class Row:
    """One model of the list. `bytes` is None where the size is not known; `state` is "" for one that is not here."""

    name: str
    aliases: tuple[str, ...]
    family: str
    scale: int
    license: str
    bytes: int | None
    state: State
    purpose: str


def rows(*, family: str | None = None, scale: int | None = None, present: bool = False) -> list[Row]:
    """All models, those of a family, of a scale, or those that are here. Raises UsageError for a family of which there is no model."""
    found = list(_all_rows())
    if family is not None:
        wanted = _FAMILY_NAMES.get(family.casefold(), family.casefold())
        families = sorted({row.family for row in found})
        if wanted not in families:
            raise UsageError(f"--family {family}: there is no such model; families are {', '.join(families)}")
        found = [row for row in found if row.family == wanted]
    return [row for row in found if scale in (None, row.scale) and (row.state or not present)]


def _all_rows() -> Iterator[Row]:
    for card in MODELS.values():
        size = (catalog.FOLDER / card.file).stat().st_size if (catalog.FOLDER / card.file).is_file() else None
        yield Row(card.name, (), card.family, card.scale, card.license, size, "house", card.purpose)
    for name in added_names():
        model = read_added(name)
        yield Row(name, (), model.family, model.scale, model.license, model.bytes, "added", f"from {model.origin}")
    for model in known_models().values():
        here = file_here(model.files)
        size = model.files[0].bytes if here is None else here.stat().st_size
        yield Row(model.name, model.aliases, model.family, model.scale, model.license, size, "here" if here else "", model.purpose)


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of one model. What follows from its file is None where that is not here; `problem` says why it cannot be used.

    `sha256` is that of the file where it is here, else the one it must have, or None where none is known. `macs_per_pixel` counts for one
    input pixel; `receptive_field` is a radius in input pixels. `notes` say what was measured of a file of unknown make.
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
    notes: tuple[str, ...] = ()
    problem: str | None = None


def facts(name_or_path: str) -> Facts:
    """Of a model by name, downloaded or not (nothing is downloaded for this), or of any file. Raises ModelError for an unknown name and
    for a path to nothing; a file that cannot be used gives facts with a `problem` that says what was found."""
    named = catalog.find(name_or_path)
    match named:
        case ModelCard():
            path = catalog.FOLDER / named.file
            source = Source(named.file, (), named.sha256, None, named.license)
            return _of_named(Row(named.name, (), named.family, named.scale, named.license, None, "house", named.purpose), source, path, "")
        case AddedModel():
            path = store_folder() / named.file
            row = Row(named.name, (), named.family, named.scale, named.license, named.bytes, "added", f"from {named.origin}")
            return _of_named(row, named.sources[0], path, "")
        case KnownModel():
            here = file_here(named.files)
            source = named.files[0] if here is None else next(file for file in named.files if file.name == here.name)
            state: State = "here" if here else ""
            row = Row(named.name, named.aliases, named.family, named.scale, named.license, source.bytes, state, named.purpose)
            return _of_named(row, source, store_folder() / source.name, named.page)
        case None:
            return _of_file(catalog.resolve(name_or_path))


def _of_named(row: Row, source: Source, path: Path, page: str) -> Facts:
    expected = expected_sha256(source, path)
    origin = "unknown" if expected is None else "catalog" if source.sha256 else "pinned"
    known = Facts(
        *(row.name, row.aliases, row.state, row.license, row.purpose, page, source.urls),
        *(None, row.bytes, expected, origin, row.family, row.scale),
    )
    if not path.is_file():
        return known if not row.state else _changed(known, problem=f"{path} is not there")
    there = _changed(known, path=str(path), bytes=path.stat().st_size)
    wrong = problem(source, path)
    if wrong:
        return _changed(there, problem=wrong, sha256=sha256_of(path), sha256_from="computed")
    found = expected_sha256(source, path) or sha256_of(path)
    return _with_network(_changed(there, sha256=found, sha256_from=origin if expected else "pinned"), path)


def _of_file(path: Path) -> Facts:
    """A file is told apart by its SHA-256: one of the catalog's gets its name and its license."""
    try:
        size, found = path.stat().st_size, sha256_of(path)
    except OSError as error:
        raise ModelError(f"model file {path}: it cannot be read ({error.strerror or error}). Check its path and permissions") from error
    known = next((model for model in known_models().values() if any(file.sha256 == found for file in model.files)), None)
    card = next((card for card in MODELS.values() if card.sha256 == found), None)
    name, license, purpose = path.name, UNKNOWN_LICENSE, ""
    if known or card:
        of = known or card
        assert of is not None
        name, license, purpose = of.name, of.license, of.purpose
    page = known.page if known else ""
    aliases = known.aliases if known else ()
    return _with_network(Facts(name, aliases, "", license, purpose, page, (), str(path), size, found, "computed", None, None), path)


def _with_network(known: Facts, path: Path) -> Facts:
    try:
        graph = load_network(str(path.absolute()))
    except ModelError as error:
        return _changed(known, problem=str(error))
    notes = graph.notes if isinstance(graph, OpaqueModel) else ()
    pair = find_pair(path)
    if pair is not None:  # what was said of the file is of one of the two
        other = pair[0] if path == pair[1] else pair[1]
        notes += (f"it goes with {other.name}, {other.stat().st_size:,} bytes, sha256 {sha256_of(other)}",)
    return _changed(
        known,
        family=graph.family,
        scale=graph.scale,
        in_channels=graph.in_channels,
        out_channels=graph.out_channels,
        alignment=graph.alignment,
        parameters=graph.parameters,
        macs_per_pixel=graph.macs_per_pixel,
        receptive_field=graph.receptive_field,
        notes=notes,
    )


def _changed(known: Facts, **values: object) -> Facts:
    return replace(known, **values)  # pyright: ignore[reportArgumentType]  # names and types are those of Facts


@dataclass(frozen=True, slots=True)
class FileCheck:
    """One file that is here, hashed again. `note` says what was found; `sound` whether the file can be used."""

    name: str
    path: Path
    sound: bool
    note: str


def verify() -> Iterator[FileCheck]:
    """Hash every model that is here: the house's, the downloaded, the added. One whose SHA-256 was never known is pinned now."""
    for card in MODELS.values():
        source = Source(card.file, (), card.sha256, None, card.license)
        yield _check(card.name, source, catalog.FOLDER / card.file)
    for name in added_names():
        try:
            model = read_added(name)
        except ModelError as error:
            yield FileCheck(name, store_folder() / name, False, str(error))
            continue
        for source in model.sources:
            yield _check(name, source, store_folder() / source.name)
    for model in known_models().values():
        for file in model.files:
            path = store_folder() / file.name
            if path.is_file():
                yield _check(model.name, file, path)


def _check(name: str, source: Source, path: Path) -> FileCheck:
    was_pinned = pin_path(path).is_file()
    try:
        wrong = problem(source, path)
    except ModelError as error:
        wrong = str(error)
    if wrong is not None:
        return FileCheck(name, path, False, wrong or f"{path} is not there")
    if source.sha256 is not None:
        return FileCheck(name, path, True, "as expected")
    return FileCheck(name, path, True, "as pinned at its first download" if was_pinned else "no SHA-256 was known: pinned as it is now")
