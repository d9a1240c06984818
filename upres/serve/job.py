"""A job: one picture, what is asked for it, and how far it is."""

from __future__ import annotations

import asyncio
import hashlib
import time
from dataclasses import dataclass, field
from typing import Any, Literal

State = Literal["queued", "running", "done", "failed", "canceled"]
ENDED = ("done", "failed", "canceled")
Record = dict[str, Any]


@dataclass(slots=True, eq=False)
class Job:
    """The fields above the line are stored; those below belong to this process.

    id: By the client, or made here; unique for its owner.
    owner: The name of the client's token, "" without tokens.
    request: Parameters of the library, as given.
    picture: Of the input: sha256 and bytes; width, height and format once a worker has looked.
    model: Name, reason and other, once known.
    size: Of the result, once known.
    attempt: Which attempt runs, or ran, from 1; 0 before the first.
    restarts: How often the server ended while this job ran.
    result: bytes, sha256, type, name and seconds.
    error: The problem document.
    kept: It is stored: a client has its id. Others end with the connection of their client.
    """

    id: str
    owner: str
    request: Record
    picture: Record
    name: str = ""
    group: str = ""
    state: State = "queued"
    created_at: float = field(default_factory=time.time)
    started_at: float | None = None
    ended_at: float | None = None
    attempt: int = 0
    restarts: int = 0
    model: Record | None = None
    size: Record | None = None
    result: Record | None = None
    notes: list[str] = field(default_factory=list[str])
    error: Record | None = None
    trace: str = ""
    # ----
    kept: bool = False
    progress: float = 0.0
    estimate_s: float | None = None  # its own work
    began: float = 0.0  # monotonic, of this attempt
    queued: float = field(default_factory=time.monotonic)
    planned: asyncio.Event = field(default_factory=asyncio.Event)
    over: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def key(self) -> str:
        """The name of its files."""
        return hashlib.sha256(f"{self.owner}/{self.id}".encode()).hexdigest()[:32]

    @property
    def ended(self) -> bool:
        return self.state in ENDED

    @property
    def run_left_s(self) -> float | None:
        """Seconds of its own work that are left, once known: by its progress, before that by the estimate."""
        if self.state != "running":
            return self.estimate_s
        elapsed = time.monotonic() - self.began
        if self.progress > 0.1:
            return elapsed * (1.0 - self.progress) / self.progress
        return None if self.estimate_s is None else max(0.0, self.estimate_s - elapsed)


STORED = (
    *("id", "owner", "request", "picture", "name", "group", "state", "created_at", "started_at", "ended_at"),
    *("attempt", "restarts", "model", "size", "result", "notes", "error", "trace"),
)


def to_record(job: Job) -> Record:
    """What is stored of a job."""
    return {name: getattr(job, name) for name in STORED}


def from_record(record: Record) -> Job:
    """A stored job. Fields that this version does not know are dropped."""
    job = Job(**{name: value for name, value in record.items() if name in STORED}, kept=True)
    if job.ended:
        job.progress = 1.0 if job.state == "done" else 0.0
        job.over.set()
    return job


def document(job: Job, place: int | None, eta_s: float | None) -> Record:
    """The job as clients see it. `place`: jobs before it in the queue; `eta_s`: seconds until it is done."""
    base = f"/v1/jobs/{job.id}"
    own = ("owner", "trace", "restarts")
    seen = {name: value for name, value in to_record(job).items() if name not in own}
    return {
        **seen,
        "place": place,
        "progress": round(job.progress, 4),
        "eta_s": None if eta_s is None else round(eta_s, 2),
        "links": {
            "self": base,
            "events": f"{base}/events",
            "result": f"{base}/result",
            "source": f"{base}/source",
        },
    }
