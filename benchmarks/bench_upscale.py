"""The same picture and the same weights through upres and the ways of others, whole processes, in turn.

    UPRES_ASSETS=... python benchmarks/bench_upscale.py [--rounds 5] [--busy N] [--only house,compact,rrdb] [--write]
    python benchmarks/bench_upscale.py --join rounds.jsonl [--write]

Networks: the house model compact-x4 (32 wide), realesr-animevideov3 (compact 64 x 16) and RealESRGAN_x4plus (RRDB with
23 blocks; real weights, since random ones are questioned as bad tiles) from UPRES_ASSETS. Others: torch eager as
RealESRGANer runs it, ONNX Runtime, OpenVINO, and ncnn as realesrgan-ncnn-vulkan cuts pictures. Every round runs all
programs one after the other; ratios are taken within a round, so a machine that changes its speed does not change
them. Compiled modules (.pyc) are kept for all programs, as pip leaves them, whatever the environment says. Ours runs as
it does by default on a machine where nothing was measured, and once more with ncnn alone. --busy N keeps N processes
that only count running beside them. --keep adds every
round to a file when it has ended, and --join makes the tables of such a file: on a machine that is quiet for minutes
only, `--rounds 0 --folder F` makes ready, and `--rounds 1 --folder F --ready --keep rounds.jsonl` runs one round at a
time. --write puts the tables under benchmarks/results/. Needs the extras `torch`, `onnx` and `openvino`.
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
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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
TORCH, ONNX, OPENVINO = "torch eager, as RealESRGANer", "ONNX Runtime", "OpenVINO"


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


@dataclass(frozen=True)
class Network:
    """What is compared: a model, its family for the reference networks, and the side of the picture."""

    title: str
    weights: Path
    family: str
    size: int


def prepare(network: Network, folder: Path) -> None:
    """Make the picture and the model files of all programs."""
    size = network.size
    picture, onnx_file, param, binary = files_of(network, folder)
    pixels = imresize(read_picture(ROOT / "examples" / "astronaut.png").pixels, size=(size, size))
    write_picture(Picture(pixels), picture)
    graph = load_model(str(network.weights)).graph
    write_onnx(graph, onnx_file)
    write_ncnn(graph, param, binary)


def files_of(network: Network, folder: Path) -> tuple[Path, Path, Path, Path]:
    """The picture, the ONNX file and the two of ncnn."""
    name = f"{network.size}_{network.family}"
    return folder / f"{network.size}.png", folder / f"{name}.onnx", folder / f"{name}.param", folder / f"{name}.bin"


def commands_of(network: Network, folder: Path) -> dict[str, list[str]]:
    """The commands of all programs, by name."""
    family = network.family
    picture, onnx_file, param, binary = files_of(network, folder)
    here = Path(__file__).resolve().parent
    ours = [sys.executable, "-m", "upres", "upscale", str(picture), "-n", str(network.weights), "--overwrite", "-o"]

    def result(name: str) -> str:
        return str(folder / f"{family}_{name}.png")

    def reference(program: str, name: str, *arguments: str) -> list[str]:
        return [sys.executable, str(here / f"reference_{program}.py"), str(picture), result(name), *arguments]

    return {
        OURS: [*ours, result("ours")],
        OURS_NCNN: [*ours, result("ours_ncnn"), "--engine", "ncnn"],
        TORCH: reference("realesrganer", "torch", str(network.weights), family),
        ONNX: reference("onnxruntime", "ort", str(onnx_file)),
        OPENVINO: reference("openvino", "openvino", str(onnx_file)),
        NCNN: reference("realesrgan_ncnn", "ncnn", str(param), str(binary)),
    }


def one_round(commands: dict[str, list[str]], names: list[str]) -> dict[str, list[float]]:
    """Seconds and MB of each program, one after the other."""
    return {name: list(run(commands[name])) for name in names}


def difference(network: Network, folder: Path) -> str:
    """How far our result is from ONNX Runtime's."""
    ours, other = (
        np.round(read_picture(folder / f"{network.family}_{name}.png").pixels * 255.0) for name in ("ours", "ort")
    )
    differ = np.abs(ours - other)
    return f"{np.count_nonzero(differ)} of {differ.size} 8-bit values differ, by {differ.max():.0f} at most"


def table(key: str, kept: list[dict[str, Any]]) -> list[str]:
    """Medians of time, peak memory, and the ratio to ours within each round."""
    own = [record["times"][OURS][0] for record in kept]
    lines = [
        f"## {kept[0]['title']}, {kept[0]['size']} x {kept[0]['size']}",
        "",
        "| | s, median (least to most) | peak MB | times ours |",
        "|---|---|---|---|",
    ]
    for name in kept[0]["times"]:
        pairs = [
            (record["times"][name], mine) for record, mine in zip(kept, own, strict=True) if name in record["times"]
        ]
        seconds = [measured[0] for measured, _ in pairs]
        ratio = statistics.median(measured[0] / mine for measured, mine in pairs)
        spread = f"{statistics.median(seconds):.2f} ({min(seconds):.2f} to {max(seconds):.2f})"
        lines.append(f"| {name} | {spread} | {max(measured[1] for measured, _ in pairs):.0f} | {ratio:.2f} |")
    others = [name for name in (TORCH, ONNX, OPENVINO) if name in kept[0]["times"]]
    gain = statistics.median(
        min(record["times"][name][0] for name in others if name in record["times"]) / mine
        for record, mine in zip(kept, own, strict=True)
    )
    of_ncnn = statistics.median(record["times"][NCNN][0] / mine for record, mine in zip(kept, own, strict=True))
    return [
        *lines,
        "",
        f"Best of {', '.join(others)} over ours, median of {len(kept)} rounds: **{gain:.2f}**; realesrgan-ncnn's way "
        f"over ours: **{of_ncnn:.2f}**. Load average before each round: "
        f"{', '.join(format(record['load'], '.1f') for record in kept)}.",
        f"Ours against ONNX Runtime: {kept[-1]['difference']} (RealESRGANer pads the right and lower border by "
        "reflection, so its border differs).",
        "",
    ]


