"""Files too large, or not ours, to ship: downloaded once, verified, kept in the user's cache.

A file in the cache is used only if its SHA-256 is the expected one, so one copied there by hand, on a machine without a
network, is as good as a download. An interrupted download continues where it stopped, also in a later run. All URLs of
a source are tried; UPRES_MIRROR, the URL of a folder, comes first. httpx and filelock are imported only to download.
"""

from __future__ import annotations

import logging
import os
import re
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

from upres.errors import ModelError, UsageError
from upres.system.checksums import Source as Source
from upres.system.checksums import expected_sha256, pin_path, problem, write_pin
from upres.system.files import DISK_FULL, commit_partial, output_error, sha256_of

if TYPE_CHECKING:
    import httpx

_MAX_REDIRECTS = 5
_MAX_BYTES = 4 << 30  # of a file of unknown size
_ATTEMPTS = 4  # at one URL, as long as each makes progress

_log = logging.getLogger(__name__)
Progress = Callable[[int, int | None], None]  # bytes so far, bytes in all if known


def cache_folder() -> Path:
    """$UPRES_CACHE, or `upres` in the platform's folder for caches of this user. It need not exist.

    Raises RuntimeError where the user has no home.
    """
    if named := os.environ.get("UPRES_CACHE"):
        return Path(named).expanduser()
    if sys.platform == "darwin" and (before := Path.home() / "Library" / "Caches" / "upres").is_dir():
        return before  # where upres 0.1.0 kept it; platformdirs follows XDG_CACHE_HOME on macOS too
    from platformdirs import user_cache_path

    return user_cache_path("upres", appauthor=False, opinion=False)


def fetch(
    source: Source, *, folder: Path | None = None, progress: Progress | None = None, timeout_s: float = 30.0
) -> Path:
    """The verified file of `source` in `folder` (default: the cache), downloaded if needed.

    timeout_s: for each wait. Raises `ModelError` if all URLs fail, with what was tried and what to do without a
    network, `OutputError` if the folder is not writable, and `UsageError` if UPRES_MIRROR is not a URL.
    """
    target = (cache_folder() if folder is None else folder) / source.name
    if problem(source, target) is None:
        return target
    from filelock import FileLock

    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(target.with_name(f".{source.name}.lock")):
            wrong = problem(source, target)  # again: another process may have downloaded it meanwhile
            if wrong is not None:
                if wrong:
                    _log.warning("%s. It is fetched again", wrong)
                _Download(source, target, wrong, progress, timeout_s).run()
    except OSError as error:
        raise output_error(target, error) from error
    return target


class RequestFailed(Exception):
    """A request failed for the reason given; `again`: the same URL is worth another."""

    def __init__(self, reason: str, *, again: bool = False) -> None:
        super().__init__(reason)
        self.again = again


