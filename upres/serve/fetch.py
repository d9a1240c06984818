"""Fetch a picture that a client names by a URL, without becoming the client's hand inside our network.

The address that is dialed is the one that was checked: the name is resolved once, every address must be public, and the
connection goes to one of them, so a second answer of the name server (DNS rebinding) is never asked for. Redirects are
followed here, each checked in the same way.
"""

from __future__ import annotations

import hashlib
import socket
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

import httpcore

from upres.serve.problems import Problem
from upres.serve.settings import Settings
from upres.serve.upload import Upload
from upres.system.public_address import is_public

_MOST_REDIRECTS = 5
_WAIT_S = 10.0  # for each step
_REDIRECTS = (301, 302, 303, 307, 308)
Resolve = Callable[[str, int], list[str]]


def resolve(host: str, port: int) -> list[str]:
    """All addresses of a host. Raises OSError."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


class CheckedBackend(httpcore.NetworkBackend):
    """Connects to public addresses only.

    resolve, allowed: The name server, and what it may answer; tests replace them.
    """

    def __init__(self, resolve: Resolve = resolve, allowed: Callable[[str], bool] = is_public) -> None:
        self._resolve, self._allowed = resolve, allowed
        self._inner = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        """A connection to the host. Raises `Problem` if one of its addresses is not public."""
        try:
            addresses = self._resolve(host, port)
        except OSError as error:
            raise Problem("url", f"{host} is not known", parameter="url") from error
        if not addresses or not all(map(self._allowed, addresses)):
            raise Problem("url", f"{host} is not an address of the public internet", parameter="url")
        return self._inner.connect_tcp(addresses[0], port, timeout, local_address, socket_options)


def fetch_picture(url: str, path: Path, settings: Settings, backend: CheckedBackend | None = None) -> Upload:
    """Fetch `url` into `path`. Raises `Problem` for an address that is not allowed, and for an answer but 200."""
    end = time.monotonic() + settings.body_seconds
    try:
        with httpcore.ConnectionPool(network_backend=backend or CheckedBackend(), retries=0) as pool:
            for _ in range(_MOST_REDIRECTS + 1):
                answer = _get(pool, _checked(url), path, settings, end)
                if isinstance(answer, Upload):
                    return answer
                url = urljoin(url, answer)
    except (httpcore.NetworkError, httpcore.TimeoutException, httpcore.ProtocolError, OSError) as error:
        path.unlink(missing_ok=True)
        raise Problem("url", f"{_host(url)} cannot be read ({type(error).__name__})", parameter="url") from error
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    raise Problem("url", f"{_host(url)} redirects more than {_MOST_REDIRECTS} times", parameter="url")


def _host(url: str) -> str:
    return urlsplit(url).hostname or "the URL"


def _checked(url: str) -> str:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), 0
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or port == 0:
        raise Problem("url", "a URL must begin with https:// or http://, and has no user or password", parameter="url")
    if not url.isascii() or not url.isprintable() or " " in url:
        raise Problem("url", "a URL has ASCII characters only, and no spaces", parameter="url")
    return url


def _get(pool: httpcore.ConnectionPool, url: str, path: Path, settings: Settings, end: float) -> Upload | str:
    """The picture, or where it is instead."""
    headers = [(b"Host", urlsplit(url).netloc.encode()), (b"User-Agent", b"upres"), (b"Accept", b"image/*")]
    waits = {"timeout": dict.fromkeys(("connect", "read", "write", "pool"), _WAIT_S)}
    with pool.stream("GET", url, headers=headers, extensions=waits) as response:
        found = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in response.headers}
        if response.status in _REDIRECTS and "location" in found:
            return found["location"]
        if response.status != 200:
            raise Problem("url", f"{_host(url)} answers {response.status}", parameter="url")
        digest, size = hashlib.sha256(), 0
        with path.open("wb") as file:
            for chunk in response.iter_stream():
                size += len(chunk)
                if size > settings.max_bytes:
                    words = f"the picture is larger than the {settings.max_mb:g} MB that this server takes"
                    raise Problem("body_too_large", words)
                if time.monotonic() > end:
                    raise Problem("url", f"{_host(url)} takes longer than {settings.body_seconds:g} s", parameter="url")
                digest.update(chunk)
                file.write(chunk)
    return Upload(path, digest.hexdigest(), size)
