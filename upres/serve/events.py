"""Who listens to what happens to jobs."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

_MOST_UNREAD = 1000  # of a listener that does not keep up, which then begins anew


@dataclass(frozen=True, slots=True)
class Event:
    """What happened. number: Of a stored event; None for progress, which nobody replays."""

    owner: str
    job: str
    kind: str
    record: dict[str, Any]
    number: int | None = None


@dataclass(slots=True, eq=False)
class _Listener:
    owner: str
    job: str | None
    unread: asyncio.Queue[Event | None] = field(default_factory=lambda: asyncio.Queue(_MOST_UNREAD))


class Hub:
    """Sends each event to those who listen to its job, or to all jobs of its owner."""

    def __init__(self) -> None:
        self._listeners: set[_Listener] = set()
        self._closed = False

    def __len__(self) -> int:
        return len(self._listeners)

    @contextmanager
    def listen(self, owner: str, job: str | None) -> Generator[asyncio.Queue[Event | None]]:
        """The events from now on; None ends them: the server stops, or the listener did not keep up."""
        listener = _Listener(owner, job)
        if self._closed:
            listener.unread.put_nowait(None)
        self._listeners.add(listener)
        try:
            yield listener.unread
        finally:
            self._listeners.discard(listener)

    def send(self, event: Event) -> None:
        for listener in tuple(self._listeners):
            if listener.owner != event.owner or listener.job not in (None, event.job):
                continue
            try:
                listener.unread.put_nowait(event)
            except asyncio.QueueFull:
                self._end(listener)

    def close(self) -> None:
        """End all streams, and those to come."""
        self._closed = True
        for listener in tuple(self._listeners):
            self._end(listener)

    def _end(self, listener: _Listener) -> None:
        self._listeners.discard(listener)
        while not listener.unread.empty():
            listener.unread.get_nowait()
        listener.unread.put_nowait(None)
