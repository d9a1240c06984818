"""Pictures, results and shards in object stores and on web servers, by fsspec (`upres[cloud]`): s3://, gs://, http(s)://.

What is read or written is one whole object. An object store shows an object when all of it is there; elsewhere it is
written under another name and renamed.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportMissingTypeStubs=false
# fsspec is typed in part; this module annotates what it returns.

from __future__ import annotations

import hashlib
import os
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

from upres.errors import EngineError, InputError, OutputError
from upres.system.download import cache_folder
from upres.system.folders import FOLDER_INSIDE, reason_for
from upres.system.packages import has_module, need
from upres.system.text import shown
from upres.system.walk import StreamedFile

T = TypeVar("T")

MAX_BYTES = 1 << 30  # of a picture that is read
_URL = re.compile(r"[a-z][a-z0-9+.-]+://")
_PACKAGES = {"s3": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "http": "aiohttp", "https": "aiohttp"}
_WHOLE = ("s3", "s3a", "gs", "gcs", "az", "abfs")  # an object is there when all of it is
_PIECE_BYTES = 8 << 20
_WAITS_S = (0.5, 2.0, 5.0)  # between attempts


def is_url(text: str) -> bool:
    """Whether a text names a place by its protocol, such as "s3://bucket/key"."""
    return _URL.match(text) is not None


def without_query(name: str) -> str:
    """A path, or a URL without what follows its "?"."""
    return name.partition("?")[0] if is_url(name) else name


def home_of(url: str) -> Path:
    """The local folder with the journal of a job whose results go to `url`."""
    digest = hashlib.sha256(url.rstrip("/").encode()).hexdigest()[:16]
    name = re.sub(r"[^A-Za-z0-9]+", "-", url)[:60].strip("-")
    return cache_folder() / "journals" / f"{name}-{digest}"


class Storage:
    """The store of a URL. Raises `EngineError`, with the remedy, if a package is missing.

    url: Of an object, or of what objects have in common at the beginning of their names.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self._protocol = url.partition("://")[0]
        module = _PACKAGES.get(self._protocol, "fsspec")
        need(url, "cloud", "fsspec", module)
        if not has_module(module):
            raise EngineError(f"{url} needs {module}, which is not installed; remedy: pip install {module}")
        import fsspec

        try:
            self._files, self._path = fsspec.core.url_to_fs(url, use_listings_cache=False)
        except (ValueError, ImportError) as error:
            raise EngineError(f"{url}: {shown(error)}") from error

    def stream(
        self,
        suffixes: frozenset[str],
        passed_over: Counter[str],
        *,
        recursive: bool,
        told: Mapping[str, str] | None = None,
    ) -> Iterator[StreamedFile]:
        """The objects below the URL, or the one that it names. Raises `InputError`. told: See `folders.reason_for`."""
        facts = self._try(lambda: self._files.info(self._path), "read")
        if facts["type"] == "file":
            yield self._file(facts, "")
            return
        waiting, top = [self._path], self._path.rstrip("/")
        while waiting:
            here = waiting.pop()
            for facts in self._try(partial(self._files.ls, here, detail=True), "read"):
                name = PurePosixPath(facts["name"].rstrip("/"))
                if name.name.startswith(".") or facts["name"].rstrip("/") == here.rstrip("/"):
                    continue
                if facts["type"] == "directory":
                    if recursive:
                        waiting.append(facts["name"])
                    else:
                        passed_over[FOLDER_INSIDE] += 1
                elif name.suffix.lower() not in suffixes:
                    passed_over[reason_for(name.name, "picture", told or {})] += 1
                else:
                    folder = str(name.parent)[len(top) :].strip("/")
                    yield self._file(facts, folder)

    def _file(self, facts: dict[str, Any], folder: str) -> StreamedFile:
        url = self._files.unstrip_protocol(facts["name"])
        return StreamedFile(url, folder, url, int(facts.get("size") or 0), _mark(facts))

    def read(self) -> tuple[bytes, int]:
        """The object, and a number that changes when it does. Raises `InputError`."""
        facts = self._try(lambda: self._files.info(self._path), "read")
        if int(facts.get("size") or 0) > MAX_BYTES:
            raise InputError(f"{self.url} has {facts['size']:,} bytes, more than {MAX_BYTES:,}")
        data = self._try(lambda: self._files.cat_file(self._path, end=MAX_BYTES if facts.get("size") else None), "read")
        return data, _mark(facts)

    def pieces(self, offset: int, size: int) -> Iterator[bytes]:
        """The object from `offset` on, in pieces of a few megabytes. Raises `InputError`, also if it has not `size`
        bytes.
        """
        found = int(self._try(lambda: self._files.info(self._path), "read").get("size") or 0)
        if found != size:
            raise InputError(f"{self.url} has {found:,} bytes, expected {size:,}")
        while offset < size:
            end = min(offset + _PIECE_BYTES, size)
            piece = self._try(partial(self._files.cat_file, self._path, start=offset, end=end), "read")
            if len(piece) != end - offset:
                raise InputError(f"{self.url}: the store sent {len(piece):,} bytes, asked for {end - offset:,}")
            yield piece
            offset = end

    def exists(self, name: str) -> bool:
        """Whether there is an object of that name below the URL. Raises `OutputError`."""
        return self._try(lambda: self._files.exists(self._below(name)), "write")

    def get(self, name: str) -> bytes:
        """The object of that name below the URL. Raises `OutputError`."""
        return self._try(lambda: self._files.cat_file(self._below(name)), "write")

    def put(self, name: str, data: bytes) -> None:
        """Write an object below the URL, whole or not at all. Raises `OutputError`."""
        target = self._below(name)
        if self._protocol in _WHOLE:
            self._try(lambda: self._files.pipe_file(target, data), "write")
            return
        unfinished = f"{target}.{os.getpid()}.partial"

        def work() -> None:
            self._files.makedirs(str(PurePosixPath(target).parent), exist_ok=True)
            self._files.pipe_file(unfinished, data)
            self._files.mv(unfinished, target)

        self._try(work, "write")

    def _below(self, name: str) -> str:
        return f"{self._path.rstrip('/')}/{name}"

    def _try(self, work: Callable[[], T], verb: str) -> T:
        """What `work` gives; a busy or broken server gets a few more chances."""
        for wait_s in (*_WAITS_S, None):
            try:
                return work()
            except Exception as error:  # each protocol has errors of its own
                final = isinstance(error, PermissionError | NotImplementedError) or _is_missing(error)
                if wait_s is None or final:
                    raise self._error(error, verb) from error
                time.sleep(wait_s)
        raise AssertionError

    def _error(self, error: Exception, verb: str) -> InputError | OutputError:
        kind = InputError if verb == "read" else OutputError
        said = error.__cause__ if isinstance(error, FileNotFoundError) and error.__cause__ is not None else error
        reason = "there is no such object" if _is_missing(error) else shown(said)
        return kind(f"cannot {verb} {self.url}: {reason or type(said).__name__}")


def _is_missing(error: BaseException) -> bool:
    """Whether there is no such object. fsspec says that too of a web server that is busy or down, with the cause."""
    status = getattr(error.__cause__, "status", None)
    return isinstance(error, FileNotFoundError) and (error.__cause__ is None or status in (404, 410))


def _mark(facts: dict[str, Any]) -> int:
    """A number that changes when the object does, as far as the server tells."""
    told = [str(facts.get(name)) for name in ("ETag", "etag", "LastModified", "mtime", "updated", "md5Hash", "size")]
    return int.from_bytes(hashlib.sha256("|".join(told).encode()).digest()[:6])
