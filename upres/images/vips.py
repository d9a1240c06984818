"""Process-wide libvips settings: permitted loaders, threads, and a guard against use after a fork."""

# pyright: reportUnknownMemberType=false, reportMissingTypeStubs=false

from __future__ import annotations

import os

import pyvips

from upres.system.fork import ForkGuard

pyvips.block_untrusted_set(True)  # disable rarely fuzzed loaders, in addition to our list of formats
pyvips.cache_set_max(0)  # the operation cache would keep whole pictures alive

_guard = ForkGuard(
    "libvips had decoded or encoded a picture there; libvips does not survive a fork, so use multiprocessing's "
    "'forkserver' or 'spawn', or fork before reading or writing pictures"
)


def set_threads(count: int) -> None:
    """Set the number of codec threads; 0 is one per core."""
    # pyvips adds the function at run time, by cffi.
    pyvips.concurrency_set(count or os.cpu_count() or 1)  # pyright: ignore[reportAttributeAccessIssue]


def begin_pixels() -> None:
    """Call before libvips computes pixels, which starts its worker threads.

    A forked child inherits libvips' list of threads but not the threads, and would wait for them forever.

    Raises:
        ForkedError: libvips computed pixels in the parent before this process was forked.
    """
    _guard.enter()
