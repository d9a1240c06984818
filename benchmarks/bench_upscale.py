"""The same picture and the same weights through upres, torch eager (as RealESRGANer does it) and ONNX Runtime: whole
processes, in turn.

    UPRES_ASSETS=... python benchmarks/bench_upscale.py [--rounds 5] [--write]

Compact: realesr-animevideov3 from UPRES_ASSETS, 512 x 512. RRDB: 23 blocks of random weights, 256 x 256. Every round
runs all three programs one after the other; ratios are taken within a round, so a machine that changes its speed does
not change them. --write puts the tables under benchmarks/results/. Needs the extras `torch` and `onnx`.
"""

from __future__ import annotations

import argparse
import datetime
import importlib.metadata
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from upres.export.export import write_onnx
from upres.images.io import Picture, read_picture, write_picture
from upres.images.resize import imresize
from upres.models.load import load_model
from upres.system.cores import cores
from upres.system.hardware import processor

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("ncnn", "torch", "onnxruntime", "pyvips-binary", "numpy")


def run(command: list[str]) -> tuple[float, float]:
    """Wall seconds and peak memory in MB of one process; stops the benchmark if it fails.

    Linux counts this process's own memory into a child's peak (it is that of the fork), so nothing large is imported
    here.
    """
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, cwd=ROOT)
    assert process.stderr is not None
    words = process.stderr.read().decode()
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - start
    if status:
        sys.exit(f"{' '.join(command)} failed:\n{words}")
    return seconds, usage.ru_maxrss / 1024.0


def compare(title: str, weights: Path, family: str, size: int, folder: Path, rounds: int) -> list[str]:
    """One table: medians of time, peak memory, and the ratio to ours within each round."""
    picture = folder / f"{size}.png"
    write_picture(
        Picture(imresize(read_picture(ROOT / "examples" / "astronaut.png").pixels, size=(size, size))), picture
    )
    onnx_file = folder / f"{family}.onnx"
    write_onnx(load_model(str(weights)).graph, onnx_file)
    out = [str(folder / f"{family}_{name}.png") for name in ("ours", "torch", "ort")]
    here = Path(__file__).resolve().parent
    commands = {
        "upres (ncnn)": [
            sys.executable,
            "-m",
            "upres",
            "upscale",
            str(picture),
            "-o",
            out[0],
            "-n",
            str(weights),
            "--overwrite",
        ],
        "torch eager, as RealESRGANer": [
            *(sys.executable, str(here / "reference_realesrganer.py")),
            *(str(picture), out[1], str(weights), family),
        ],
        "ONNX Runtime": [sys.executable, str(here / "reference_onnxruntime.py"), str(picture), out[2], str(onnx_file)],
    }
    for command in commands.values():
        run(command)  # files into the page cache
    results: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
    for _ in range(rounds):
        for name, command in commands.items():
            results[name].append(run(command))
    ours = [seconds for seconds, _ in results["upres (ncnn)"]]
    lines = [
        f"## {title}, {size} x {size}",
        "",
        "| | s, median (least to most) | peak MB | times ours |",
        "|---|---|---|---|",
    ]
    for name, measured in results.items():
        seconds = [s for s, _ in measured]
        ratio = statistics.median(s / o for s, o in zip(seconds, ours, strict=True))
        spread = f"{statistics.median(seconds):.2f} ({min(seconds):.2f} to {max(seconds):.2f})"
        lines.append(f"| {name} | {spread} | {max(m for _, m in measured):.0f} | {ratio:.2f} |")
    best = [min(results[n][i][0] for n in commands if n != "upres (ncnn)") for i in range(rounds)]
    gain = statistics.median(b / o for b, o in zip(best, ours, strict=True))
    lines += ["", f"Best of the others over ours, median of {rounds} rounds: **{gain:.2f}**."]

    ours_levels, ort_levels = (np.round(read_picture(Path(p)).pixels * 255.0) for p in (out[0], out[2]))
    differ = np.abs(ours_levels - ort_levels)
    lines.append(
        f"Ours against ONNX Runtime: {np.count_nonzero(differ)} of {differ.size} 8-bit values differ, by "
        f"{differ.max():.0f} at most "
        "(RealESRGANer pads the right and lower border by reflection, so its border differs)."
    )
    command = [sys.executable, str(here / "breakdown.py"), *commands["upres (ncnn)"][4:]]
    parts = [
        json.loads(subprocess.run(command, capture_output=True, check=True, cwd=ROOT).stdout) for _ in range(rounds)
    ]
    mean = {key: statistics.median(part[key] for part in parts) for key in ("start", "job", "engine", "codec", "rest")}
    lines.append(
        f"Where ours goes: start-up (interpreter, imports) {mean['start']:.2f} s; then {mean['job']:.2f} s, of which "
        "engine "
        f"{mean['engine']:.2f}, codec {mean['codec']:.2f}, all else {mean['rest']:.2f} "
        f"({100 * mean['rest'] / mean['job']:.1f} %)."
    )
    return [*lines, ""]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--compact-px", type=int, default=512)
    parser.add_argument("--rrdb-px", type=int, default=256)
    parser.add_argument("--write", action="store_true", help="keep the tables under benchmarks/results/")
    options = parser.parse_args()
    assets = os.environ.get("UPRES_ASSETS")
    if not assets:
        sys.exit("UPRES_ASSETS must name the folder that holds weights/realesr-animevideov3.pth")
    today = datetime.date.today()
    lines = [f"# Upscaling, whole processes, {today}", "", f"{processor()}; Python {platform.python_version()}; "]
    lines[-1] += ", ".join(f"{name} {importlib.metadata.version(name)}" for name in PACKAGES) + "."
    lines += [f"`python benchmarks/bench_upscale.py --rounds {options.rounds}`. PNG in, PNG out, one codec for all."]
    lines += ["Times of a shared machine: trust the ratios.", ""]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rrdb = folder / "rrdb.pth"
        subprocess.run(
            [sys.executable, str(ROOT / "benchmarks" / "reference_realesrganer.py"), "--random-rrdb", str(rrdb)],
            check=True,
        )
        compact = Path(assets) / "weights" / "realesr-animevideov3.pth"
        lines += compare(
            "realesr-animevideov3 (SRVGGNetCompact 64 x 16)",
            compact,
            "compact",
            options.compact_px,
            folder,
            options.rounds,
        )
        lines += compare("RRDBNet, 23 blocks, random weights", rrdb, "rrdb", options.rrdb_px, folder, options.rounds)
    text = "\n".join(lines)
    print(text)
    if options.write:
        target = ROOT / "benchmarks" / "results" / f"upscale_{platform.machine()}-{cores()}cores_{today:%Y%m}.md"
        target.write_text(text, encoding="utf-8")
        print(target)


if __name__ == "__main__":
    main()