class _Download:
    """One file over all its URLs. The partial file and its ETag survive an interrupted run."""

    def __init__(self, source: Source, target: Path, problem: str, progress: Progress | None, timeout_s: float) -> None:
        self.source, self.target, self.problem, self.progress, self.timeout_s = (
            source,
            target,
            problem,
            progress,
            timeout_s,
        )
        self.expected = expected_sha256(source, target)
        self.partial = target.with_name(target.name + ".partial")
        self.etag_file = target.with_name(target.name + ".partial.etag")

    def run(self) -> None:
        urls, mirror = list(self.source.urls), os.environ.get("UPRES_MIRROR")
        if mirror:
            if not mirror.lower().startswith(("https://", "http://")):
                raise UsageError(f"UPRES_MIRROR must be the http(s) URL of a folder, got {mirror!r}")
            urls.insert(0, f"{mirror.rstrip('/')}/{quote(self.source.name)}")
        try:
            import httpx

            client = httpx.Client(
                timeout=self.timeout_s, headers={"Accept-Encoding": "identity", "User-Agent": "upres"}
            )
        except (ImportError, ValueError) as error:  # httpx itself is missing, or what its proxy settings ask for
            raise self._failure(f"downloads need httpx (pip install httpx): {error}") from error
        tried: list[str] = []
        try:
            with client:
                for url in urls:
                    shown = without_password(url)
                    _log.info("downloading %s (%s) from %s", self.source.name, self.source.license, shown)
                    reason = self._try_url(client, url)
                    if reason is None:
                        return
                    _log.info("%s: %s", shown, reason)
                    tried.append(f"{shown}: {reason}")
        except OSError as error:
            if error.errno in DISK_FULL:  # a partial file would only fill the disk
                self._discard()
            raise
        raise self._failure("; ".join(tried) or "no address of the file itself is known")

    def _failure(self, reasons: str) -> ModelError:
        name, folder, pin = self.source.name, self.target.parent, pin_path(self.target)
        about = [f"sha256 {self.expected}" + ("..." if len(self.expected) < 64 else "")] if self.expected else []
        about += [f"{self.source.bytes} bytes"] if self.source.bytes is not None else []
        page = f". {self.source.page} leads to it" if self.source.page else ""
        pinned = f". That SHA-256 was pinned at the first download: delete {pin} to trust another file"
        return ModelError(
            f"{name} could not be downloaded. {self.problem + '. ' if self.problem else ''}{reasons}. Without a "
            f"network put {name} "
            f"({', '.join(about) or 'no SHA-256 is known'}) into {folder}, or set UPRES_MIRROR to the URL of a folder "
            "that holds it" + page + (pinned if self.source.sha256 is None and self.expected else "")
        )

    def _try_url(self, client: httpx.Client, url: str) -> str | None:
        """None once the file is verified, or the reason why this URL failed."""
        import httpx

        reason = ""
        for _ in range(_ATTEMPTS):
            before = self._have()
            try:
                self._receive(client, url)
                return None
            except RequestFailed as error:
                reason = str(error)
                if not error.again:
                    return reason
            except httpx.InvalidURL as error:
                return f"not a URL ({error})"
            except httpx.TransportError as error:
                kind = "no connection" if isinstance(error, httpx.ConnectError) else "the connection broke"
                timeout = isinstance(error, httpx.TimeoutException)
                reason = f"no answer within {self.timeout_s:g} s" if timeout else f"{kind} ({error})"
                if self._have() <= before:
                    return reason
        return reason

    def _have(self) -> int:
        return self.partial.stat().st_size if self.partial.is_file() else 0

    def _discard(self) -> None:
        self.partial.unlink(missing_ok=True)
        self.etag_file.unlink(missing_ok=True)

    def _receive(self, client: httpx.Client, url: str) -> None:
        """One request: the rest of a partial file, or all of it; verified and in place when this returns."""
        offset = self._have()
        if offset and offset == self.source.bytes and self.expected is not None:
            return self._finish(resumed=True)  # complete: the last run was stopped before renaming it
        etag = self._saved_etag(url)
        if not etag and self.expected is None:
            offset = 0  # both parts could be of different files
        headers = {"Range": f"bytes={offset}-", **({"If-Range": etag} if etag else {})} if offset else {}
        with open_stream(client, url, headers) as response:
            now = response.headers.get("ETag", "")
            if offset and (
                response.status_code == 416 or (response.status_code == 206 and etag and now not in ("", etag))
            ):
                self._discard()
                raise RequestFailed("the file changed while it was downloaded", again=True)
            if response.status_code == 200:
                offset = 0  # no range support, or the file has changed: start over
            elif response.status_code != 206 or not offset:
                raise RequestFailed(f"the server answered {response.status_code} {response.reason_phrase}".rstrip())
            total = total_bytes(response, offset)
            if total is not None and total != (self.source.bytes or total):
                raise RequestFailed(f"the server declares {total} bytes, expected {self.source.bytes}")
            if not offset:
                self._discard()
                if now and not now.startswith("W/"):  # If-Range needs a strong one
                    self.etag_file.write_text(f"{url}\n{now}", encoding="utf-8")
            self._write(response, offset, total)
        self._finish(resumed=offset > 0)

    def _saved_etag(self, url: str) -> str:
        lines = (
            self.etag_file.read_text(encoding="utf-8", errors="replace").split("\n") if self.etag_file.is_file() else []
        )
        return lines[1] if len(lines) == 2 and lines[0] == url else ""

    def _write(self, response: httpx.Response, offset: int, total: int | None) -> None:
        size = total if self.source.bytes is None else self.source.bytes
        limit, done = min(_MAX_BYTES, size if size is not None else _MAX_BYTES), offset
        with self.partial.open("ab" if offset else "wb") as file:
            for chunk in response.iter_raw():
                done += len(chunk)
                if done > limit:
                    break
                file.write(chunk)
                if self.progress is not None:
                    self.progress(done, size)
            file.flush()
            os.fsync(file.fileno())
        if done > limit:
            self._discard()
            raise RequestFailed(f"the server sends more than {limit} bytes")
        if size is not None and done != size:
            raise RequestFailed(f"the connection ended after {done} of {size} bytes", again=True)

    def _finish(self, *, resumed: bool) -> None:
        found = sha256_of(self.partial)
        if self.expected is not None and not found.startswith(self.expected):
            self._discard()
            raise RequestFailed(
                f"the file has the SHA-256 {found}, expected {self.expected}", again=resumed
            )  # perhaps parts of two files
        if self.source.pin and self.expected is None:
            write_pin(self.target, found)
        commit_partial(self.partial, self.target)
        self.etag_file.unlink(missing_ok=True)


@contextmanager
def open_stream(client: httpx.Client, url: str, headers: dict[str, str]) -> Generator[httpx.Response]:
    """GET with at most 5 redirects, none of which may leave https."""
    for _ in range(_MAX_REDIRECTS + 1):
        with client.stream("GET", url, headers=headers) as response:
            if not response.has_redirect_location:
                yield response
                return
            here, further = response.url, response.url.join(response.headers["Location"])
        if further.scheme != "https" and not further.scheme == here.scheme == "http":
            raise RequestFailed(f"the redirect from {here} to {further} is refused: it must lead to https")
        url = str(further)
    raise RequestFailed(f"more than {_MAX_REDIRECTS} redirects")


def total_bytes(response: httpx.Response, offset: int) -> int | None:
    """The size of the whole file by its headers. Raises if a 206 answer does not begin at `offset`."""
    if response.status_code == 206:
        match = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", ""))
        if match is None or int(match[1]) != offset:
            raise RequestFailed(
                f"the server was asked for bytes from {offset} on but sent "
                f"{response.headers.get('Content-Range', 'others')}"
            )
        return None if match[2] == "*" else int(match[2])
    length = response.headers.get("Content-Length", "")
    return int(length) if length.isascii() and length.isdigit() else None


def without_password(url: str) -> str:
    """`url` as messages may show it."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
