"""Decoding in child processes that may be lost: `with isolated(): read_picture(...)`.

A child decodes one picture after the other, with limits by the system: memory, processor time, no network, no files but
Python's own (`system.confine`). It gets the bytes of a file and gives pixels by memory that both share. One that dies
is replaced, and its picture fails by a clear `InputError`.
"""

from __future__ import annotations

import atexit
import functools
import json
import os
import sys
import tempfile
import threading
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, TypeVar, cast

from upres.errors import InputError, UsageError
from upres.images.ifd import Entry
from upres.images.picture import Header, JpegCoding, Picture, SceneLight
from upres.images.source import to_send
from upres.images.wire import unpack
from upres.system.subprocesses import Conversation, ProcessOutcome, python_command
from upres.system.text import words_for_bytes

_F = TypeVar("_F", bound=Callable[..., Any])
VARIABLE = "UPRES_ISOLATE"  # for processes that are started within, and for users: "1"
_CHILD = "upres.images.isolated_child"  # by name: it is run, never imported
_START_S, _WAIT_S = 120.0, 600.0
_WAITS = 10.0  # time of the clock for each second of the processor: others want it too
_PIECE = 1 << 30
_CLASSES: dict[str, type[Any]] = {kind.__name__: kind for kind in (Picture, Header, Entry, JpegCoding, SceneLight)}


@dataclass(frozen=True, slots=True)
class Limits:
    """What decoding one picture may take.

    memory_bytes: Of the child beyond its libraries: samples, and pixels as float32.
    cpu_seconds: Processor time, of all its threads together.
    """

    memory_bytes: int = 4 << 30
    cpu_seconds: float = 120.0

    def __post_init__(self) -> None:
        if self.memory_bytes < 1 << 20 or self.cpu_seconds <= 0:
            raise UsageError(f"limits must be 1 MB and more than 0 s at least, got {self}")


_lock = threading.Lock()
_pool: _Pool | None = None


@contextmanager
def isolated(limits: Limits | None = None) -> Generator[None]:
    """Within it, pictures are decoded in child processes, whichever thread reads them; within another one, nothing
    changes. Processes that are started within do so too, with the limits of `Limits()`.

    Results are equal to the bit. Large pictures are whole in memory: their rows are not decoded one by one.

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

    def decorate(function: _F) -> _F:
        @functools.wraps(function)
        def call(source: Any, **options: Any) -> Any:
            pool = current()
            if pool is None:
                return function(source, **options)
            data, name = to_send(source)
            return pool.ask(f"{function.__module__}:{function.__name__}", name, data, kinds, **options)

        return cast("_F", call)

    return decorate


class _Pool:
    """Children that wait for work, and the limits of all. Close it."""

    def __init__(self, limits: Limits) -> None:
        self.pid = os.getpid()
        self._limits = limits
        self._idle: list[_Child] = []
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
        with self._lock:
            if not self._closed and child.alive:
                self._idle.append(child)
                child = None
        if child is not None:
            child.end()
        if isinstance(answer, InputError):
            raise answer
        return answer

    def _take(self) -> _Child:
        with self._lock:
            child = self._idle.pop() if self._idle else None
        if child is not None and child.alive:
            return child
        if child is not None:
            child.end()
        return self._starter.submit(_Child, self._limits).result()

    def close(self) -> None:
        """End the children."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        if self.pid == os.getpid():  # a forked child has none of them
            for child in idle:
                child.end()
            self._starter.shutdown()


class _Child:
    """One process, and the file in memory that it shares with this one. Raises OSError if it does not start."""

    def __init__(self, limits: Limits) -> None:
        from upres.images.vips import threads

        self._limits = limits
        self._file = _shared_file()
        place = self._file.fileno()
        numbers = [str(number) for number in (place, limits.memory_bytes, limits.cpu_seconds, threads())]
        environment = {**os.environ, VARIABLE: "0"}
        self._talk = Conversation([*python_command(_CHILD), *numbers], pass_fds=(place,), env=environment)
        self.alive = True

    def ask(self, do: str, name: str, data: bytes | Path, options: dict[str, Any], kinds: tuple[type[Any], ...]) -> Any:
        """The answer; an `InputError` of the picture is returned, for the child is well then."""
        size = self._give(name, data)
        task = {"do": do, "name": name, "size": size, "options": options}
        wait = _START_S + max(_WAIT_S, _WAITS * self._limits.cpu_seconds)
        try:
            answer = self._talk.ask(json.dumps(task), wait)
        except TimeoutError:
            self.alive = False
            return InputError(f"{name} was not decoded within {wait:.0f} s; check the file, or leave `isolate` out")
        if answer is None:
            self.alive = False
            return InputError(f"{name} {self._ending(self._talk.outcome())}")
        if answer.get("step") == "failed":
            return InputError(str(answer["text"]))
        try:
            classes = _CLASSES | {kind.__name__: kind for kind in kinds}
            found = unpack(answer["value"], self._take, os.fstat(self._file.fileno()).st_size, classes)
            if not isinstance(found, kinds):
                raise TypeError(f"a {type(found).__name__}")
        except (ValueError, TypeError, KeyError, AttributeError, InputError, OSError) as error:
            self.alive = False  # nothing that it says can be trusted any more
            return InputError(f"{name} made the process that decodes it answer nonsense ({error}); do not trust it")
        os.ftruncate(self._file.fileno(), 0)  # gives the memory back
        return found

    def _ending(self, outcome: ProcessOutcome) -> str:
        """Why there is no picture."""
        limits = self._limits
        if "SIGXCPU" in outcome.ending or (outcome.code == -9 and not outcome.reason):
            return f"took more than {limits.cpu_seconds:g} s of processor time, or the memory of the machine, to decode"
        if any(word in outcome.ending for word in ("alloc", "MemoryError", "memory")):
            return f"needs more than {words_for_bytes(limits.memory_bytes)} of memory to be decoded ({outcome.ending})"
        return f"cannot be decoded: the process that tried {outcome.ending}; the file is damaged, or made to do harm"

    def _give(self, name: str, data: bytes | Path) -> int:
        place = self._file.fileno()
        try:
            os.ftruncate(place, 0)
            if isinstance(data, bytes):
                _write(place, memoryview(data), 0)
                return len(data)
            with data.open("rb") as file:
                at = 0
                while piece := file.read(1 << 22):
                    _write(place, memoryview(piece), at)
                    at += len(piece)
                    if at > self._limits.memory_bytes:
                        most = words_for_bytes(self._limits.memory_bytes)
                        raise InputError(f"{name} has more than {most}, the limit of isolated decoding")
                return at
        except OSError as error:
            raise InputError(f"cannot read {name}: {error.strerror or error}; check the disk") from error

    def _take(self, at: int, buffer: memoryview) -> None:
        read = 0
        while read < len(buffer):
            part = os.preadv(self._file.fileno(), [buffer[read : read + _PIECE]], at + read)
            if not part:
                raise ValueError("the shared memory is shorter than it was")
            read += part

    def end(self) -> None:
        self.alive = False
        self._talk.end()
        self._file.close()


def _write(place: int, data: memoryview, at: int) -> None:
    while data:
        written = os.pwrite(place, data[:_PIECE], at)
        data, at = data[written:], at + written


def _shared_file() -> BinaryIO:
    """A file without a name, in memory where the system has such."""
    with suppress(AttributeError, OSError):
        return os.fdopen(os.memfd_create("upres", os.MFD_CLOEXEC), "r+b", buffering=0)
    return tempfile.TemporaryFile(buffering=0)  # type: ignore[return-value]
