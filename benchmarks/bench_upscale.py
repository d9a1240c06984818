"""The same picture and the same weights through upres and the ways of others, whole processes, in turn.

    UPRES_ASSETS=... python benchmarks/bench_upscale.py [--rounds 5] [--busy N] [--only house,compact,rrdb] [--write]

Networks: the house model compact-x4 (32 wide), realesr-animevideov3 (compact 64 x 16) and RealESRGAN_x4plus (RRDB with
23 blocks; real weights, since random ones are questioned as bad tiles) from UPRES_ASSETS. Others: torch eager as
RealESRGANer runs it, ONNX Runtime, OpenVINO, and ncnn as realesrgan-ncnn-vulkan cuts pictures. Every round runs all
programs one after the other; ratios are taken within a round, so a machine that changes its speed does not change
them. Compiled modules (.pyc) are kept for all programs, as pip leaves them, whatever the environment says. Ours runs as
it does by default on a machine where nothing was measured, and once more with ncnn alone. --busy N keeps N processes
that only count running beside them. --write puts the tables under benchmarks/results/. Needs the extras `torch`,
`onnx` and `openvino`.
"""

from __future__ import annotations

import argparse
import datetime
import importlib.metadata
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from upres.export.export import write_onnx
from upres.export.ncnn import write_ncnn
from upres.images.io import Picture, read_picture, write_picture
from upres.images.resize import imresize
from upres.models.load import load_model
from upres.system.cores import cores
from upres.system.hardware import processor

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("ncnn", "torch", "onnxruntime", "openvino", "pyvips-binary", "numpy")
OURS, OURS_NCNN, NCNN = "upres", "upres, ncnn alone", "ncnn, as realesrgan-ncnn"


def as_installed(folder: Path) -> None:
    """Let all programs find their modules compiled, as `pip install` leaves them (else starting takes longer than a
    small picture), and ours an empty cache.
    """
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    os.environ["PYTHONPYCACHEPREFIX"] = str(folder / "pycache")
    os.environ["XDG_CACHE_HOME"] = str(folder / "cache")  # without choices of engines that were measured before


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
    graph = load_model(str(weights)).graph
    onnx_file, param, binary = (folder / f"{size}_{family}.{ending}" for ending in ("onnx", "param", "bin"))
    write_onnx(graph, onnx_file)
    write_ncnn(graph, param, binary)
    out = [str(folder / f"{family}_{name}.png") for name in ("ours", "torch", "ort", "openvino", "ncnn")]
    here = Path(__file__).resolve().parent
    ours = [sys.executable, "-m", "upres", "upscale", str(picture), "-n", str(weights), "--overwrite", "-o"]

    def reference(program: str, *arguments: str) -> list[str]:
        return [sys.executable, str(here / f"reference_{program}.py"), str(picture), *arguments]

    commands = {
        OURS: [*ours, out[0]],
        OURS_NCNN: [*ours, str(folder / f"{family}_ours_ncnn.png"), "--engine", "ncnn"],
        "torch eager, as RealESRGANer": reference("realesrganer", out[1], str(weights), family),
        "ONNX Runtime": reference("onnxruntime", out[2], str(onnx_file)),
        "OpenVINO": reference("openvino", out[3], str(onnx_file)),
        NCNN: reference("realesrgan_ncnn", out[4], str(param), str(binary)),
    }
    for command in commands.values():
        run(command)  # files into the page cache, modules compiled
    results: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
    for _ in range(rounds):
        for name, command in commands.items():
            results[name].append(run(command))
    own = [seconds for seconds, _ in results[OURS]]
    lines = [
        f"## {title}, {size} x {size}",
        "",
        "| | s, median (least to most) | peak MB | times ours |",
        "|---|---|---|---|",
    ]
    for name, measured in results.items():
        seconds = [s for s, _ in measured]
        ratio = statistics.median(s / o for s, o in zip(seconds, own, strict=True))
        spread = f"{statistics.median(seconds):.2f} ({min(seconds):.2f} to {max(seconds):.2f})"
        lines.append(f"| {name} | {spread} | {max(m for _, m in measured):.0f} | {ratio:.2f} |")
    best = [min(results[n][i][0] for n in commands if n not in (OURS, OURS_NCNN, NCNN)) for i in range(rounds)]
    gain = statistics.median(b / o for b, o in zip(best, own, strict=True))
    of_ncnn = statistics.median(results[NCNN][i][0] / own[i] for i in range(rounds))
    lines += [
        "",
        f"Best of torch, ONNX Runtime and OpenVINO over ours, median of {rounds} rounds: **{gain:.2f}**; "
        f"realesrgan-ncnn's way over ours: **{of_ncnn:.2f}**.",
    ]

    ours_levels, ort_levels = (np.round(read_picture(Path(p)).pixels * 255.0) for p in (out[0], out[2]))
    differ = np.abs(ours_levels - ort_levels)
    lines.append(
        f"Ours against ONNX Runtime: {np.count_nonzero(differ)} of {differ.size} 8-bit values differ, by "
        f"{differ.max():.0f} at most "
        "(RealESRGANer pads the right and lower border by reflection, so its border differs)."
    )
    return [*lines, ""]


@contextmanager
def busy(count: int) -> Iterator[None]:
    """`count` processes that only count, at our own priority."""
    others = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for other in others:
            other.kill()
            other.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--busy", type=int, default=0, metavar="N", help="processes that run beside")
    parser.add_argument("--only", default="house,compact,rrdb", metavar="NAMES")
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
    command = f"python benchmarks/bench_upscale.py --rounds {options.rounds} --busy {options.busy}"
    lines += [f"`{command}`. PNG in, PNG out, one codec for all."]
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    lines += [
        f"Load average at the start {load:.1f}, beside {options.busy} busy processes of ours: trust the ratios.",
        "",
    ]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        as_installed(folder)
        bundled, given = ROOT / "upres" / "models" / "bundled", Path(assets) / "weights"
        networks = {
            "house": (
                "compact-x4, the house model",
                bundled / "compact-x4.safetensors",
                "residual",
                options.compact_px,
            ),
            "compact": (
                *("realesr-animevideov3 (compact 64 x 16)", given / "realesr-animevideov3.pth", "compact"),
                options.compact_px,
            ),
            "rrdb": (
                *("RealESRGAN_x4plus (RRDB, 23 blocks)", given / "realesrgan" / "RealESRGAN_x4plus.f16.safetensors"),
                *("rrdb", options.rrdb_px),
            ),
        }
        with busy(options.busy):
            for key in options.only.split(","):
                title, weights, family, size = networks[key]
                lines += compare(title, weights, family, size, folder, options.rounds)
    text = "\n".join(lines)
    print(text)
    if options.write:
        beside = f"_busy{options.busy}" if options.busy else ""
        name = f"upscale_{platform.machine()}-{cores()}cores{beside}_{today:%Y%m}.md"
        target = ROOT / "benchmarks" / "results" / name
        target.write_text(text, encoding="utf-8")
        print(target)


if __name__ == "__main__":
    main()
