"""Processes that have torch from their first moment: forked from one that has imported it and done nothing else.

A fresh interpreter takes two seconds of a processor for torch, and as long again for what its optimizers import. What a
program does with its own memory, signals, ranks and exit code is the same here; what a program *loads* must be tested
with a fresh one.
"""

from __future__ import annotations

import multiprocessing
import os
import socket
import sys
import warnings
from multiprocessing.process import BaseProcess
from pathlib import Path

_CONTEXT = multiprocessing.get_context("forkserver" if os.name == "posix" else "spawn")
_CONTEXT.set_forkserver_preload(["pytest", "torch", "torch._dynamo", "torch.distributed", "upres.training.loop"])
_TIMEOUT_S = 300.0


def start(
    program: str, *arguments: str, environment: dict[str, str] | None = None, words: Path | None = None
) -> BaseProcess:
    """Run `program` as `python -W error -c` would, in this process's environment and `environment`, its stderr into the
    file `words`.
    """
    whole = dict(os.environ) | (environment or {})
    process = _CONTEXT.Process(target=_run, args=(program, arguments, whole, words), daemon=True)
    process.start()
    return process


def run_ranks_of(program: str, count: int, folder: Path) -> list[tuple[int | None, str]]:
    """Run `program` with the argument `folder` as `count` ranks on the loopback device; the exit code and the stderr of
    each.
    """
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = str(listener.getsockname()[1])
    place = {"WORLD_SIZE": str(count), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    if sys.platform == "linux":
        place["GLOO_SOCKET_IFNAME"] = "lo"
    files = [folder / f"words_of_{rank}" for rank in range(count)]
    ranks = [
        start(program, str(folder), environment=place | {"RANK": str(rank)}, words=file)
        for rank, file in enumerate(files)
    ]
    try:
        for rank in ranks:
            rank.join(_TIMEOUT_S)
    finally:
        for rank in ranks:
            rank.kill()
            rank.join()
    return [(rank.exitcode, file.read_text()) for rank, file in zip(ranks, files, strict=True)]


def _run(program: str, arguments: tuple[str, ...], environment: dict[str, str], words: Path | None) -> None:
    import torch

    os.environ.clear()
    os.environ.update(environment)
    if words is not None:
        os.dup2(os.open(words, os.O_WRONLY | os.O_CREAT), 2)
    sys.argv = ["-c", *arguments]
    warnings.simplefilter("error")
    torch.set_num_threads(1)
    exec(compile(program, "<program>", "exec"), {"__name__": "__main__"})
