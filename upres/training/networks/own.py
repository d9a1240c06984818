"""Networks of one's own: `network = "my.py:MyNet"`, `discriminator = "my.py:MyD"` (docs/own-network.md)."""

from __future__ import annotations

# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false, reportUnknownVariableType=false
from collections.abc import Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn

from upres.errors import DataError, UsageError
from upres.graph.architectures import canonical
from upres.graph.architectures.described import KEY
from upres.training.config import TrainConfig
from upres.training.networks.traced import Inexpressible, describe_module
from upres.training.own_code import call_own, load_own

_TRIAL_PX = 16


class OwnGenerator(nn.Module):
    """A network of one's own as the training loop takes it: its output is checked, its file describes it.

    net: lr `b c h w` in [0,1] -> sr `b c h*scale w*scale`.
    reference: what it is called in messages.
    description: the tensor `upres.graph`, None if graph nodes cannot express the network; `reason` says why.
    """

    def __init__(self, net: nn.Module, scale: int, reference: str, channels: int) -> None:
        super().__init__()
        self.net, self.scale, self.reference = net, scale, reference
        self.description: Tensor | None = None
        self.reason = ""
        try:
            with torch.random.fork_rng():
                self.description = torch.from_numpy(describe_module(net, channels, reference.rpartition(":")[2]))
        except Inexpressible as error:
            self.reason = str(error)

    def forward(self, lr: Tensor) -> Tensor:
        sr = self.net(lr)
        size = (lr.shape[0], lr.shape[1], lr.shape[2] * self.scale, lr.shape[3] * self.scale)
        if not isinstance(sr, Tensor):
            raise UsageError(f"{self.reference} returned {type(sr).__name__}, expected a tensor of shape {size}")
        if tuple(sr.shape) != size:
            raise UsageError(
                f"{self.reference} returned shape {tuple(sr.shape)} for {tuple(lr.shape)}, expected {size}"
            )
        if not sr.is_floating_point():
            raise UsageError(f"{self.reference} returned {sr.dtype}, expected {lr.dtype}")
        return sr.to(lr.dtype)

    @torch.no_grad()
    def merged_state_dict(self) -> dict[str, Tensor]:
        """Its own weights, and the description of the network if there is one."""
        state = {name: tensor.detach().clone() for name, tensor in self.net.state_dict().items()}
        return state if self.description is None else state | {KEY: self.description.clone()}

    @torch.no_grad()
    def load_plain(self, state: Mapping[str, Tensor]) -> None:
        """Start from a file of the same network. Raises `DataError` naming the first tensor that does not fit."""
        found = {name: tensor for name, tensor in canonical(state).items() if name != KEY}
        own = cast("dict[str, Tensor]", self.net.state_dict())
        for name in [*own, *found]:
            ours, theirs = (tuple(states[name].shape) if name in states else None for states in (own, found))
            if ours != theirs:
                raise DataError(
                    f"the initial network is not {self.reference}: tensor {name!r} is {theirs or 'missing'}, expected "
                    f"{ours or 'no such tensor'}"
                )
        for name, tensor in own.items():
            tensor.copy_(found[name])


class OwnDiscriminator(nn.Module):
    """A discriminator of one's own: `b c h w` in [0,1] -> logits, a tensor or a tuple of them."""

    def __init__(self, net: nn.Module, reference: str) -> None:
        super().__init__()
        self.net, self.reference = net, reference

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        logits = self.net(x)
        logits = logits if isinstance(logits, tuple | list) else (logits,)
        if not logits or not all(isinstance(one, Tensor) and one.is_floating_point() for one in logits):
            raise UsageError(f"{self.reference} must return logits, a tensor of floats or a tuple of them")
        return tuple(cast("tuple[Tensor, ...]", logits))


def own_generator(config: TrainConfig) -> OwnGenerator:
    """The network of `config.network`, called with those of scale, channels, width, depth and growth that it names.

    Raises `UsageError` if it is no module, has no weights, or does not enlarge by `scale`.
    """
    channels = config.channels or 3
    known = {
        "scale": config.scale, "channels": channels, "width": config.width, "depth": config.depth,
        "growth": config.growth,
    }  # fmt: skip
    net = OwnGenerator(_module(config.network, known), config.scale, config.network, channels)
    _try(net, channels, config.network)
    return net


def own_discriminator(config: TrainConfig) -> OwnDiscriminator:
    """The discriminator of `config.discriminator`, called with those of width and channels that it names."""
    known = {"width": config.discriminator_width, "channels": config.channels or 3}
    return OwnDiscriminator(_module(config.discriminator, known), config.discriminator)


def _module(reference: str, known: Mapping[str, object]) -> nn.Module:
    made: Any = call_own(load_own(reference), known, reference)
    if not isinstance(made, nn.Module):
        raise UsageError(f"{reference} gave {type(made).__name__}, expected a torch.nn.Module")
    if not any(parameter.requires_grad for parameter in made.parameters()):
        raise UsageError(f"{reference} has no weights to train")
    return made


def _try(net: OwnGenerator, channels: int, reference: str) -> None:
    """Run it once on a small picture, on the CPU."""
    modes = {module: module.training for module in net.modules()}
    net.eval()  # leaves running statistics as they are
    try:
        with torch.no_grad(), torch.random.fork_rng():
            net(torch.zeros(1, channels, _TRIAL_PX, _TRIAL_PX + 4))
    except UsageError:
        raise
    except Exception as error:
        raise UsageError(f"{reference} cannot enlarge a picture: {type(error).__name__}: {error}") from error
    finally:
        for module, training in modes.items():
            module.training = training
