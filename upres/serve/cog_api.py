"""The door that clients of Cog and Replicate know: /predictions with the picture as a data URL."""

from __future__ import annotations

import asyncio
import base64
import time
from datetime import UTC, datetime
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from upres.errors import UsageError
from upres.serve.job import Job, Record
from upres.serve.jobs_api import forget, preferred_wait_s
from upres.serve.parameters import Call, check_id, check_model, read_parameters
from upres.serve.problems import Problem, plain
from upres.serve.sdapi import decoded, most_json
from upres.serve.service import Service, disconnected
from upres.serve.upload import Upload, owner_of, read_json
from upres.system.structs import convert

_STATUS = {
    "queued": "starting",
    "running": "processing",
    "done": "succeeded",
    "failed": "failed",
    "canceled": "canceled",
}
_INPUT = ("image", "img")


class Prediction(msgspec.Struct, frozen=True):
    """A request of that interface; what it has beside these fields is ignored."""

    input: dict[str, Any]
    id: str | None = None
    webhook: str | None = None


def cog_routes() -> list[BaseRoute]:
    """The routes of this door."""
    return [
        Route("/predictions", create, methods=["POST"]),
        Route("/predictions/{id}", put, methods=["PUT"]),
        Route("/predictions/{id}", get, methods=["GET"]),
        Route("/predictions/{id}/cancel", cancel, methods=["POST"]),
        Route("/health-check", health, methods=["GET"]),
    ]


async def create(request: Request) -> Response:
    return await _predict(request, None)


async def put(request: Request) -> Response:
    return await _predict(request, check_id(request.path_params["id"]))


async def get(request: Request) -> Response:
    service: Service = request.app.state.service
    job = service.desk.find(owner_of(request), check_id(request.path_params["id"]))
    return JSONResponse(_document(service, job))


async def cancel(request: Request) -> Response:
    service: Service = request.app.state.service
    job = service.desk.find(owner_of(request), check_id(request.path_params["id"]))
    await service.desk.cancel(job)
    return JSONResponse(_document(service, job))


async def health(request: Request) -> Response:
    service: Service = request.app.state.service
    return JSONResponse({"status": "READY" if service.dispatch.ready else "STARTING"})


async def _predict(request: Request, name: str | None) -> Response:
    service: Service = request.app.state.service
    owner = owner_of(request)
    asked = _read(await read_json(request, service.settings, most_json(service)))
    if asked.webhook is not None:
        raise Problem("bad_request", "webhooks are not sent; use Prefer: respond-async and GET /predictions/ID")
    if name is None and asked.id is not None:
        name = check_id(asked.id)
    wait = "prefer" not in request.headers or preferred_wait_s(request) is not None
    call = _call(asked.input)
    check_model(call.parameters, service.allowed)
    if name is not None and (known := service.desk.known(owner, name)) is not None:
        return JSONResponse(_document(service, known), 200 if known.ended else 202)
    service.desk.reserve(owner)
    entered = False
    try:
        async with service.taken_in(call, _upload(service, asked.input), owner) as (_, picture):
            job = service.new_job(owner, name, call, picture, request.state.trace)
            entered = True
            await service.desk.accept(job, keep=not wait or name is not None)
    finally:
        if not entered:
            service.desk.leave(owner)
    if not wait:
        return JSONResponse(_document(service, job), 202)
    gone = asyncio.create_task(disconnected(request))
    try:
        await service.finish(job, gone)
        return JSONResponse(_document(service, job))
    finally:
        gone.cancel()
        forget(service, job)


def _read(body: Any) -> Prediction:
    try:
        return convert(body, Prediction, "the body")
    except UsageError as error:
        raise Problem("bad_request", plain(error)) from error


def _call(given: dict[str, Any]) -> Call:
    own = {name: value for name, value in given.items() if name not in _INPUT and value is not None}
    if own.pop("face_enhance", False):
        raise Problem("bad_request", "faces are not restored here; leave face_enhance false")
    url = next((given[name] for name in _INPUT if name in given), None)
    if not isinstance(url, str):
        raise Problem("bad_request", "input.image must be a data URL or a URL", parameter="image")
    return Call(read_parameters(own), url=None if url.startswith("data:") else url)


def _upload(service: Service, given: dict[str, Any]) -> Upload | None:
    data = next(str(given[name]) for name in _INPUT if name in given)
    return decoded(service, data) if data.startswith("data:") else None


def _document(service: Service, job: Job) -> Record:
    output = None
    if job.state == "done" and job.result is not None:
        data = base64.b64encode(service.desk.result_path(job).read_bytes()).decode()
        output = f"data:{job.result['type']};base64,{data}"
    ran = None if job.started_at is None else (job.ended_at or time.time()) - job.started_at
    return {
        "id": job.id,
        "status": _STATUS[job.state],
        "input": job.request,
        "output": output,
        "error": None if job.error is None else job.error["detail"],
        "logs": "\n".join(job.notes),
        "created_at": _moment(job.created_at),
        "started_at": _moment(job.started_at),
        "completed_at": _moment(job.ended_at),
        "metrics": {} if ran is None else {"predict_time": round(ran, 3)},
        "urls": {"get": f"/predictions/{job.id}", "cancel": f"/predictions/{job.id}/cancel"},
    }


def _moment(seconds: float | None) -> str | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat()
