"""The queue: bounded, and fair."""

from __future__ import annotations

import asyncio

from upres.serve.job import Job
from upres.serve.waiting import FairQueue


def job(owner: str, number: int) -> Job:
    return Job(f"{owner}-{number:07}", owner, {}, {"sha256": "", "bytes": 0})


def test_owners_take_turns() -> None:
    async def run() -> list[str]:
        queue = FairQueue(100, ["a", "b", "c"])
        for number in range(3):
            await queue.put(job("a", number))
        await queue.put(job("b", 0))
        await queue.put(job("c", 0))
        await queue.put(job("a", 9), first=True)
        expected = [one.id for one in queue]
        assert [queue.place_of(one) for one in queue] == [0, 1, 2, 3, 4, 5]
        assert [(await queue.take()).id for _ in range(6)] == expected
        return expected

    order = asyncio.run(run())
    assert order == ["a-0000009", "b-0000000", "c-0000000", "a-0000000", "a-0000001", "a-0000002"]


def test_who_waits_is_woken() -> None:
    async def run() -> None:
        queue = FairQueue(4, [""])
        taking = [asyncio.create_task(queue.take()) for _ in range(2)]
        await asyncio.sleep(0)
        one, two = job("", 1), job("", 2)
        await queue.put(one)
        await queue.put(two)
        assert {await task for task in taking} == {one, two} and not len(queue)

    asyncio.run(run())


def test_a_job_can_be_taken_out() -> None:
    async def run() -> None:
        queue = FairQueue(4, ["a"])
        one, two = job("a", 1), job("a", 2)
        await queue.put(one)
        await queue.put(two)
        assert queue.remove(one) and not queue.remove(one) and queue.place_of(one) is None
        assert await queue.take() is two and queue.place_of(two) is None

    asyncio.run(run())


def test_places_are_bounded_and_each_owner_is_sure_of_some() -> None:
    queue = FairQueue(4, ["a", "b"])
    assert [queue.reserve("a") for _ in range(3)] == [True, True, False]
    assert [queue.reserve("b") for _ in range(3)] == [True, True, False]
    queue.leave("b")
    assert not queue.reserve("a") and queue.reserve("b")
    alone = FairQueue(2, [""])
    assert [alone.reserve("") for _ in range(3)] == [True, True, False]
    alone.leave("")
    assert alone.reserve("")
    many = FairQueue(2, ["a", "b", "c"])  # fewer places than owners
    assert [many.reserve(owner) for owner in "abc"] == [True, True, False]
