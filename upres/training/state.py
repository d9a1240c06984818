"""The training state: generator, its weight average, discriminator and both optimizers.

`pack` returns every tensor by name, `unpack` restores them. Nothing else needs saving: the learning rate and the
samples are pure functions of the step, bfloat16 needs no loss scaler, and nothing draws from a global random generator.
"""

from __future__ import annotations

# pyright: reportUnknownMemberType=false
import copy
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from upres.errors import DataError
from upres.training.config import TrainConfig
from upres.training.distributed.ranks import Ranks
from upres.training.distributed.sharding import fill, shard, whole
from upres.training.networks.discriminators import build_discriminator
from upres.training.networks.generators import AnyGenerator, build_generator, channels_of
from upres.training.networks.own import own_discriminator
from upres.training.networks.rrdb import RRDBNet
from upres.training.networks.srresnet import SRResNet
from upres.training.optimizers import ScheduleFree, build_optimizer
from upres.training.own_code import own_schedule
from upres.training.references import is_own

Arrays = dict[str, NDArray[np.generic]]


@dataclass
class TrainState:
    """What a step changes.

    net: the generator.
    ema: averages of its parameters and buffers, by name.
    optimizer: the generator's.
    discriminator, discriminator_optimizer: None in stage one.
    whole_net: if `net` is divided among the ranks, a network of its kind that is not, whose weights are of no account.
    """

    net: AnyGenerator
    ema: dict[str, Tensor]
    optimizer: torch.optim.Optimizer
    discriminator: nn.Module | None = None
    discriminator_optimizer: torch.optim.Optimizer | None = None
    whole_net: AnyGenerator | None = None


def build_state(config: TrainConfig, ranks: Ranks) -> TrainState:
    """Networks initialized from the seed, identical on every rank, on the ranks' device, with their optimizers."""
    with torch.random.fork_rng():
        torch.manual_seed(config.seed)
        divided = config.sharded and ranks.count > 1
        layout = replace(config, channels_last=False) if divided else config  # FSDP2 takes contiguous parameters alone
        net = cast(AnyGenerator, _place(build_generator(config), layout, ranks))
        discriminator = None
        if config.adversarial:
            fresh = (
                own_discriminator(config)
                if is_own(config.discriminator)
                else build_discriminator(config.discriminator, config.discriminator_width, ranks, channels_of(config))
            )
            discriminator = _place(fresh, config, ranks)
    whole_net = copy.deepcopy(net) if divided else None
    if divided:
        shard(net, ranks, list(net.body) if isinstance(net, RRDBNet) else [])
    state = TrainState(net, start_ema(net), build_optimizer(net.parameters(), config, config.learning_rate))
    state.whole_net = whole_net
    if discriminator is not None:
        state.discriminator = discriminator
        state.discriminator_optimizer = build_optimizer(
            discriminator.parameters(), config, config.discriminator_learning_rate
        )
    if config.compile:
        for module in filter(None, (state.net, state.discriminator)):
            module.compile()
    return state


def _place(net: nn.Module, config: TrainConfig, ranks: Ranks) -> nn.Module:
    layout = torch.channels_last if config.channels_last else torch.contiguous_format
    return net.to(device=ranks.device, memory_format=layout)  # pyright: ignore[reportCallIssue, reportUnknownVariableType]


def set_rates(state: TrainState, config: TrainConfig, step: int, rate_factor: float = 1.0) -> None:
    """Set both optimizers to the learning rate of step `step`, times `rate_factor`."""
    factor = rate_factor * schedule_factor(config, step)
    for optimizer, rate in (
        (state.optimizer, config.learning_rate),
        (state.discriminator_optimizer, config.discriminator_learning_rate),
    ):
        if optimizer is not None:
            for group in optimizer.param_groups:
                group["lr"] = rate * factor


def clip_gradients(state: TrainState, config: TrainConfig, ranks: Ranks, *, both: bool) -> dict[str, Tensor]:
    """Average the gradients of the generator, or of both networks, over the ranks and clip them; returns the norms
    before.
    """
    networks: dict[str, tuple[nn.Module, float]] = {"generator": (state.net, config.clip_norm)}
    if both and state.discriminator is not None:
        networks["discriminator"] = state.discriminator, config.discriminator_clip_norm
    ranks.average_gradients(
        pair
        for name, (net, _) in networks.items()
        if name == "discriminator" or state.whole_net is None  # FSDP2 has averaged those of a sharded generator
        for pair in net.named_parameters()
    )
    return {
        f"gradient norm/{name}": whole(nn.utils.clip_grad_norm_(net.parameters(), norm))
        for name, (net, norm) in networks.items()
    }


