"""Workers in processes of this machine: for many small pictures, which one process cannot keep all cores busy with."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator

import msgspec

from upres.batch.tasks import Answer, Setup, Task
from upres.errors import EngineError
from upres.system.subprocesses import Conversation, python_command

_NEVER_S = 1e8  # a picture may take days
_START_S = 300.0
_POLL_S = 0.2


class ProcessPool:
    """`count` worker processes, each with a network of its own. Close it.

    A worker that dies fails the picture that it had, and is replaced.
    """

    def __init__(self, count: int, setup: Setup) -> None:
        self._setup = msgspec.json.encode(setup).decode()
        self._tasks: queue.Queue[Task | None] = queue.Queue()
        self._answers: queue.Queue[Answer | BaseException] = queue.Queue()
        self._talks: dict[int, Conversation] = {}
        self._closing = False
        self._count = count
        self._threads = [threading.Thread(target=self._serve, args=(place,), daemon=True) for place in range(count)]
        for thread in self._threads:
            thread.start()

    def map(self, tasks: Iterator[Task]) -> Iterator[Answer]:
        """The answers in the order in which they come. A few more tasks are taken than there are workers."""
        waiting, ended = 0, False
        while True:
            while not ended and waiting < 2 * self._count:
                task = next(tasks, None)
                ended = task is None
                if task is not None:
                    self._tasks.put(task)
                    waiting += 1
            if not waiting:
                return
            try:
                answer = self._answers.get(timeout=_POLL_S)  # short: Ctrl-C cannot end a long wait on Windows
            except queue.Empty:
                continue
            if isinstance(answer, BaseException):
                raise answer
            waiting -= 1
            yield answer

    def close(self) -> None:
        """End the workers at once, whatever they do."""
        self._closing = True
        for _ in self._threads:
            self._tasks.put(None)
        for talk in list(self._talks.values()):
            talk.end()
        for thread in self._threads:
            thread.join()

    def _serve(self, place: int) -> None:
        try:
            while (task := self._tasks.get()) is not None and not self._closing:
                self._answers.put(self._ask(place, task))
        except BaseException as error:
            if not self._closing:
                self._answers.put(error)

    def _ask(self, place: int, task: Task) -> Answer:
        talk = self._talks.get(place)
        if talk is None:
            talk = self._talks[place] = Conversation(python_command("upres.batch.task_process"))
            if talk.ask(self._setup, _START_S) is None:
                raise EngineError(f"a worker process did not start: it {talk.outcome().ending}")
        said = talk.ask(msgspec.json.encode(task).decode(), _NEVER_S)
        if said is not None:
            return msgspec.convert(said["answer"], Answer)
        self._talks.pop(place)
        reason = f"{task.source}: the worker process {talk.outcome().ending}"
        talk.end()
        return Answer(task.number, code=EngineError.exit_code, reason=reason, lost=True)
