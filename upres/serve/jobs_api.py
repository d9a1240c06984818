"""/v1/upscale and /v1/jobs: pictures in, results out."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from upres.errors import UpresError
from upres.serve.file_answer import FileAnswer
from upres.serve.job import Job
from upres.serve.parameters import Call, check_id
from upres.serve.problems import Problem, problem_of
from upres.serve.service import ClientGone, Service, disconnected
from upres.serve.upload import check_length, owner_of

WAIT_S = 10.0  # for an answer to POST, where the client names no time
_MOST_WAIT_S = 600.0
_MOST_JOBS = 200  # in one page of a list
_AT_ONCE_BYTES = 1 << 20  # read whole


async def post_upscale(request: Request) -> Response:
    """The result of a small picture; of others a job."""
    service: Service = request.app.state.service
    owner, wait_s = owner_of(request), preferred_wait_s(request)
    check_length(request, service.settings.max_bytes + 65536)
    service.desk.reserve(owner)
    job = await admitted(request, service, owner, None)
    if wait_s is None:
        return accepted(service, job)
    done = await wait_for(request, service, job, wait_s)
    if not done:
        return accepted(service, job)
    try:
        service.raise_failure(job)
    except Problem:
        forget(service, job)
        raise
    return direct(service, job)


async def put_job(request: Request) -> Response:
    """A job under the client's id; the same request again gives the same job."""
    service: Service = request.app.state.service
    owner, name = owner_of(request), check_id(request.path_params["id"])
    check_length(request, service.settings.max_bytes + 65536)
    if service.desk.known(owner, name) is not None:
        async with service.received(request, owner) as (call, picture):
            job = check_same(service.desk.find(owner, name), call, picture)
        return JSONResponse(service.desk.describe(job), 200)
    service.desk.reserve(owner)
    job = await admitted(request, service, owner, name)
    return JSONResponse(service.desk.describe(job), 201, {"Location": f"/v1/jobs/{job.id}"})


async def admitted(request: Request, service: Service, owner: str, name: str | None) -> Job:
    """A new job for the picture of a request, which has a place in the queue; it is given back if this fails."""
    entered = False
    try:
        async with service.received(request, owner) as (call, picture):
            job = service.new_job(owner, name, call, picture, request.state.trace)
            await service.check_wait(call, job)
            if name is not None and (twin := service.desk.known(owner, name)) is not None:
                return check_same(twin, call, picture)  # it arrived while this one was being read
            entered = True  # from here on the desk minds the place
            await service.desk.accept(job, keep=name is not None)
            return job
    finally:
        if not entered:
            service.desk.leave(owner)


def check_same(job: Job, call: Call, picture: dict[str, Any]) -> Job:
    """The job, if it was asked for with the same picture and parameters. Raises `Problem`."""
    if job.picture["sha256"] != picture["sha256"] or job.request != call.parameters.given:
        raise Problem("conflict", "there is a job of this id for another picture or with other parameters")
    return job


async def wait_for(request: Request, service: Service, job: Job, seconds: float) -> bool:
    """Wait for a job while its client does; if that takes too long it is kept, and False is returned."""
    gone = asyncio.create_task(disconnected(request))
    try:
        done = await service.wait(job, seconds, gone)
        if not done:
            try:
                service.desk.keep(job)
            except UpresError as error:
                await service.desk.cancel(job)
                raise problem_of(error) from error
        return done
    except (ClientGone, asyncio.CancelledError):
        forget(service, job)
        raise
    finally:
        gone.cancel()


def accepted(service: Service, job: Job) -> Response:
    """202: where the job is to be found."""
    try:
        service.desk.keep(job)
    except UpresError as error:
        raise problem_of(error) from error
    headers = {"Location": f"/v1/jobs/{job.id}", "Preference-Applied": "respond-async"}
    return JSONResponse(service.desk.describe(job), 202, headers)


