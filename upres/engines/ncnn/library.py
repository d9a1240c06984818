"""Imports ncnn, with threads that sleep soon when they wait for each other.

ncnn's wheels bring GNU's OpenMP, whose threads spin for milliseconds at the end of every layer. Beside one busy process
a layer then waits for a thread that the spinning keeps off its core: a tile of 64 px took 570 ms instead of 18. Short
spinning costs nothing measurable on a quiet machine (docs/log.md, 2026-11-30).
"""

# pyright: reportMissingTypeStubs=false

from __future__ import annotations

import os

from upres.system.packages import import_failure

_NAME, _SPINS = "GOMP_SPINCOUNT", "1000"  # tens of microseconds; OpenMP reads it once, when it is loaded
_GIVEN = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")

ours = not any(name in os.environ for name in _GIVEN)  # else it is the user's choice
if ours:
    os.environ[_NAME] = _SPINS
try:
    import ncnn  # pyright: ignore[reportMissingImports]
except (ImportError, OSError) as error:
    raise import_failure("every network", "", "ncnn", error) from error
finally:
    if ours:
        del os.environ[_NAME]  # other libraries and child processes choose for themselves

__all__ = ["ncnn"]
