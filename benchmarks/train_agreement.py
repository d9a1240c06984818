"""Whether our GAN step and the reference's give the same losses: `bench_train.py --agree`."""

from __future__ import annotations

import argparse
import copy
from collections.abc import Mapping

import torch
from reference_basicsr_step import ReferenceTrainer, make_batch, make_networks
from torch import Tensor, nn
from train_sides import NONE, OurTrainer

LOSSES = ("pixel", "features", "gan", "discriminator")


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
    """Losses of `options.agree` steps: from equal state before every step, and left to run free beside the reference's
    own rounding.
    """
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
        for name, old, ours, theirs in zip(
            "GD", before, led.modules(), (reference.net_g, reference.net_d), strict=True
        ):
            updates[name] = max(updates.get(name, 0.0), update_difference(old, ours, theirs))
    lines = [
        f"{options.agree_blocks} blocks, batch {batch}. Equal weights, moments and batch before each of {count} steps: "
        "the largest"
    ]
    lines += ["relative difference of the losses: " + ", ".join(f"{name} {value:.1e}" for name, value in worst.items())]
    lines[-1] += f"; of Adam's update, |ours - theirs| / |theirs|: G {updates['G']:.1e}, D {updates['D']:.1e}."
    del led

    networks = make_networks(options.agree_blocks)
    twin_networks = copy.deepcopy(networks)
    for net in twin_networks:
        net.to(memory_format=torch.channels_last)
    reference, free, twin = ReferenceTrainer(*networks), OurTrainer(networks, batch), ReferenceTrainer(*twin_networks)
    lines += [
        "",
        "Left to run from equal weights, total of G's losses and D's loss, relative difference from the reference:",
        "",
    ]
    lines += ["| after step | ours: G | ours: D | reference in channels_last: G | D |", "|---|---|---|---|---|"]
    for number in range(count):
        lr, hr = make_batch(number, batch)
        expected, ours = reference.step(lr, hr), free.step(lr, hr)
        theirs = twin.step(*(x.to(memory_format=torch.channels_last) for x in (lr, hr)))
        if number in (0, 1, 2, 4, 9, 14, count - 1):
            apart = [differences(told, expected) for told in (ours, theirs)]
            figures = [f"{relative[key]:.1e}" for relative in apart for key in ("total of G", "discriminator")]
            lines.append(f"| {number + 1} | {' | '.join(figures)} |")
    words = "The reference itself agrees no better in another memory format: the first steps of Adam are signs of "
    return [*lines, "", words + "gradients, and activations near a kink fall on either side of it by rounding.", ""]


def agreement_wide(options: argparse.Namespace) -> list[str]:
    """The same run left free in float64, where rounding is too small to be amplified: whether the two steps are the
    same algorithm.
    """
    networks = make_networks(options.agree_blocks)
    ours = OurTrainer(networks, options.agree_batch, NONE).widen()
    for net in networks:
        net.double()
    reference = ReferenceTrainer(*networks)
    worst: dict[str, float] = {}
    for number in range(options.agree):
        lr, hr = (x.double() for x in make_batch(number, options.agree_batch))
        for name, value in differences(ours.step(lr, hr), reference.step(lr, hr)).items():
            worst[name] = max(worst.get(name, 0.0), value)
    listed = ", ".join(f"{name} {value:.1e}" for name, value in worst.items())
    size = f"{options.agree_blocks} blocks, batch {options.agree_batch}"
    return [
        f"{size}, float64, {options.agree} steps from equal weights alone: largest relative difference of the losses: "
        f"{listed}.",
        "",
    ]
