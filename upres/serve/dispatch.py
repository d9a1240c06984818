"""Have jobs done: a few worker processes, each of which takes the next job from the queue.

A worker that writes a result has its networks free: it gets the next job then, as `upres upscale` does. Only first
attempts run beside another, so that a picture that kills its worker takes no innocent one along twice.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from upres.errors import OutputError
from upres.serve.copies import result_name, save_copy
from upres.serve.desk import MOST_ATTEMPTS, Desk
from upres.serve.job import Job
from upres.serve.parameters import TYPES
from upres.serve.problems import Problem, from_document
from upres.serve.process import WorkerDied, WorkerProcess

_CANCEL_S = 1.0  # for the tile at hand; then the process is killed
_AGAIN_S = (0.0, 0.5, 2.0, 5.0, 15.0)  # before the next start of a process that does not start
_MEMORY_SIGNS = ("SIGKILL", "MemoryError", "bad_alloc", "allocate")
_log = logging.getLogger(__name__)


class Dispatch:
    """The workers of a server.

    desk: Its jobs.
    command: Makes the command of a worker.
    """

    def __init__(self, desk: Desk, command: Callable[[], Sequence[str]]) -> None:
        self._desk, self._command = desk, command
        self._at: dict[Job, tuple[WorkerProcess, int]] = {}  # with the number of its task
        self._shared: set[Job] = set()  # running jobs whose times another job has changed
        self._slots: list[asyncio.Task[None]] = []
        self._others: set[asyncio.Task[None]] = set()
        self._processes: set[WorkerProcess] = set()
        self._taking = asyncio.Event()
        self._taking.set()
        desk.cancel_running = self._cancel

    def start(self) -> None:
        for _ in range(self._desk.settings.workers):
            self._slots.append(asyncio.create_task(self._work()))

    @property
    def ready(self) -> bool:
        """Whether a worker can take a job."""
        return any(process.alive for process in self._processes)

    @property
    def pids(self) -> list[int]:
        """Of the living workers."""
        return [process.pid for process in self._processes if process.alive and process.pid]

    async def drain(self, seconds: float) -> None:
        """Take no more jobs, and wait for those that run."""
        self._taking.clear()
        end = time.monotonic() + seconds
        while self._at and time.monotonic() < end:
            jobs = [asyncio.create_task(job.over.wait()) for job in self._at]
            await asyncio.wait(jobs, timeout=max(0.0, end - time.monotonic()), return_when=asyncio.FIRST_COMPLETED)
            for one in jobs:
                one.cancel()
            await asyncio.sleep(0)

    async def stop(self) -> None:
        """End all processes; jobs that run stay what they are in the store, for the next start."""
        for task in (*self._slots, *self._others):
            task.cancel()
        await asyncio.gather(*self._slots, *self._others, return_exceptions=True)
        for process in tuple(self._processes):
            await process.end()

    async def _work(self) -> None:
        process, failures = WorkerProcess(self._command()), 0
        self._processes.add(process)
        written: asyncio.Task[None] | None = None  # a job whose result the process writes
        while True:
            if not process.alive:
                if written is not None:
                    await asyncio.wait({written})
                await asyncio.sleep(_AGAIN_S[min(failures, len(_AGAIN_S) - 1)])
                try:
                    await process.start()
                except WorkerDied as death:
                    failures += 1
                    _log.error("a worker %s", death)
                    continue
                failures = 0
                self._desk.opened.clear()
                self._desk.metrics.workers_started.inc()
                _log.info("worker %s is ready", process.pid)
            await self._taking.wait()
            job = await self._take(process)
            if job is None or job.ended:
                continue
            if written is not None and job.attempt > 0:
                await asyncio.wait({written})
            written = await self._until_free(job, process)

    async def _until_free(self, job: Job, process: WorkerProcess) -> asyncio.Task[None] | None:
        """Do a job until it has ended (None), or only its result is left to be written."""
        freed = asyncio.Event()
        running = asyncio.create_task(self._run(job, process, freed))
        self._others.add(running)
        running.add_done_callback(self._others.discard)
        waiting = asyncio.create_task(freed.wait())
        try:
            await asyncio.wait({running, waiting}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            waiting.cancel()
        if not running.done() and job.attempt == 1:
            return running
        await asyncio.wait({running})
        running.result()
        return None

    async def _take(self, process: WorkerProcess) -> Job | None:
        """The next job; None if the process dies while it waits for one, which is no attempt of a job."""
        queue = self._desk.queue
        taking = asyncio.create_task(queue.take())
        dying = asyncio.create_task(process.wait())
        try:
            await asyncio.wait({taking, dying}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            dying.cancel()
            taking.cancel()
            await asyncio.wait({taking})
        if taking.cancelled():
            return None
        job = taking.result()
        if not process.alive or not self._taking.is_set():
            await queue.put(job, first=True)
            return None
        return job

    async def _run(self, job: Job, process: WorkerProcess, freed: asyncio.Event) -> None:
        """Do a job, which has ended then, or waits for its next attempt. `freed`: only its result is to be written."""
        desk = self._desk
        job.attempt += 1
        job.state, job.started_at, job.began, job.progress = "running", time.time(), time.monotonic(), 0.0
        desk.running.add(job)
        beside = [other for other, (at, _) in self._at.items() if at is process]
        number = process.number()
        self._at[job] = process, number
        if beside:
            self._shared.update((job, *beside))
        facts: dict[str, Any] = {}
        try:
            desk.announce(job, "running")
            async with asyncio.timeout(desk.settings.max_seconds):
                answer = await process.ask(self._task(job), number, lambda told: self._told(job, told, facts, freed))
        except WorkerDied as death:
            await self._died(job, str(death))
            return
        except TimeoutError:
            await process.end()
            if not job.ended:
                limit = desk.settings.max_seconds
                desk.end(job, "failed", Problem("too_slow", f"it took longer than the limit of {limit:g} s"))
            return
        except ValueError as error:  # the disk is full: nothing can be stored
            _log.error("job %s: %s", job.id, error)
            await process.end()
            if not job.ended:
                desk.end(job, "failed", Problem("disk_full", "the disk is full"))
            return
        finally:
            desk.running.discard(job)
            del self._at[job]
            shared = job in self._shared
            self._shared.discard(job)
        await self._answered(job, answer, facts, shared=shared)

    def _task(self, job: Job) -> dict[str, Any]:
        return {
            "do": "upscale",
            "job": job.id,
            "source": str(self._desk.store.picture_path(job.picture["sha256"])),
            "target": str(self._desk.result_path(job)),
            "parameters": job.request,
            "careful": job.attempt > 1,
            "trace": job.trace,
        }

    def _told(self, job: Job, told: dict[str, Any], facts: dict[str, Any], freed: asyncio.Event) -> None:
        """A worker's answer before the last."""
        if told["step"] == "free":
            freed.set()
        if job.ended:
            return
        if told["step"] == "planned":
            facts.update(told)
            job.picture = {**job.picture, **told["picture"]}
            job.model, job.size = told["model"], told["size"]
            chosen = "model" not in job.request
            job.estimate_s = self._desk.speeds.estimate(told, job.request.get("format", "png"), chosen=chosen)
            job.planned.set()
            self._desk.advance(job, 0.0)
        elif told["step"] == "progress":
            self._desk.advance(job, told["share"])

    async def _answered(self, job: Job, answer: dict[str, Any], facts: dict[str, Any], *, shared: bool) -> None:
        desk = self._desk
        if job.ended:  # canceled meanwhile: its result, if any, is nobody's
            desk.result_path(job).unlink(missing_ok=True)
        elif answer["step"] == "done":
            form = job.request.get("format", "png")
            job.notes = answer["notes"]
            job.result = {**answer["result"], "type": TYPES[form], "name": result_name(job)}
            if facts:
                desk.speeds.learn(facts, answer["times"], form, chosen="model" not in job.request, alone=not shared)
                name = (job.model or {}).get("name", "")
                desk.opened.add(name)
                desk.metrics.run_seconds.labels(name).observe(sum(answer["times"].values()))
                desk.metrics.queue_seconds.labels(name).observe(max(0.0, job.began - job.queued))
                desk.metrics.pixels.inc(facts["size"]["width"] * facts["size"]["height"])
            if desk.settings.out is not None and job.kept:
                await self._save_copy(job, Path(desk.settings.out))
            if not job.ended:
                desk.end(job, "done")
        elif answer["step"] == "failed":
            desk.end(job, "failed", from_document(answer["problem"]))
        else:
            desk.end(job, "canceled", Problem("canceled", "the job was canceled"))

    async def _died(self, job: Job, how: str) -> None:
        """The process of a job has ended: try again, with small tiles, or give up."""
        if job.ended:
            return
        desk = self._desk
        desk.metrics.worker_deaths.inc()
        _log.warning("the worker of job %s %s (attempt %d)", job.id, how, job.attempt)
        if job.attempt < MOST_ATTEMPTS:
            job.state, job.started_at, job.progress = "queued", None, 0.0
            await desk.queue.put(job, first=True)
            desk.announce(job, "retry")
        elif any(sign in how for sign in _MEMORY_SIGNS):
            desk.end(job, "failed", Problem("out_of_memory", "not enough memory, even in small tiles; ask for less"))
        else:
            desk.end(job, "failed", Problem("worker_crashed", f"the process that does the work {how}, three times"))

    def _cancel(self, job: Job) -> None:
        task = asyncio.create_task(self._cancel_slowly(job))
        self._others.add(task)
        task.add_done_callback(self._others.discard)

    async def _cancel_slowly(self, job: Job) -> None:
        at = self._at.get(job)
        if at is None:
            return
        process, number = at
        await process.cancel(number)
        await asyncio.sleep(_CANCEL_S)
        while self._at.get(job) == at:
            if sum(other is process for other, _ in self._at.values()) == 1:
                process.kill()
                return
            await asyncio.sleep(_CANCEL_S)  # another job must not pay for this one, whose result is being written

    async def _save_copy(self, job: Job, folder: Path) -> None:
        """Copy a result into the user's folder; that it cannot be is noted, and the result is here all the same."""
        assert job.result is not None
        try:
            target = await asyncio.to_thread(save_copy, self._desk.result_path(job), job.result["name"], folder)
        except OutputError as error:
            job.notes = [*job.notes, f"no copy was saved: {error}"]
        else:
            job.result["saved_as"] = str(target)
