"""What was measured of model files of unknown make, kept in the user's cache: a file is probed once, not at every start.

A probe takes seconds. What it finds depends on the file's bytes, on its engine and on upres, so these are the key; a file that was changed,
another version of the engine or of upres ask for a new probe. A cache that cannot be written is no fault, and what is damaged in it is
measured again.
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

_FORMAT = 1  # raise it where a probe finds, or `OpaqueModel` holds, something else than before
_CHUNK = 1 << 20

_log = logging.getLogger(__name__)


def probe_once(files: tuple[Path, ...], kind: Kind) -> OpaqueModel:
    """What was measured of the model in `files`, the first of which is the one to open; from the cache where it is there.

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
    if model.sha256 == digest:  # else it was changed in between, which its runner will say
        _write(place, model)
    return model


def _sha256(files: tuple[Path, ...]) -> str | None:
    """Of the bytes of all files in a row, as `OpaqueModel.sha256` is; None where one cannot be read: the probe says why."""
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
    """The file of the cache; its name is the key. None where this user has no cache."""
    engine = [name for module in ENGINES[kind] for name in builds_of(module)]
    more = ["spandrel_extra_arches"] if kind == "spandrel" else []  # spandrel finds it by itself
    versions = {name: version_of(name) for name in ("upres", *engine, *more)}
    key = json.dumps([_FORMAT, kind, digest, versions], sort_keys=True)
    try:
        return cache_folder() / "probes" / hashlib.sha256(key.encode()).hexdigest()
    except RuntimeError:  # a user without a home
        return None


def _check(place: Path, body: bytes) -> bytes:
    """What stands before the body: it fits these bytes under this name alone."""
    return hashlib.sha256(place.name.encode() + body).hexdigest().encode()


def _read(place: Path) -> OpaqueModel | None:
    try:
        check, _, body = place.read_bytes().partition(b"\n")
    except FileNotFoundError:
        return None
    except OSError as error:
        _log.warning("%s cannot be read (%s): the model is measured again", place, error.strerror)
        return None
    if check != _check(place, body):
        _log.warning("%s is damaged: the model is measured again", place)
        return None
    return from_answer(json.loads(body))


def _write(place: Path, model: OpaqueModel) -> None:
    body = json.dumps(asdict(model)).encode()
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(place, _check(place, body) + b"\n" + body)
    except (OSError, OutputError) as error:
        _log.info("what was measured of %s is not kept: %s", model.path, error)