def averaged_net(state: TrainState) -> AnyGenerator:
    """A copy of the generator with the averaged parameters and statistics; of a sharded one whole, on every rank."""
    averaged = copy.deepcopy(state.whole_net or state.net)
    with torch.no_grad():
        for name, tensor in averaged_tensors(averaged).items():
            tensor.copy_(whole(state.ema[name]))
    return averaged


def average(state: TrainState, config: TrainConfig, step: int, ranks: Ranks) -> None:
    """Update the average after a step, or take the optimizer's own. Batch statistics differ between ranks; all take
    those of rank 0.
    """
    ranks.broadcast(buffer for name, buffer in state.net.named_buffers() if "running_" in name)
    update_ema(state.ema, state.net, config.ema_decay, step)
    if isinstance(state.optimizer, ScheduleFree):
        for name, parameter in state.net.named_parameters():
            state.ema[name].copy_(state.optimizer.average_of(parameter))


@torch.no_grad()
def begin_with(state: TrainState, plain: Mapping[str, Tensor], first_lr: Callable[[], Tensor]) -> None:
    """Load a plain network's weights into the generator and restart the average from them.

    first_lr: draws the same batch on every rank.

    Raises `DataError` if the shapes differ.
    """
    if state.whole_net is not None:
        state.whole_net.load_plain(plain)
        for name, parameter in state.net.named_parameters():
            fill(parameter, state.whole_net.get_parameter(name))
    else:
        state.net.load_plain(plain)
    if isinstance(state.net, SRResNet):
        state.net.calibrate(first_lr())
    state.ema = start_ema(state.net)


def _members(state: TrainState) -> Iterator[tuple[str, nn.Module, torch.optim.Optimizer]]:
    yield "net", state.net, state.optimizer
    if state.discriminator is not None:
        assert state.discriminator_optimizer is not None
        yield "discriminator", state.discriminator, state.discriminator_optimizer


def pack(state: TrainState) -> Arrays:
    """A whole copy of every tensor of the state, by names like `net/body.0.weight`, `net.adam/exp_avg/...`."""
    tensors = {f"ema/{name}": tensor for name, tensor in state.ema.items()}
    for title, module, optimizer in _members(state):
        tensors |= {f"{title}/{name}": tensor for name, tensor in _own_tensors(module)}
        for name, parameter in module.named_parameters():
            tensors |= {f"{title}.adam/{key}/{name}": value for key, value in optimizer.state[parameter].items()}
    # sorted: ranks gather a divided tensor together, and what was read from a file has another order in each
    return {name: whole(tensors[name].detach()).cpu().contiguous().numpy().copy() for name in sorted(tensors)}


