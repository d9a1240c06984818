"""The application: every route of the server."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from types import SimpleNamespace

from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Route, Router
from starlette.types import Receive, Scope, Send

from upres.serve.access import SESSION_S
from upres.serve.cog_api import cog_routes
from upres.serve.docs_page import get_docs
from upres.serve.events_api import get_events, get_job_events
from upres.serve.files_api import get_preview, get_result, get_source
from upres.serve.jobs_api import delete_job, get_job, list_jobs, post_upscale, put_job
from upres.serve.middleware import Around
from upres.serve.openapi import openapi_document
from upres.serve.page import page_routes
from upres.serve.problems import Problem
from upres.serve.questions_api import get_limits, get_models, post_estimate, post_inspect
from upres.serve.sdapi import sdapi_routes
from upres.serve.service import Service
from upres.serve.settings import Settings


class App:
    """The ASGI application of one server; `state.service` has its parts."""

    def __init__(self, service: Service, routes: Sequence[BaseRoute]) -> None:
        self.state = SimpleNamespace(service=service)

        @asynccontextmanager
        async def life(_: object) -> AsyncGenerator[None]:
            await service.start()
            try:
                yield
            finally:
                await service.stop()

        self._router = Router(routes, redirect_slashes=False, lifespan=life)  # pyright: ignore[reportArgumentType]
        answer = Around(self._router, routes, service)
        origins = service.settings.origins
        self._answer = answer if not origins else _shared(answer, origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["app"] = self
        await (self._router if scope["type"] == "lifespan" else self._answer)(scope, receive, send)


def _shared(app: Around, origins: Sequence[str]) -> CORSMiddleware:
    """Let pages of other hosts read answers."""
    headers = ["Authorization", "Content-Type", "Prefer", "Last-Event-ID", "X-Request-ID", "traceparent"]
    exposed = ["Location", "ETag", "Retry-After", "X-Request-ID", "Upres-Last-Event", "Upres-Model", "Upres-Notes"]
    methods = ["GET", "POST", "PUT", "DELETE"]
    return CORSMiddleware(
        app, allow_origins=origins, allow_methods=methods, allow_headers=headers, expose_headers=exposed
    )


def create_app(
    settings: Settings,
    *,
    one_time_token: str | None = None,
    command: Callable[[], Sequence[str]] | None = None,
) -> App:
    """The application for these settings.

    settings: Of the server.
    one_time_token: Opens one session of the page (`upres ui`).
    command: Makes the command of a worker; for tests and benchmarks.

    Raises `UsageError` and `OutputError` for a data folder that cannot be used.
    """
    service = Service(settings, one_time_token=one_time_token, command=command)
    return App(service, [*api_routes(), *sdapi_routes(), *cog_routes(), *page_routes()])


def api_routes() -> list[BaseRoute]:
    """Our own interface."""
    return [
        Route("/v1/upscale", post_upscale, methods=["POST"]),
        Route("/v1/jobs", list_jobs, methods=["GET"]),
        Route("/v1/jobs/{id}", put_job, methods=["PUT"]),
        Route("/v1/jobs/{id}", get_job, methods=["GET"]),
        Route("/v1/jobs/{id}", delete_job, methods=["DELETE"]),
        Route("/v1/jobs/{id}/events", get_job_events, methods=["GET"]),
        Route("/v1/jobs/{id}/result", get_result, methods=["GET"]),
        Route("/v1/jobs/{id}/source", get_source, methods=["GET"]),
        Route("/v1/jobs/{id}/preview", get_preview, methods=["GET"]),
        Route("/v1/events", get_events, methods=["GET"]),
        Route("/v1/inspect", post_inspect, methods=["POST"]),
        Route("/v1/estimate", post_estimate, methods=["POST"]),
        Route("/v1/models", get_models, methods=["GET"]),
        Route("/v1/limits", get_limits, methods=["GET"]),
        Route("/v1/session", post_session, methods=["POST"]),
        Route("/v1/session", get_session, methods=["GET"]),
        Route("/v1/session", delete_session, methods=["DELETE"]),
        Route("/healthz", healthz, methods=["GET"]),
        Route("/readyz", readyz, methods=["GET"]),
        Route("/metrics", metrics, methods=["GET"]),
        Route("/openapi.json", get_openapi, methods=["GET"]),
        Route("/docs", get_docs, methods=["GET"]),
    ]


async def post_session(request: Request) -> Response:
    """A session for the page, by a token."""
    service: Service = request.app.state.service
    response = Response(status_code=204)
    value = service.access.open_session(request)
    secure = request.headers.get("x-forwarded-proto") == "https" or request.url.scheme == "https"
    response.set_cookie(
        service.access.cookie, value, max_age=SESSION_S, path="/", httponly=True, samesite="strict", secure=secure
    )
    return response


async def get_session(request: Request) -> Response:
    service: Service = request.app.state.service
    owner = service.access.known(request)
    facts = {"authenticated": owner is not None, "needs_token": service.access.needs_token, "owner": owner or ""}
    return JSONResponse(facts, headers={"Cache-Control": "no-store"})


async def delete_session(request: Request) -> Response:
    service: Service = request.app.state.service
    response = Response(status_code=204)
    response.delete_cookie(service.access.cookie, path="/", httponly=True, samesite="strict")
    return response


async def healthz(request: Request) -> Response:
    """Whether the process answers."""
    return PlainTextResponse("ok\n")


async def readyz(request: Request) -> Response:
    """Whether it takes pictures: it is not about to stop, and a worker lives."""
    service: Service = request.app.state.service
    if service.desk.draining:
        raise Problem("draining", "the server is about to stop")
    if not service.dispatch.ready:
        raise Problem("no_worker", "no worker has started yet", retry_after_s=1)
    return PlainTextResponse("ready\n")


async def metrics(request: Request) -> Response:
    service: Service = request.app.state.service
    return Response(service.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")


async def get_openapi(request: Request) -> Response:
    return JSONResponse(openapi_document())
