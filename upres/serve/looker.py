"""Short questions about pictures (what is it, how long would it take, a thumbnail), answered by a process of their own.

They do not wait behind the work of an hour, and a hostile picture costs that process only.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Any

from upres.serve.problems import Problem, from_document
from upres.serve.process import WorkerDied, WorkerProcess

_MOST_WAITING = 32
_ANSWER_S = 60.0
_log = logging.getLogger(__name__)


class Looker:
    """Answers one question at a time. Its process starts with the first.

    command: Makes the command of the process, a worker's.
    """

    def __init__(self, command: Callable[[], Sequence[str]]) -> None:
        self._command = command
        self._process: WorkerProcess | None = None
        self._turn = asyncio.Lock()
        self._waiting = 0

    async def ask(self, do: str, **task: Any) -> dict[str, Any]:
        """The answer to a question. Raises `Problem`."""
        if self._waiting >= _MOST_WAITING:
            raise Problem("queue_full", "too many questions wait for an answer; try again later", retry_after_s=2)
        self._waiting += 1
        try:
            async with self._turn:
                answer = await self._ask({"do": do, **task})
        finally:
            self._waiting -= 1
        if answer["step"] == "failed":
            raise from_document(answer["problem"])
        return answer

    async def _ask(self, task: dict[str, Any]) -> dict[str, Any]:
        if self._process is None:
            self._process = WorkerProcess(self._command())
        try:
            if not self._process.alive:
                await self._process.start()
            async with asyncio.timeout(_ANSWER_S):
                return await self._process.ask(task, self._process.number(), lambda _: None)
        except WorkerDied as death:
            _log.warning("the process that looks at pictures %s", death)
            raise Problem("worker_crashed", f"the process that looks at pictures {death}") from death
        except (TimeoutError, asyncio.CancelledError) as error:  # an answer must not meet the next question
            await self._process.end()
            if isinstance(error, TimeoutError):
                words = f"looking at the picture took longer than {_ANSWER_S:.0f} s"
                raise Problem("too_slow", words) from error
            raise

    async def stop(self) -> None:
        if self._process is not None:
            await self._process.end()
