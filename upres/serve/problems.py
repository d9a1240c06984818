"""What the server refuses, and how it says so: RFC 9457 problems with a code that programs can tell apart."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from upres.errors import (
    EngineError,
    InputError,
    ModelError,
    OutOfMemoryError,
    OutputError,
    UpresError,
    UsageError,
)
from upres.system.text import printable

# The status of each code; docs/serve.md and the OpenAPI document list them.
STATUS = {
    "bad_request": 400,
    "unauthorized": 401,
    "foreign_origin": 403,
    "not_found": 404,
    "method_not_allowed": 405,
    "body_timeout": 408,
    "conflict": 409,
    "canceled": 409,
    "gone": 410,
    "body_too_large": 413,
    "range": 416,
    "foreign_host": 421,
    "picture": 422,
    "picture_too_large": 422,
    "result_too_large": 422,
    "model": 422,
    "url": 422,
    "queue_full": 429,
    "header_too_large": 431,
    "bug": 500,
    "engine": 500,
    "worker_crashed": 500,
    "draining": 503,
    "no_worker": 503,
    "wait_too_long": 503,
    "too_slow": 504,
    "disk_full": 507,
    "out_of_memory": 507,
}


class Problem(Exception):
    """A refusal. `more` are further members of the document."""

    def __init__(self, code: str, detail: str, **more: Any) -> None:
        super().__init__(detail)
        self.code, self.detail, self.more = code, detail, more

    @property
    def status(self) -> int:
        return STATUS[self.code]

    def document(self, request_id: str | None = None) -> dict[str, Any]:
        """The body of the answer."""
        whose = {} if request_id is None else {"request_id": request_id}
        return {
            "type": "about:blank",
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "code": self.code,
            "detail": printable(self.detail),
            **self.more,
            **whose,
        }

    @property
    def headers(self) -> dict[str, str]:
        wait = self.more.get("retry_after_s")
        headers = {} if wait is None else {"Retry-After": str(max(1, round(wait)))}
        if self.code == "unauthorized":
            headers["WWW-Authenticate"] = 'Bearer realm="upres", Basic realm="upres"'
        return headers


def from_document(document: dict[str, Any]) -> Problem:
    """The problem that `document` describes: of a job that failed."""
    known = ("type", "title", "status", "code", "detail", "request_id")
    more = {name: value for name, value in document.items() if name not in known}
    return Problem(document["code"], document["detail"], **more)


def problem_of(error: BaseException) -> Problem:
    """The problem for an error of the library. One that is no `UpresError` is a bug, whose text stays in the log."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, MemoryError | OutOfMemoryError):
        return Problem("out_of_memory", f"not enough memory ({error or 'none left'}); ask for a smaller result")
    if isinstance(error, OutputError):
        full = "disk is full" in str(error)
        return Problem("disk_full" if full else "result_too_large", "the disk is full" if full else plain(error))
    kinds = ((UsageError, "bad_request"), (InputError, "picture"), (ModelError, "model"), (EngineError, "engine"))
    for kind, code in kinds:
        if isinstance(error, kind):
            return Problem(code, plain(error))
    if isinstance(error, UpresError):
        return Problem("picture", plain(error))
    return Problem("bug", "the server has a bug; its log has the details")


def plain(error: BaseException) -> str:
    """The message with the names that the API has for parameters."""
    return str(error).replace("`factor`", "`scale`")
