"""Our ESRGAN GAN step against the plain way of BasicSR: same networks, weights, batches and machine, in turn in one process.

    python benchmarks/bench_train.py [--batch 16] [--rounds 5] [--measures] [--agree 20] [--bfloat16] [--profile] [--write]

RRDB 64 x 23 blocks, VGG-style discriminator 64 for 128 px, VGG-19 conv5_4, L1 1e-2 + features 1 + relativistic GAN 5e-3, Adam 1e-4. Ours is
upres.training's own `gan_step` and `average` with the recipe `esrgan-x4`; theirs is reference_basicsr_step.py. A round is one step of each,
one after the other, and its ratio is taken within it, so a machine that changes its speed does not change it. --agree compares losses,
--measures times what each measure buys, alone and left out. Needs the extra `train` and g++.
"""

from __future__ import annotations

import argparse
import copy
import dataclasses
import datetime
import importlib.metadata
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from reference_basicsr_step import Discriminator, ReferenceTrainer, RRDBNet, Vgg19, make_batch, make_networks
from torch import Tensor, nn
from torch.nn import functional as F

from upres.training import fast_conv, rrdb
from upres.training.fast_conv import conv2d, winograd
from upres.training.feature_nets import FeatureNetwork
from upres.training.loop import gan_step
from upres.training.ranks import Ranks
from upres.training.recipes import esrgan_x4
from upres.training.team import average, build_team, set_rates
from upres.training.terms import Features
from upres.training.watch import Stopwatch

ROOT = Path(__file__).resolve().parent.parent
LOSSES = ("pixel", "features", "gan", "discriminator")
Step = Callable[[Tensor, Tensor], Mapping[str, float]]


@dataclass(frozen=True)
class Measures:
    """What sets our step apart from the plain one. That D sees each batch once is part of `gan_step` and cannot be left out."""

    winograd: bool = True  # 3x3 convolutions of 16n channels
    strided: bool = True  # D's 4x4 convolutions of stride 2, too
    one_buffer: bool = True  # a dense block as one function without torch.cat
    channels_last: bool = True
    fused: bool = True  # Adam in one kernel
    bfloat16: bool = False


NONE = Measures(False, False, False, False, False)
NAMES = {
    "winograd": "3x3 by Winograd", "strided": "4x4 stride 2 by Winograd", "one_buffer": "dense block in one buffer",
    "channels_last": "channels_last", "fused": "fused Adam",
}  # fmt: skip


class OurTrainer:
    """upres.training's step, begun with the weights of the reference's networks."""

    def __init__(self, networks: tuple[RRDBNet, Discriminator, Vgg19], batch: int, measures: Measures = Measures()) -> None:
        net_g, net_d, vgg = networks
        self.measures = measures
        self.config = dataclasses.replace(
            esrgan_x4(), depth=len(net_g.body), batch=batch, channels_last=measures.channels_last, fused=measures.fused,
            precision="bfloat16" if measures.bfloat16 else "float32",
        )  # fmt: skip
        self.ranks = Ranks()
        self.team = build_team(self.config, self.ranks)
        weights = {name: tensor.numpy() for name, tensor in vgg.state_dict().items() if name.startswith("features")}
        self.features = Features(FeatureNetwork("vgg19", weights, "random weights"), {"conv5_4": 1.0}, "random weights")
        self.clock = Stopwatch(self.ranks.device)
        self.step_number = 0
        for ours, theirs in zip(self.modules(), (net_g, net_d), strict=True):
            put(ours, theirs.parameters())

    def modules(self) -> tuple[nn.Module, nn.Module]:
        assert self.team.discriminator is not None
        return self.team.net, self.team.discriminator

    def optimizers(self) -> tuple[torch.optim.Adam, torch.optim.Adam]:
        assert self.team.discriminator_optimizer is not None
        return self.team.optimizer, self.team.discriminator_optimizer

    def step(self, lr: Tensor, hr: Tensor) -> Mapping[str, float]:
        set_rates(self.team, self.config, self.step_number)
        with switched(self.measures):
            told = gan_step(
                self.config, self.team, lr, hr, self.step_number, ranks=self.ranks, out=Path(), clock=self.clock, features=self.features
            )
        average(self.team, self.config, self.step_number, self.ranks)
        self.step_number += 1
        return told

    @torch.no_grad()
    def take_state(self, reference: ReferenceTrainer) -> None:
        """Weights and Adam's moments of the reference; the batch statistics that are kept for evaluation enter no training step."""
        theirs = ((reference.net_g, reference.optimizer_g), (reference.net_d, reference.optimizer_d))
        for ours, optimizer, (net, adam) in zip(self.modules(), self.optimizers(), theirs, strict=True):
            put(ours, net.parameters())
            for p, q in zip(ours.parameters(), net.parameters(), strict=True):
                if q in adam.state:
                    moments = {key: torch.empty_like(p).copy_(adam.state[q][key]) for key in ("exp_avg", "exp_avg_sq")}
                    optimizer.state[p] = {"step": adam.state[q]["step"].clone(), **moments}


