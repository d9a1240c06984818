"""The page at `/`."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Route


async def _page(request: Request) -> Response:
    return PlainTextResponse("This is upres serve; /docs describes its interface.\n")


def page_routes() -> list[BaseRoute]:
    """The routes of the page and its files."""
    return [Route("/", _page)]
