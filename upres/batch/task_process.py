"""A worker process of `upres upscale --jobs`: the setup and tasks come as lines of JSON, answers go back."""

from __future__ import annotations

import logging
import signal
import sys
from collections.abc import Sequence

import msgspec

from upres.batch.tasks import Setup, Task, TaskWorker
from upres.images.io import set_threads
from upres.system.child import tell


def main(arguments: Sequence[str]) -> int:
    """Answer the lines of standard input until it ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the process that started this one ends it
    logging.getLogger("upres").addHandler(logging.NullHandler())
    lines = iter(sys.stdin.buffer.readline, b"")
    setup = msgspec.json.decode(next(lines), type=Setup)
    set_threads(setup.threads)
    worker = TaskWorker(setup)
    tell(step="ready")
    for line in lines:
        answer = worker(msgspec.json.decode(line, type=Task))
        tell(step="answer", answer=msgspec.to_builtins(answer))
    return 0