@torch.no_grad()
def put(module: nn.Module, values: Generator[Tensor] | list[Tensor]) -> None:
    for p, q in zip(module.parameters(), values, strict=True):
        assert p.shape == q.shape
        p.copy_(q)


@contextmanager
def switched(measures: Measures) -> Generator[None]:
    """Our convolutions with some of what they do switched off, for measuring alone."""
    kinds, block = fast_conv._KINDS.copy(), rrdb.dense_block
    if not measures.strided:
        del fast_conv._KINDS[(4, 4), 2, 1]
    if not measures.winograd:
        del fast_conv._KINDS[(3, 3), 1, 1]
    if not measures.one_buffer:
        rrdb.dense_block = dense_block_by_cat
    try:
        with winograd(measures.winograd or measures.strided or measures.one_buffer):
            yield
    finally:
        fast_conv._KINDS.update(kinds)
        rrdb.dense_block = block


def dense_block_by_cat(x: Tensor, weights: list[Tensor], biases: list[Tensor]) -> Tensor:
    seen = [x]
    for weight, bias in zip(weights[:4], biases[:4], strict=True):
        seen.append(F.leaky_relu(conv2d(torch.cat(seen, 1), weight, bias, 1, 1), 0.2, inplace=True))
    return torch.add(x, conv2d(torch.cat(seen, 1), weights[4], biases[4], 1, 1), alpha=0.2)


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
    lines = ["| | s a step, median (least to most) | steps/s | times the reference, median (each round) |", "|---|---|---|---|"]
    for name, values in seconds.items():
        median = statistics.median(values)
        each = ", ".join(f"{ratio:.2f}" for ratio in ratios(seconds, name))
        ratio = "1" if name == "reference" else f"**{statistics.median(ratios(seconds, name)):.2f}** ({each})"
        lines.append(f"| {name} | {median:.2f} ({min(values):.2f} to {max(values):.2f}) | {1 / median:.3f} | {ratio} |")
    parts = {name: value / (options.rounds + 1) for name, value in ours.clock.milliseconds().items()}
    listed = ", ".join(f"{name} {value:.0f}" for name, value in parts.items())
    return [*lines, "", f"Where our milliseconds went: {listed} (the gradient of the features' loss counts as the discriminator's).", ""]


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
        without = dataclasses.replace(Measures(), **{key: False}, **({"one_buffer": False} if key == "winograd" else {}))
        only = "" if key in both - {"winograd"} else f"{time_of(alone):.2f}"
        lines.append(f"| {name} | {only} | {time_of(without):.2f} |")
    lines.append(f"| all | {time_of(Measures()):.2f} | |")
    return ["Steps per second as a multiple of the reference's:", "", *lines, ""]


def by_name(told: Mapping[str, float]) -> dict[str, float]:
    """The losses of either side under our names."""
    if "discriminator" in told:
        return {name: told[name] for name in LOSSES}
    return {**{name: told[name] for name in LOSSES[:3]}, "discriminator": told["d_real"] + told["d_fake"]}


def differences(ours: Mapping[str, float], theirs: Mapping[str, float]) -> dict[str, float]:
    a, b = by_name(ours), by_name(theirs)
    relative = {name: abs(a[name] / b[name] - 1.0) for name in LOSSES}
    return relative | {"total of G": abs(sum(a[n] for n in LOSSES[:3]) / sum(b[n] for n in LOSSES[:3]) - 1.0)}


def update_difference(before: list[Tensor], ours: nn.Module, theirs: nn.Module) -> float:
    """|our update - theirs| / |theirs|."""
    difference = total = 0.0
    for old, p, q in zip(before, ours.parameters(), theirs.parameters(), strict=True):
        difference += (p.detach() - q.detach()).double().square().sum().item()
        total += (q.detach() - old).double().square().sum().item()
    return (difference / total) ** 0.5