def _own_tensors(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Parameters and buffers: batch statistics and the vectors of spectral norm affect later steps as weights do."""
    yield from module.named_parameters()
    yield from module.named_buffers()


@torch.no_grad()
def unpack(arrays: Mapping[str, NDArray[np.generic]], state: TrainState) -> None:
    """Restore what `pack` returned into `state`, of the same configuration.

    Raises `DataError` naming a missing tensor.
    """
    expected = {f"ema/{name}" for name in state.ema}
    for title, module, _ in _members(state):
        expected |= {f"{title}/{name}" for name, _ in _own_tensors(module)}
    missing = sorted(expected - arrays.keys())
    if missing:
        raise DataError(
            f"the checkpoint lacks {missing[0]} (and {len(missing) - 1} more): it is of another network, or "
            "was written by another version of upres"
        )

    def stored(name: str) -> Tensor:
        return torch.from_numpy(np.array(arrays[name]))

    def restore(name: str, tensor: Tensor) -> None:
        if tuple(arrays[name].shape) != tuple(tensor.shape):
            raise DataError(
                f"the checkpoint is of another network: {name} has shape {tuple(arrays[name].shape)}, expected "
                f"{tuple(tensor.shape)}"
            )
        fill(tensor, stored(name))

    for name, tensor in state.ema.items():
        restore(f"ema/{name}", tensor)
    for title, module, optimizer in _members(state):
        for name, tensor in _own_tensors(module):
            restore(f"{title}/{name}", tensor)
        kept: dict[
            str, dict[str, str]
        ] = {}  # of each parameter its tensors in the optimizer; none before its first step
        for full in arrays:
            if full.startswith(f"{title}.adam/"):
                _, key, name = full.split("/", 2)
                kept.setdefault(name, {})[key] = full
        for name, parameter in module.named_parameters():
            if name in kept:
                optimizer.state[parameter] = {
                    key: stored(full).to(parameter.device if optimizer.defaults.get("fused") else "cpu")
                    if arrays[full].shape == ()
                    else _like(parameter, stored(full))
                    for key, full in kept[name].items()
                }


def _like(parameter: Tensor, value: Tensor) -> Tensor:
    tensor = torch.empty_like(parameter, memory_format=torch.preserve_format)
    fill(tensor, value)
    return tensor


def start_ema(net: nn.Module) -> dict[str, Tensor]:
    """A detached copy of all parameters and float buffers, by name."""
    return {name: tensor.detach().clone() for name, tensor in averaged_tensors(net).items()}


def averaged_tensors(net: nn.Module) -> dict[str, Tensor]:
    """The tensors that are averaged. Running statistics are included: averaged weights need matching statistics."""
    return {
        name: tensor for name, tensor in (*net.named_parameters(), *net.named_buffers()) if tensor.is_floating_point()
    }


@torch.no_grad()
def update_ema(ema: Mapping[str, Tensor], net: nn.Module, decay: float, step: int) -> None:
    """ema <- decay * ema + (1 - decay) * tensor, after the optimizer's step.

    The decay is warmed up as min(decay, (1 + step) / (10 + step)), so that the random initialization is forgotten (as
    in TensorFlow's ExponentialMovingAverage with `num_updates`).
    """
    weight = 1.0 - min(decay, (1.0 + step) / (10.0 + step))
    names = list(ema)
    tensors = averaged_tensors(net)
    torch._foreach_lerp_([ema[n] for n in names], [tensors[n] for n in names], weight)  # pyright: ignore[reportPrivateUsage, reportPrivateImportUsage]


def schedule_factor(config: TrainConfig, step: int) -> float:
    """The factor on the learning rates at step `step` (counted from 0): linear warm-up, then the schedule.

    cosine: `cycles` equal cycles, each from 1 down to final_learning_rate / learning_rate (Loshchilov and Hutter, SGDR,
    ICLR 2017,
        equation 5, restarting at the full rate).
    own: what the function returns for (step, steps). constant: 1.
    multistep: halved at each milestone, as in ESRGAN. wsd (warm-up, stable, decay): the full rate, then over the final
    `decay_fraction` of the steps low + (1 - low) (1 - sqrt(phase)) with
        low = final_learning_rate / learning_rate (Haegele et al., "Scaling Laws and Compute-Optimal Training Beyond
        Fixed Training Durations", NeurIPS 2024, equation 1).
    """
    low = config.final_learning_rate / config.learning_rate
    if config.schedule == "cosine":
        length = config.steps / config.cycles
        phase = math.fmod(step, length) / length
        factor = low + (1.0 - low) * 0.5 * (1.0 + math.cos(math.pi * phase))
    elif config.schedule == "wsd":
        begins = (1.0 - config.decay_fraction) * config.steps
        phase = max(0.0, step - begins) / max(1.0, config.steps - begins)
        factor = low + (1.0 - low) * (1.0 - math.sqrt(phase))
    elif is_own(config.schedule):
        factor = own_schedule(config.schedule)(step, config.steps)
    elif config.schedule == "constant":
        factor = 1.0
    else:
        factor = 0.5 ** sum(step >= fraction * config.steps for fraction in config.milestones)
    return factor * min(1.0, (step + 1) / max(1, config.warmup_steps))


def learning_rate_at(config: TrainConfig, step: int) -> float:
    """The generator's learning rate at step `step` (counted from 0)."""
    return config.learning_rate * schedule_factor(config, step)
