"""Whether the time left that `upres jobs --json` tells after a fifth of a job is the time that it takes.

    UPRES_ASSETS=... python benchmarks/check_eta.py [--only NUMBER,...] [--share 1.0] [--write]

Real jobs, each a process of its own, over crops of the standard test pictures in mixed sizes and formats. When a fifth
of the pixels is made, `upres jobs OUT --json` is asked, once; what it says should be within 20 % of the time from then
to the end of the job's process. --share makes shorter jobs. --write adds the table to a file
under benchmarks/results/.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

ROOT = Path(__file__).resolve().parent.parent
WITHIN, FIFTH = 0.2, 0.2


@dataclass(frozen=True)
class Collected:
    """A job: how many pictures, in what order of size, with which options, and how many of them are drawn."""

    words: str
    count: int
    order: str  # "mixed", "small first", "large first"
    options: tuple[str, ...] = ()
    drawn: int = 0  # the first of them


JOBS = (
    Collected("mixed sizes and formats, automatic choice", 90, "mixed"),
    Collected("small pictures first, compact-x4", 80, "small first", ("-n", "compact-x4")),
    Collected("large pictures first, compact-x4", 80, "large first", ("-n", "compact-x4")),
    Collected("compact-x2, two processes", 200, "mixed", ("-n", "compact-x2", "--jobs", "2")),
    Collected("drawings, then photographs, automatic choice", 80, "mixed", (), 40),
    Collected("compact-gan-x4, reduced to twice the size", 70, "mixed", ("-n", "compact-gan-x4", "-s", "2")),
)


def make_pictures(folder: Path, job: Collected, share: float) -> int:
    """Write them; returns how many."""
    assets = Path(os.environ["UPRES_ASSETS"]) / "data" / "test"
    photos = [path for name in ("BSD100", "Set14") for path in sorted((assets / name).iterdir())]
    rng = np.random.default_rng(7)
    count = max(20, round(job.count * share))
    sides = np.exp(rng.uniform(np.log(60), np.log(420), (count, 2))).astype(int)
    if job.order != "mixed":
        sides = sides[np.argsort(sides.prod(axis=1) * (1 if job.order == "small first" else -1))]
    folder.mkdir()
    for index, (height, width) in enumerate(sides):
        if index < job.drawn * share:
            picture = draw(rng, height, width)
        else:
            photo = Image.open(photos[index % len(photos)]).convert("RGB")
            height, width = min(height, photo.height), min(width, photo.width)
            top, left = rng.integers(photo.height - height + 1), rng.integers(photo.width - width + 1)
            picture = photo.crop((left, top, left + width, top + height))
        ending = ("jpg", "png", "webp")[int(rng.integers(3))]
        picture.save(folder / f"{index:04}.{ending}", **({} if ending == "png" else {"quality": 90}))
    return count


def draw(rng: np.random.Generator, height: int, width: int) -> Image.Image:
    """Flat shapes with outlines."""
    picture = Image.new("RGB", (width, height), tuple(map(int, rng.integers(200, 256, 3))))
    pen = ImageDraw.Draw(picture)
    for _ in range(12):
        x, y, r = rng.integers(width), rng.integers(height), rng.integers(5, max(6, min(height, width) // 2))
        pen.ellipse((x - r, y - r, x + r, y + r), tuple(map(int, rng.integers(0, 256, 3))), (0, 0, 0), 2)
    return picture


def pixels_of(folder: Path) -> int:
    """Of all pictures."""
    total = 0
    for path in folder.iterdir():
        with Image.open(path) as picture:
            total += picture.width * picture.height
    return total


def upres(*words: str) -> list[str]:
    return [sys.executable, "-m", "upres", *words]


def told(out: Path) -> dict[str, float]:
    """The line of the job."""
    done = subprocess.run(upres("jobs", str(out), "--json"), capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[0])


def measure(job: Collected, share: float, top: Path) -> dict[str, float]:
    """Run it: its seconds in all, the seconds left that were told and that there were."""
    from upres.batch.journal import NAME
    from upres.batch.status import read_status
    from upres.errors import DataError
    from upres.images.io import read_header

    inputs, out = top / "in", top / "out"
    count = make_pictures(inputs, job, share)
    begin = time.monotonic()
    child = subprocess.Popen(upres("upscale", str(inputs), "-o", str(out), *job.options), stderr=subprocess.PIPE)
    asked, left_s, made, total = 0.0, 0.0, 0, 0
    while child.poll() is None:
        time.sleep(0.1)
        if asked or not (out / NAME).exists():
            continue
        try:
            made = read_status(out).pixels
        except DataError:  # it is just being made
            continue
        if not total and made:
            first = next(path for path in sorted(out.iterdir()) if not path.name.startswith("."))
            source = next(inputs.glob(f"{first.stem}.*"))
            one, other = read_header(first), read_header(source)
            total = round(pixels_of(inputs) * (one.height * one.width) / (other.height * other.width))
        if total and made >= FIFTH * total:
            asked = time.monotonic()
            left_s = told(out)["left_s"]
    end = time.monotonic()
    assert child.stderr is not None
    assert child.returncode == 0, child.stderr.read()[-2000:]
    assert read_status(out).pictures == {"done": count}
    return {"count": count, "seconds": end - begin, "at": asked - begin, "told": left_s, "left": end - asked}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", metavar="NUMBERS", help="such as 0,4")
    parser.add_argument("--share", type=float, default=1.0)
    parser.add_argument("--write", action="store_true", help="add the table to the file under benchmarks/results/")
    arguments = parser.parse_args()
    chosen = [int(number) for number in arguments.only.split(",") if number] or range(len(JOBS))
    lines = ["| job | pictures | seconds | asked after | told, s | true, s | off |", "|---|---|---|---|---|---|---|"]
    good = 0
    for number in chosen:
        with tempfile.TemporaryDirectory() as folder:
            row = measure(JOBS[number], arguments.share, Path(folder))
        off = row["told"] / row["left"] - 1.0
        good += abs(off) <= WITHIN
        lines.append(
            f"| {JOBS[number].words} | {row['count']} | {row['seconds']:.1f} | {row['at']:.1f} | {row['told']:.1f} |"
            f" {row['left']:.1f} | {off:+.0%} |"
        )
        print(lines[-1], flush=True)
    lines.append(f"\n{good} of {len(chosen)} within {WITHIN:.0%}.")
    print(lines[-1])
    if arguments.write:
        today = datetime.date.today()
        place = ROOT / f"benchmarks/results/eta_{platform.machine()}-{os.cpu_count()}cores_{today:%Y%m}.md"
        before = place.read_text(encoding="utf-8") if place.exists() else "# Time left told after a fifth of a job\n"
        head = f"\n{today}, `{' '.join(['python', *sys.argv])}`:\n\n"
        place.write_text(before + head + "\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
