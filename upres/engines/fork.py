"""Engines do not survive a fork: a forked child inherits the pools of OpenMP and GPU drivers without their threads."""

from __future__ import annotations

from upres.system.fork import ForkGuard

_guard = ForkGuard(
    "it had opened an engine, which does not survive a fork: start workers with multiprocessing's 'forkserver' or "
    "'spawn', or open the first Upscaler in the workers"
)


def begin_engine() -> None:
    """Call before an engine is opened, and before it runs.

    Raises `ForkedError` if this process was forked after its parent had opened an engine.
    """
    _guard.enter()
