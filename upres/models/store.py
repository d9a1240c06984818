"""What of the catalog is on this machine: the files that were downloaded, the models that the user added, the licenses agreed to.

All of it lies in one folder of the user's cache, in plain files: the model files under the names that their makers gave them, so that one
put there by hand counts; `FILE.sha256`, the pin of a file whose SHA-256 nobody knew; `NAME.agreed`, a license agreed to;
`NAME.model.json`, the record of a model that was added. Pins and agreements outlive the removal of a model.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
import zipfile
import zlib
from dataclasses import MISSING, asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from upres.errors import ModelError
from upres.models.model import KnownModel, is_archive, is_direct, must_agree
from upres.system.checksums import Source, pin_path, problem
from upres.system.download import Progress, cache_folder, fetch
from upres.system.files import commit_partial, output_error, partial_path, write_atomic

_log = logging.getLogger(__name__)

_RECORD = ".model.json"
_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class AddedModel:
    """A model that the user added: `file` in the store with its SHA-256 and size, `origin` the path or the address it came from.

    Of an ncnn model `file` is the .param, and `weights_sha256` and `weights_bytes` are of the .bin beside it.
    """

    name: str
    file: str
    sha256: str
    bytes: int
    license: str
    origin: str
    family: str
    scale: int
    weights_sha256: str | None = None
    weights_bytes: int | None = None

    @property
    def sources(self) -> tuple[Source, ...]:
        """How to have its file again, or both of its files: the address where it came from one."""
        urls = (self.origin,) if self.origin.startswith(("https://", "http://")) else ()
        first = Source(self.file, urls, self.sha256, self.bytes, self.license)
        if self.weights_sha256 is None:
            return (first,)
        return first, Source(str(Path(self.file).with_suffix(".bin")), (), self.weights_sha256, self.weights_bytes, self.license)


@dataclass(frozen=True, slots=True)
class Pulled:
    """A model's file that is here and verified; whether it was downloaded just now; its SHA-256 where it was pinned just now."""

    path: Path
    downloaded: bool
    pinned: str | None


def store_folder() -> Path:
    """The folder of all this. It need not exist."""
    return cache_folder() / "models"


def incoming_folder() -> Path:
    """Where downloads lie that are not yet known to be a model of ours."""
    return store_folder() / "incoming"


def file_here(files: tuple[Source, ...]) -> Path | None:
    """The first of `files` that is in the store, whatever is in it: for a list, where hashing all would take too long."""
    return next((path for file in files if (path := store_folder() / file.name).is_file()), None)


def check_license(name: str, license: str, *, accept: bool, page: str = "", remedy: str = "") -> None:
    """Nothing for a license that allows every use, or that was agreed to (`accept` agrees, and is remembered); else ModelError.

    `remedy` is the command that agrees.
    """
    path = store_folder() / f"{name}.agreed"
    if not must_agree(license):
        return
    if accept:
        _make_folder(store_folder())
        write_atomic(path, f"{license}\n".encode())
        return
    if path.is_file() and path.read_text(encoding="utf-8", errors="replace").strip() == license:
        return
    terms = f"Read its terms at {page}" if page else "Read its terms where you found it"
    remedy = remedy or f"upres models pull {name} --accept-license"
    raise ModelError(f"{name}: its license is {license}, {_why(license)}. Nothing was downloaded. {terms}; to agree: {remedy}")


def _why(license: str) -> str:
    if re.search(r"(^|-)nc(-|$)", license.lower()):
        return "which forbids commercial use"
    return "so that its maker may forbid any use" if license == "unknown" else "which is none of those that allow every use"


def pull(model: KnownModel, *, accept_license: bool = False, progress: Progress | None = None, timeout_s: float = 30.0) -> Pulled:
    """The verified file of a model that can be downloaded: the one that is in the store, or else downloaded.

    Its files are tried in their order, of each all addresses; one inside a .zip is taken out. Raises `ModelError` for a license that was
    not agreed to (see `check_license`) and for a file that cannot be had, saying which to put where, `OutputError`, `UsageError`.
    """
    for file in model.files:
        path = store_folder() / file.name
        unpinned = file.sha256 is None and not pin_path(path).is_file()
        if problem(file, path) is None:
            return Pulled(path, False, _read_pin(path) if unpinned else None)
    check_license(model.name, model.license, accept=accept_license, page=model.page)
    _log.warning("%s is downloaded (%s)", model.name, model.license)
    failures: list[str] = []
    for file in model.files:
        path = store_folder() / file.name
        unpinned = file.sha256 is None and not pin_path(path).is_file()
        try:
            _fetch(replace(file, page=file.page or model.page), progress, timeout_s)
        except ModelError as error:
            failures.append(str(error))
            continue
        return Pulled(path, True, _read_pin(path) if unpinned else None)
    raise ModelError(f"{model.name}: " + " ".join(failures))


