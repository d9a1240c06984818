"""Whether `--memory` is the truth: the peak resident memory of whole processes, for ten sizes and four networks.

    UPRES_ASSETS=... python benchmarks/check_memory.py [--only compact-x4,...] [--quick] [--write]

Every row is one process, `upres upscale IN -o OUT --memory SIZE`; the peak is what Linux counts (ru_maxrss). A limit
holds if the peak is at most 1.1 times of it. Limits are about the least that the plan accepts, and twice that.
--write puts the table under benchmarks/results/.
"""

from __future__ import annotations

import argparse
import datetime
import os
import platform
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from upres.engines.sample_picture import sample
from upres.images.io import Picture, write_picture
from upres.system.cores import cores

ROOT = Path(__file__).resolve().parent.parent
SIZES = [
    (64, 64),
    (200, 200),
    (512, 512),
    (700, 300),
    (1000, 1000),
    (300, 3000),
    (3000, 300),
    (2000, 1500),
    (1500, 4000),
]
SIZES += [(3000, 4000)]
SLOW_PX = 250_000  # RRDB runs on smaller pictures only
MIB = 1 << 20


def picture(height: int, width: int) -> Picture:
    tile = np.moveaxis(sample(3, 512, 512)[0], 0, 2)
    tile = np.concatenate((np.concatenate((tile, tile[:, ::-1]), 1), np.concatenate((tile[::-1], tile[::-1, ::-1]), 1)))
    pixels = np.tile(tile, (-(-height // 1024), -(-width // 1024), 1))[:height, :width]
    return Picture(np.ascontiguousarray(pixels))


def run(source: Path, target: Path, model: str, memory: int | None) -> tuple[int, str]:
    """Peak bytes of one process, or 0 and the refusal."""
    command = [
        sys.executable,
        "-m",
        "upres",
        "upscale",
        str(source),
        "-o",
        str(target),
        "-n",
        model,
        "--engine",
        "ncnn",
    ]
    command += ["--overwrite"] + ([] if memory is None else ["--memory", f"{memory // MIB}M"])
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, cwd=ROOT)
    assert process.stderr is not None
    words = process.stderr.read().decode()
    _, status, usage = os.wait4(process.pid, 0)
    if status and "of memory" in words:
        return 0, words
    if status:
        sys.exit(f"{' '.join(command)} failed:\n{words}")
    return usage.ru_maxrss * 1024, words


def least(source: Path, target: Path, model: str) -> int:
    """About the least limit that is accepted: what the refusal of a small one asks for."""
    _, words = run(source, target, model, 114 * MIB)
    found = re.search(r"needs ([\d.]+) ([MG])B of memory", words)
    if found is None:
        return 114 * MIB
    return int(float(found[1]) * {"M": MIB, "G": 1024 * MIB}[found[2]] * 1.02) + 114 * MIB


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", metavar="NAMES")
    parser.add_argument("--quick", action="store_true", help="four sizes")
    parser.add_argument("--write", action="store_true", help="keep the table under benchmarks/results/")
    options = parser.parse_args()
    given = Path(os.environ["UPRES_ASSETS"]) / "weights"
    models = {
        "compact-x2": "compact-x2",
        "compact-x4": "compact-x4",
        "realesr-animevideov3": str(given / "realesr-animevideov3.pth"),
        "RealESRGAN_x4plus": str(given / "realesrgan" / "RealESRGAN_x4plus.f16.safetensors"),
    }
    lines = ["| model | LR | --memory, MB | peak, MB | of it |", "|---|---|---|---|---|"]
    print("\n".join(lines), flush=True)
    with tempfile.TemporaryDirectory() as name:
        source, target = Path(name) / "in.png", Path(name) / "out.png"
        for title, model in models.items():
            if options.only and title not in options.only.split(","):
                continue
            for height, width in SIZES[1::3] if options.quick else SIZES:
                if title == "RealESRGAN_x4plus" and height * width > SLOW_PX:
                    continue
                write_picture(picture(height, width), source)
                first = least(source, target, model)
                for memory in (first, 2 * first):
                    peak, words = run(source, target, model, memory)
                    share = f"{peak / memory:.2f}" if peak else words.strip()[:60]
                    lines.append(f"| {title} | {width} x {height} | {memory / MIB:.0f} | {peak / MIB:.0f} | {share} |")
                    print(lines[-1], flush=True)
    if options.write:
        today = datetime.date.today()
        head = (
            f"# Peak memory against --memory, {today}\n\n{platform.machine()}, {cores()} cores. `check_memory.py`.\n\n"
        )
        result = ROOT / "benchmarks" / "results" / f"memory_{platform.machine()}-{cores()}cores_{today:%Y%m}.md"
        result.write_text(head + "\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
