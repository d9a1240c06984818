"""Decoding in child processes that may be lost: `with isolated(): read_picture(...)`.

A child decodes one picture after the other, with limits by the system: memory, processor time, no network, no files but
Python's own (`system.confine`). It gets the bytes of a file and gives pixels by memory that both share. One that dies
is replaced, and its picture fails by a clear `InputError`.
"""

from __future__ import annotations

import atexit
import functools
import os
import sys
import threading
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar, cast

from upres.errors import InputError, UsageError
from upres.images.isolated_process import VARIABLE, Child, Limits
from upres.images.source import to_send

_F = TypeVar("_F", bound=Callable[..., Any])
_lock = threading.Lock()
_pool: _Pool | None = None


@contextmanager
def isolated(limits: Limits | None = None) -> Generator[None]:
    """Within it, pictures are decoded in child processes, whichever thread reads them; within another one, nothing
    changes. Processes that are started within do so too, with the limits of `Limits()`.

    Results are equal to the bit.

    Raises `UsageError` on Windows, which lacks the limits.
    """
    global _pool
    _refuse_windows()
    with _lock:
        outer, before = _pool, os.environ.get(VARIABLE)
        if outer is None or outer.pid != os.getpid():
            _pool = _Pool(limits or Limits())
            outer = None
        os.environ[VARIABLE] = "1"
        mine = _pool
    try:
        yield
    finally:
        if outer is None and mine is not None:
            with _lock:
                _pool = None
                if before is None:
                    os.environ.pop(VARIABLE, None)
            mine.close()


def _refuse_windows() -> None:
    if sys.platform == "win32":
        raise UsageError("`isolate` needs Linux or macOS: Windows has no limits of memory for a process of ours")


@contextmanager
def isolated_where_possible(limits: Limits | None = None) -> Generator[None]:
    """As `isolated`; on Windows, which lacks the limits, pictures are decoded here."""
    if sys.platform == "win32":
        yield
    else:
        with isolated(limits):
            yield


def current() -> _Pool | None:
    """What decodes in child processes now; None: decode here."""
    global _pool
    if _pool is None and os.environ.get(VARIABLE) != "1":
        return None
    _refuse_windows()
    with _lock:
        if _pool is None or _pool.pid != os.getpid():  # by the variable, or in a forked child, whose parent has it
            _pool = _Pool(Limits())
            atexit.register(_pool.close)
        return _pool


def isolatable(*kinds: type[Any]) -> Callable[[_F], _F]:
    """For a function that reads a picture, its first argument: within `isolated`, a child calls it. Its other arguments
    are given by name, and travel as JSON.

    kinds: What it returns.
    """

    return _sent_by(_Pool.ask, kinds)


def isolatable_each(*kinds: type[Any]) -> Callable[[_F], _F]:
    """As `isolatable`, for a generator."""
    return _sent_by(_Pool.stream, kinds)


def _sent_by(way: Callable[..., Any], kinds: tuple[type[Any], ...]) -> Callable[[_F], _F]:
    def decorate(function: _F) -> _F:
        @functools.wraps(function)
        def call(source: Any, **options: Any) -> Any:
            pool = current()
            if pool is None:
                return function(source, **options)
            data, name = to_send(source)
            return way(pool, f"{function.__module__}:{function.__name__}", name, data, kinds, **options)

        return cast("_F", call)

    return decorate


class _Pool:
    """Children that wait for work, and the limits of all. Close it."""

    def __init__(self, limits: Limits) -> None:
        self.pid = os.getpid()
        self._limits = limits
        self._idle: list[Child] = []
        self._lock = threading.Lock()
        # Linux ends a child with the thread that started it: this one lives as long as the pool.
        self._starter = ThreadPoolExecutor(1, "isolation")
        self._closed = False

    def ask(
        self,
        do: str,
        name: str,
        data: bytes | Path,
        kinds: tuple[type[Any], ...],
        **options: Any,
    ) -> Any:
        """What the function `do` ("MODULE:NAME") returns for a file.

        kinds: Of the result; anything else is an error of the child.

        Raises `InputError`.
        """
        child = self._take()
        try:
            answer = child.ask(do, name, data, options, kinds)
        except BaseException:
            child.end()
            raise
        self._keep(child)
        if isinstance(answer, InputError):
            raise answer
        return answer

    def stream(
        self, do: str, name: str, data: bytes | Path, kinds: tuple[type[Any], ...], **options: Any
    ) -> Iterator[Any]:
        """As `ask`, what the generator `do` yields; the child is this one's until the end."""
        child = self._take()
        try:
            yield from child.stream(do, name, data, options, kinds)
        except BaseException:  # also of a caller that wants no more: what it still has to say is nobody's
            child.end()
            raise
        self._keep(child)

    def _keep(self, child: Child) -> None:
        with self._lock:
            if not self._closed and child.alive:
                self._idle.append(child)
                return
        child.end()

    def _take(self) -> Child:
        with self._lock:
            child = self._idle.pop() if self._idle else None
        if child is not None and child.alive:
            return child
        if child is not None:
            child.end()
        return self._starter.submit(Child, self._limits).result()

    def close(self) -> None:
        """End the children."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        if self.pid == os.getpid():  # a forked child has none of them
            for child in idle:
                child.end()
            self._starter.shutdown()
