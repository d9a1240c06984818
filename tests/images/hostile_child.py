"""`upres.images.isolated_child` whose decoder does what a file tells it to, as one that a hostile file took over."""

from __future__ import annotations

import ctypes
import os
import socket
from pathlib import Path
from typing import Any

import numpy as np

from upres.images import isolated_child
from upres.images.picture import Picture


def _segfault() -> None:
    ctypes.string_at(0)


def _memory() -> None:
    np.ones(1 << 30, np.float64)  # 8 GB


def _native_memory() -> None:
    ctypes.CDLL(None).malloc.restype = ctypes.c_void_p
    if not ctypes.CDLL(None).malloc(ctypes.c_size_t(8 << 30)):
        os.abort()


def _processor() -> None:
    while True:
        pass


def _network() -> None:
    socket.create_connection(("127.0.0.1", 9), timeout=5)


def _file() -> None:
    with Path("/etc/passwd").open() as file:
        file.read()


def _write() -> None:
    with Path("/tmp/upres-was-here").open("w") as file:
        file.write("x")


def _program() -> None:
    os.execv("/bin/true", ["true"])


def _signal() -> None:
    os.kill(os.getppid(), 0)


def _truncate() -> None:
    os._exit(0)


_ACTS = {
    one.__name__[1:]: one
    for one in (
        *(_segfault, _memory, _native_memory, _processor, _network, _file, _write, _program, _signal, _truncate),
    )
}


def _act(data: bytes, **_: Any) -> Any:
    word = data.rpartition(b"\n")[2].decode()
    if word == "nonsense":
        return np.zeros(3, np.uint8)
    if word in _ACTS:
        _ACTS[word]()
    return Picture(np.full((2, 3, 3), os.getpid() % 1000 / 1000, np.float32))


def main(arguments: list[str]) -> int:
    isolated_child._function = lambda name: _act
    return isolated_child.main(arguments)
