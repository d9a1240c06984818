"""A worker without pictures: its body is JSON that says what happens. `python fake_worker.py` speaks as the real one.

{"sleep": SECONDS, "die": SIGNAL of every attempt, "die_first": of the first one, "planned": {...}, "problem": {...},
"steps": tiles, "free": SECONDS that writing takes while the next task runs}. The result is the body again.
"""

from __future__ import annotations

import hashlib
import json
import os
import queue
import sys
import threading
import time
from functools import partial
from pathlib import Path
from typing import Any

_out = sys.stdout
_canceled = threading.Event()
_tasks: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()


_lock = threading.Lock()


def send(**facts: Any) -> None:
    with _lock:
        print(f"upres-child {json.dumps(facts)}", file=_out, flush=True)


def listen() -> None:
    for line in sys.stdin:
        task = json.loads(line)
        if task["do"] == "cancel":
            _canceled.set()
        else:
            _tasks.put(task)
    os._exit(0)


def do(task: dict[str, Any]) -> None:
    _canceled.clear()
    tell = partial(send, task=task["task"])
    if task["do"] == "measure":
        return tell(step="done", macs_per_second=1e9)
    if task["do"] == "cards":
        return tell(step="done", cards={name: {"parameters": 1, "macs_per_pixel": 1.0} for name in task["models"]})
    facts = {
        "picture": {"width": 10, "height": 10, "format": "png"},
        "model": {"name": "compact-x4", "reason": None, "other": ""},
        "size": {"width": 40, "height": 40},
        "macs": 1e6,
        "pixels": 100,
        "memory_bytes": 1,
    }
    if task["do"] == "plan":
        return tell(step="done", **facts)
    data = Path(task["source"]).read_bytes()
    try:
        wish = json.loads(data)
    except ValueError:
        wish = {}
    facts |= wish.get("planned", {})
    if task["do"] == "look":
        return tell(step="done", **facts, report={}, suited=facts["model"])
    if task["do"] == "preview":
        Path(task["target"]).write_bytes(data)
        return tell(step="done")
    if log := os.environ.get("FAKE_WORKER_LOG"):
        with Path(log).open("a", encoding="utf-8") as file:
            file.write(f"{task['job']}\n")
    tell(step="planned", **facts)
    signal = wish.get("die") or (wish.get("die_first") if not task["careful"] else None)
    if signal:
        os.kill(os.getpid(), signal)
        time.sleep(60)
    steps = wish.get("steps", 1)
    for step in range(steps):
        if _canceled.wait(wish.get("sleep", 0.0) / steps) and not wish.get("deaf"):
            return tell(step="canceled")
        tell(step="progress", share=(step + 1) / steps)
    if "problem" in wish:
        return tell(step="failed", problem=wish["problem"])
    times = {"look": 0.0, "open": 0.0, "read": 0.0, "run": wish.get("sleep", 0.0), "write": 0.0}

    def write() -> None:
        time.sleep(wish.get("free", 0.0))
        place = Path(task["target"] + ".partial")
        place.write_bytes(data)
        place.replace(task["target"])
        digest = hashlib.sha256(data).hexdigest()
        result = {"bytes": len(data), "sha256": digest, "seconds": times["run"]}
        tell(step="done", notes=[], result=result, times=times)

    if "free" in wish and not task["careful"]:
        tell(step="free")
        return threading.Thread(target=write).start()
    return write()


def main() -> None:
    threading.Thread(target=listen, daemon=True).start()
    send(step="ready")
    while True:
        do(_tasks.get())


if __name__ == "__main__":
    main()
