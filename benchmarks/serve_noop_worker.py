"""A worker of the server that works for SECONDS and returns its input: `python serve_noop_worker.py SECONDS [leak]`.

Speaks as `upres.serve.worker` does, without pictures, so that a benchmark measures the server alone. With `leak` it
keeps a megabyte of each task, to show that the leak test can fail.
"""

from __future__ import annotations

import hashlib
import json
import os
import queue
import sys
import threading
import time
from pathlib import Path
from typing import Any

_tasks: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
_canceled = threading.Event()


def tell(**facts: Any) -> None:
    print(f"upres-child {json.dumps(facts)}", flush=True)


def listen() -> None:
    for line in sys.stdin:
        task = json.loads(line)
        if task["do"] == "cancel":
            _canceled.set()
        else:
            _tasks.put(task)
    os._exit(0)


def main() -> None:
    seconds, kept = float(sys.argv[1]), list[bytes]()
    log = os.environ.get("NOOP_LOG")
    threading.Thread(target=listen, daemon=True).start()
    tell(step="ready")
    while True:
        task = _tasks.get()
        _canceled.clear()
        if seconds and _canceled.wait(seconds):
            tell(step="canceled", task=task["task"])
            continue
        if log:
            with Path(log).open("a", encoding="utf-8") as file:
                file.write(f"{task['job']} {time.time()}\n")
        data = Path(task["source"]).read_bytes()
        if "leak" in sys.argv:
            kept.append(os.urandom(1 << 20))
        partial = Path(f"{task['target']}.partial")
        partial.write_bytes(data)
        partial.replace(task["target"])
        result = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest(), "seconds": seconds}
        times = {"look": 0.0, "open": 0.0, "read": 0.0, "run": seconds, "write": 0.0}
        tell(step="done", task=task["task"], notes=[], result=result, times=times)


if __name__ == "__main__":
    main()
