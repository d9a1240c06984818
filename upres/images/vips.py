"""Process-wide libvips settings, a guard against use after a fork, and `attempt`: one failure, one reason."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportMissingTypeStubs=false
# pyvips is untyped; this module annotates what it returns.

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from upres.system.fork import ForkGuard
from upres.system.packages import import_failure
from upres.system.text import first_line

# Warnings of libvips are told by nobody: reasons come from its errors, and damage from the readers.
os.environ.setdefault("VIPS_WARNING", "1")
try:
    import pyvips as pyvips  # what other modules import from here

    # pyvips has them logged by Python in a thread of libvips. Where the garbage collector runs in that moment, it frees
    # regions of other threads there, at which libvips ends the process.
    pyvips._remove_log_handler()  # pyright: ignore[reportPrivateUsage]  # there is no public way
except (ImportError, OSError) as error:  # OSError: the package without its library
    raise import_failure("reading and writing pictures", "", "pyvips", error) from error

T = TypeVar("T")

pyvips.block_untrusted_set(True)  # disable rarely fuzzed loaders, in addition to our list of formats
pyvips.cache_set_max(0)  # the operation cache would keep whole pictures alive

_threads = 0
_guard = ForkGuard(
    "libvips had decoded or encoded a picture there; libvips does not survive a fork, so use multiprocessing's "
    "'forkserver' or 'spawn', or fork before reading or writing pictures"
)


class VipsError(Exception):
    """An operation of libvips failed. The message is the first line of libvips' text: the cause, not its callers."""


def set_threads(count: int) -> None:
    """Set the number of codec threads; 0 is one per core."""
    global _threads
    _threads = count
    # pyvips adds the function at run time, by cffi.
    pyvips.concurrency_set(count or os.cpu_count() or 1)  # pyright: ignore[reportAttributeAccessIssue]


def threads() -> int:
    """The number of codec threads that was set; 0 is one per core."""
    return _threads


def codec_version() -> str:
    """ "libvips 8.18.7": results of one version have the same bytes."""
    return "libvips " + ".".join(str(pyvips.version(part)) for part in range(3))


def begin_pixels() -> None:
    """Call before libvips computes pixels, which starts its worker threads.

    A forked child inherits libvips' list of threads but not the threads, and would wait for them forever.

    Raises:
        ForkedError: libvips computed pixels in the parent before this process was forked.
    """
    _guard.enter()


def attempt(work: Callable[[], T]) -> T:
    """What `work` returns, which calls libvips.

    libvips appends the errors of all threads to one text for the whole process. So the text is cleared before `work`,
    and where other calls ran meanwhile, a `work` that fails is repeated alone, for a text of its own: `work` must be
    repeatable, and must not call `attempt`.

    Raises:
        VipsError: libvips failed.
    """
    with _calls.shared() as call:
        try:
            return work()
        except (pyvips.Error, UnicodeDecodeError) as error:
            reason = _reason(error)
            cause = error
    if call.alone:
        raise VipsError(reason) from cause
    with _calls.exclusive():
        try:
            return work()
        except (pyvips.Error, UnicodeDecodeError) as error:
            raise VipsError(_reason(error)) from error


def attempt_once(work: Callable[[], T]) -> T:
    """What `work` returns, which calls libvips and may run for minutes, cannot be repeated, and may wait for others.

    If it fails while other calls run, its reason may be one of theirs.

    Raises:
        VipsError: libvips failed.
    """
    try:
        return work()
    except (pyvips.Error, UnicodeDecodeError) as error:
        _calls.disturb()
        raise VipsError(_reason(error)) from error


def load(source: Path | bytes, loader: str, fail_on: str, **options: Any) -> Any:
    """A pyvips image with only its header read, by a loader such as "pngload"; call it within `attempt`.

    Its pixels are computed when they are asked for, from top to bottom, once. `fail_on` is "error" or "warning";
    `options` are those of the loader (n=-1: all frames, one below the other).
    """
    if isinstance(source, bytes):
        stream = pyvips.Source.new_from_memory(source)
    else:
        path: Any = os.fsencode(source)  # file names need not be UTF-8
        stream = pyvips.Source.new_from_file(path)
    return pyvips.Operation.call(f"{loader}_source", stream, access="sequential", fail_on=fail_on, **options)


class _Call:
    """A call under way; `alone` until another one runs at the same time."""

    alone = True


class _Calls:
    """Calls of libvips under way: any number of shared ones, or one that is exclusive."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._running: set[_Call] = set()
        self._exclusive = 0  # under way or waiting: no shared call begins

    @contextmanager
    def shared(self) -> Generator[_Call]:
        call = _Call()
        with self._changed:
            self._wait(lambda: not self._exclusive)
            if self._running:
                call.alone = False
                for other in list(self._running):
                    other.alone = False
            else:
                _clear()
            self._running.add(call)
        try:
            yield call
        finally:
            self._running.discard(call)  # outside the lock: Ctrl-C may strike at it
            with self._changed:
                self._changed.notify_all()

    @contextmanager
    def exclusive(self) -> Generator[None]:
        call = _Call()
        with self._changed:
            self._exclusive += 1
            try:
                self._wait(lambda: not self._running)
                _clear()
                self._running.add(call)
            except BaseException:
                self._exclusive -= 1
                self._changed.notify_all()
                raise
        try:
            yield
        finally:
            self._running.discard(call)
            with self._changed:
                self._exclusive -= 1
                self._changed.notify_all()

    def disturb(self) -> None:
        """The calls under way may have the text of an error that is not theirs."""
        with self._changed:
            for call in self._running:
                call.alone = False

    def _wait(self, ready: Callable[[], bool]) -> None:
        while not self._changed.wait_for(ready, timeout=1.0):  # looks again: Ctrl-C may have cost us the notice
            pass


_calls = _Calls()


def _forget_calls() -> None:
    global _calls
    _calls = _Calls()  # the threads that ran them exist in the parent only


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_calls)


def _reason(error: pyvips.Error | UnicodeDecodeError) -> str:
    """The cause, and libvips' text cleared.

    pyvips raises UnicodeDecodeError where the text is not UTF-8, as in that of a file with a Latin-1 name.
    """
    if isinstance(error, UnicodeDecodeError):
        text = _text() or f"libvips returned text that is not UTF-8: {error.object!r}"
        _clear()
    else:
        text = error.detail or error.message
    return first_line(text) or "no reason given"


def _text() -> str:
    api: Any = pyvips
    return api.ffi.string(api.vips_lib.vips_error_buffer()).decode("utf-8", "replace")


def _clear() -> None:
    api: Any = pyvips
    api.vips_lib.vips_error_clear()