def agreement(options: argparse.Namespace) -> list[str]:
    """Losses of `options.agree` steps: from equal state before every step, and left to run free beside the reference's own rounding."""
    batch, count = options.agree_batch, options.agree
    networks = make_networks(options.agree_blocks)
    reference, led = ReferenceTrainer(*networks), OurTrainer(networks, batch)
    worst: dict[str, float] = {}
    updates: dict[str, float] = {}
    for number in range(count):
        lr, hr = make_batch(number, batch)
        led.take_state(reference)
        before = [[p.detach().clone() for p in net.parameters()] for net in (reference.net_g, reference.net_d)]
        expected, found = reference.step(lr, hr), led.step(lr, hr)
        for name, value in differences(found, expected).items():
            worst[name] = max(worst.get(name, 0.0), value)
        for name, old, ours, theirs in zip("GD", before, led.modules(), (reference.net_g, reference.net_d), strict=True):
            updates[name] = max(updates.get(name, 0.0), update_difference(old, ours, theirs))
    lines = [f"{options.agree_blocks} blocks, batch {batch}. Equal weights, moments and batch before each of {count} steps: the largest"]
    lines += ["relative difference of the losses: " + ", ".join(f"{name} {value:.1e}" for name, value in worst.items())]
    lines[-1] += f"; of Adam's update, |ours - theirs| / |theirs|: G {updates['G']:.1e}, D {updates['D']:.1e}."
    del led

    networks = make_networks(options.agree_blocks)
    twin_networks = copy.deepcopy(networks)
    for net in twin_networks:
        net.to(memory_format=torch.channels_last)
    reference, free, twin = ReferenceTrainer(*networks), OurTrainer(networks, batch), ReferenceTrainer(*twin_networks)
    lines += ["", "Left to run from equal weights, total of G's losses and D's loss, relative difference from the reference:", ""]
    lines += ["| after step | ours: G | ours: D | reference in channels_last: G | D |", "|---|---|---|---|---|"]
    for number in range(count):
        lr, hr = make_batch(number, batch)
        expected, ours = reference.step(lr, hr), free.step(lr, hr)
        theirs = twin.step(*(x.to(memory_format=torch.channels_last) for x in (lr, hr)))
        if number in (0, 1, 2, 4, 9, 14, count - 1):
            apart = [differences(told, expected) for told in (ours, theirs)]
            figures = [f"{relative[key]:.1e}" for relative in apart for key in ("total of G", "discriminator")]
            lines.append(f"| {number + 1} | {' | '.join(figures)} |")
    words = "The reference does not repeat itself any better when only its memory format is another: the first steps of Adam are signs of "
    return [*lines, "", words + "gradients, and activations near a kink fall on either side of it by rounding.", ""]


def profile(options: argparse.Namespace) -> list[str]:
    networks = make_networks(options.blocks)
    lines: list[str] = []
    sides: dict[str, Step] = {"reference": ReferenceTrainer(*networks).step, "ours": OurTrainer(networks, options.batch).step}
    for name, step in sides.items():
        step(*make_batch(0, options.batch))
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profiled:
            step(*make_batch(1, options.batch))
        events = sorted(profiled.key_averages(), key=lambda e: -e.self_cpu_time_total)
        total = sum(event.self_cpu_time_total for event in events)
        listed = [f"{event.key.removeprefix('aten::')} {100 * event.self_cpu_time_total / total:.1f} %" for event in events[:12]]
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
    parser.add_argument("--bfloat16", action="store_true", help="our step in bfloat16 as well")
    parser.add_argument("--profile", action="store_true")
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
        (options.agree > 0, "Agreement", agreement), (options.profile, "Profile", profile),
    ]  # fmt: skip
    for wanted, title, section in sections:
        if wanted:
            lines += (found := [f"## {title}", "", *section(options)])
            print("\n".join(found), flush=True)
    if options.write:
        name = f"train_{platform.machine()}-{len(os.sched_getaffinity(0))}cores_{today:%Y%m}.md"
        target = ROOT / "benchmarks" / "results" / name
        target.write_text("\n".join(lines), encoding="utf-8")
        print(target)


def processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return f"{line.partition(':')[2].strip()}, {len(os.sched_getaffinity(0))} cores"
    return platform.processor()


if __name__ == "__main__":
    main()
