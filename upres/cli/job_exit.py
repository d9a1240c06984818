"""The end of `upres upscale`: its exit code, and engines that are closed or abandoned."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable

from upres.batch.job import Kept, Summary
from upres.cli.errors import BUG, DONE, OUTPUT_FAILED
from upres.system import signals
from upres.system.files import discard_unfinished
from upres.upscaling.upscaler import Upscaler


def leave(summary: Summary, kept: Kept, upscalers: Iterable[Upscaler]) -> int:
    """Close the engines; the exit code of the whole job: the most serious one."""
    code = next((code for code in (5, 4, BUG, 3) if code in summary.codes), max(summary.codes, default=DONE))
    code = signals.exit_code() if summary.interrupted else code or (OUTPUT_FAILED if kept.other else DONE)
    if summary.abandoned:
        # A thread is still inside an engine's call, and a normal exit would free the engine under it. It may be writing
        # a picture by rows.
        discard_unfinished()
        sys.stderr.flush()
        os._exit(code)
    for upscaler in upscalers:
        upscaler.close()
    return code
