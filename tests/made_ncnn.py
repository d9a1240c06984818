"""ncnn files made in tests: lines of a `.param`, and weights as its `.bin` stores them."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np

HALF, INT8 = 0x01306B47, 0x000D4B38


def tagged(array: np.ndarray, half: bool = False) -> bytes:
    """Weights behind their tag, padded to four bytes."""
    data = array.astype("<f2" if half else "<f4").tobytes()
    return struct.pack("<I", HALF if half else 0) + data + bytes(-len(data) % 4)


def raw(array: np.ndarray) -> bytes:
    return array.astype("<f4").tobytes()


def param(lines: list[str]) -> str:
    blobs = {
        word
        for line in lines
        for word in line.split()[4 + int(line.split()[2]) : 4 + int(line.split()[2]) + int(line.split()[3])]
    }
    return "\n".join(["7767517", f"{len(lines)} {len(blobs)}", *lines, ""])


def write(folder: Path, lines: list[str], data: bytes, name: str = "net") -> Path:
    """`name.param` and `name.bin`; the path of the first."""
    (folder / f"{name}.param").write_text(param(lines))
    (folder / f"{name}.bin").write_bytes(data)
    return folder / f"{name}.param"


def bilinear_x2(folder: Path, kernel: int = 3, seed: int = 0) -> Path:
    """Bilinear enlargement by 2 plus a little of a convolution with Mish: two layers that our graph does not have."""
    rng = np.random.default_rng(seed)
    first = rng.normal(0, 0.1, (8, 3, kernel, kernel)).astype(np.float32)
    last = rng.normal(0, 0.01, (3, 8, 3, 3)).astype(np.float32)
    lines = [
        "Input in0 0 1 in0",
        "Split splitncnn_0 1 2 in0 1 2",
        f"Convolution conv_0 1 1 2 3 0=8 1={kernel} 4={kernel // 2} 5=1 6={first.size}",
        "Mish mish 1 1 3 4",
        f"Convolution conv_1 1 1 4 5 0=3 1=3 4=1 5=0 6={last.size}",
        "BinaryOp add 2 1 1 5 6 0=0",
        "Interp up 1 1 6 out0 0=2 1=2.000000e+00 2=2.000000e+00",
    ]
    return write(folder, lines, tagged(first, half=True) + raw(rng.normal(0, 0.1, 8)) + tagged(last))


def halving(folder: Path) -> Path:
    """A branch of half size and back, added to the input: as the U-nets of Real-CUGAN have it. Only even sides fit."""
    down, up = np.zeros((3, 3, 2, 2)), np.zeros((3, 3, 2, 2))
    down[np.arange(3), np.arange(3)] = 0.25
    up[np.arange(3), np.arange(3)] = 0.02
    lines = [
        "Input in 0 1 in",
        "Split s 1 2 in a b",
        "Convolution d 1 1 a c 0=3 1=2 3=2 5=0 6=36",
        "Deconvolution u 1 1 c e 0=3 1=2 3=2 5=0 6=36",
        "BinaryOp k 1 1 b f 0=2 1=1 2=0.98",
        "BinaryOp add 2 1 f e out 0=0",
    ]
    return write(folder, lines, tagged(down) + tagged(up), name="half")
