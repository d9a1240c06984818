"""The child process that decodes: `python -P .../child.py PARENT upres.images.isolated_child FD MEMORY SECONDS N`."""

from __future__ import annotations

import functools
import importlib
import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from typing import Any, TextIO, cast

from upres.system.child import tell
from upres.system.confine import confine, limit_cpu, limit_memory_by, python_paths


def main(arguments: list[str]) -> int:
    """Work until standard input ends."""
    place, memory_bytes, seconds, threads = int(arguments[0]), int(arguments[1]), float(arguments[2]), int(arguments[3])
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends it
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what libraries print must not stand among the answers
    confine(python_paths())  # before threads begin, which numpy starts: those keep what rights they have

    from upres.images.vips import set_threads

    set_threads(threads)
    limited = False
    name, going = "", iter(())
    for line in sys.stdin.buffer:
        task = json.loads(line)
        if "next" in task:
            _answer(name, functools.partial(next, going, None), place, out)
            continue
        function = _function(task["do"])
        if not limited:  # once its modules are loaded
            limit_memory_by(memory_bytes)
            limited = True
        limit_cpu(seconds)
        name = task["name"]
        going = _answer(name, functools.partial(_call, function, task, place), place, out)
    return 0


def _function(name: str) -> Callable[..., Any]:
    """The function that the parent names: "upres.images.read:read_picture"."""
    module, _, function = name.partition(":")
    return getattr(importlib.import_module(module), function)


def _call(function: Callable[..., Any], task: dict[str, Any], place: int) -> Any:
    from upres.images.source import NamedBytes

    return function(NamedBytes(_read(place, task["size"]), task["name"]), **task["options"])


def _answer(name: str, work: Callable[[], Any], place: int, out: TextIO) -> Iterator[Any]:
    """Answer with what `work` returns; with the first value of a generator, which is returned; or with its end."""
    from upres.errors import UpresError
    from upres.images.wire import Buffer, pack

    buffers: list[Buffer] = []
    going: Iterator[Any] = iter(())
    try:
        value = work()
        if isinstance(value, Iterator):
            going = cast("Iterator[Any]", value)
            value = next(going, None)
        packed = pack(value, buffers)
        os.ftruncate(place, 0)
        at = 0
        for buffer in buffers:
            at = _write(place, memoryview(buffer), at)
    except UpresError as error:
        tell(out, step="failed", text=str(error))
    except MemoryError:
        tell(out, step="failed", text=f"{name} needs more memory than isolated decoding may take")
    else:
        tell(out, step="done", value=packed)
    return going


def _read(place: int, size: int) -> bytes:
    parts: list[bytes] = []
    at = 0
    while at < size and (part := os.pread(place, min(size - at, 1 << 30), at)):
        parts.append(part)
        at += len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _write(place: int, data: memoryview, at: int) -> int:
    while data:
        written = os.pwrite(place, data[: 1 << 30], at)
        data, at = data[written:], at + written
    return at
