"""Objects of known size and SHA-256 on web servers (httpx) and in object stores (`storage`), fetched into files.

What was received stays in a partial file, so that the same call goes on there. A server that is busy or down for a
moment is asked again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

from upres.errors import InputError
from upres.system.download import RequestFailed, open_stream, total_bytes, without_password
from upres.system.files import DISK_FULL, commit_partial, output_error, sha256_of
from upres.system.lock import one_at_a_time
from upres.system.storage import Storage
from upres.system.text import shown

_WAITS_S = (0.5, 2.0, 5.0, 10.0)  # between attempts that brought nothing
_TIMEOUT_S = 60.0
_BUSY = frozenset({408, 425, 429, 500, 502, 503, 504})


class _Busy(Exception):
    """The server may answer the next time."""


def below(url: str, name: str) -> str:
    """The URL of `name` below `url`, whose query it keeps."""
    path, mark, query = url.partition("?")
    return f"{path.rstrip('/')}/{name}{mark}{query}"


def shown_url(url: str) -> str:
    """A URL as messages may show it: without password and query."""
    return shown(without_password(url).partition("?")[0])


def read_object(url: str, most_bytes: int) -> bytes:
    """A whole object. Raises `InputError`, `EngineError` if a package is missing."""
    if not _is_web(url):
        data = Storage(url).read()[0]
    else:
        data = b""
        for attempt in (*_WAITS_S, None):
            try:
                data = b"".join(_limited(_web_pieces(url, 0, None), most_bytes))
                break
            except _Busy as error:
                _wait(url, error, attempt)
    if len(data) > most_bytes:
        raise InputError(f"{shown_url(url)} has more than {most_bytes:,} bytes")
    return data


def fetch_object(
    url: str, target: Path, *, size: int, sha256: str, progress: Callable[[int], None] = lambda got: None
) -> None:
    """Have the object of `url` as `target`; does nothing where that is there and intact.

    progress: called with the bytes that were received since the last call. Of several processes one fetches, and the
    others wait.

    Raises `InputError` for an object that is missing or another, `OutputError` for a full disk.
    """
    with one_at_a_time(target.with_name(f".{target.name}.lock")):
        try:
            if target.is_file() and target.stat().st_size == size and sha256_of(target) == sha256:
                return
            partial = target.with_name(f"{target.name}.partial")
            found = ""
            for _ in range(2):
                resumed = _receive(url, partial, size, progress)
                if (found := sha256_of(partial)) == sha256:
                    commit_partial(partial, target)
                    return
                partial.unlink()
                if not resumed:  # else its beginning may have been of another object
                    break
        except OSError as error:
            raise output_error(target, error) from error
    raise InputError(f"{shown_url(url)} has the SHA-256 {found}, expected {sha256}: it is damaged, or another file")


def _receive(url: str, partial: Path, size: int, progress: Callable[[int], None]) -> bool:
    """Complete `partial`; returns whether a part of it was there before."""
    begun = have = partial.stat().st_size if partial.is_file() else 0
    if begun > size:
        partial.unlink()
        begun = have = 0
    waits = iter(_WAITS_S)
    while have < size:
        before = have
        try:
            with partial.open("ab") as file:
                for piece in _web_pieces(url, have, size) if _is_web(url) else Storage(url).pieces(have, size):
                    file.write(piece)
                    have += len(piece)
                    progress(len(piece))
                    if have > size:
                        partial.unlink()
                        raise InputError(f"{shown_url(url)} has more than the {size:,} bytes that were expected")
            if have < size:
                raise _Busy(f"the connection ended after {have:,} of {size:,} bytes")
        except _Busy as error:
            waits = iter(_WAITS_S) if have > before else waits
            _wait(url, error, next(waits, None))
        except OSError as error:
            if error.errno in DISK_FULL:  # a partial file would only fill the disk
                partial.unlink(missing_ok=True)
            raise
    return begun > 0


def _wait(url: str, error: _Busy, seconds: float | None) -> None:
    if seconds is None:
        raise InputError(f"cannot read {shown_url(url)}: {error}") from error
    time.sleep(seconds)


def _is_web(url: str) -> bool:
    return urlsplit(url).scheme.lower() in ("http", "https")


def _limited(pieces: Iterator[bytes], most_bytes: int) -> Iterator[bytes]:
    got = 0
    for piece in pieces:
        yield piece
        got += len(piece)
        if got > most_bytes:
            return


def _web_pieces(url: str, offset: int, size: int | None) -> Iterator[bytes]:
    """What a web server has from `offset` on, also one that knows no ranges. Raises `_Busy` or `InputError`."""
    import httpx

    headers = {"Range": f"bytes={offset}-"} if offset else {}
    own = {"Accept-Encoding": "identity", "User-Agent": "upres"}
    try:
        with (
            httpx.Client(timeout=_TIMEOUT_S, headers=own) as client,
            open_stream(client, url, headers) as response,
        ):
            if response.status_code in _BUSY:
                raise _Busy(f"the server answered {response.status_code} {response.reason_phrase}".rstrip())
            if response.status_code in (404, 410):
                raise InputError(f"cannot read {shown_url(url)}: there is no such object")
            if response.status_code not in (200, 206):
                raise InputError(
                    f"cannot read {shown_url(url)}: the server answered {response.status_code} {response.reason_phrase}"
                )
            skip = offset if response.status_code == 200 else 0
            total = total_bytes(response, offset)
            if size is not None and total not in (None, size):
                raise InputError(f"{shown_url(url)} has {total:,} bytes, expected {size:,}")
            for piece in response.iter_raw():  # as it comes: a broken connection loses nothing
                yield piece[skip:]
                skip = max(0, skip - len(piece))
    except httpx.TransportError as error:
        raise _Busy(shown(error) or type(error).__name__) from error
    except (httpx.InvalidURL, httpx.UnsupportedProtocol, RequestFailed) as error:
        raise InputError(f"cannot read {shown_url(url)}: {shown(error)}") from error