def direct(service: Service, job: Job) -> Response:
    """The result itself, of a job that nobody will ask for again."""
    assert job.result is not None
    headers = {
        "ETag": f'"{job.result["sha256"]}"',
        "Upres-Model": str((job.model or {}).get("name", "")),
        "Upres-Notes": json.dumps(job.notes),  # ASCII
        "Upres-Seconds": str(job.result["seconds"]),
        "Content-Disposition": f"inline; filename*=UTF-8''{quoted(job.result['name'])}",
    }
    path, kind = service.desk.result_path(job), job.result["type"]
    if job.result["bytes"] <= _AT_ONCE_BYTES:  # a file response changes threads for each of its steps
        data = path.read_bytes()
        forget(service, job)
        return Response(data, headers=headers, media_type=kind)
    return FileAnswer(path, headers=headers, media_type=kind, background=BackgroundTask(_forget, service, job))


async def _forget(service: Service, job: Job) -> None:
    forget(service, job)


def forget(service: Service, job: Job) -> None:
    """Remove the files of a job that was not kept."""
    if not job.kept:
        service.desk.result_path(job).unlink(missing_ok=True)
        service.desk.release_picture(job)


def quoted(name: str) -> str:
    """A file name for a header, by RFC 8187."""
    from urllib.parse import quote

    return quote(name, safe="")


def preferred_wait_s(request: Request) -> float | None:
    """How long the client wants to wait for the result (RFC 7240); None for not at all."""
    seconds = WAIT_S
    for part in request.headers.get("prefer", "").split(","):
        name, _, value = part.strip().lower().partition("=")
        if name == "respond-async":
            return None
        if name == "wait":
            try:
                seconds = float(value.strip('" '))
            except ValueError:
                raise Problem("bad_request", f"Prefer: wait must be a number of seconds, got {value!r}") from None
            if not 0 <= seconds <= _MOST_WAIT_S:
                raise Problem("bad_request", f"Prefer: wait must be between 0 and {_MOST_WAIT_S:.0f} seconds")
    return seconds or None


async def list_jobs(request: Request) -> Response:
    """The jobs of a token, newest first, a page at a time."""
    service: Service = request.app.state.service
    known = {"limit", "before", "state", "group"}
    query = request.query_params
    if unknown := set(query) - known:
        raise Problem("bad_request", f"unknown parameter {min(unknown)!r}; there are {', '.join(sorted(known))}")
    limit = whole(query.get("limit", "50"), "limit", 1, _MOST_JOBS)
    last = service.store.last_event()
    jobs = service.desk.all_of(owner_of(request))
    if (state := query.get("state")) is not None:
        jobs = [job for job in jobs if job.state == state]
    if (group := query.get("group")) is not None:
        jobs = [job for job in jobs if job.group == group]
    if (before := query.get("before")) is not None:
        at = next((place for place, job in enumerate(jobs) if job.id == before), None)
        if at is None:
            raise Problem("bad_request", "before must be the id of a job in the list", parameter="before")
        jobs = jobs[at + 1 :]
    page = jobs[:limit]
    more = page[-1].id if len(jobs) > limit else None
    described = [service.desk.describe(job) for job in page]
    return JSONResponse({"jobs": described, "next": more}, headers={"Upres-Last-Event": str(last)})


async def get_job(request: Request) -> Response:
    service: Service = request.app.state.service
    return JSONResponse(service.desk.describe(named_job(request)))


async def delete_job(request: Request) -> Response:
    """Cancel a job, or remove one that has ended."""
    service: Service = request.app.state.service
    job = named_job(request)
    if job.ended:
        service.desk.remove(job)
        return Response(status_code=204)
    await service.desk.cancel(job)
    return JSONResponse(service.desk.describe(job))


def named_job(request: Request) -> Job:
    """The job in the path. Raises `Problem`."""
    service: Service = request.app.state.service
    return service.desk.find(owner_of(request), check_id(request.path_params["id"]))


def whole(text: str, name: str, low: int, high: int) -> int:
    """A whole number of a query. Raises `Problem`."""
    if not (text.isascii() and text.isdecimal() and low <= int(text[:12]) <= high):
        words = f"{name} must be a whole number from {low} to {high}, got {text[:40]!r}"
        raise Problem("bad_request", words, parameter=name)
    return int(text)
