"""Journals and folders with very many rows and files: time and memory.

    python benchmarks/bench_collection.py [--rows 1000000] [--files 300000] [--empty 100000] [--small 300] [--write]

1. A journal of --rows rows, half of them open: opened (every page is checked), open items listed, and `read_status`.
2. A tenth of --files and all of --files small pictures are walked and entered: memory must be the same.
3. A job of --empty empty files: each fails by name; then the same command again.
4. A job of --small small pictures and one of a few large ones, with one process and with two.

Each in a process of its own, whose peak memory is that of the whole process.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from upres.batch.journal import NAME, Journal
from upres.images.io import Picture, write_picture

ROOT = Path(__file__).resolve().parent.parent
_MEASURED = """
import json, resource, sys, time
from pathlib import Path
start = time.perf_counter()
def told(**facts):
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"seconds": round(time.perf_counter() - start, 2), "peak_mb": round(peak), **facts}))
"""
_LIST = """
from upres.batch.journal import Journal
from upres.batch.status import read_status
start = time.perf_counter()
journal = Journal(Path(sys.argv[1]))
opened = time.perf_counter() - start
rows = sum(1 for _ in journal.data.stream("SELECT source FROM pictures WHERE state = 0"))
listed = time.perf_counter() - start
read_status(Path(sys.argv[1]))
told(opened_s=round(opened, 2), opened_and_listed_s=round(listed, 2), open_rows=rows)
"""
_WALK = """
from upres.batch.collection import Collection
from upres.batch.job import Encoding
from upres.batch.paths import Destination
from upres.batch.request import CollectionOptions, Request
start = time.perf_counter()
out = Path(sys.argv[2])
request = Request((sys.argv[1],), out=str(out), model="compact-x2", recursive=True)
collection = Collection(request, Encoding(), Destination("png", folder=out), lambda: b"", CollectionOptions())
entered = collection.journal.count(0)
claimed = len(collection.journal.claim(128))
collection.close()
told(entered=entered, claimed=claimed)
"""
_JOB = """
import subprocess
words = [sys.executable, "-m", "upres", "upscale", sys.argv[1], "-r", "-n", "compact-x2", "-o", sys.argv[2]]
done = subprocess.run(words, capture_output=True, text=True)
peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
told(exit_code=done.returncode, last_line=done.stderr.strip().splitlines()[-1], peak_of_job_mb=round(peak))
"""


_SPEED = """
import subprocess
words = [sys.executable, "-m", "upres", "upscale", sys.argv[1], "-n", "compact-x2", "-o", sys.argv[2]]
words += ["--jobs", sys.argv[3]]
subprocess.run(words, check=True, stderr=subprocess.DEVNULL)
told()
"""


def measure(program: str, *arguments: object) -> dict[str, object]:
    words = [sys.executable, "-c", _MEASURED + program, *map(str, arguments)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


def rows_in(folder: Path, count: int) -> None:
    folder.mkdir()
    Journal(folder).data.close()
    with sqlite3.connect(folder / NAME) as data:
        data.execute("INSERT INTO jobs VALUES (1, '{}', 'now')")
        data.execute(
            f"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count}) INSERT INTO pictures"
            " (job, rank, source, key, folder, target, wants, bytes, mtime_ns, state, seen)"
            " SELECT 1, 0, '/in/' || i || '.png', '/in/' || i || '.png', '', i || '.png', '/out/' || i || '.png',"
            " 1000, 0, i % 2 * 2, 0 FROM n"
        )
    data.close()


def files_in(folder: Path, count: int, content: bytes) -> None:
    """In folders of a thousand. Hard links of one file for each folder, which a walk cannot tell from files."""
    for first in range(0, count, 1000):
        place = folder / f"{first // 1000:04}"
        place.mkdir(parents=True)
        (place / "0.png").write_bytes(content)
        for index in range(1, min(1000, count - first)):
            os.link(place / "0.png", place / f"{index}.png")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--files", type=int, default=300_000)
    parser.add_argument("--empty", type=int, default=100_000)
    parser.add_argument("--small", type=int, default=300)
    parser.add_argument("--write", action="store_true", help="add the table to a file under benchmarks/results/")
    arguments = parser.parse_args()
    lines: list[str] = []

    def tell(words: str, facts: dict[str, object]) -> None:
        lines.append(f"| {words} | {', '.join(f'{name} {value}' for name, value in facts.items())} |")
        print(lines[-1], flush=True)

    with tempfile.TemporaryDirectory() as name:
        top = Path(name)
        rng = np.random.default_rng(0)
        for side, count in ((64, arguments.small), (700, arguments.small // 40)):
            for index in range(count):
                place = top / f"side{side}"
                place.mkdir(exist_ok=True)
                write_picture(Picture(rng.random((side, side, 3), np.float32)), place / f"{index}.png")
            for processes in (1, 2) if count else ():
                facts = measure(_SPEED, top / f"side{side}", top / f"made{side}-{processes}", processes)
                tell(f"{count} pictures of {side} x {side}, compact-x2, `--jobs {processes}`", facts)
        if arguments.rows:
            rows_in(top / "rows", arguments.rows)
            tell(f"journal of {arguments.rows:,} rows", measure(_LIST, top / "rows"))
        write_picture(Picture(np.zeros((2, 2, 3), np.float32)), top / "one.png")
        for count in (arguments.files // 10, arguments.files):
            if count:
                files_in(top / f"in{count}", count, (top / "one.png").read_bytes())
                tell(f"{count:,} files walked and entered", measure(_WALK, top / f"in{count}", top / f"out{count}"))
        if arguments.empty:
            files_in(top / "empty", arguments.empty, b"")
            for words in ("a job of {:,} empty files", "the same command again, {:,} empty files"):
                tell(words.format(arguments.empty), measure(_JOB, top / "empty", top / "out"))
    if arguments.write:
        today = datetime.date.today()
        place = ROOT / f"benchmarks/results/collection_{platform.machine()}-{os.cpu_count()}cores_{today:%Y%m}.md"
        before = place.read_text(encoding="utf-8") if place.exists() else "# Very many rows and files\n"
        head = f"\n{today}, `{' '.join(['python', *sys.argv])}`:\n\n| what | measured |\n|---|---|\n"
        place.write_text(before + head + "\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
