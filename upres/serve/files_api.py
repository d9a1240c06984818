"""/v1/jobs/ID/result, /source and /preview: the files of a job, with ranges and ETags."""

from __future__ import annotations

from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response

from upres.serve.file_answer import FileAnswer
from upres.serve.job import Job
from upres.serve.jobs_api import named_job, quoted, whole
from upres.serve.parameters import TYPES
from upres.serve.problems import Problem
from upres.serve.service import Service

_CACHED = "private, max-age=31536000, immutable"  # by its ETag: the content of an id never changes
_SIDES = (16, 2048)


async def get_result(request: Request) -> Response:
    service: Service = request.app.state.service
    job = named_job(request)
    path = _result_file(service, job)
    assert job.result is not None
    return _file(request, path, job.result["sha256"], job.result["type"], job.result["name"])


async def get_source(request: Request) -> Response:
    service: Service = request.app.state.service
    job = named_job(request)
    kind = TYPES.get(job.picture.get("format", ""), "application/octet-stream")
    path = _source_file(service, job)
    return _file(request, path, job.picture["sha256"], kind, job.name or f"{job.id}.{kind.partition('/')[2]}")


async def get_preview(request: Request) -> Response:
    """A small PNG of the picture or its result, or of a part of it."""
    service: Service = request.app.state.service
    job, query = named_job(request), request.query_params
    side = whole(query.get("side", "512"), "side", *_SIDES)
    of = query.get("of", "source")
    if of not in ("source", "result"):
        raise Problem("bad_request", f"of must be source or result, got {of[:40]!r}", parameter="of")
    crop = None
    if any(name in query for name in "xywh"):
        crop = [whole(query.get(name, ""), name, 1 if name in "wh" else 0, 1_000_000) for name in "xywh"]
    path = _source_file(service, job) if of == "source" else _result_file(service, job)
    digest = job.picture["sha256"] if of == "source" or job.result is None else job.result["sha256"]
    etag = f"{digest}-{side}" + ("" if crop is None else "-" + "-".join(map(str, crop)))
    if _unchanged(request, etag):
        return _not_modified(etag)
    target = service.store.incoming_path()
    try:
        await service.looker.ask("preview", source=str(path), target=str(target), side=side, crop=crop)
        data = target.read_bytes()
    finally:
        target.unlink(missing_ok=True)
    return Response(data, media_type="image/png", headers={"ETag": f'"{etag}"', "Cache-Control": _CACHED})


def _result_file(service: Service, job: Job) -> Path:
    if not job.ended:
        raise Problem("conflict", f"the job is {job.state}; its result is not ready")
    service.raise_failure(job)
    path = service.desk.result_path(job)
    if not path.exists():
        raise Problem("gone", "the result is no longer here")
    return path


def _source_file(service: Service, job: Job) -> Path:
    path = service.store.picture_path(job.picture["sha256"])
    if not path.exists():
        raise Problem("gone", "the picture is no longer here")
    return path


def _file(request: Request, path: Path, digest: str, kind: str, name: str) -> Response:
    if _unchanged(request, digest):
        return _not_modified(digest)
    how = "attachment" if request.query_params.get("download") == "1" else "inline"
    headers = {
        "ETag": f'"{digest}"',
        "Cache-Control": _CACHED,
        "Content-Disposition": f"{how}; filename*=UTF-8''{quoted(name)}",
        # A picture that a stranger sent is shown as a picture or not at all.
        "Content-Security-Policy": "default-src 'none'; sandbox",
    }
    return FileAnswer(path, headers=headers, media_type=kind)


def _unchanged(request: Request, etag: str) -> bool:
    tags = [tag.strip().removeprefix("W/").strip('"') for tag in request.headers.get("if-none-match", "").split(",")]
    return etag in tags or "*" in tags


def _not_modified(etag: str) -> Response:
    return Response(status_code=304, headers={"ETag": f'"{etag}"', "Cache-Control": _CACHED})
