"""Give damaged files to every reader. Run by scripts/fuzz; a short form is tests/test_fuzz.py.

A reader may refuse a file with an error of `upres.errors`, and with nothing else: a crash, a hang or another error is
a fault. Mutations follow from the seed, the reader's name and the number of the file, so any one can be made again.
"""

from __future__ import annotations

import argparse
import random
import struct
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from upres.batch import resume
from upres.errors import UpresError
from upres.images.io import Picture, encode_picture, read_header, read_picture
from upres.weights.ncnn_file import read_ncnn
from upres.weights.read import parse_weights, write_safetensors

MOST_S = 10.0  # that one file may take


@dataclass(frozen=True, slots=True)
class Reader:
    """seeds: Whole files to damage. read: Reads one, and raises nothing but `UpresError`."""

    seeds: tuple[bytes, ...]
    read: Callable[[bytes], object]


def readers(folder: Path) -> dict[str, Reader]:
    """All readers by name. `folder` is for files of those that read only paths."""
    rng = np.random.default_rng(0)
    gray, color = (rng.random((24, 20, channels)).astype(np.float32) for channels in (1, 3))
    veil = rng.random((24, 20)).astype(np.float32)
    pictures = (Picture(color, xmp=b"<x:xmpmeta/>", dpi=(300.0, 300.0)), Picture(gray), Picture(color, veil, depth=16))
    found = {
        form: Reader(tuple(encode_picture(picture, form) for picture in pictures), _picture)
        for form in ("png", "jpeg", "webp", "tiff", "avif")
    }
    network = folder / "net.safetensors"
    write_safetensors(network, {"0.weight": rng.random((8, 3, 3, 3)).astype(np.float32)}, {})
    pickled = bytes.fromhex("80027d71002e")  # a stream of torch.save begins so: an empty dict
    found["safetensors"] = Reader((network.read_bytes(),), lambda data: parse_weights(data, "net"))
    found["pickle"] = Reader((pickled * 20,), lambda data: parse_weights(data, "net"))
    found["ncnn"] = Reader((_param().encode() + b"\0" + struct.pack("<I", 0) + bytes(4 * 84),), _ncnn_in(folder))
    settings = b'{"what": "settings", "format": 2, "settings": {"model": "a>b", "tta": ""}}'
    found["job"] = Reader((settings,), _job_in(folder))
    return found


def _picture(data: bytes) -> object:
    read_header(data)
    return read_picture(data, max_pixels=4_000_000)


def _param() -> str:
    layers = ["Input in 0 1 in", "Convolution c 1 1 in out 0=3 1=3 4=1 5=1 6=81"]
    return "\n".join(["7767517", "2 2", *layers, ""])


def _ncnn_in(folder: Path) -> Callable[[bytes], object]:
    def read(data: bytes) -> object:
        param, _, weights = data.partition(b"\0")
        (folder / "a.param").write_bytes(param)
        (folder / "a.bin").write_bytes(weights)
        return read_ncnn(folder / "a.param", folder / "a.bin")

    return read


def _job_in(folder: Path) -> Callable[[bytes], object]:
    def read(data: bytes) -> object:
        (folder / resume.NAME).write_bytes(data)
        return resume.check(folder, {}, 1)

    return read


def damaged(data: bytes, chance: random.Random) -> bytes:
    """`data` with one to four changes: bits, bytes, lengths, zeros, cuts, repeats."""
    result = bytearray(data)
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(max(1, len(result)))
        size = chance.choice((1, 2, 4, 8, 64, len(result) // 2))
        kind = chance.randrange(7)
        if kind == 0 and result:
            result[at % len(result)] ^= 1 << chance.randrange(8)
        elif kind == 1:
            result[at : at + size] = chance.randbytes(min(size, 64))
        elif kind == 2:
            result[at : at + 4] = struct.pack(chance.choice("<>") + "I", chance.choice((0, 1, 2**31 - 1, 2**32 - 1)))
        elif kind == 3:
            result[at : at + size] = bytes(min(size, len(result) - at))
        elif kind == 4:
            del result[at : at + size]
        elif kind == 5:
            result[at:at] = result[at : at + size]
        else:
            del result[at:]
    return bytes(result)


def faults(name: str, reader: Reader, count: int, seed: int = 0, first: int = 0) -> Iterator[tuple[int, bytes, str]]:
    """(number, file, fault) of each damaged file, from number `first` on, that did more than be read or be refused."""
    for number in range(first, first + count):
        chance = random.Random(f"{seed} {name} {number}")
        data = damaged(chance.choice(reader.seeds), chance)
        begun = time.monotonic()
        try:
            reader.read(data)
        except UpresError:
            pass
        except Exception as error:  # any other is what is looked for
            yield number, data, f"{type(error).__name__}: {error}"
        if time.monotonic() - begun > MOST_S:
            yield number, data, f"took {time.monotonic() - begun:.0f} s"


def main() -> int:
    """Exit code 1 if there are faults; their files are kept in --out."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("readers", nargs="*", help="all by default")
    parser.add_argument("--count", type=int, default=20_000, help="files for each reader")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="number of the first file")
    parser.add_argument("--out", type=Path, default=Path("fuzz-faults"), help="folder for the files with faults")
    asked = parser.parse_args()
    found = 0
    with tempfile.TemporaryDirectory() as folder:
        every = readers(Path(folder))
        for name in asked.readers or every:
            begun = time.monotonic()
            for number, data, words in faults(name, every[name], asked.count, asked.seed, asked.first):
                found += 1
                asked.out.mkdir(parents=True, exist_ok=True)
                (asked.out / f"{name}_{asked.seed}_{number}").write_bytes(data)
                print(f"{name} {number}: {words}", flush=True)
            print(f"{name}: {asked.count} files in {time.monotonic() - begun:.0f} s", flush=True)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
