"""A thread of one's own for one kind of work, whose results are waited for in a way that Ctrl-C can interrupt."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import wait as wait_for
from typing import Generic, TypeVar

_T = TypeVar("_T")


class WorkerThread(Generic[_T]):
    """One daemon thread that runs one thing at a time. A daemon, because Ctrl-C must not wait for an engine's call that takes minutes."""

    def __init__(self, name: str) -> None:
        self._inbox: queue.Queue[tuple[Future[_T], Callable[[], _T]] | None] = queue.Queue()
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    def submit(self, work: Callable[[], _T]) -> Future[_T]:
        future: Future[_T] = Future()
        self._inbox.put((future, work))
        return future

    def close(self, timeout_s: float | None = None) -> bool:
        """Let the thread end after what it is doing; False if it has not ended in time."""
        self._inbox.put(None)
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _work(self) -> None:
        while (item := self._inbox.get()) is not None:
            future, work = item
            try:
                future.set_result(work())
            except BaseException as error:  # carried to the thread that waits for the result, as concurrent.futures does
                future.set_exception(error)
            del item, future, work  # a finished picture must not stay alive until the next one comes


def result_of(future: Future[_T]) -> _T:
    """The result, waited for in short steps: an unlimited wait cannot be interrupted by Ctrl-C on Windows."""
    while not future.done():
        wait_for([future], timeout=0.5)
    return future.result()
