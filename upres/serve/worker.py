"""The child process that decodes and upscales: `python -P .../child.py PARENT upres.serve.worker SETTINGS`.

Each line of its standard input is a task with a number, or `{"do": "cancel", "task": NUMBER}`; the answers to a task
have its number and end with `done`, `failed` or `canceled`. Before that `free` may ask for the next task, which then
runs while the result of this one is written. A hostile picture, a crash of an engine or the end of memory costs this
process, never the server.
"""

from __future__ import annotations

import json
import os
import queue
import sys
import threading
from contextlib import nullcontext
from typing import Any

from upres.system.child import tell
from upres.system.text import parse_json

_SPARE_BYTES = 8 << 30  # of address space that engines reserve and never touch
_OVERHEAD_BYTES = 1 << 30  # of libraries, codecs and weights beyond the memory that a plan counts


def main(arguments: list[str]) -> int:
    """Work until standard input ends."""
    settings: dict[str, Any] = parse_json(arguments[0])
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what libraries print must not stand among the answers
    tasks: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
    canceled: set[int] = set()
    threading.Thread(target=_listen, args=(tasks, canceled), daemon=True).start()

    from upres.serve.work import Work  # after the listener: it takes a moment

    work = Work(settings, lambda **facts: tell(out, **facts), canceled.__contains__)
    if settings.get("limited", True):
        from upres.system.memory import limit_memory

        limit_memory(_SPARE_BYTES, settings["memory_bytes"] + _OVERHEAD_BYTES)
    from upres.images.isolation import isolated_where_possible

    with isolated_where_possible() if settings.get("isolate", True) else nullcontext():
        tell(out, step="ready")
        while (task := tasks.get()) is not None:
            work.do(task)
    return 0


def _listen(tasks: queue.SimpleQueue[dict[str, Any] | None], canceled: set[int]) -> None:
    for line in sys.stdin.buffer:
        task = json.loads(line)
        if task["do"] == "cancel":
            canceled.add(task["task"])
        else:
            tasks.put(task)
    os._exit(0)  # the server has ended: nobody waits for what is being done
