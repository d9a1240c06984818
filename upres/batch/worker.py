"""A thread for one kind of work, and a way to wait for its results that Ctrl-C can interrupt."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import wait as wait_for
from typing import Generic, TypeVar

_T = TypeVar("_T")


class WorkerThread(Generic[_T]):
    """A daemon thread that runs one task at a time. A daemon, because Ctrl-C must not wait minutes for an engine's
    call.
    """

    def __init__(self, name: str) -> None:
        self._inbox: queue.Queue[tuple[Future[_T], Callable[[], _T]] | None] = queue.Queue()
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    def submit(self, work: Callable[[], _T]) -> Future[_T]:
        future: Future[_T] = Future()
        self._inbox.put((future, work))
        return future

    def close(self, timeout_s: float | None = None) -> bool:
        """End the thread after its current task. Returns False if it is still running after `timeout_s`."""
        self._inbox.put(None)
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _work(self) -> None:
        while (item := self._inbox.get()) is not None:
            future, work = item
            try:
                future.set_result(work())
            except BaseException as error:  # raised in the thread that waits for the result, as concurrent.futures does
                future.set_exception(error)
            del item, future, work  # do not keep a finished picture alive until the next task


def result_of(future: Future[_T]) -> _T:
    """Wait for the result in short steps: Ctrl-C cannot interrupt an unlimited wait on Windows."""
    while not future.done():
        wait_for([future], timeout=0.5)
    return future.result()
