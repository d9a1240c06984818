"""One server: its parts, how they start and end, and what every door does with a picture."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from starlette.requests import Request

from upres.errors import UpresError
from upres.models.catalog import list_models
from upres.serve.access import Access
from upres.serve.desk import Desk
from upres.serve.dispatch import Dispatch
from upres.serve.job import Job, Record
from upres.serve.looker import Looker
from upres.serve.metrics import Metrics
from upres.serve.parameters import Call, check_model
from upres.serve.problems import Problem, from_document, problem_of
from upres.serve.process import worker_command
from upres.serve.settings import Settings
from upres.serve.store import Store
from upres.serve.upload import Upload, call_of, read_picture_body
from upres.system.download import cache_folder

_SWEEP_S = 30.0
_log = logging.getLogger(__name__)


class Service:
    """The parts of a server. `start` and `stop` run in its event loop.

    settings: Of the server.
    one_time_token: Opens one session of the page.
    command: Makes the command of a worker; for tests and benchmarks.

    Raises `UsageError` and `OutputError` for a data folder that cannot be used.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        one_time_token: str | None = None,
        command: Callable[[], Sequence[str]] | None = None,
    ) -> None:
        self.settings = settings
        self.store = Store(data_folder(settings))
        self.metrics = Metrics()
        self.desk = Desk(settings, self.store, self.metrics)
        make = command or (lambda: worker_command(settings))
        self.dispatch = Dispatch(self.desk, make)
        self.looker = Looker(make)
        self.access = Access(settings, self.store.secret(), one_time_token)
        self.allowed = allowed_models(settings)
        self._cards: list[Record] | None = None
        self._sweeper: asyncio.Task[None] | None = None
        self.metrics.watch(lambda: len(self.desk.queue), lambda: len(self.desk.running), lambda: len(self.desk.hub))

    async def start(self) -> None:
        if self.store.note:
            _log.warning("%s", self.store.note)
        await self.desk.recover()
        self.dispatch.start()
        self._sweeper = asyncio.create_task(self._sweep())

    async def drain(self) -> None:
        """Refuse new work, finish what runs, and let clients that wait know their jobs."""
        self.desk.stopping.set()
        await self.dispatch.drain(self.settings.drain_seconds)
        self.desk.hub.close()

    async def stop(self) -> None:
        if self._sweeper is not None:
            self._sweeper.cancel()
            await asyncio.gather(self._sweeper, return_exceptions=True)
        await self.dispatch.stop()
        await self.looker.stop()
        with suppress(UpresError):  # the disk is full: figures are learned again
            self.store.save_speeds(self.desk.speeds.items(self.desk.speeds.changed))
        self.store.close()

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(_SWEEP_S)
            try:
                self.desk.sweep()
            except (OSError, UpresError) as error:  # tried again
                _log.warning("old jobs could not be removed: %s", error)

    # What every door does

    @asynccontextmanager
    async def received(self, request: Request, owner: str) -> AsyncGenerator[tuple[Call, Record]]:
        """The call and the picture of a request, which stays in the store if a job uses it. Raises `Problem`."""
        upload = await read_picture_body(request, self.settings, self.store)
        try:
            call = call_of(request, upload)
        except Problem:
            if upload is not None:
                upload.path.unlink(missing_ok=True)
            raise
        async with self.taken_in(call, upload, owner) as taken:
            yield taken

    @asynccontextmanager
    async def taken_in(self, call: Call, upload: Upload | None, owner: str) -> AsyncGenerator[tuple[Call, Record]]:
        """As `received`, for a picture that was uploaded, is that of an earlier job, or lies at a URL."""
        try:
            check_model(call.parameters, self.allowed)
            named = call.source is not None or call.url is not None
            if upload is not None and upload.bytes and named:
                raise Problem("bad_request", "the picture is in the body and named elsewhere; give one of them")
            if call.url is not None:
                upload = await self._fetch(call.url)
            if call.source is not None:
                picture = self._picture_of(owner, call.source)
            elif upload is None or not upload.bytes:
                raise Problem("bad_request", "a picture is expected as the body; it is empty")
            else:
                picture = Record(sha256=upload.sha256, bytes=upload.bytes)
            with self.desk.holding(picture["sha256"]):
                if upload is not None and upload.bytes:
                    self.store.keep_picture(upload.path, upload.sha256)
                yield call, picture
        except UpresError as error:
            raise problem_of(error) from error
        finally:
            if upload is not None:
                upload.path.unlink(missing_ok=True)

    def _picture_of(self, owner: str, name: str) -> Record:
        picture = self.desk.find(owner, name).picture
        if not self.store.picture_path(picture["sha256"]).exists():
            raise Problem("gone", "the picture of that job is no longer here")
        return picture

    async def _fetch(self, url: str) -> Upload:
        if not self.settings.allow_url:
            raise Problem("url", "this server takes no URLs; send the picture itself", parameter="url")
        from upres.serve.fetch import fetch_picture

        return await asyncio.to_thread(fetch_picture, url, self.store.incoming_path(), self.settings)

    def new_job(self, owner: str, name: str | None, call: Call, picture: Record, trace: str) -> Job:
        """A job that is not accepted yet; one without a name gets a name that nobody can guess."""
        asked = call.parameters
        return Job(
            name or secrets.token_urlsafe(18),
            owner,
            asked.given,
            dict(picture),
            name=asked.name,
            group=asked.group,
            trace=trace,
        )

    async def check_wait(self, call: Call, job: Job) -> None:
        """Refuse what would take longer than the client waits. Raises `Problem`."""
        if call.max_wait_s is None:
            return
        facts = await self.look(job.picture, call)
        own = self.estimate(facts, call)
        job.estimate_s = own
        total = own + self.desk.wait_s()
        if total > call.max_wait_s:
            raise Problem(
                "wait_too_long",
                f"it would take about {total:.1f} s, longer than {call.max_wait_s:g} s",
                retry_after_s=max(1.0, total - call.max_wait_s),
                seconds=round(total, 2),
            )

    async def look(self, picture: Record, call: Call, *, inspect: bool = False) -> dict[str, Any]:
        """What a picture is and what its work takes. Raises `Problem`."""
        path = self.store.picture_path(picture["sha256"])
        return await self.looker.ask("look", source=str(path), parameters=call.parameters.given, inspect=inspect)

    def estimate(self, facts: dict[str, Any], call: Call) -> float:
        """Seconds of work for what `look` told."""
        chosen = call.parameters.model is None
        opened = facts["model"]["name"] in self.desk.opened
        return self.desk.speeds.estimate(facts, call.parameters.format, chosen=chosen, opened=opened)

    async def measure(self, model: str) -> bool:
        """Whether the speed of a model is known; it is measured now if the server has nothing else to do."""
        name = f"macs/{model}"
        if name not in self.desk.speeds and not self.desk.running:
            answer = await self.looker.ask("measure", model=model)
            if name not in self.desk.speeds and not self.desk.running:
                self.desk.speeds.note(name, answer["macs_per_second"])
        return name in self.desk.speeds

    async def wait(self, job: Job, seconds: float, gone: asyncio.Task[None]) -> bool:
        """Wait for a job that nobody knows yet. True: it has ended. False: it will take longer than `seconds`.

        A client that goes away takes its job with it (`asyncio.CancelledError` then too).
        """
        loop = asyncio.get_running_loop()
        over, planned, stopping = (
            loop.create_task(event.wait()) for event in (job.over, job.planned, self.desk.stopping)
        )
        end = loop.time() + seconds
        waits: set[asyncio.Task[Any]] = {over, gone, planned, stopping}
        try:
            while not job.ended:
                left = end - loop.time()
                # What is known to take too long need not be waited for; a tenth is spared for a guess that is wrong.
                if left <= 0 or (job.planned.is_set() and (self.desk.left_s(job) or 0.0) > 1.1 * left + 0.1):
                    return False
                if job.state == "queued" and (self.desk.draining or self.desk.wait_s(job) > seconds):
                    return False
                done, _ = await asyncio.wait(waits, timeout=left, return_when=asyncio.FIRST_COMPLETED)
                if gone in done:
                    await self.desk.cancel(job)
                    raise ClientGone
                waits -= done
            return True
        except asyncio.CancelledError:
            await self.desk.cancel(job)
            raise
        finally:
            for task in (over, planned, stopping):
                task.cancel()

    async def finish(self, job: Job, gone: asyncio.Task[None]) -> None:
        """Wait for the end of a job, however long it takes, for a client that knows no jobs."""
        over = asyncio.create_task(job.over.wait())
        try:
            await asyncio.wait({over, gone}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            over.cancel()
            await self.desk.cancel(job)  # if it has not ended
        if gone.done() and job.result is None:
            raise ClientGone

    def raise_failure(self, job: Job) -> None:
        """Raise the problem of a job that ended without a result."""
        if job.error is not None:
            raise from_document(job.error)

    async def cards(self) -> list[Record]:
        """The models that may be asked for."""
        if self._cards is None:
            from upres.models.report import row  # loads what reads model files, which a start need not wait for

            models = [model for model in list_models(local=True) if model.name.casefold() in self.allowed]
            numbers = (await self.looker.ask("cards", models=[model.name for model in models]))["cards"]
            self._cards = [
                {**row(model), "training_data": model.training_data, "page": model.page, **numbers[model.name]}
                for model in models
            ]
        return [{**card, "seconds_per_megapixel": self._seconds_per_megapixel(card)} for card in self._cards]

    def _seconds_per_megapixel(self, card: Record) -> float | None:
        name = f"macs/{card['name']}"
        if name not in self.desk.speeds or card["macs_per_pixel"] is None:
            return None
        return round(1e6 * card["macs_per_pixel"] / self.desk.speeds[name], 3)


class ClientGone(Exception):
    """Nobody waits for the answer any more."""


def data_folder(settings: Settings) -> Path:
    """Where the server keeps its jobs."""
    return cache_folder() / "serve" if settings.data is None else Path(settings.data).expanduser()


def allowed_models(settings: Settings) -> dict[str, str]:
    """The names that may be asked for, by their lower case. Raises `UsageError` for one that is not on this machine."""
    from upres.errors import UsageError

    here = {name.casefold(): model.name for model in list_models(local=True) for name in (model.name, *model.aliases)}
    if not settings.models:
        return here
    missing = [name for name in settings.models if name.casefold() not in here]
    if missing:
        raise UsageError(
            f"`models`: {', '.join(missing)} is not on this machine; `upres models pull NAME` downloads a model"
        )
    return {name.casefold(): here[name.casefold()] for name in settings.models}


async def disconnected(request: Request) -> None:
    """Ends when the client of a request has gone. The body must have been read."""
    with contextlib.suppress(RuntimeError):
        while (await request.receive())["type"] != "http.disconnect":
            pass
