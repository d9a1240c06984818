"""Measurements of model files of an unknown architecture, kept in the user's cache: a file is probed once.

A probe takes seconds. Its result depends on the bytes of the file and on the versions of its engine and of upres, which
are the key. A cache that is not writable is no error, and a damaged entry is measured again.
"""

from __future__ import annotations

import hashlib
import json
import logging
from dataclasses import asdict, replace
from pathlib import Path

from upres.engines.opaque.measure import from_answer, probe
from upres.errors import OutputError
from upres.graph.opaque import Kind, OpaqueModel
from upres.system.download import cache_folder
from upres.system.files import write_atomic
from upres.system.packages import ENGINES, builds_of, version_of
from upres.system.text import parse_json

_FORMAT = 2  # increase it when probes find, or `OpaqueModel` holds, something else
_CHUNK = 1 << 20

_log = logging.getLogger(__name__)


def probe_once(files: tuple[Path, ...], kind: Kind) -> OpaqueModel:
    """The measurements of the model in `files`, from the cache if they are there. The first file is the one to open.

    Raises what `probe` raises.
    """
    digest = _sha256(files)
    place = None if digest is None else _place(digest, kind)
    if place is None:
        return probe(files[0], kind)
    found = _read(place)
    if found is not None:
        return replace(found, path=str(files[0].absolute()))
    model = probe(files[0], kind)
    if model.sha256 == digest:  # else it has changed meanwhile, which its runner will report
        _write(place, model)
    return model


def _sha256(files: tuple[Path, ...]) -> str | None:
    """Of all files in a row, as in `OpaqueModel.sha256`; None if one cannot be read: the probe says why."""
    digest = hashlib.sha256()
    try:
        for path in files:
            with path.open("rb") as file:
                while chunk := file.read(_CHUNK):
                    digest.update(chunk)
    except OSError:
        return None
    return digest.hexdigest()


def _place(digest: str, kind: Kind) -> Path | None:
    """The file in the cache, whose name is the key. None if this user has no cache."""
    engine = [name for module in ENGINES[kind] for name in builds_of(module)]
    more = ["spandrel_extra_arches"] if kind == "spandrel" else []  # spandrel finds it by itself
    versions = {name: version_of(name) for name in ("upres", *engine, *more)}
    key = json.dumps([_FORMAT, kind, digest, versions], sort_keys=True)
    try:
        return cache_folder() / "probes" / hashlib.sha256(key.encode()).hexdigest()
    except RuntimeError:  # a user without a home
        return None


def _check(place: Path, body: bytes) -> bytes:
    """A checksum that precedes the body, of the body and the name."""
    return hashlib.sha256(place.name.encode() + body).hexdigest().encode()


def _read(place: Path) -> OpaqueModel | None:
    try:
        check, _, body = place.read_bytes().partition(b"\n")
    except FileNotFoundError:
        return None
    except OSError as error:
        _log.warning("cannot read %s (%s): measuring the model again", place, error.strerror)
        return None
    if check != _check(place, body):
        _log.warning("%s is damaged: measuring the model again", place)
        return None
    return from_answer(parse_json(body))


def _write(place: Path, model: OpaqueModel) -> None:
    body = json.dumps(asdict(model)).encode()
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(place, _check(place, body) + b"\n" + body)
    except (OSError, OutputError) as error:
        _log.info("the measurements of %s are not kept: %s", model.path, error)
