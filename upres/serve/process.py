"""A worker process as the server sees it: started, asked, canceled, killed."""

from __future__ import annotations

import asyncio
import json
import logging
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import count
from typing import Any

from upres.serve.settings import Settings
from upres.system.child import answer_in
from upres.system.memory import usable_bytes
from upres.system.subprocesses import ProcessOutcome, python_command
from upres.system.text import parse_bytes

_START_S = 60.0  # for imports on a slow disk
_LINE_BYTES = 1 << 22  # of an answer
_FINAL = ("done", "failed", "canceled")
_log = logging.getLogger(__name__)
Answer = dict[str, Any]


def worker_command(settings: Settings) -> list[str]:
    """Starts a worker with the limits of these settings."""
    free = usable_bytes() // settings.workers
    given = {
        "memory_bytes": free if settings.memory is None else parse_bytes(settings.memory),
        "isolate": settings.isolate,
        "max_pixels_in": settings.max_pixels_in,
        "max_pixels_out": settings.max_pixels_out,
        "max_frames": settings.max_frames,
        "engine": {
            "engine": settings.engine,
            "device": settings.device,
            "precision": settings.precision,
            "threads": settings.threads,
        },
    }
    return [*python_command("upres.serve.worker"), json.dumps(given)]


class WorkerDied(Exception):
    """The process has ended in the middle of a task; the text says how."""


class WorkerProcess:
    """One process. Its methods are called from one event loop. A task may be sent once the one before is done, or has
    answered "free".

    command: Starts it; see `upres.serve.worker` for what it answers.
    """

    def __init__(self, command: Sequence[str]) -> None:
        self._command = command
        self._process: asyncio.subprocess.Process | None = None
        self._greeting: asyncio.Queue[Answer | None] = asyncio.Queue()
        self._answers: dict[int, asyncio.Queue[Answer | None]] = {}  # by the number of the task
        self._numbers = count(1)
        self._errors: deque[str] = deque(maxlen=20)
        self._readers: list[asyncio.Task[None]] = []
        self._ready = False
        self._over = False  # nothing more will be read

    @property
    def alive(self) -> bool:
        """Whether it was ready once, and has not ended."""
        return self._ready and not self._over and self._process is not None and self._process.returncode is None

    @property
    def pid(self) -> int | None:
        return None if self._process is None else self._process.pid

    async def start(self) -> None:
        """Start it, and wait until it is ready. Raises `WorkerDied`."""
        await self.end()
        self._greeting, self._answers, self._errors = asyncio.Queue(), {}, deque(maxlen=20)
        self._over = False
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
                answer = await self._greeting.get()
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

    def number(self) -> int:
        """For a new task."""
        return next(self._numbers)

    async def ask(self, task: Answer, number: int, told: Callable[[Answer], None]) -> Answer:
        """The final answer to a task; `told` is called for those before. Raises `WorkerDied`."""
        if not self.alive:
            raise WorkerDied(await self._ending())
        answers, mine = self._answers, asyncio.Queue[Answer | None]()
        answers[number] = mine
        try:
            await self._send({**task, "task": number})
            while (answer := await mine.get()) is not None:
                if answer.get("step") in _FINAL:
                    return answer
                told(answer)
        finally:
            del answers[number]
        raise WorkerDied(await self._ending())

    async def cancel(self, number: int) -> None:
        """Have the task of that number end after the tile at hand."""
        with suppress(WorkerDied):
            await self._send({"do": "cancel", "task": number})

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
        greeting, answers = self._greeting, self._answers
        try:
            async for line in self._process.stdout:
                answer = answer_in(line.decode("utf-8", "replace").rstrip("\r\n"))
                if answer is None:
                    continue
                waiting = answers.get(answer["task"]) if "task" in answer else greeting
                if waiting is not None:
                    waiting.put_nowait(answer)
        except ValueError:  # a line beyond any answer of ours
            self.kill()
        finally:
            self._over = True
            for waiting in (greeting, *answers.values()):
                waiting.put_nowait(None)

    async def _read_errors(self) -> None:
        assert self._process is not None and self._process.stderr is not None
        with suppress(ValueError):
            async for line in self._process.stderr:
                text = line.decode("utf-8", "replace").rstrip()
                self._errors.append(text)
                _log.debug("worker %s: %s", self.pid, text)

    async def _ending(self) -> str:
        """How it ended: "was ended by signal SIGSEGV (last line of its stderr)"."""
        if self._process is None:
            return "is not running"
        with suppress(TimeoutError):
            async with asyncio.timeout(2.0):
                await self._process.wait()
        if self._process.returncode is None:
            self.kill()
        code = await self._process.wait()
        last = next((line for line in reversed(self._errors) if line.strip()), "")
        return ProcessOutcome((), (), code, False, last[:300]).ending
