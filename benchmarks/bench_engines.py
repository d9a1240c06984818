"""Every engine that is installed on the same networks, each run in a process of its own: seconds, ratio to ncnn,
agreement, memory.

    python benchmarks/bench_engines.py [--rounds 5] [--write]

Networks: the house model compact-x4, an SRVGGNetCompact of 64 x 16 and an RRDBNet of 6 blocks with random weights
(speed does not depend on them). Every round runs all engines one after the other; ratios are taken within a round, so a
machine that changes its speed does not change them. One run is the fastest of three calls after a first that is not
counted. --write puts the table under benchmarks/results/.
"""

from __future__ import annotations

import argparse
import datetime
import importlib.metadata
import importlib.util
import json
import platform
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from upres import engines
from upres.engines.sample_picture import sample
from upres.graph.architectures import graph_from_state_dict
from upres.graph.graph import Graph
from upres.models.load import load_model
from upres.system.cores import cores
from upres.system.hardware import processor

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = {"ncnn": "ncnn", "onnx": "onnxruntime", "openvino": "openvino", "torch": "torch"}
# and the side of the LR picture
NETWORKS = {"compact-x4": 256, "SRVGGNetCompact 64 x 16, x4": 256, "RRDBNet 64, 6 blocks, x4": 96}


def network(name: str) -> Graph:
    if name == "compact-x4":
        return load_model(name).graph
    rng = np.random.default_rng(0)
    state: dict[str, np.ndarray] = {}

    def conv(key: str, taken: int, given: int, gain: float = 1.0) -> None:
        state[f"{key}.weight"] = (rng.standard_normal((given, taken, 3, 3)) * gain / np.sqrt(9 * taken)).astype(
            np.float32
        )
        state[f"{key}.bias"] = np.zeros(given, np.float32)

    if name.startswith("SRVGG"):
        for index in range(18):
            conv(f"body.{2 * index}", 64 if index else 3, 48 if index == 17 else 64, 1.4 if index < 17 else 0.1)
            if index < 17:
                state[f"body.{2 * index + 1}.weight"] = np.full(64, 0.2, np.float32)
        return graph_from_state_dict(state)
    conv("conv_first", 3, 64)
    for block in range(6):
        for dense in (1, 2, 3):
            for index in range(5):
                conv(f"body.{block}.rdb{dense}.conv{index + 1}", 64 + 32 * index, 32 if index < 4 else 64, 0.5)
    for key in ("conv_body", "conv_up1", "conv_up2", "conv_hr"):
        conv(key, 64, 64)
    conv("conv_last", 64, 3, 0.3)
    return graph_from_state_dict(state)


def measure(engine: str, name: str, px: int) -> None:
    """In a process of its own: one line of JSON."""
    graph = network(name)
    lr = sample(3, px, px)
    start = time.perf_counter()
    runner = engines.load(graph, engine=engine, device="cpu", precision="fp32")
    loaded = time.perf_counter() - start
    first = runner(lr)
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        runner(lr)
        seconds.append(time.perf_counter() - start)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024.0
    part = first[0, :, ::37, ::41].ravel()  # enough to compare engines by
    macs = graph.macs_per_pixel * px * px
    print(json.dumps({"load": loaded, "run": min(seconds), "peak_mb": peak, "values": part.tolist(), "macs": macs}))


def table(name: str, px: int, names: list[str], rounds: int) -> list[str]:
    found: dict[str, list[dict[str, object]]] = {engine: [] for engine in names}
    for _ in range(rounds):
        for engine in names:
            command = [sys.executable, __file__, "--one", engine, name, str(px)]
            done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
            if done.returncode:
                sys.exit(f"{engine} on {name} failed:\n{done.stderr}")
            found[engine].append(json.loads(done.stdout.splitlines()[-1]))
    reference = np.array(found["ncnn"][0]["values"])
    lines = [f"## {name}, {px} x {px}", ""]
    lines += [
        "| engine | s a run, median (least to most) | times ncnn's | GFLOP/s | largest difference from ncnn | load, s "
        "| peak MB |"
    ]
    lines += ["|---|---|---|---|---|---|---|"]
    for engine, runs in found.items():
        seconds = [float(run["run"]) for run in runs]  # type: ignore[arg-type]
        ratio = statistics.median(s / float(o["run"]) for s, o in zip(seconds, found["ncnn"], strict=True))  # type: ignore[arg-type]
        apart = np.abs(np.array(runs[0]["values"]) - reference).max()
        load = statistics.median(float(run["load"]) for run in runs)  # type: ignore[arg-type]
        speed = 2e-9 * float(runs[0]["macs"]) / statistics.median(seconds)  # type: ignore[arg-type]
        peak = max(float(run["peak_mb"]) for run in runs)  # type: ignore[arg-type]
        spread = f"{statistics.median(seconds):.3f} ({min(seconds):.3f} to {max(seconds):.3f})"
        lines.append(f"| {engine} | {spread} | {ratio:.2f} | {speed:.0f} | {apart:.1e} | {load:.2f} | {peak:.0f} |")
    return [*lines, ""]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--write", action="store_true", help="keep the table under benchmarks/results/")
    parser.add_argument("--one", nargs=3, metavar=("ENGINE", "NETWORK", "PX"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        return measure(options.one[0], options.one[1], int(options.one[2]))
    names = [name for name, package in PACKAGES.items() if importlib.util.find_spec(package)]
    today = datetime.date.today()
    versions = ", ".join(f"{PACKAGES[name]} {importlib.metadata.version(PACKAGES[name])}" for name in names)
    lines = [f"# Engines, {today}", "", f"{processor()}; Python {platform.python_version()}; {versions}. CPU, float32."]
    lines += [
        f"`python benchmarks/bench_engines.py --rounds {options.rounds}`. Times of a shared machine: trust the ratios.",
        "",
    ]
    for name, px in NETWORKS.items():
        lines += table(name, px, names, options.rounds)
        print("\n".join(lines[-8:]), flush=True)
    text = "\n".join(lines)
    if options.write:
        path = ROOT / "benchmarks" / "results" / f"engines_{platform.machine()}-{cores()}cores_{today:%Y%m}.md"
        path.write_text(text)
        print(path)


if __name__ == "__main__":
    main()
