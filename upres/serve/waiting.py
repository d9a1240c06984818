"""The queue: bounded, and fair between the owners of tokens."""

from __future__ import annotations

import asyncio
from collections import Counter, OrderedDict, deque
from collections.abc import Collection, Iterator

from upres.serve.job import Job


class FairQueue:
    """Waiting jobs, taken from each owner in turn; those of one owner in their order.

    capacity: Jobs that may be in the house at once, waiting, being uploaded or running.
    owners: Among whom the capacity is shared: each is sure of an equal part of it, however busy the others are.
    """

    def __init__(self, capacity: int, owners: Collection[str]) -> None:
        self._capacity = capacity
        self._sure = {owner: max(1, capacity // len(owners)) for owner in owners}
        self._waiting: OrderedDict[str, deque[Job]] = OrderedDict()
        self._places: Counter[str] = Counter()
        self._arrived = asyncio.Condition()

    def __len__(self) -> int:
        return sum(map(len, self._waiting.values()))

    def __iter__(self) -> Iterator[Job]:
        """In the order in which they will be taken, if no others come."""
        lines = [deque(line) for line in self._waiting.values()]
        while lines:
            lines = [line for line in lines if line]
            for line in lines:
                yield line.popleft()

    def reserve(self, owner: str) -> bool:
        """Take a place for a job of `owner` until `leave`. False where there is none."""
        free = self._capacity - self._places.total()
        others = sum(max(0, sure - self._places[other]) for other, sure in self._sure.items() if other != owner)
        if free < 1 or (self._places[owner] >= self._sure.get(owner, 1) and free <= others):
            return False
        self._places[owner] += 1
        return True

    def enter(self, owner: str) -> None:
        """Take a place whether or not there is one: for jobs of an earlier run of the server."""
        self._places[owner] += 1

    def leave(self, owner: str) -> None:
        """Give a place back."""
        self._places[owner] -= 1

    async def put(self, job: Job, *, first: bool = False) -> None:
        """Add a job, which has a place; `first`: before the others of its owner."""
        line = self._waiting.setdefault(job.owner, deque())
        (line.appendleft if first else line.append)(job)
        async with self._arrived:
            self._arrived.notify()

    async def take(self) -> Job:
        """The next job; waits for one."""
        async with self._arrived:
            while not len(self):
                await self._arrived.wait()
            owner = next(owner for owner, line in self._waiting.items() if line)
            job = self._waiting[owner].popleft()
            self._waiting.move_to_end(owner)
            if not self._waiting[owner]:
                del self._waiting[owner]
            return job

    def remove(self, job: Job) -> bool:
        """Take a job out; False if it does not wait."""
        line = self._waiting.get(job.owner)
        if line is None or job not in line:
            return False
        line.remove(job)
        if not line:
            del self._waiting[job.owner]
        return True

    def place_of(self, job: Job) -> int | None:
        """The number of jobs before it; None if it does not wait."""
        return next((place for place, other in enumerate(self) if other is job), None)
