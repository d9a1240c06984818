"""Signals that ask a program to stop: Ctrl-C (SIGINT), SIGTERM and SIGHUP, all as KeyboardInterrupt.

The first one raises it, so that what is being written is finished; a second one ends the process at once.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Collection, Generator
from contextlib import contextmanager
from typing import Any

_NUMBERS = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)  # Windows has no SIGHUP
_last: int = signal.SIGINT


def remember(number: int) -> None:
    """Have `exit_code` and `words` tell of this signal."""
    global _last
    _last = number


def exit_code() -> int:
    """The exit code of a process that the last signal stopped, as shells count: 130, 143 or 129."""
    return 128 + _last


def words() -> str:
    """What stopped the process: "Ctrl-C", "SIGTERM" or "SIGHUP"."""
    return "Ctrl-C" if _last == signal.SIGINT else signal.Signals(_last).name


def is_interrupt(error: BaseException | None) -> bool:
    """Whether a signal to stop caused `error`.

    A KeyboardInterrupt that strikes while a thread takes a lock again, after waiting, leaves `with` nothing to release:
    it comes out as a RuntimeError ("release unlocked lock"), as from `Future.result`.
    """
    while isinstance(error, RuntimeError) and error.__context__ is not None:
        error = error.__context__
    return isinstance(error, KeyboardInterrupt)


@contextmanager
def as_interrupts() -> Generator[None]:
    """Within it, the first signal raises KeyboardInterrupt, and a second one ends the process.

    Only in the main thread, where Python allows it. Signals that are ignored (nohup) stay so.
    """
    pressed = False

    def handle(number: int, frame: object) -> None:
        nonlocal pressed
        if pressed:
            os._exit(128 + number)
        pressed = True
        remember(number)
        raise KeyboardInterrupt

    remember(signal.SIGINT)  # before a signal can strike
    before = install(handle)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def end_at_once() -> None:
    """Let a signal end this process without an exception: while it starts and ends, there is nothing to clean up."""
    install(lambda number, frame: os._exit(128 + number))


def install(handle: Callable[[int, object], None], always: Collection[int] = ()) -> dict[int, Any]:
    """Set the handler of all signals that are not ignored, and of those in `always`.

    Returns the previous ones; none outside the main thread, where nothing is set.
    """
    if threading.current_thread() is not threading.main_thread():
        return {}
    before = {number: signal.getsignal(number) for number in _NUMBERS}
    ours = [number for number in before if number in always or before[number] not in (signal.SIG_IGN, None)]
    for number in ours:
        signal.signal(number, handle)
    return {number: before[number] for number in ours}
