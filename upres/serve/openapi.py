"""The OpenAPI 3.1 document of our own interface."""

from __future__ import annotations

from typing import Any

from upres.serve.openapi_schemas import (
    AFTER,
    CARD,
    COUNT,
    ESTIMATE,
    ID,
    JOB,
    MODEL,
    PICTURE,
    PROBLEM,
    SIDE,
    TEXT,
    UPSCALE,
    Node,
    an_object,
    nullable,
    query,
)
from upres.serve.parameters import FORMATS
from upres.system.packages import version_of

_DESCRIPTION = (
    "Upscale pictures. Send one to /v1/upscale: the answer is the result, or a job where it takes longer. "
    "Errors are problems (RFC 9457) with a code."
)


def _json(schema: Node, description: str, **headers: str) -> Node:
    answer: Node = {"description": description, "content": {"application/json": {"schema": schema}}}
    if headers:
        answer["headers"] = {
            name.replace("_", "-"): {"description": words, "schema": TEXT} for name, words in headers.items()
        }
    return answer


def _bytes(kinds: list[str], description: str) -> Node:
    return {"description": description, "content": {kind: {"schema": {"type": "string"}} for kind in kinds}}


_REF_JOB: Node = {"$ref": "#/components/schemas/Job"}
_IMAGES = [f"image/{name}" for name in FORMATS]
_EMPTY: Node = {"description": "Nothing more to say."}
_EVENTS = _bytes(["text/event-stream"], "Server-sent events.")


def _operation(summary: str, answers: dict[str, Node], problems: str, **more: Any) -> Node:
    refs = {status: {"$ref": "#/components/responses/Problem"} for status in problems.split()}
    return {"summary": summary, "responses": dict(sorted({**answers, **refs}.items())), **more}


_USUAL = "400 401 403 421 500"
_TAKES = f"{_USUAL} 404 408 409 410 413 422 429 503 504 507"


def openapi_document() -> Node:
    """The document, as `/openapi.json` gives it."""
    return {
        "openapi": "3.1.0",
        "info": {"title": "upres serve", "version": (version_of("upres") or "unknown"), "description": _DESCRIPTION},
        "components": {
            "schemas": {"Problem": PROBLEM, "Job": JOB, "Card": CARD},
            "responses": {
                "Problem": {
                    "description": "A problem.",
                    "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
                }
            },
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{}, {"token": []}],
        "paths": {**_pictures(), **_jobs(), **_questions(), **_server()},
    }


def _pictures() -> Node:
    answers = {
        "200": _bytes(_IMAGES, "The result."),
        "202": _json(_REF_JOB, "A job.", Location="Of the job."),
    }
    prefer = {
        "name": "Prefer",
        "in": "header",
        "required": False,
        "description": "wait=SECONDS, or respond-async.",
        "schema": {**TEXT, "pattern": "^(wait=[0-9]|respond-async)$"},
    }
    upscale = _operation(
        "Upscale the picture in the body: the result, or a job.",
        answers,
        _TAKES,
        parameters=[*UPSCALE, prefer],
        requestBody=PICTURE,
    )
    return {"/v1/upscale": {"post": upscale}}


