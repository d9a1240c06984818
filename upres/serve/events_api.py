"""/v1/events and /v1/jobs/ID/events: server-sent events, replayed after a number."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from upres.serve.job import ENDED
from upres.serve.jobs_api import named_job, whole
from upres.serve.service import Service
from upres.serve.upload import owner_of
from upres.system.text import json_text

_BEAT_S = 15.0  # between comments that keep proxies from closing the stream
_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
_LARGEST = 2**53


async def get_events(request: Request) -> Response:
    """What happens to all jobs of a token."""
    service: Service = request.app.state.service
    after = _after(request)
    start = service.store.last_event() if after is None else after
    return _stream(_events(service, owner_of(request), None, start))


async def get_job_events(request: Request) -> Response:
    """What happened and happens to one job; 204 once there is nothing left to tell."""
    service: Service = request.app.state.service
    job, after = named_job(request), _after(request) or 0
    if job.ended and not service.store.events(job.owner, after, job.id):
        return Response(status_code=204)  # by which EventSource stops
    return _stream(_events(service, job.owner, job.id, after))


def _stream(events: AsyncIterator[str]) -> Response:
    return StreamingResponse(events, media_type="text/event-stream", headers=_HEADERS)


def _after(request: Request) -> int | None:
    text = request.headers.get("last-event-id") or request.query_params.get("after")
    return None if text is None else whole(text, "after", 0, _LARGEST)


async def _events(service: Service, owner: str, job: str | None, after: int) -> AsyncIterator[str]:
    with service.desk.hub.listen(owner, job) as unread:  # before the replay, so that nothing is lost between
        yield "retry: 1000\n\n"
        last = after
        for number, kind, record in service.store.events(owner, after, job):
            last = number
            yield _text(kind, record, number)
            if job is not None and kind in ENDED:
                return
        for one in service.desk.all_of(owner):
            if one.state == "running" and job in (None, one.id):
                yield _text("progress", json_text(service.desk.describe(one)))
        while True:
            try:
                async with asyncio.timeout(_BEAT_S):
                    event = await unread.get()
            except TimeoutError:
                yield ": \n\n"
                continue
            if event is None:
                return
            if event.number is not None and event.number <= last:
                continue
            yield _text(event.kind, json_text(event.record), event.number)
            if job is not None and event.kind in (*ENDED, "removed"):
                return


def _text(kind: str, record: str, number: int | None = None) -> str:
    """One event. One without a number leaves the client's Last-Event-ID as it is."""
    place = "" if number is None else f"id: {number}\n"
    return f"{place}event: {kind}\ndata: {record}\n\n"
