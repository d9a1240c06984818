"""A server that speaks the interface of `upres serve` as far as the page uses it, and does with a picture what the name
of it asks: "slow" stays in the middle until it is released, "broken" fails, all others are done at once. It can be
stopped and started again on the same port, with its jobs.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import socket
import threading
import time
from collections.abc import AsyncIterator
from typing import Any

import pyvips
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from upres.serve.page import page_routes

REPORT: dict[str, Any] = {
    "format": "jpeg", "channels": 3, "alpha": False, "depth": 8, "profile": None, "true_scale": 2.0,
    "true_scale_confidence": 0.97, "jpeg_quality": 70, "jpeg_quality_source": "tables", "jpeg_grid_offset": [0, 0],
    "earlier_jpeg_quality": None, "earlier_jpeg_grid_offset": None, "noise_sigma_255": None,
    "noise_luma_sigma_255": 6.2,
    "blur_sigma_px": 1.4, "banding": 0.0, "banded": False, "gray": False, "drawn": False,
}  # fmt: skip
MODEL = {"name": "photo-x4", "reason": "JPEG quality 70, noise 6", "other": "compact-x4"}


def problem(status: int, code: str, detail: str = "", **more: Any) -> JSONResponse:
    body = {"type": "about:blank", "status": status, "code": code, "detail": detail, "request_id": "r-1", **more}
    return JSONResponse(body, status, media_type="application/problem+json")


class FakeServer:
    """`start` and `stop` as often as wanted; `release` lets the slow ones go on."""

    def __init__(self, queue: int = 100, token: str = "") -> None:
        self.jobs: dict[str, dict[str, Any]] = {}
        self.sources: dict[str, bytes] = {}
        self.results: dict[str, bytes] = {}
        self.events: list[tuple[str, dict[str, Any]]] = []
        self.token, self.queue, self.puts = token, queue, 0
        self.answer_after_s = 0.0
        self.released, self.fail_next = threading.Event(), ""
        self.seen: list[str] = []
        self.tasks: set[asyncio.Task[None]] = set()
        with socket.socket() as found:
            found.bind(("127.0.0.1", 0))
            self.port: int = found.getsockname()[1]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        routes = [
            Route("/v1/session", self.session, methods=["GET", "POST"]),
            Route("/v1/limits", self.limits),
            Route("/v1/models", self.models),
            Route("/v1/inspect", self.inspect, methods=["POST"]),
            Route("/v1/estimate", self.estimate, methods=["POST"]),
            Route("/v1/events", self.stream),
            Route("/v1/jobs", self.list),
            Route("/v1/jobs/{id}", self.job, methods=["GET", "PUT", "DELETE"]),
            Route("/v1/jobs/{id}/{part}", self.part),
            *page_routes(),
        ]
        config = uvicorn.Config(
            Starlette(routes=routes), port=self.port, log_level="critical", timeout_graceful_shutdown=0
        )
        self.server = uvicorn.Server(config)
        self.thread = threading.Thread(target=self.server.run)
        self.thread.start()
        while not self.server.started:
            time.sleep(0.01)

    def stop(self) -> None:
        self.server.should_exit = True
        self.thread.join()

    # What happens to jobs.

    def tell(self, event: str, job: dict[str, Any]) -> None:
        self.events.append((event, dict(job)))

    async def work(self, job: dict[str, Any]) -> None:
        job["state"] = "running"
        self.tell("running", job)
        for step in range(1, 5):
            await asyncio.sleep(0.02)
            if job["state"] != "running":
                return
            job |= {"progress": step / 8, "eta_s": 20.0 - step}
            self.tell("progress", job)
        while "slow" in job["name"] and not self.released.is_set():
            await asyncio.sleep(0.02)
            if job["state"] != "running":
                return
        if "broken" in job["name"]:
            error = {"code": "picture", "status": 422, "detail": "not a picture", "request_id": "r-2"}
            job |= {"state": "failed", "error": error, "eta_s": None}
            self.tell("failed", job)
            return
        factor = float(job["request"].get("scale", 4))
        image = pyvips.Image.new_from_buffer(self.sources[job["id"]], "").resize(factor)
        data: bytes = image.write_to_buffer(".png")
        self.results[job["id"]] = data
        name = f"{job['name'].rpartition('.')[0] or job['name']}_x{factor:g}.png"
        job |= {
            "state": "done", "progress": 1.0, "eta_s": 0.0, "size": {"width": image.width, "height": image.height},
            "result": {"bytes": len(data), "sha256": "", "type": "image/png", "name": name, "seconds": 3.2},
        }  # fmt: skip
        self.tell("done", job)

    # The interface.

    def known(self, request: Request) -> bool:
        return not self.token or request.cookies.get("upres") == self.token

    async def session(self, request: Request) -> Response:
        if request.method == "POST":
            if request.headers.get("authorization") != f"Bearer {self.token}":
                return problem(401, "unauthorized")
            answer = Response(None, 204)
            answer.set_cookie("upres", self.token, httponly=True, samesite="strict")
            return answer
        return JSONResponse({"authenticated": self.known(request), "needs_token": bool(self.token), "owner": ""})

    async def limits(self, request: Request) -> Response:
        if not self.known(request):
            return problem(401, "unauthorized")
        formats = ["png", "jpeg", "webp", "tiff", "avif"]
        return JSONResponse({"max_bytes": 60_000_000, "max_pixels_in": 100_000_000, "formats": formats})

    async def models(self, request: Request) -> Response:
        known = [
            ("compact-x4", 4, 2.1),
            ("compact-x2", 2, 0.9),
            ("photo-x4", 4, 8.0),
            ("compact-gan-x4", 4, None),
            ("compact-wild-x4", 4, None),
        ]
        common = {
            "aliases": [],
            "family": "compact",
            "license": "Apache-2.0",
            "state": "house",
            "purpose": "in English",
            "training_data": "",
            "page": "",
        }
        models = [
            {"name": name, "scale": scale, "seconds_per_megapixel": seconds, **common} for name, scale, seconds in known
        ]
        return JSONResponse({"default": "auto", "models": models})

    async def inspect(self, request: Request) -> Response:
        source = request.query_params.get("source")
        data = self.sources[source] if source else await request.body()
        try:
            image = pyvips.Image.new_from_buffer(data, "")
        except pyvips.Error:
            return problem(422, "picture", "no format that upres reads")
        report = {**REPORT, "width": image.width, "height": image.height}
        return JSONResponse({"report": report, "model": MODEL, "lines": []})

    async def estimate(self, request: Request) -> Response:
        asked = await request.json()
        return JSONResponse({"seconds": asked["width"] * asked["height"] / 1e5, "queue_seconds": 0, "queue": 0})

    async def list(self, request: Request) -> Response:
        jobs = sorted(self.jobs.values(), key=lambda job: -job["created_at"])
        return JSONResponse({"jobs": jobs, "next": None}, headers={"Upres-Last-Event": str(len(self.events))})

    async def job(self, request: Request) -> Response:
        id_ = request.path_params["id"]
        job = self.jobs.get(id_)
        if request.method == "PUT":
            return await self.put(request, id_)
        if job is None:
            return problem(404, "not_found")
        if request.method == "GET":
            return JSONResponse(job)
        if job["state"] in ("queued", "running"):
            job |= {"state": "canceled", "eta_s": None}
            self.tell("canceled", job)
            return JSONResponse(job)
        del self.jobs[id_]
        self.events.append(("removed", {"id": id_}))
        return Response(None, 204)

    async def put(self, request: Request, id_: str) -> Response:
        self.puts += 1
        body = await request.body()
        if id_ in self.jobs:
            return JSONResponse(self.jobs[id_])
        if self.fail_next:
            code, self.fail_next = self.fail_next, ""
            return problem(429, code, retry_after_s=1)
        asked = dict(request.query_params)
        source = asked.pop("source", None)
        data = self.sources[source] if source else body
        try:
            image = pyvips.Image.new_from_buffer(data, "")
            size = {"width": image.width, "height": image.height}
            loader = image.get("vips-loader")
        except pyvips.Error:
            size, loader = {"width": None, "height": None}, "none"
        kind = next((one for one in ("png", "jpeg", "webp", "tiff") if one in loader), None)
        model = asked.get("model")
        self.sources[id_] = data
        self.jobs[id_] = {
            "id": id_, "state": "queued", "name": asked.pop("name", ""), "group": asked.pop("group", ""),
            "created_at": time.time(), "attempt": 1, "request": asked, "place": 0, "progress": 0.0, "eta_s": None,
            "picture": {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data), "format": kind, **size},
            "model": {"name": model, "reason": None, "other": ""} if model else MODEL, "size": None, "result": None,
            "notes": [], "error": None,
        }  # fmt: skip
        job = self.jobs[id_]
        self.tell("queued", job)
        answer = dict(job)
        task = asyncio.get_running_loop().create_task(self.work(job))
        self.tasks.add(task)  # asyncio itself keeps none
        task.add_done_callback(self.tasks.discard)
        await asyncio.sleep(self.answer_after_s)
        return JSONResponse(answer, 201)

    async def part(self, request: Request) -> Response:
        id_, part = request.path_params["id"], request.path_params["part"]
        if id_ not in self.jobs or (part == "result" and id_ not in self.results):
            return problem(404, "not_found")
        data = self.results.get(id_, b"") if part == "result" else self.sources[id_]
        if part == "preview":
            of = self.results[id_] if request.query_params["of"] == "result" else data
            side = int(request.query_params["side"])
            data = pyvips.Image.thumbnail_buffer(of, side, height=side, size="down").write_to_buffer(".png")
        headers = {}
        if request.query_params.get("download"):
            headers["Content-Disposition"] = f'attachment; filename="{self.jobs[id_]["result"]["name"]}"'
        return Response(data, 200, headers, "image/png")

    async def stream(self, request: Request) -> Response:
        after = int(request.headers.get("last-event-id") or request.query_params.get("after") or len(self.events))
        self.seen.append("header" if "last-event-id" in request.headers else "query")

        async def told() -> AsyncIterator[str]:
            yield "retry: 200\n\n"
            at = after
            while not self.server.should_exit and not await request.is_disconnected():
                while at < len(self.events):
                    name, job = self.events[at]
                    at += 1
                    yield f"id: {at}\nevent: {name}\ndata: {json.dumps(job)}\n\n"
                await asyncio.sleep(0.02)

        return StreamingResponse(told(), media_type="text/event-stream")
