"""libvips, set up once for the package: what it may load, how many threads it has, and what a fork leaves of it."""

# pyright: reportUnknownMemberType=false, reportMissingTypeStubs=false
# pyvips has no types.

from __future__ import annotations

import os

import pyvips

from upres.errors import ForkedError

pyvips.block_untrusted_set(True)  # libvips' own list of rarely fuzzed loaders, besides our list of formats
pyvips.cache_set_max(0)  # the cache would keep whole pictures alive

_user_pid: int | None = None  # the process in which libvips has started its worker threads


def set_threads(count: int) -> None:
    """How many threads the codecs may use; 0 is one per core."""
    pyvips.concurrency_set(count or os.cpu_count() or 1)  # pyright: ignore[reportAttributeAccessIssue]  # made by cffi at run time


def begin_pixels() -> None:
    """Call before libvips computes pixels, which starts its worker threads.

    A forked child inherits libvips' list of threads but not the threads, and would wait for them forever.

    Raises:
        ForkedError: libvips computed pixels in the parent before this process was forked.
    """
    global _user_pid
    if _user_pid is None:
        _user_pid = os.getpid()
    elif _user_pid != os.getpid():
        raise ForkedError(
            f"process {os.getpid()} was forked from {_user_pid} after that one had decoded or encoded a picture, and libvips "
            "does not survive a fork: start workers with multiprocessing's 'forkserver' or 'spawn', or let the parent "
            "decode no picture before it forks"
        )
