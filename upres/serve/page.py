"""The page at `/`: its files, compressed once, with a strict policy and exact caching.

The files stand in `page_files/` and, shared with the page of `upres compare`, in `upres.web`. All are served from
`/page/HASH/`, where HASH is that of their content: a browser may keep them for ever, and a page of an earlier version
never meets scripts of a later one. Only `/` itself is asked for again each time (304 where it is the same).
"""

from __future__ import annotations

import gzip
import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from upres.web.assets import names, read_asset

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_FOLDER = Path(__file__).parent / "page_files"
_TYPES = {".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
_FOR_EVER = "public, max-age=31536000, immutable"
_HEADERS = {
    "Content-Security-Policy": POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "Vary": "Accept-Encoding",
    "X-Content-Type-Options": "nosniff",
}


@dataclass(frozen=True, slots=True)
class Asset:
    """A file as it is sent.

    data: the content. compressed: the same by gzip. media_type: for `Content-Type`. etag: of the content, quoted.
    """

    data: bytes
    compressed: bytes
    media_type: str
    etag: str


@cache
def assets() -> dict[str, Asset]:
    """All files by name; "index.html" refers to the others by the path of this version."""
    texts = {name: read_asset(name) for name in names()}
    texts |= {path.name: path.read_text(encoding="utf-8") for path in _FOLDER.iterdir() if path.suffix in _TYPES}
    joined = "\n".join(f"{name}\n{text}" for name, text in sorted(texts.items()))
    base = f"/page/{hashlib.sha256(joined.encode()).hexdigest()[:16]}"
    texts["index.html"] = texts["index.html"].replace("{{BASE}}", base)
    return {name: _asset(name, text.encode()) for name, text in texts.items()}


def base_path() -> str:
    """The path below which this version's files are: "/page/HASH"."""
    text = assets()["index.html"].data.decode()
    return text[text.index("/page/") :].partition('/icon.svg"')[0]


def page_routes() -> list[BaseRoute]:
    """`/`, `/page/HASH/NAME` and the icon that browsers ask for unbidden."""
    return [
        Route("/", _index),
        Route("/favicon.ico", _icon),
        Route("/page/{version}/{name}", _file),
    ]


async def _index(request: Request) -> Response:
    return _response(request, "index.html", "no-cache")


async def _icon(request: Request) -> Response:
    return _response(request, "icon.svg", "public, max-age=86400")


async def _file(request: Request) -> Response:
    name = request.path_params["name"]
    current = f"/page/{request.path_params['version']}" == base_path()
    if not current or name == "index.html" or name not in assets():
        return Response("not found\n", 404, {**_HEADERS, "Cache-Control": "no-store"}, "text/plain")
    return _response(request, name, _FOR_EVER)


def _response(request: Request, name: str, caching: str) -> Response:
    asset = assets()[name]
    headers = {**_HEADERS, "Cache-Control": caching, "ETag": asset.etag}
    known = {tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")}
    if known & {asset.etag, "*"}:
        return Response(None, 304, headers)
    data = asset.data
    if _takes_gzip(request.headers.get("accept-encoding", "")):
        data, headers["Content-Encoding"] = asset.compressed, "gzip"
        headers["ETag"] = f"W/{asset.etag}"
    return Response(data, 200, headers, asset.media_type)


def _takes_gzip(accepted: str) -> bool:
    """RFC 9110, 12.5.3: named, or by "*", and not refused by a weight of 0."""
    weights: dict[str, float] = {}
    for one in accepted.split(","):
        coding, _, rest = one.partition(";")
        weight = rest.strip().removeprefix("q=") if rest else "1"
        try:
            weights[coding.strip().lower()] = float(weight)
        except ValueError:
            continue  # no weight that the standard knows: the coding is not offered
    return weights.get("gzip", weights.get("*", 0.0)) > 0


def _asset(name: str, data: bytes) -> Asset:
    media_type = _TYPES[Path(name).suffix]
    etag = f'"{hashlib.sha256(data).hexdigest()[:32]}"'
    return Asset(data, gzip.compress(data, 9, mtime=0), media_type, etag)
