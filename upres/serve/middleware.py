"""Around every request: its id and trace, the rules of access, problems as answers, headers, figures and the log."""

from __future__ import annotations

import json
import logging
import re
import secrets
import time
import traceback
from collections.abc import Sequence
from typing import Any

from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse
from starlette.routing import BaseRoute, Match, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from upres.serve.problems import Problem, problem_of
from upres.serve.service import ClientGone, Service

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
    "manifest-src 'self'; worker-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
_OPEN = ("/", "/healthz", "/readyz", "/openapi.json", "/docs", "/v1/session", "/health-check", "/favicon.ico")
_OPEN_BELOW = ("/page/",)
_REQUEST_ID = re.compile(r"[\w.-]{1,64}")
_TRACE = re.compile(r"00-([0-9a-f]{32})-[0-9a-f]{16}-([0-9a-f]{2})")
_LOG = logging.getLogger("upres.serve.requests")
_CODES = {404: "not_found", 405: "method_not_allowed", 400: "bad_request", 416: "range"}


class Around:
    """The middleware of the server: pure ASGI, so that streams stay streams.

    app: What answers.
    routes: Of it.
    service: Whose rules apply.
    """

    def __init__(self, app: ASGIApp, routes: Sequence[BaseRoute], service: Service) -> None:
        self._app, self._routes, self._service = app, routes, service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope, receive)
        state = request.state
        given = request.headers.get("x-request-id", "")
        state.id = given if _REQUEST_ID.fullmatch(given) else secrets.token_hex(8)
        state.trace, state.owner, state.status, state.sent = _trace(request), "", 0, 0
        begun = time.perf_counter()
        body_read = False

        async def receive_(scope_message: Receive = receive) -> Message:
            nonlocal body_read
            message = await scope_message()
            if message["type"] == "http.disconnect" or not message.get("more_body", False):
                body_read = True
            return message

        async def send_(message: Message) -> None:
            if message["type"] == "http.response.start":
                state.status = message["status"]
                headers = MutableHeaders(scope=message)
                headers["X-Request-ID"] = state.id
                headers.setdefault("Content-Security-Policy", POLICY)
                headers.setdefault("X-Content-Type-Options", "nosniff")
                headers.setdefault("Referrer-Policy", "no-referrer")
                if state.trace:
                    headers["traceparent"] = state.trace
                if not body_read and _has_body(request):
                    headers["Connection"] = "close"  # the rest of the body is not worth reading
            elif message["type"] == "http.response.body":
                state.sent += len(message.get("body", b""))
            await send(message)

        try:
            await self._answer(request, Request(scope, receive_), send_)
        finally:
            self._note(request, time.perf_counter() - begun)

    async def _answer(self, request: Request, inner: Request, send: Send) -> None:
        try:
            self._admit(request)
            await self._app(inner.scope, inner.receive, send)
        except (ClientGone, ClientDisconnect):
            request.state.status = 499  # nobody reads it; as nginx counts
        except Exception as error:  # the outermost handler: every error becomes an answer
            problem = _problem(error)
            if problem.code == "bug":
                _LOG.error("request %s: %s", request.state.id, "".join(traceback.format_exception(error)))
            if request.state.status:  # the answer has begun: only its end can tell
                raise
            headers = problem.headers | ({"Allow": self._methods(inner.scope)} if problem.status == 405 else {})
            document, kind = problem.document(request.state.id), "application/problem+json"
            answer = JSONResponse(document, problem.status, headers, media_type=kind)
            await answer(inner.scope, inner.receive, send)

    def _methods(self, scope: Scope) -> str:
        """What may be done with a path: several routes share one."""
        found: set[str] = set()
        for route in self._routes:
            if isinstance(route, Route) and route.matches(scope)[0] != Match.NONE:
                found |= route.methods or set()
        return ", ".join(sorted(found))

    def _admit(self, request: Request) -> None:
        access, path = self._service.access, request.scope["path"]
        access.check_sender(request)
        if path in _OPEN or path.startswith(_OPEN_BELOW):
            request.state.owner = access.known(request) or ""
        else:
            request.state.owner = access.owner(request)

    def _note(self, request: Request, seconds: float) -> None:
        state, metrics = request.state, self._service.metrics
        route = getattr(request.scope.get("route"), "path", "other")
        metrics.requests.labels(route, _method(request), str(state.status)).inc()
        metrics.request_seconds.labels(route).observe(seconds)
        facts: dict[str, Any] = {
            "request_id": state.id,
            "method": request.method,
            "path": request.scope["path"],
            "status": state.status,
            "ms": round(1000 * seconds, 1),
            "bytes": state.sent,
        }
        if state.owner:
            facts["owner"] = state.owner
        if state.trace:
            facts["trace_id"] = state.trace[3:35]
        _LOG.info("%s", json.dumps(facts), extra={"facts": facts})


def _method(request: Request) -> str:
    return request.method if request.method in ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS") else "other"


def _has_body(request: Request) -> bool:
    return request.headers.get("content-length", "0") != "0" or "transfer-encoding" in request.headers


def _trace(request: Request) -> str:
    """The traceparent to pass on (W3C Trace Context): the caller's trace, a span of ours; "" without one."""
    found = _TRACE.fullmatch(request.headers.get("traceparent", "").strip())
    if found is None or found[1] == "0" * 32:
        return ""
    return f"00-{found[1]}-{secrets.token_hex(8)}-{found[2]}"


def _problem(error: Exception) -> Problem:
    if isinstance(error, HTTPException):
        return Problem(_CODES.get(error.status_code, "bad_request"), error.detail)
    return problem_of(error)
