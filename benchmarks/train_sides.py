"""Our side of bench_train.py: upres.training's own step, begun with the weights of the reference's networks, each
measure switchable.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import torch
from reference_basicsr_step import Discriminator, ReferenceTrainer, RRDBNet, Vgg19
from torch import Tensor, nn
from torch.nn import functional as F

from upres.training.distributed.ranks import Ranks
from upres.training.loop import gan_step
from upres.training.losses.feature_files import FeatureNetwork, Features
from upres.training.networks import rrdb
from upres.training.recipes import esrgan_x4
from upres.training.run import Run
from upres.training.state import average, build_state, set_rates, start_ema
from upres.training.timing import Stopwatch
from upres.training.winograd import conv
from upres.training.winograd.conv import conv2d, winograd


@dataclass(frozen=True)
class Measures:
    """What sets our step apart from the plain one.

    That D sees each batch once is part of `gan_step` and cannot be left out.
    """

    winograd: bool = True  # 3x3 convolutions of 16n channels
    strided: bool = True  # D's 4x4 convolutions of stride 2, too
    one_buffer: bool = True  # a dense block as one function without torch.cat
    channels_last: bool = True
    fused: bool = True  # Adam in one kernel
    bfloat16: bool = False


NONE = Measures(False, False, False, False, False)


class OurTrainer:
    """upres.training's step, begun with the weights of the reference's networks."""

    def __init__(
        self, networks: tuple[RRDBNet, Discriminator, Vgg19], batch: int, measures: Measures = Measures()
    ) -> None:
        net_g, net_d, vgg = networks
        self.vgg = vgg
        self.measures = measures
        self.config = dataclasses.replace(
            esrgan_x4(), depth=len(net_g.body), batch=batch, channels_last=measures.channels_last, fused=measures.fused,
            precision="bfloat16" if measures.bfloat16 else "float32",
        )  # fmt: skip
        self.ranks = Ranks()
        self.state = build_state(self.config, self.ranks)
        weights = {name: tensor.numpy() for name, tensor in vgg.state_dict().items() if name.startswith("features")}
        self.features = Features(FeatureNetwork("vgg19", weights, "random weights"), {"conv5_4": 1.0}, "random weights")
        self.clock = Stopwatch(self.ranks.device)
        self.step_number = 0
        for ours, theirs in zip(self.modules(), (net_g, net_d), strict=True):
            put(ours, theirs.parameters())

    def widen(self) -> OurTrainer:
        """All of it in float64, by torch's own convolutions."""
        for module in self.modules():
            module.double()
        self.state.ema = start_ema(self.state.net)
        vgg = copy.deepcopy(self.vgg).double()  # the feature network of upres keeps its own precision
        self.features = Features(
            cast(FeatureNetwork, lambda x, layers: {"conv5_4": vgg(x)}), {"conv5_4": 1.0}, "random weights"
        )
        return self

    def modules(self) -> tuple[nn.Module, nn.Module]:
        assert self.state.discriminator is not None
        return self.state.net, self.state.discriminator

    def optimizers(self) -> tuple[torch.optim.Adam, torch.optim.Adam]:
        assert self.state.discriminator_optimizer is not None
        return self.state.optimizer, self.state.discriminator_optimizer

    def step(self, lr: Tensor, hr: Tensor) -> Mapping[str, float]:
        set_rates(self.state, self.config, self.step_number)
        with switched(self.measures):
            told = gan_step(
                Run(self.config, Path(), self.ranks, self.clock, self.features), self.state, lr, hr, self.step_number
            )
        average(self.state, self.config, self.step_number, self.ranks)
        self.step_number += 1
        return told

    @torch.no_grad()
    def take_state(self, reference: ReferenceTrainer) -> None:
        """Weights and Adam's moments of the reference; the batch statistics that are kept for evaluation enter no
        training step.
        """
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
    kinds, block = conv._KINDS.copy(), rrdb.dense_block
    if not measures.strided:
        del conv._KINDS[(4, 4), 2, 1]
    if not measures.winograd:
        del conv._KINDS[(3, 3), 1, 1]
    if not measures.one_buffer:
        rrdb.dense_block = dense_block_by_cat
    try:
        with winograd(measures.winograd or measures.strided or measures.one_buffer):
            yield
    finally:
        conv._KINDS.update(kinds)
        rrdb.dense_block = block


def dense_block_by_cat(x: Tensor, weights: list[Tensor], biases: list[Tensor]) -> Tensor:
    seen = [x]
    for weight, bias in zip(weights[:4], biases[:4], strict=True):
        seen.append(F.leaky_relu(conv2d(torch.cat(seen, 1), weight, bias, 1, 1), 0.2, inplace=True))
    return torch.add(x, conv2d(torch.cat(seen, 1), weights[4], biases[4], 1, 1), alpha=0.2)
