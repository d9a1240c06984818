"""Whether the time told before a job is the time that it takes, for twenty jobs of different kinds.

    UPRES_ASSETS=... python benchmarks/check_estimates.py [--only NUMBER,...] [--keep FILE] [--write]
    python benchmarks/check_estimates.py --join FILE [--write]

Each job is estimated and run in one process of its own, one after the other; on a machine that does nothing else, the
estimate should be within 20 % of the time. --keep adds every job to a file when it has ended, and --join makes the
table of such a file: on a machine that is quiet for minutes only they may be run a few at a time. --write puts the
table under benchmarks/results/.
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
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
WITHIN = 0.2
# Model, input h w, options.
JOBS: list[tuple[str, tuple[int, int], dict[str, Any]]] = [
    ("compact-x4", (256, 256), {}),
    ("compact-x4", (512, 512), {}),
    ("compact-x4", (1000, 1500), {}),
    ("compact-x4", (300, 3000), {}),
    ("compact-x4", (1000, 1000), {"exact": True}),
    ("compact-x4", (700, 700), {"tile_px": 64}),
    ("compact-x4", (700, 700), {"tile_px": 200}),
    ("compact-x4", (800, 800), {"memory_bytes": 200 << 20}),
    ("compact-x4", (800, 800), {"threads": 1}),
    ("compact-x4", (400, 400), {"tta": True}),
    ("compact-x4", (512, 512), {"engine": "onnx"}),
    ("compact-x4", (512, 512), {"engine": "openvino"}),
    ("compact-x4", (300, 300), {"engine": "torch"}),
    ("compact-x2", (1000, 1000), {}),
    ("photo-x4", (512, 512), {}),
    ("{given}/realesr-animevideov3.pth", (512, 512), {}),
    ("{given}/realesr-animevideov3.pth", (400, 400), {"exact": True}),
    ("{given}/realesrgan/RealESRGAN_x4plus_anime_6B.f16.safetensors", (200, 200), {}),
    ("{given}/realesrgan/RealESRGAN_x4plus.f16.safetensors", (128, 128), {}),
    ("{given}/realesrgan/RealESRGAN_x4plus.f16.safetensors", (128, 128), {"tile_px": 64}),
]


def one(number: int) -> None:
    """The child process: estimate and run one job, and print both times."""
    import time

    import numpy as np

    from upres.batch.estimate import estimate_seconds
    from upres.batch.job import Encoding
    from upres.batch.plan import prepare
    from upres.batch.request import Request
    from upres.batch.run import run_jobs
    from upres.engines.sample_picture import sample
    from upres.images.io import Picture, write_picture
    from upres.upscaling.options import UpscaleOptions

    class Quiet:
        def advanced(self, pixels: int) -> None: ...
        def dropped(self, pixels: int) -> None: ...
        def finished(self, outcome: object) -> None: ...

    model, (height, width), options = JOBS[number]
    tile = np.moveaxis(sample(3, 500, 500)[0], 0, 2)
    pixels = np.tile(tile, (-(-height // 500), -(-width // 500), 1))[:height, :width]
    with tempfile.TemporaryDirectory() as name:
        source, target = Path(name) / "in.png", Path(name) / "out.png"
        write_picture(Picture(np.ascontiguousarray(pixels)), source)
        named = model.replace("{given}", str(Path(os.environ["UPRES_ASSETS"]) / "weights"))
        keywords = {"engine": "ncnn"} | options
        request = Request((str(source),), str(target), model=named, options=UpscaleOptions().replace(**keywords))
        jobs = prepare(request, lambda: b"").jobs
        told = estimate_seconds(jobs)
        start = time.perf_counter()
        report = run_jobs(jobs, Encoding(), Quiet())
        took = time.perf_counter() - start
        if report.failed:
            raise SystemExit(str(report.failed[0].error))
    print(json.dumps({"told": told, "took": took}))


def measure(number: int) -> dict[str, Any]:
    """One job in a process of its own."""
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    command = [sys.executable, __file__, "--job", str(number)]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    if answer.returncode:
        sys.exit(f"job {number} failed:\n{answer.stderr}")
    return {"number": number, "load": load} | json.loads(answer.stdout.splitlines()[-1])


def row(record: dict[str, Any]) -> str:
    number: int = record["number"]
    model, (height, width), given = JOBS[number]
    words = " ".join(f"{name}={value}" for name, value in given.items())
    times = f"{record['told']:.2f} | {record['took']:.2f} | {record['told'] / record['took']:.2f}"
    return f"| {number}: {Path(model).stem} {width} x {height} {words} | {times} | {record['load']:.1f} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", metavar="NUMBERS", help="such as 0,4")
    parser.add_argument("--job", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--keep", type=Path, metavar="FILE", help="add every job to this file")
    parser.add_argument("--join", type=Path, metavar="FILE", help="make the table of this file; nothing is run")
    parser.add_argument("--write", action="store_true", help="keep the table under benchmarks/results/")
    options = parser.parse_args()
    if options.job is not None:
        one(options.job)
        return
    records: dict[int, dict[str, Any]] = {}  # the last of each number
    if options.join is not None:
        found = map(json.loads, options.join.read_text(encoding="utf-8").splitlines())
        records = {record["number"]: record for record in found}
    else:
        numbers = [int(text) for text in options.only.split(",")] if options.only else range(len(JOBS))
        for number in numbers:
            records[number] = measure(number)
            print(row(records[number]), flush=True)
            if options.keep is not None:
                with options.keep.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(records[number]) + "\n")
    lines = ["| job | told, s | took, s | told / took | load before |", "|---|---|---|---|---|"]
    lines += [row(records[number]) for number in sorted(records)]
    good = sum(abs(record["told"] / record["took"] - 1) <= WITHIN for record in records.values())
    lines += ["", f"{good} of {len(records)} within {WITHIN:.0%}."]
    print("\n".join(lines))
    if options.write:
        today = datetime.date.today()
        result = ROOT / "benchmarks" / "results" / f"estimates_{platform.machine()}_{today:%Y%m}.md"
        result.write_text(f"# Estimates against times, {today}\n\n" + "\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
