"""The doors that clients of AUTOMATIC1111's web UI know: /sdapi/v1/extra-single-image and its neighbors."""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import html
from typing import Annotated, Any

import msgspec
from msgspec import Meta
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from upres.errors import UsageError
from upres.serve.job import Job
from upres.serve.jobs_api import forget
from upres.serve.parameters import Call, check_model, read_parameters
from upres.serve.problems import Problem, plain
from upres.serve.service import Service, disconnected
from upres.serve.upload import Upload, owner_of, read_json
from upres.system.structs import convert

_MOST_PICTURES = 64
_Share = Annotated[float, Meta(ge=0, le=1)]


class Extras(msgspec.Struct, frozen=True):
    """What those clients send; fields of later versions are ignored, as the web UI does."""

    resize_mode: Annotated[int, Meta(ge=0, le=1)] = 0
    show_extras_results: bool = True
    gfpgan_visibility: _Share = 0
    codeformer_visibility: _Share = 0
    codeformer_weight: _Share = 0
    upscaling_resize: Annotated[float, Meta(gt=0, le=64)] = 2
    upscaling_resize_w: Annotated[int, Meta(ge=1)] = 512
    upscaling_resize_h: Annotated[int, Meta(ge=1)] = 512
    upscaling_crop: bool = True
    upscaler_1: str = "None"
    upscaler_2: str = "None"
    extras_upscaler_2_visibility: _Share = 0
    upscale_first: bool = False


class _Single(Extras, frozen=True):
    image: str = ""


class _File(msgspec.Struct, frozen=True):
    data: str
    name: str = ""


class _Batch(Extras, frozen=True):
    imageList: list[_File] = msgspec.field(default_factory=list[_File])


def sdapi_routes() -> list[BaseRoute]:
    """The routes of this door."""
    return [
        Route("/sdapi/v1/extra-single-image", single, methods=["POST"]),
        Route("/sdapi/v1/extra-batch-images", batch, methods=["POST"]),
        Route("/sdapi/v1/upscalers", upscalers, methods=["GET"]),
    ]


async def single(request: Request) -> Response:
    """One picture in base64, its result in base64."""
    service: Service = request.app.state.service
    asked = _read(await read_json(request, service.settings, most_json(service)), _Single)
    (job, data), *_ = await _all(request, service, asked, [_File(asked.image)])
    return JSONResponse({"html_info": _info([job]), "image": data})


async def batch(request: Request) -> Response:
    """Several pictures, their results in the same order."""
    service: Service = request.app.state.service
    asked = _read(await read_json(request, service.settings, most_json(service)), _Batch)
    if not 0 < len(asked.imageList) <= _MOST_PICTURES:
        raise Problem("bad_request", f"imageList must have 1 to {_MOST_PICTURES} pictures, got {len(asked.imageList)}")
    done = await _all(request, service, asked, asked.imageList)
    return JSONResponse({"html_info": _info([job for job, _ in done]), "images": [data for _, data in done]})


async def upscalers(request: Request) -> Response:
    """The models by the names that `upscaler_1` takes."""
    service: Service = request.app.state.service
    names = [("None", 4), *((card["name"], card["scale"]) for card in await service.cards())]
    empty = {"model_path": None, "model_url": None}
    return JSONResponse([{"name": name, "model_name": name, **empty, "scale": scale} for name, scale in names])


def most_json(service: Service) -> int:
    """Bytes of a JSON body that holds one picture in base64."""
    return service.settings.max_bytes * 4 // 3 + 65536


def _read(body: Any, kind: type[msgspec.Struct]) -> Any:
    try:
        return convert(body, kind, "the body")
    except UsageError as error:
        raise Problem("bad_request", plain(error)) from error


def _call(asked: Extras, name: str) -> Call:
    if asked.gfpgan_visibility or asked.codeformer_visibility:
        raise Problem("bad_request", "faces are not restored here; leave gfpgan_visibility and codeformer_visibility 0")
    if asked.extras_upscaler_2_visibility and asked.upscaler_2 != "None":
        raise Problem("bad_request", "two upscalers are not mixed here; leave extras_upscaler_2_visibility 0")
    given: dict[str, Any] = {"name": name[:200]}
    if asked.resize_mode == 0:
        given["scale"] = asked.upscaling_resize
    elif asked.upscaling_crop:
        raise Problem("bad_request", "results are not cropped here; set upscaling_crop to false to fit inside the box")
    else:
        given |= {"width": asked.upscaling_resize_w, "height": asked.upscaling_resize_h}
    if asked.upscaler_1 not in ("None", ""):
        given["model"] = asked.upscaler_1
    return Call(read_parameters(given))


async def _all(request: Request, service: Service, asked: Extras, files: list[_File]) -> list[tuple[Job, str]]:
    gone = asyncio.create_task(disconnected(request))
    try:
        return [await upscale_now(request, service, _call(asked, one.name), one.data, gone) for one in files]
    finally:
        gone.cancel()


async def upscale_now(
    request: Request, service: Service, call: Call, data: str, gone: asyncio.Task[None]
) -> tuple[Job, str]:
    """Upscale a picture in base64, or a data URL, and wait for it. Returns the job and the result in base64."""
    owner = owner_of(request)
    check_model(call.parameters, service.allowed)
    service.desk.reserve(owner)
    entered = False
    try:
        async with service.taken_in(call, decoded(service, data), owner) as (_, picture):
            job = service.new_job(owner, None, call, picture, request.state.trace)
            entered = True
            await service.desk.accept(job, keep=False)
    finally:
        if not entered:
            service.desk.leave(owner)
    try:
        await service.finish(job, gone)
        service.raise_failure(job)
        return job, base64.b64encode(service.desk.result_path(job).read_bytes()).decode()
    finally:
        forget(service, job)


def decoded(service: Service, data: str) -> Upload:
    """The upload for base64 or a data URL. Raises `Problem`."""
    if data.startswith("data:"):
        data = data.partition(",")[2]
    try:
        content = base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError) as error:
        raise Problem("bad_request", "the picture is not base64, nor a data URL with base64") from error
    if len(content) > service.settings.max_bytes:
        most = service.settings.max_mb
        raise Problem("body_too_large", f"the picture is larger than the {most:g} MB that this server takes")
    path = service.store.incoming_path()
    path.write_bytes(content)
    return Upload(path, hashlib.sha256(content).hexdigest(), len(content))


def _info(jobs: list[Job]) -> str:
    """As the web UI tells: HTML."""
    lines = [f"{(job.model or {}).get('name', '')}: {'; '.join(job.notes) or 'done'}" for job in jobs]
    return "".join(f"<p>{html.escape(line)}</p>" for line in lines)