def tables(records: list[dict[str, Any]], how: str) -> str:
    """The page of all rounds, which are of one machine."""
    first = records[0]
    lines = [f"# Upscaling, whole processes, {first['date']}", "", f"{first['machine']}.", f"`{how}`. "]
    lines[-1] += f"PNG in, PNG out, one codec for all. Beside {first['busy']} busy processes: trust the ratios."
    lines.append("")
    for key in dict.fromkeys(record["network"] for record in records):
        lines += table(key, [record for record in records if record["network"] == key])
    return "\n".join(lines)


@contextmanager
def busy(count: int) -> Generator[None]:
    """`count` processes that only count, at our own priority."""
    others = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for other in others:
            other.kill()
            other.wait()


def machine() -> str:
    """The processor and the versions of what runs."""
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in PACKAGES)
    return f"{processor()}; Python {platform.python_version()}, {versions}"


def networks(assets: Path, compact_px: int, rrdb_px: int) -> dict[str, Network]:
    """By the names of --only."""
    house = ROOT / "upres" / "models" / "bundled" / "compact-x4.safetensors"
    compact = assets / "weights" / "realesr-animevideov3.pth"
    rrdb = assets / "weights" / "realesrgan" / "RealESRGAN_x4plus.f16.safetensors"
    return {
        "house": Network("compact-x4, the house model", house, "residual", compact_px),
        "compact": Network("realesr-animevideov3 (compact 64 x 16)", compact, "compact", compact_px),
        "rrdb": Network("RealESRGAN_x4plus (RRDB, 23 blocks)", rrdb, "rrdb", rrdb_px),
    }


def measure(network: Network, key: str, options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """The rounds of one network, each when it has ended."""
    with tempfile.TemporaryDirectory() as name:
        folder = options.folder or Path(name)
        folder.mkdir(exist_ok=True)
        as_installed(folder)
        commands = commands_of(network, folder)
        names = [known for known in commands if known not in options.without.split(";")]
        if not options.ready:
            prepare(network, folder)
            for known in names:
                run(commands[known])  # files into the page cache, modules compiled
        for _ in range(options.rounds):
            load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
            with busy(options.busy):
                times = one_round(commands, names)
            yield {
                "network": key,
                "title": network.title,
                "size": network.size,
                "busy": options.busy,
                "date": str(datetime.date.today()),
                "machine": machine(),
                "load": load,
                "times": times,
                "difference": difference(network, folder),
            }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--busy", type=int, default=0, metavar="N", help="processes that run beside")
    parser.add_argument("--only", default="house,compact,rrdb", metavar="NAMES")
    parser.add_argument(
        "--without", default="", metavar="PROGRAMS", help="names of programs to leave out, with ; between them"
    )
    parser.add_argument("--compact-px", type=int, default=512)
    parser.add_argument("--rrdb-px", type=int, default=256)
    parser.add_argument("--keep", type=Path, metavar="FILE", help="add every round to this file")
    parser.add_argument("--folder", type=Path, help="for pictures, models and compiled modules, which stay there")
    parser.add_argument("--ready", action="store_true", help="the folder has all of it")
    parser.add_argument("--join", type=Path, metavar="FILE", help="make the tables of this file; nothing is run")
    parser.add_argument("--write", action="store_true", help="keep the tables under benchmarks/results/")
    options = parser.parse_args()
    records: list[dict[str, Any]] = []
    if options.join is not None:
        records = [json.loads(line) for line in options.join.read_text(encoding="utf-8").splitlines()]
    else:
        assets = os.environ.get("UPRES_ASSETS")
        if not assets:
            sys.exit("UPRES_ASSETS must name the folder that holds weights/realesr-animevideov3.pth")
        known = networks(Path(assets), options.compact_px, options.rrdb_px)
        for key in options.only.split(","):
            for record in measure(known[key], key, options):
                records.append(record)
                if options.keep is not None:
                    with options.keep.open("a", encoding="utf-8") as file:
                        file.write(json.dumps(record) + "\n")
    if not records:
        return
    beside = records[0]["busy"]
    text = tables(records, f"python benchmarks/bench_upscale.py --busy {beside}")
    print(text)
    if options.write:
        suffix = f"_busy{beside}" if beside else ""
        name = f"upscale_{platform.machine()}-{cores()}cores{suffix}_{datetime.date.today():%Y%m}.md"
        target = ROOT / "benchmarks" / "results" / name
        target.write_text(text, encoding="utf-8")
        print(target)


if __name__ == "__main__":
    main()