def _read_pin(path: Path) -> str:
    return pin_path(path).read_text(encoding="utf-8").split()[0]


def _fetch(file: Source, progress: Progress | None, timeout_s: float) -> None:
    failures: list[str] = []
    for url in filter(is_archive, file.urls) if file.sha256 is not None else ():
        try:
            return _fetch_from_archive(file, url, progress, timeout_s)
        except ModelError as error:
            failures.append(f"{error}.")
    plain = replace(file, urls=tuple(filter(is_direct, file.urls)))
    try:
        fetch(plain, folder=store_folder(), progress=progress, timeout_s=timeout_s)
    except ModelError as error:
        raise ModelError(" ".join([*failures, str(error)])) from error


def _fetch_from_archive(file: Source, url: str, progress: Progress | None, timeout_s: float) -> None:
    archive = fetch(download_of(url, file.license), folder=incoming_folder(), progress=progress, timeout_s=timeout_s)
    try:
        take_out(archive, file, store_folder() / file.name)
    except OSError as error:
        raise output_error(store_folder() / file.name, error) from error
    finally:
        archive.unlink(missing_ok=True)


def download_of(url: str, license: str) -> Source:
    """The source of an address of which nothing is known. What it gives is no model of ours before its content was looked at."""
    name = re.sub(r"[^A-Za-z0-9._-]+", "_", url.split("?")[0].rsplit("/", 1)[-1])[-80:].lstrip(".") or "download"
    return Source(f"{hashlib.sha256(url.encode()).hexdigest()[:12]}-{name}", (url,), None, None, license, pin=False)


def take_out(archive: Path, file: Source, target: Path) -> None:
    """Write as `target` the entry of a .zip that has the size and the SHA-256 of `file`, whatever its name. Raises ModelError, OSError.

    Entries of another declared size are not unpacked, and of no entry more bytes than that are.
    """
    try:
        with zipfile.ZipFile(archive) as opened:
            entries = [entry for entry in opened.infolist() if not entry.is_dir() and file.bytes in (None, entry.file_size)]
            if any(_write_entry(opened, entry, file, target) for entry in entries):
                return
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise ModelError(f"{archive.name} is no .zip that can be unpacked ({error})") from error
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


def read_added(name: str) -> AddedModel:
    """The record of an added model. Raises ModelError for one that is torn."""
    path = store_folder() / f"{name}{_RECORD}"
    try:
        record: Any = json.loads(path.read_text(encoding="utf-8"))
        if "licence" in record:  # the spelling of earlier records
            record["license"] = record.pop("licence")
        known = {field.name: record[field.name] for field in fields(AddedModel) if field.name in record or field.default is MISSING}
        model = AddedModel(**known)
        _ = model.sources  # refuses a file name that leads elsewhere
        if model.name != name or type(model.scale) is not int or len(model.sha256) != 64:
            raise ValueError("its values are not those of a model")
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise ModelError(f"{path} is no record of a model ({error}). Delete it and add the model again") from error
    return model


def write_added(model: AddedModel, *contents: bytes) -> None:
    """The file (or both) first, then the record that names it. Raises OutputError."""
    _make_folder(store_folder())
    for source, data in zip(model.sources, contents, strict=True):
        write_atomic(store_folder() / source.name, data)
    write_atomic(store_folder() / f"{model.name}{_RECORD}", (json.dumps(asdict(model), indent=2) + "\n").encode())


def remove(model: KnownModel | AddedModel) -> list[Path]:
    """Delete what the store holds of a model, and nothing else; its pin and an agreement stay. Returns what was deleted."""
    sources = model.files if isinstance(model, KnownModel) else model.sources
    names = [source.name + ending for source in sources for ending in ("", ".partial", ".partial.etag")]
    if isinstance(model, AddedModel):
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
