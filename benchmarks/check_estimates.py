"""Whether the time told before a job is the time that it takes, for twenty jobs of different kinds.

    UPRES_ASSETS=... python benchmarks/check_estimates.py [--only NUMBER,...] [--write]

Each job is estimated and run in one process of its own, one after the other; on a machine that does nothing else, the
estimate should be within 20 % of the time. --write puts the table under benchmarks/results/.
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

    from upres.batch.job import Encoding
    from upres.batch.plan import prepare
    from upres.batch.request import Request
    from upres.batch.run import estimate_seconds, run_jobs
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", metavar="NUMBERS", help="such as 0,4")
    parser.add_argument("--job", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--write", action="store_true", help="keep the table under benchmarks/results/")
    options = parser.parse_args()
    if options.job is not None:
        one(options.job)
        return
    numbers = [int(text) for text in options.only.split(",")] if options.only else range(len(JOBS))
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    lines = [
        f"Load average at the start {load:.1f}.",
        "",
        "| job | told, s | took, s | told / took |",
        "|---|---|---|---|",
    ]
    good = 0
    for number in numbers:
        model, (height, width), given = JOBS[number]
        answer = subprocess.run(
            [sys.executable, __file__, "--job", str(number)], capture_output=True, text=True, check=False
        )
        if answer.returncode:
            sys.exit(f"job {number} failed:\n{answer.stderr}")
        found = json.loads(answer.stdout.splitlines()[-1])
        ratio = found["told"] / found["took"]
        good += 1 - WITHIN <= ratio <= 1 + WITHIN
        words = " ".join(f"{name}={value}" for name, value in given.items())
        times = f"{found['told']:.2f} | {found['took']:.2f} | {ratio:.2f}"
        lines.append(f"| {number}: {Path(model).stem} {width} x {height} {words} | {times} |")
        print(lines[-1], flush=True)
    lines += ["", f"{good} of {len(numbers)} within {WITHIN:.0%}."]
    print(lines[-1])
    if options.write:
        today = datetime.date.today()
        result = ROOT / "benchmarks" / "results" / f"estimates_{platform.machine()}_{today:%Y%m}.md"
        result.write_text(f"# Estimates against times, {today}\n\n" + "\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
