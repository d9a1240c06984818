"""The trainable generators, and the choice among them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol, TypeAlias

from torch import Tensor

from upres.training.config import TrainConfig
from upres.training.networks.compact import Compact
from upres.training.networks.own import OwnGenerator, own_generator
from upres.training.networks.realplksr import RealPLKSR
from upres.training.networks.residual import Residual
from upres.training.networks.rrdb import RRDBNet
from upres.training.networks.srresnet import SRResNet
from upres.training.references import is_own


class Generator(Protocol):
    """What the training loop needs of a generator, besides being an `nn.Module`."""

    scale: int

    def forward(self, lr: Tensor) -> Tensor:
        """lr `b c h w` in [0,1] -> sr `b c h*scale w*scale`, not clamped, of the dtype of `lr`; c is 3, or 1 for gray
        pictures.
        """
        ...

    def merged_state_dict(self) -> dict[str, Tensor]:
        """The plain network as `upres.graph.architectures` reads it: copies, under the family's key names."""
        ...

    def load_plain(self, state: Mapping[str, Tensor]) -> None:
        """Start from a plain network of this shape. Raises `DataError` for any other."""
        ...


AnyGenerator: TypeAlias = Compact | Residual | RRDBNet | SRResNet | OwnGenerator


def channels_of(config: TrainConfig) -> int:
    """Channels of the pictures; 3 before the data is known, as in an estimate."""
    return config.channels or 3


def _compact(config: TrainConfig) -> AnyGenerator:
    return Compact(
        width=config.width,
        depth=config.depth,
        scale=config.scale,
        branched=config.branched,
        channels=channels_of(config),
    )


def _residual(config: TrainConfig) -> AnyGenerator:
    return Residual(
        width=config.width,
        depth=config.depth,
        scale=config.scale,
        branched=config.branched,
        channels=channels_of(config),
    )


def _rrdb(config: TrainConfig) -> AnyGenerator:
    return RRDBNet(
        scale=config.scale, width=config.width, blocks=config.depth, growth=config.growth,
        checkpoint=config.gradient_checkpointing, channels=channels_of(config),
    )  # fmt: skip


def _srresnet(config: TrainConfig) -> AnyGenerator:
    return SRResNet(scale=config.scale, width=config.width, blocks=config.depth, channels=channels_of(config))


def _realplksr(config: TrainConfig) -> AnyGenerator:
    channels = channels_of(config)
    net = RealPLKSR(config.scale, channels, config.width, config.depth)
    return OwnGenerator(net, config.scale, "realplksr", channels)


GENERATORS: dict[str, Callable[[TrainConfig], AnyGenerator]] = {
    "compact": _compact, "residual": _residual, "rrdb": _rrdb, "srresnet": _srresnet,
    "realplksr": _realplksr,
}  # fmt: skip


def build_generator(config: TrainConfig) -> AnyGenerator:
    """The generator of `config`, initialized from torch's global generator; in training mode, on the CPU.

    Raises `UsageError` for a scale the network does not support.
    """
    return own_generator(config) if is_own(config.network) else GENERATORS[config.network](config)
