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
from collections.abc import Iterator
from pathlib import Path

from upres.errors import UpresError

sys.path.insert(0, str(Path(__file__).resolve().parent))
from fuzz_readers import Reader, readers

MOST_S = 10.0  # of processor time, that one file may take


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
        begun = time.process_time()  # other programs may stop this one
        try:
            reader.read(data)
        except UpresError:
            pass
        except Exception as error:  # any other is what is looked for
            yield number, data, f"{type(error).__name__}: {error}"
        if time.process_time() - begun > MOST_S:
            yield number, data, f"took {time.process_time() - begun:.0f} s of the processor"


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
