"""Learning from a larger network: what the pixel loss aims at comes from a teacher, alone or on its way to HR.

The target of a step is s T(lr) + (1 - s) hr, where T is the teacher and s its share: `teacher_share`, and with
`teacher_ramp_steps` that share going down to 0 in a straight line over so many steps (Hinton, Vinyals and Dean,
"Distilling the Knowledge in a Neural Network", 2015, for the idea; the mean of both targets is section 2 there, for
pictures instead of classes). Where a teacher is dear and the pictures are few, enlarge them once with `upres upscale -n
TEACHER` and train on those files (`--data`) with their LR (`--lr`).
"""

from __future__ import annotations

# pyright: reportUnknownMemberType=false
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from upres.engines.torch import TorchRunner
from upres.errors import UsageError
from upres.graph.graph import Graph
from upres.models.load import LoadedModel, load_model
from upres.system.files import sha256_of
from upres.training.config import TrainConfig
from upres.training.run import Say


@dataclass(frozen=True)
class Teacher:
    """`enlarge` gives what the network makes of lr `b c h w`, in [0,1] and without a gradient; `identity` names it and
    its weights.
    """

    enlarge: Callable[[Tensor], Tensor]
    identity: str

    def target(self, config: TrainConfig, step: int, lr: Tensor, hr: Tensor) -> Tensor:
        """s T(lr) + (1 - s) hr: what the pixel loss of update number `step` aims at."""
        share = share_at(config, step)
        if share == 0.0:
            return hr
        sr = self.enlarge(lr)
        if config.teacher_color_px:
            sr = with_colors_of(hr, sr, config.teacher_color_px)
        return torch.lerp(hr, sr, share)


def with_colors_of(hr: Tensor, sr: Tensor, side_px: int) -> Tensor:
    """`sr` with the large areas of `hr`, both `b c h w`: the mean differences over squares of `side_px`, enlarged
    bilinearly, are added.

    Teachers that were trained against a discriminator drift in color (`RealESRGAN_General_x4_v3` by 3 of 255 in red on
    degraded pictures), and their students with them. What a picture looks like in detail stays the teacher's. h and w
    are multiples of `side_px`.
    """
    means = F.avg_pool2d(hr - sr, side_px)
    return sr + F.interpolate(means, scale_factor=side_px, mode="bilinear", align_corners=False)


def share_at(config: TrainConfig, step: int) -> float:
    """The teacher's share of the target at update number `step`, counted from 0."""
    left = 1.0 - step / config.teacher_ramp_steps if config.teacher_ramp_steps else 1.0
    return config.teacher_share * max(0.0, left)


def open_teacher(model: str, config: TrainConfig, device: torch.device, say: Say) -> Teacher:
    """The teacher of a run, ready on `device`, in the run's precision where it is one network whose layers upres knows.

    model: a name, a file or an expression, as for `load_model`. config: `channels` and `precision` decided. Raises
    `ModelError` for a model that cannot be had, `UsageError` where its scale, channels or alignment do not go with the
    run's.
    """
    loaded = load_model(model)
    _check(loaded, config)
    ramp = f", down to HR alone over {config.teacher_ramp_steps:,} steps" if config.teacher_ramp_steps else ""
    say(f"teacher: {loaded.name}, {config.teacher_share:.0%} of the target{ramp}")
    identity = f"{loaded.name} {'+'.join(sha256_of(file.path) for file in loaded.files)}"
    network = loaded.networks[0]
    if isinstance(network, Graph) and len(loaded.networks) == 1:
        runner = TorchRunner(
            network, device=str(device), precision="bf16" if config.precision == "bfloat16" else "fp32"
        )
        return Teacher(runner.of_tensor, identity)
    from upres.upscaling.upscaler import Upscaler  # needs libvips, which training from shards does without

    upscaler = Upscaler(loaded.networks, threads=torch.get_num_threads())

    def enlarge(lr: Tensor) -> Tensor:
        made = [
            upscaler.upscale_array(np.ascontiguousarray(x))
            for x in lr.detach().float().permute(0, 2, 3, 1).cpu().numpy()
        ]
        return torch.from_numpy(np.stack(made)).permute(0, 3, 1, 2).to(lr)

    return Teacher(enlarge, identity)


def _check(teacher: LoadedModel, config: TrainConfig) -> None:
    name = f"teacher {teacher.name}"
    if teacher.scale != config.scale:
        raise UsageError(
            f"{name} enlarges by {teacher.scale} and the recipe by {config.scale}: they must be of one scale"
        )
    for network in teacher.networks:
        if (network.in_channels, network.out_channels) != (config.channels, config.channels):
            raise UsageError(
                f"{name} takes {network.in_channels} channels, but the pictures have {config.channels}: set channels"
            )
        if config.patch_px % network.alignment:
            raise UsageError(
                f"{name} needs patches whose sides are multiples of {network.alignment}, got patch_px {config.patch_px}"
            )
