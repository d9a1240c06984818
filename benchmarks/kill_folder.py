"""Kill a folder job again and again, at random moments, and compare what comes out with an undisturbed run.

    python benchmarks/kill_folder.py [--kills 100] [--pictures 1000] [--seed 0] [--folder DIR]

After each SIGKILL: every file with a final name is whole, and stays the very file (no finished picture is done again).
At the end: the same names and the same bytes as an undisturbed run, nothing temporary, a journal without an open item.
A job that is done before enough kills have struck begins anew in another folder.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from upres.batch.journal import NAME
from upres.images.io import Picture, read_picture, write_picture
from upres.weights.read import write_safetensors


def make_model(path: Path) -> Path:
    """A compact network of four channels: the job is all reading, writing and book-keeping."""
    rng = np.random.default_rng(0)
    state = {
        "body.0.weight": rng.standard_normal((4, 3, 3, 3)).astype(np.float32) * np.float32(0.3),
        "body.0.bias": np.zeros(4, np.float32),
        "body.1.weight": np.full(4, 0.2, np.float32),
        "body.2.weight": rng.standard_normal((12, 4, 3, 3)).astype(np.float32) * np.float32(0.1),
        "body.2.bias": np.zeros(12, np.float32),
    }
    write_safetensors(path, state, {})
    return path


def make_pictures(folder: Path, count: int) -> Path:
    """Small pictures in ten subfolders, some of them twice, one in fifty no picture."""
    for index in range(count):
        place = folder / f"{index % 10}"
        place.mkdir(parents=True, exist_ok=True)
        rng = np.random.default_rng(index - index % 7 // 6)  # one in seven is as the one before
        pixels = rng.random((24, 20 + index % 13, 3), dtype=np.float32)
        if index % 50 == 49:
            (place / f"{index:05d}.png").write_bytes(b"no picture")
        else:
            write_picture(Picture(pixels), place / f"{index:05d}.png")
    return folder


def command(inputs: Path, out: Path, model: Path, *more: str) -> list[str]:
    """The job; its failures end it with exit code 3."""
    words = ("upscale", str(inputs), "-r", "-n", str(model), "-o", str(out), "--threads", "1", *more)
    return [sys.executable, "-m", "upres", *words]


def results(out: Path) -> dict[str, tuple[int, int]]:
    """The files with final names: inode and time of writing."""
    files = (path for path in out.rglob("*") if path.is_file() and not path.name.startswith("."))
    return {str(path.relative_to(out)): (path.stat().st_ino, path.stat().st_mtime_ns) for path in files}


def check_end(out: Path, whole: Path, finished: dict[str, tuple[int, int]]) -> None:
    """Raise AssertionError for anything that differs from the undisturbed run `whole`."""
    now = results(out)
    assert now.keys() == results(whole).keys(), sorted(now.keys() ^ results(whole).keys())
    again = [name for name, state in finished.items() if now[name] != state]
    assert not again, f"finished and done again: {again}"
    torn = [name for name in now if (out / name).read_bytes() != (whole / name).read_bytes()]
    assert not torn, f"other bytes: {torn}"
    left = [path.name for path in out.rglob("*") if path.name.endswith(".partial")]
    assert not left, f"left behind: {left}"
    with sqlite3.connect(out / NAME) as journal:
        states = dict(journal.execute("SELECT state, count(*) FROM pictures GROUP BY state"))
        assert journal.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    journal.close()
    assert states.keys() <= {2, 3}, f"states {states}"


def wait_for(child: subprocess.Popen[bytes], cpu_s: float) -> int | None:
    """Wait until it has used that many seconds of a processor, or ends: on a machine that is busy a second of the clock
    may not be enough to start. Returns its exit code, or None.
    """
    stat = Path(f"/proc/{child.pid}/stat")
    began = time.monotonic()
    while child.poll() is None:
        if stat.exists():
            ticks = stat.read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()[11:13]
            used = sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")
        else:
            used = time.monotonic() - began
        if used >= cpu_s:
            return None
        time.sleep(0.01)
    return child.returncode


def kill_often(top: Path, pictures: int, kills: int, seed: int, longest_s: float) -> dict[str, int]:
    """Run the whole test in `top`. longest_s: CPU seconds of a run before it is killed. Returns what was counted."""
    model, inputs, whole = make_model(top / "model.safetensors"), make_pictures(top / "in", pictures), top / "whole"
    code = subprocess.run(command(inputs, whole, model), stderr=subprocess.DEVNULL, check=False).returncode
    assert code == (3 if pictures >= 50 else 0), code
    rng, counts = random.Random(seed), {"kills": 0, "kills that struck a picture": 0, "jobs": 0, "runs": 0}
    while counts["kills"] < kills:
        out, finished = top / f"out{counts['jobs']}", dict[str, tuple[int, int]]()
        counts["jobs"] += 1
        code = -signal.SIGKILL
        while code == -signal.SIGKILL:
            counts["runs"] += 1
            child = subprocess.Popen(command(inputs, out, model), stderr=subprocess.DEVNULL)
            if counts["kills"] < kills and wait_for(child, rng.uniform(0.0, longest_s)) is None:
                child.kill()
                counts["kills"] += 1
            code = child.wait()
            now = results(out) if out.exists() else {}
            for name in now.keys() - finished.keys():
                read_picture(out / name)  # raises for a torn file
            counts["kills that struck a picture"] += any(out.rglob("*.partial")) if out.exists() else 0
            finished |= {name: state for name, state in now.items() if name not in finished}
        check_end(out, whole, finished)
    return counts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--pictures", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--longest", type=float, default=4.0, help="CPU seconds of a run before it is killed, at most")
    parser.add_argument("--folder", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        start = time.monotonic()
        counts = kill_often(Path(folder), arguments.pictures, arguments.kills, arguments.seed, arguments.longest)
        print(", ".join(f"{count} {what}" for what, count in counts.items()), f"in {time.monotonic() - start:.0f} s")
        print("same names and bytes as the undisturbed run, no finished picture done again, nothing left behind")


if __name__ == "__main__":
    main()