def _jobs() -> Node:
    put = _operation(
        "Upscale the picture in the body, as a job of this id; the same again changes nothing.",
        {"200": _json(_REF_JOB, "The job as it is."), "201": _json(_REF_JOB, "A new job.", Location="Of the job.")},
        _TAKES,
        parameters=[ID, *UPSCALE],
        requestBody=PICTURE,
    )
    removed = {"200": _json(_REF_JOB, "It was canceled."), "204": {"description": "It had ended and is removed."}}
    listed = _json(
        an_object("jobs next", jobs={"type": "array", "items": _REF_JOB}, next=nullable(TEXT)),
        "Jobs, newest first.",
        Upres_Last_Event="For /v1/events?after=",
    )
    limits = [
        query("limit", "Most jobs in the answer.", {"type": "integer", "minimum": 1, "maximum": 200}),
        query("before", "What the answer before has as next.", TEXT),
        query("state", "Only those in this state.", TEXT),
        query("group", "Only those of this group.", TEXT),
    ]
    download = query("download", "1: as an attachment.", {**TEXT, "enum": ["1"]})
    file_problems = f"{_USUAL} 404 409 410 416 422 504 507"
    part: Node = {"type": "integer", "minimum": 0, "maximum": 1_000_000}
    view = [
        ID,
        query("of", "Of what.", {**TEXT, "enum": ["source", "result"]}),
        query("side", "Longer side at most.", {"type": "integer", "minimum": 16, "maximum": 2048}),
        *(query(name, "Of the part, in pixels.", part if name in "xy" else SIDE) for name in "xywh"),
    ]
    files = {"200": _bytes([*_IMAGES, "image/gif", "application/octet-stream"], "The file.")}
    file_answers = {**files, "206": files["200"], "304": {"description": "It is the one you have."}}
    preview = {"200": _bytes(["image/png"], "A PNG."), "304": {"description": "It is the one you have."}}
    events = {"200": _EVENTS, "204": _EMPTY}
    one = "/v1/jobs/{id}"
    return {
        "/v1/jobs": {"get": _operation("The jobs of this token.", {"200": listed}, _USUAL, parameters=limits)},
        one: {
            "put": put,
            "get": _operation("A job.", {"200": _json(_REF_JOB, "The job.")}, f"{_USUAL} 404", parameters=[ID]),
            "delete": _operation("Cancel or remove a job.", removed, f"{_USUAL} 404 507", parameters=[ID]),
        },
        f"{one}/events": {"get": _operation("What happens to a job.", events, f"{_USUAL} 404", parameters=[ID, AFTER])},
        f"{one}/result": {
            "get": _operation("The result.", file_answers, file_problems, parameters=[ID, download]),
        },
        f"{one}/source": {
            "get": _operation("The picture as it was sent.", file_answers, file_problems, parameters=[ID, download]),
        },
        f"{one}/preview": {
            "get": _operation("A small view.", preview, f"{file_problems} 429", parameters=view),
        },
        "/v1/events": {
            "get": _operation("What happens to all jobs of this token.", {"200": _EVENTS}, _USUAL, parameters=[AFTER])
        },
    }


def _questions() -> Node:
    inspected = _json(an_object("report model", report={"type": "object"}, model=MODEL), "What it is.")
    cards = an_object(
        "default models", default=TEXT, models={"type": "array", "items": {"$ref": "#/components/schemas/Card"}}
    )
    limits = an_object(
        "version max_bytes max_pixels_in max_pixels_out max_frames max_seconds workers queue queued running keep_s "
        "formats url_input out",
        version=TEXT,
        max_bytes=COUNT,
        formats={"type": "array", "items": TEXT},
    )
    inspect = _operation(
        "What the picture in the body is, and the model that fits.",
        {"200": inspected},
        _TAKES,
        parameters=UPSCALE,
        requestBody=PICTURE,
    )
    estimate = _operation(
        "How long the picture in the body would take.",
        {"200": _json(ESTIMATE, "The estimate.")},
        _TAKES,
        parameters=UPSCALE,
        requestBody=PICTURE,
    )
    return {
        "/v1/inspect": {"post": inspect},
        "/v1/estimate": {"post": estimate},
        "/v1/models": {"get": _operation("The models.", {"200": _json(cards, "Cards.")}, f"{_USUAL} 422 429 504 507")},
        "/v1/limits": {"get": _operation("What the server takes.", {"200": _json(limits, "Limits.")}, _USUAL)},
    }


def _server() -> Node:
    text = _bytes(["text/plain"], "Text.")
    session = an_object("authenticated needs_token owner", owner=TEXT)
    return {
        "/v1/session": {
            "get": _operation("Whether this browser has a session.", {"200": _json(session, "It.")}, "403 421 500"),
            "post": _operation("Open a session by a token.", {"204": _EMPTY}, "401 403 421 500"),
            "delete": _operation("End the session.", {"204": _EMPTY}, "403 421 500"),
        },
        "/healthz": {"get": _operation("Whether the server answers.", {"200": text}, "421 500")},
        "/readyz": {"get": _operation("Whether it takes pictures.", {"200": text}, "421 500 503")},
        "/metrics": {"get": _operation("Figures for Prometheus.", {"200": text}, _USUAL)},
    }
