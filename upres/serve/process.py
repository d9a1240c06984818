"""A worker process as the server sees it: started, asked one task at a time, canceled, killed."""

from __future__ import annotations

import asyncio
import json
import logging
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from upres.system.child import answer_in
from upres.system.subprocesses import ProcessOutcome

_START_S = 60.0  # for imports on a slow disk
_LINE_BYTES = 1 << 22  # of an answer
_FINAL = ("done", "failed", "canceled")
_log = logging.getLogger(__name__)
Answer = dict[str, Any]


class WorkerDied(Exception):
    """The process has ended in the middle of a task; the text says how."""


class WorkerProcess:
    """One process. Its methods are called from one event loop, tasks one at a time.

    command: Starts it; see `upres.serve.worker` for what it answers.
    """

    def __init__(self, command: Sequence[str]) -> None:
        self._command = command
        self._process: asyncio.subprocess.Process | None = None
        self._answers: asyncio.Queue[Answer | None] = asyncio.Queue()
        self._errors: deque[str] = deque(maxlen=20)
        self._readers: list[asyncio.Task[None]] = []
        self._ready = False

    @property
    def alive(self) -> bool:
        """Whether it was ready once, and has not ended."""
        return self._ready and self._process is not None and self._process.returncode is None

    @property
    def pid(self) -> int | None:
        return None if self._process is None else self._process.pid

    async def start(self) -> None:
        """Start it, and wait until it is ready. Raises `WorkerDied`."""
        await self.end()
        self._answers, self._errors = asyncio.Queue(), deque(maxlen=20)
        pipe = asyncio.subprocess.PIPE
        try:
            self._process = await asyncio.create_subprocess_exec(
                *self._command, stdin=pipe, stdout=pipe, stderr=pipe, limit=_LINE_BYTES
            )
        except OSError as error:
            raise WorkerDied(f"it does not start ({error})") from error
        self._readers = [asyncio.create_task(self._read()), asyncio.create_task(self._read_errors())]
        try:
            async with asyncio.timeout(_START_S):
                answer = await self._answers.get()
        except TimeoutError:
            await self.end()
            raise WorkerDied(f"it was not ready within {_START_S:.0f} s") from None
        if answer is None:
            raise WorkerDied(await self._ending())
        self._ready = True

    async def wait(self) -> None:
        """Until the process has ended."""
        if self._process is not None:
            await self._process.wait()

    async def ask(self, task: Answer, told: Callable[[Answer], None]) -> Answer:
        """The final answer to a task; `told` is called for those before. Raises `WorkerDied`."""
        await self._send(task)
        while (answer := await self._answers.get()) is not None:
            if answer.get("step") in _FINAL:
                return answer
            told(answer)
        raise WorkerDied(await self._ending())

    async def cancel(self) -> None:
        """Have the task at hand end after the tile at hand."""
        with suppress(WorkerDied):
            await self._send({"do": "cancel"})

    def kill(self) -> None:
        """End it at once; `ask` then raises `WorkerDied`."""
        if self._process is not None:
            with suppress(ProcessLookupError):
                self._process.kill()

    async def end(self) -> None:
        """Kill it and wait for its end."""
        if self._process is None:
            return
        self.kill()
        await self._process.wait()
        for reader in self._readers:
            reader.cancel()
        await asyncio.gather(*self._readers, return_exceptions=True)
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._process, self._readers, self._ready = None, [], False

    async def _send(self, task: Answer) -> None:
        if self._process is None or self._process.stdin is None:
            raise WorkerDied("it is not running")
        try:
            self._process.stdin.write(json.dumps(task).encode() + b"\n")
            await self._process.stdin.drain()
        except (ConnectionError, RuntimeError) as error:
            raise WorkerDied(await self._ending()) from error

    async def _read(self) -> None:
        assert self._process is not None and self._process.stdout is not None
        try:
            async for line in self._process.stdout:
                answer = answer_in(line.decode("utf-8", "replace").rstrip("\r\n"))
                if answer is not None:
                    self._answers.put_nowait(answer)
        except ValueError:  # a line beyond any answer of ours
            self.kill()
        finally:
            self._answers.put_nowait(None)

    async def _read_errors(self) -> None:
        assert self._process is not None and self._process.stderr is not None
        with suppress(ValueError):
            async for line in self._process.stderr:
                text = line.decode("utf-8", "replace").rstrip()
                self._errors.append(text)
                _log.debug("worker %s: %s", self.pid, text)

    async def _ending(self) -> str:
        """How it ended: "was ended by signal SIGSEGV (last line of its stderr)"."""
        assert self._process is not None
        with suppress(TimeoutError):
            async with asyncio.timeout(2.0):
                await self._process.wait()
        if self._process.returncode is None:
            self.kill()
        code = await self._process.wait()
        last = next((line for line in reversed(self._errors) if line.strip()), "")
        return ProcessOutcome((), (), code, False, last[:300]).ending
