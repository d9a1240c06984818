"""/v1/inspect, /v1/estimate, /v1/models, /v1/limits: what can be known before a picture is accepted."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from upres.errors import UsageError
from upres.serve.parameters import FORMATS, Call, check_model, read_parameters
from upres.serve.problems import Problem, plain
from upres.serve.service import Service
from upres.serve.upload import owner_of, read_json
from upres.system.packages import version_of
from upres.system.structs import convert
from upres.upscaling.choose_model import AUTO

_JSON_BYTES = 64 << 10
_Side = Annotated[int, Meta(ge=1, le=1_000_000)]


class Numbers(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """A picture that is not here: its size is enough for an estimate."""

    width: _Side
    height: _Side
    channels: Annotated[int, Meta(ge=1, le=3)] = 3
    alpha: bool = False
    depth: Annotated[int, Meta(ge=8, le=16)] = 8
    parameters: dict[str, Any] = msgspec.field(default_factory=dict[str, Any])


async def post_inspect(request: Request) -> Response:
    """What a picture is, and the model that fits."""
    service: Service = request.app.state.service
    async with service.received(request, owner_of(request)) as (call, picture):
        answer = await service.look(picture, call, inspect=True)
    return JSONResponse({"report": answer["report"], "model": answer["suited"]})


async def post_estimate(request: Request) -> Response:
    """How long a picture would take, and the queue before it."""
    service: Service = request.app.state.service
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() == "application/json":
        call, facts = await _by_numbers(request, service)
    else:
        async with service.received(request, owner_of(request)) as (call, picture):
            facts = await service.look(picture, call)
    measured = await service.measure(facts["model"]["name"])
    size = facts["size"]
    return JSONResponse(
        {
            "seconds": round(service.estimate(facts, call), 3),
            "measured": measured,
            "queue_seconds": round(service.desk.wait_s(), 3),
            "queue": len(service.desk.queue),
            "megapixels": round(size["width"] * size["height"] / 1e6, 6),
            "width": size["width"],
            "height": size["height"],
            "model": facts["model"],
            "memory_bytes": facts["memory_bytes"],
        }
    )


async def _by_numbers(request: Request, service: Service) -> tuple[Call, dict[str, Any]]:
    body = await read_json(request, service.settings, _JSON_BYTES)
    try:
        numbers = convert(body, Numbers, "the body")
    except UsageError as error:
        raise Problem("bad_request", plain(error)) from error
    call = Call(read_parameters(numbers.parameters))
    check_model(call.parameters, service.allowed)
    facts = await service.looker.ask(
        "plan",
        width=numbers.width,
        height=numbers.height,
        channels=1 if numbers.channels < 3 else 3,
        alpha=numbers.alpha,
        depth=numbers.depth,
        parameters=call.parameters.given,
    )
    return call, facts


async def get_models(request: Request) -> Response:
    service: Service = request.app.state.service
    return JSONResponse({"default": AUTO, "models": await service.cards()})


async def get_limits(request: Request) -> Response:
    service: Service = request.app.state.service
    settings = service.settings
    return JSONResponse(
        {
            "version": (version_of("upres") or "unknown"),
            "max_bytes": settings.max_bytes,
            "max_pixels_in": settings.max_pixels_in,
            "max_pixels_out": settings.max_pixels_out,
            "max_frames": settings.max_frames,
            "max_seconds": settings.max_seconds,
            "workers": settings.workers,
            "queue": settings.queue,
            "queued": len(service.desk.queue),
            "running": len(service.desk.running),
            "keep_s": settings.keep_hours * 3600,
            "formats": list(FORMATS),
            "url_input": settings.allow_url,
            "out": settings.out,
        }
    )
