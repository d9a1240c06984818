"""Our ESRGAN GAN step against the plain way of BasicSR: same networks, weights, batches and machine, in turn in one
process.

    python benchmarks/bench_train.py [--batch 16] [--rounds 5] [--measures] [--agree 20] [--bfloat16] [--profile]
    [--pixels 5] [--write]

RRDB 64 x 23 blocks, VGG-style discriminator 64 for 128 px, VGG-19 conv5_4, L1 1e-2 + features 1 + relativistic GAN
5e-3, Adam 1e-4. Ours is upres.training's own `gan_step` and `average` with the recipe `esrgan-x4`; theirs is
reference_basicsr_step.py. A round is one step of each, one after the other, and its ratio is taken within it, so a
machine that changes its speed does not change it. --agree compares losses, --measures times what each measure buys,
alone and left out. Needs the extra `train` and g++.
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import importlib.metadata
import platform
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from reference_basicsr_step import ReferenceTrainer, make_batch, make_networks
from torch import Tensor
from train_agreement import agreement, agreement_wide
from train_pixels import pixels
from train_sides import NONE, Measures, OurTrainer

from upres.system.cores import cores
from upres.system.hardware import processor

ROOT = Path(__file__).resolve().parent.parent
Step = Callable[[Tensor, Tensor], Mapping[str, float]]
NAMES = {
    "winograd": "3x3 by Winograd", "strided": "4x4 stride 2 by Winograd", "one_buffer": "dense block in one buffer",
    "channels_last": "channels_last", "fused": "fused Adam",
}  # fmt: skip


def in_turn(steps: dict[str, Step], rounds: int, batch: int) -> dict[str, list[float]]:
    """Wall seconds of one step of each in every round, after one round that is not counted."""
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for number in range(rounds + 1):
        lr, hr = make_batch(number, batch)
        for name, step in steps.items():
            begun = time.perf_counter()
            step(lr, hr)
            if number:
                seconds[name].append(time.perf_counter() - begun)
    return seconds


def ratios(seconds: dict[str, list[float]], name: str) -> list[float]:
    return [theirs / ours for theirs, ours in zip(seconds["reference"], seconds[name], strict=True)]


def speed(options: argparse.Namespace) -> list[str]:
    networks = make_networks(options.blocks)
    ours = OurTrainer(networks, options.batch)
    steps: dict[str, Step] = {"reference": ReferenceTrainer(*networks).step, "ours": ours.step}
    if options.bfloat16:
        steps["ours, bfloat16"] = OurTrainer(networks, options.batch, Measures(bfloat16=True)).step
    seconds = in_turn(steps, options.rounds, options.batch)
    lines = [
        "| | s a step, median (least to most) | steps/s | times the reference, median (each round) |",
        "|---|---|---|---|",
    ]
    for name, values in seconds.items():
        median = statistics.median(values)
        each = ", ".join(f"{ratio:.2f}" for ratio in ratios(seconds, name))
        ratio = "1" if name == "reference" else f"**{statistics.median(ratios(seconds, name)):.2f}** ({each})"
        lines.append(f"| {name} | {median:.2f} ({min(values):.2f} to {max(values):.2f}) | {1 / median:.3f} | {ratio} |")
    parts = {name: value / (options.rounds + 1) for name, value in ours.clock.milliseconds().items()}
    listed = ", ".join(f"{name} {value:.0f}" for name, value in parts.items())
    return [
        *lines,
        "",
        f"Where our milliseconds went: {listed} (the gradient of the features' loss counts as the discriminator's).",
        "",
    ]


def buys(options: argparse.Namespace) -> list[str]:
    """Each measure alone on top of `gan_step` with none, and left out of all."""
    both = {"winograd", "one_buffer"}  # the buffer is Winograd's

    def time_of(measures: Measures) -> float:
        networks = make_networks(options.blocks)
        steps: dict[str, Step] = {
            "reference": ReferenceTrainer(*networks).step, "ours": OurTrainer(networks, options.batch, measures).step,
        }  # fmt: skip
        return statistics.median(ratios(in_turn(steps, options.rounds, options.batch), "ours"))

    lines = ["| measure | alone | all but this |", "|---|---|---|"]
    lines.append(f"| D sees each batch once, all averages at once | {time_of(NONE):.2f} | |")
    for key, name in NAMES.items():
        alone = dataclasses.replace(NONE, **{key: True})
        without = dataclasses.replace(
            Measures(), **{key: False}, **({"one_buffer": False} if key == "winograd" else {})
        )
        only = "" if key in both - {"winograd"} else f"{time_of(alone):.2f}"
        lines.append(f"| {name} | {only} | {time_of(without):.2f} |")
    lines.append(f"| all | {time_of(Measures()):.2f} | |")
    return ["Steps per second as a multiple of the reference's:", "", *lines, ""]


def profile(options: argparse.Namespace) -> list[str]:
    networks = make_networks(options.blocks)
    lines: list[str] = []
    sides: dict[str, Step] = {
        "reference": ReferenceTrainer(*networks).step,
        "ours": OurTrainer(networks, options.batch).step,
    }
    for name, step in sides.items():
        step(*make_batch(0, options.batch))
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profiled:
            step(*make_batch(1, options.batch))
        events = sorted(profiled.key_averages(), key=lambda e: -e.self_cpu_time_total)
        total = sum(event.self_cpu_time_total for event in events)
        listed = [
            f"{event.key.removeprefix('aten::')} {100 * event.self_cpu_time_total / total:.1f} %"
            for event in events[:12]
        ]
        lines += [f"{name}, {total / 1e6:.2f} s under the profiler: {', '.join(listed)}.", ""]
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--blocks", type=int, default=23)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=0, help="of torch; 0: as it comes")
    parser.add_argument("--measures", action="store_true", help="what each measure buys")
    parser.add_argument("--agree", type=int, default=0, metavar="STEPS", help="compare the losses of so many steps")
    parser.add_argument("--agree-batch", type=int, default=4)
    parser.add_argument("--agree-blocks", type=int, default=23)
    parser.add_argument("--wide-only", action="store_true", help="of --agree only the run in float64")
    parser.add_argument("--bfloat16", action="store_true", help="our step in bfloat16 as well")
    parser.add_argument("--profile", action="store_true")
    parser.add_argument("--pixels", type=int, default=0, metavar="ROUNDS", help="LR megapixels a second in stage one")
    parser.add_argument("--write", action="store_true", help="keep the tables under benchmarks/results/")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    today = datetime.date.today()
    versions = f"Python {platform.python_version()}, torch {importlib.metadata.version('torch')}"
    lines = [f"# ESRGAN GAN step, {today}", "", f"{processor()}; {torch.get_num_threads()} threads; {versions}."]
    command = " ".join(["python benchmarks/bench_train.py", *sys.argv[1:]])
    lines += [f"`{command}`. RRDB 64 x {options.blocks}, batch {options.batch} of 32 -> 128 px, float32.", ""]
    print("\n".join(lines))
    sections: list[tuple[bool, str, Callable[[argparse.Namespace], list[str]]]] = [
        (options.rounds > 0, "Steps per second", speed), (options.measures, "What each measure buys", buys),
        (options.agree > 0 and not options.wide_only, "Agreement", agreement),
        (options.agree > 0, "Agreement in float64", agreement_wide), (options.profile, "Profile", profile),
        (options.pixels > 0, "LR megapixels a second", lambda given: pixels(given.pixels)),
    ]  # fmt: skip
    for wanted, title, section in sections:
        if wanted:
            lines += (found := [f"## {title}", "", *section(options)])
            print("\n".join(found), flush=True)
    if options.write:
        name = f"train_{platform.machine()}-{cores()}cores_{today:%Y%m}.md"
        target = ROOT / "benchmarks" / "results" / name
        target.write_text("\n".join(lines), encoding="utf-8")
        print(target)


if __name__ == "__main__":
    main()
