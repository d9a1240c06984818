"""The jobs of a server: accepted, announced, canceled, forgotten. `dispatch` has them done."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from upres.errors import OutputError
from upres.serve.events import Event, Hub
from upres.serve.job import Job, Record, document
from upres.serve.metrics import Metrics
from upres.serve.problems import Problem, problem_of
from upres.serve.settings import Settings
from upres.serve.speeds import Speeds
from upres.serve.store import Store
from upres.serve.waiting import FairQueue

MOST_ATTEMPTS = 3  # of a job whose worker dies
_MOST_RESTARTS = 20  # of the server, while one job ran: that job may be the cause
_log = logging.getLogger(__name__)


class Desk:
    """All jobs of one server, in memory; those whose clients have their id are in the store too.

    settings: Of the server.
    store: Where jobs are kept.
    metrics: Counts them.
    """

    def __init__(self, settings: Settings, store: Store, metrics: Metrics) -> None:
        self.settings, self.store, self.metrics = settings, store, metrics
        owners = list(settings.owners.values()) or [""]
        self.queue = FairQueue(settings.queue + settings.workers, owners)
        self.running: set[Job] = set()
        self.hub = Hub()
        self.speeds = Speeds(store.speeds())
        self.opened: set[str] = set()  # models that a worker has used since its start
        self.stopping = asyncio.Event()
        self.cancel_running: Callable[[Job], None] = lambda _: None
        self._jobs: dict[tuple[str, str], Job] = {}
        self._held: Counter[str] = Counter()  # pictures of requests that are not jobs yet

    @property
    def draining(self) -> bool:
        """Whether the server is about to stop."""
        return self.stopping.is_set()

    async def recover(self) -> None:
        """Queue the jobs of an earlier run that did not end."""
        for job in self.store.jobs():
            self._jobs[job.owner, job.id] = job
            if job.ended:
                continue
            self.queue.enter(job.owner)
            ran = job.state == "running"
            job.state, job.started_at = "queued", None
            if ran:
                job.restarts += 1
                if job.restarts > _MOST_RESTARTS:
                    words = f"the server ended {job.restarts} times while this job ran; it is not tried again"
                    self.end(job, "failed", Problem("worker_crashed", words))
                    continue
                self.announce(job, "retry")
            await self.queue.put(job)
        self.store.sweep(self._jobs.values(), (), young_s=0.0)

    def reserve(self, owner: str) -> None:
        """Take a place in the queue. Raises `Problem` at once where there is none."""
        if self.draining:
            raise Problem("draining", "the server is about to stop; send it again in a moment", retry_after_s=5)
        if not self.queue.reserve(owner):
            self.metrics.refused.labels("queue_full").inc()
            waiting = len(self.queue)
            raise Problem(
                "queue_full",
                f"the queue is full ({waiting} waiting); try again later",
                retry_after_s=max(1.0, self._next_place_s()),
            )

    def leave(self, owner: str) -> None:
        """Give back a place that no job took."""
        self.queue.leave(owner)

    async def accept(self, job: Job, *, keep: bool) -> None:
        """Queue a job that has a place. `keep`: store it first. Raises `OutputError`; the place is then free."""
        try:
            self._jobs[job.owner, job.id] = job
            if keep:
                self.keep(job)
        except OutputError:
            del self._jobs[job.owner, job.id]
            self.queue.leave(job.owner)
            raise
        await self.queue.put(job)
        self.metrics.accepted.inc()

    def keep(self, job: Job) -> None:
        """Store a job: from now on it outlives its connection, and the server. Raises `OutputError`."""
        if not job.kept:
            self.store.flush_picture(job.picture["sha256"])
            job.kept = True
            try:
                self.announce(job, job.state)
            except OutputError:
                job.kept = False
                raise

    def find(self, owner: str, name: str) -> Job:
        """A job that a client may know. Raises `Problem`."""
        job = self._jobs.get((owner, name))
        if job is None or not job.kept:
            raise Problem("not_found", "there is no such job; ended ones are kept for a while only")
        return job

    def known(self, owner: str, name: str) -> Job | None:
        job = self._jobs.get((owner, name))
        return job if job is not None and job.kept else None

    def all_of(self, owner: str) -> list[Job]:
        """The jobs of an owner, newest first."""
        mine = [job for job in self._jobs.values() if job.owner == owner and job.kept]
        return sorted(mine, key=lambda job: (job.created_at, job.id), reverse=True)

    def describe(self, job: Job) -> Record:
        """The job as clients see it."""
        place = self.queue.place_of(job) if job.state == "queued" else None
        return document(job, place, self.left_s(job))

    def announce(self, job: Job, kind: str) -> None:
        """Store the job and the event, and tell those who listen. Raises `OutputError`."""
        if not job.kept:
            return
        record = self.describe(job)
        number = self.store.add(job, kind, record)
        self.hub.send(Event(job.owner, job.id, kind, record, number))

    def advance(self, job: Job, share: float) -> None:
        """Note the progress of a job."""
        job.progress = max(job.progress, min(1.0, share))
        if job.kept and len(self.hub):
            self.hub.send(Event(job.owner, job.id, "progress", self.describe(job)))

    def end(self, job: Job, state: Any, problem: Problem | None = None) -> None:
        """A job has reached its last state."""
        job.state, job.ended_at = state, time.time()
        job.error = None if problem is None else problem.document()
        if state == "done":
            job.progress = 1.0
        self.queue.leave(job.owner)
        self.metrics.ended.labels(state).inc()
        try:
            self.announce(job, state)
        except OutputError as error:  # the disk is full: the client is told, the next start does the job again
            _log.error("job %s: its end cannot be stored: %s", job.id, error)
            if state == "done":
                job.state, job.error = "failed", problem_of(error).document()
        job.planned.set()
        job.over.set()
        if not job.kept:
            self._jobs.pop((job.owner, job.id), None)

    async def cancel(self, job: Job) -> None:
        """Stop a job: at once if it waits, within a tile if it runs."""
        if job.ended:
            return
        running = not self.queue.remove(job)
        self.end(job, "canceled", Problem("canceled", "the job was canceled"))
        if running:
            self.cancel_running(job)

    def remove(self, job: Job, *, tell: bool = True) -> None:
        """Forget a job that has ended, with its result; the picture goes once no job uses it."""
        self._jobs.pop((job.owner, job.id), None)
        record = {"id": job.id}
        number = self.store.remove(job, record if tell else None)
        if tell:
            self.hub.send(Event(job.owner, job.id, "removed", record, number))
        self.release_picture(job)

    def release_picture(self, job: Job) -> None:
        """Remove the picture of a job, unless another job uses it."""
        digest = job.picture["sha256"]
        if not self.uses(digest, but=job):
            self.store.picture_path(digest).unlink(missing_ok=True)

    @contextmanager
    def holding(self, digest: str) -> Generator[None]:
        """Keep a picture that no job uses yet; it is removed at the end if still none does."""
        self._held[digest] += 1
        try:
            yield
        finally:
            self._held[digest] -= 1
            if not self._held[digest]:
                del self._held[digest]
                if not self.uses(digest):
                    self.store.picture_path(digest).unlink(missing_ok=True)

    def uses(self, digest: str, but: Job | None = None) -> bool:
        """Whether a job, another than `but`, has that picture."""
        return digest in self._held or any(
            job.picture["sha256"] == digest and job is not but for job in self._jobs.values()
        )

    def sweep(self) -> None:
        """Remove what is kept too long, and then the oldest of what takes too much space."""
        ended = sorted((job for job in self._jobs.values() if job.ended), key=lambda job: job.ended_at or 0.0)
        old = time.time() - self.settings.keep_hours * 3600
        most = self.settings.keep_gb * 1e9
        while ended and ((ended[0].ended_at or 0.0) < old or self.store.used_bytes() > most):
            self.remove(ended.pop(0))
        self.store.sweep(self._jobs.values(), self._held)
        if self.speeds.changed:
            self.store.save_speeds(self.speeds.items(self.speeds.changed))
            self.speeds.changed.clear()

    def result_path(self, job: Job) -> Path:
        return self.store.result_path(job)

    # Estimates

    def own_s(self, job: Job) -> float:
        """Seconds of work that a job still needs."""
        left = job.run_left_s
        return self.speeds["job"] if left is None else left

    def wait_s(self, before: Job | None = None) -> float:
        """Seconds until a worker takes `before`, or a new job."""
        total = sum(self.own_s(job) for job in self.running if not job.ended)
        free = self.settings.workers - len(self.running)
        ahead = 0
        for job in self.queue:
            if job is before:
                break
            total += self.own_s(job)
            ahead += 1
        return 0.0 if ahead < free else total / self.settings.workers

    def left_s(self, job: Job) -> float | None:
        """Seconds until a job is done; None if it has ended."""
        if job.ended:
            return None
        return self.own_s(job) + (self.wait_s(job) if job.state == "queued" else 0.0)

    def _next_place_s(self) -> float:
        return min((self.own_s(job) for job in self.running), default=1.0)
