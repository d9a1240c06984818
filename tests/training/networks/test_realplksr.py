"""RealPLKSR against its formula, written out from a state dict; the size that others give for it."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from torch import Tensor  # noqa: E402
from torch.nn import functional as F  # noqa: E402

from upres.errors import UsageError  # noqa: E402
from upres.training.config import TrainConfig  # noqa: E402
from upres.training.config_changes import change_config  # noqa: E402
from upres.training.networks.generators import build_generator  # noqa: E402

CONFIG = TrainConfig(recipe="test", scale=2, network="realplksr", width=8, depth=2)


def literal(state: dict[str, Tensor], lr: Tensor, scale: int, depth: int) -> Tensor:
    """Sections 3.2 to 3.4 of the paper, DCCM with Mish, element by element where torch has a layer."""

    def conv(x: Tensor, name: str) -> Tensor:
        weight = state[f"{name}.weight"]
        side = weight.shape[2] // 2
        rows, columns = x.shape[2:]
        padded = F.pad(x, (side,) * 4)
        patches = torch.stack([
            padded[:, :, i : i + rows, j : j + columns] for i in range(weight.shape[2]) for j in range(weight.shape[3])
        ], -1)  # fmt: skip
        return torch.einsum("bchwk,ock->bohw", patches, weight.flatten(2)) + state[f"{name}.bias"][:, None, None]

    x = conv(lr, "feats.0")
    for number in range(1, depth + 1):
        name = f"feats.{number}"
        mean = x.mean(1, keepdim=True)
        y = (x - mean) / ((x - mean).pow(2).mean(1, keepdim=True) + 1e-6).sqrt()
        y = y * state[f"{name}.layer_norm.weight"][:, None, None] + state[f"{name}.layer_norm.bias"][:, None, None]
        y = conv(y, f"{name}.channel_mixer.0")
        y = conv(y * torch.tanh(torch.log1p(torch.exp(y))), f"{name}.channel_mixer.2")
        part = y.shape[1] // 4
        y = torch.cat([conv(y[:, :part], f"{name}.lk.conv"), y[:, part:]], 1)
        y = y / (1 + torch.exp(-conv(y, f"{name}.attn.f.0")))
        x = x + conv(y, f"{name}.refine")
    x = conv(x, f"feats.{depth + 2}")
    batch, channels, height, width = lr.shape
    x = x.reshape(batch, channels, scale, scale, height, width).permute(0, 1, 4, 2, 5, 3)
    x = x.reshape(batch, channels, height * scale, width * scale)
    return x + lr.repeat_interleave(scale, 2).repeat_interleave(scale, 3)


@pytest.mark.parametrize("channels", [3, 1])
def test_it_is_the_network_of_its_formula(channels: int) -> None:
    torch.manual_seed(0)
    net = build_generator(TrainConfig(recipe="t", scale=2, network="realplksr", width=8, depth=2, channels=channels))  # type: ignore[arg-type]
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
        lr = torch.rand(2, channels, 11, 13)
        state = net.merged_state_dict()
        torch.testing.assert_close(net(lr), literal(state, lr, 2, 2), atol=2e-5, rtol=1e-5)
    other = build_generator(TrainConfig(recipe="t", scale=2, network="realplksr", width=8, depth=2, channels=channels))  # type: ignore[arg-type]
    other.load_plain(state)
    torch.testing.assert_close(other(lr), net(lr), atol=0, rtol=0)


def test_it_has_the_size_that_is_given_for_it() -> None:
    """7.4 M at x4 with 64 channels and 28 blocks."""
    net = build_generator(TrainConfig(recipe="t", scale=4, network="realplksr", width=64, depth=28))
    assert round(sum(parameter.numel() for parameter in net.parameters()) / 1e6, 1) == 7.4


def test_a_width_that_has_no_quarter_is_refused() -> None:
    with pytest.raises(UsageError, match="`width` of realplksr must be a multiple of 4, got 6"):
        change_config(CONFIG, ["width=6"])
