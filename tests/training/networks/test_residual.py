"""The residual network in training against its plain form, and what it begins with."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")
from torch import Tensor  # noqa: E402
from torch.nn import functional as F  # noqa: E402

from tests.oracles.residual import ResidualNet  # noqa: E402
from upres.errors import DataError, UsageError  # noqa: E402
from upres.training.config import TrainConfig  # noqa: E402
from upres.training.config_changes import change_config  # noqa: E402
from upres.training.networks.residual import Residual  # noqa: E402
from upres.training.winograd.conv import winograd  # noqa: E402


def made(seed: int = 0, *, width: int = 8, depth: int = 8, scale: int = 4, branched: bool = True) -> Residual:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return Residual(width=width, depth=depth, scale=scale, branched=branched)


def batch(side: int = 12) -> Tensor:
    return torch.rand(2, 3, side, side + 2, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("branched", [True, False])
def test_the_plain_network_is_the_literal_one(branched: bool) -> None:
    net, plain = made(branched=branched), ResidualNet()
    plain.load_state_dict(net.merged_state_dict())
    torch.testing.assert_close(net(batch()), plain(batch()), rtol=0, atol=2e-6)


def test_gradients_reach_the_literal_network_by_the_same_values() -> None:
    """Without branches the parameters are those of the plain network."""
    net, plain = made(branched=False), ResidualNet()
    plain.load_state_dict(net.merged_state_dict())
    for one in (net, plain):
        one(batch()).square().mean().backward()
    ours = {name: p.grad for name, p in zip([n for n, _ in plain.named_parameters()], net.parameters(), strict=True)}
    for name, parameter in plain.named_parameters():
        torch.testing.assert_close(ours[name], parameter.grad, rtol=1e-4, atol=1e-7)


def test_winograd_gives_the_same_gradients() -> None:
    """SiLU between Winograd convolutions: within their rounding."""
    gradients: list[list[Tensor]] = []
    for fast in (False, True):
        net = made(width=16)
        with winograd(fast):
            net(batch(16)).square().mean().backward()
        gradients.append([p.grad for p in net.parameters() if p.grad is not None])
    assert len(gradients[0]) == len(gradients[1]) == len(list(net.parameters()))
    for direct, ours in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, direct, rtol=1e-3, atol=1e-5 * float(direct.abs().max()) + 1e-7)


@pytest.mark.parametrize("scale", [1, 2, 3, 4])
@pytest.mark.parametrize("branched", [True, False])
def test_it_begins_near_torchs_bilinear_enlargement(scale: int, branched: bool) -> None:
    """At every depth; at the border zeros are padded."""
    lr = batch(16)
    wanted = F.interpolate(lr, scale_factor=scale, mode="bilinear", align_corners=False)
    inside = (..., slice(scale, -scale), slice(scale, -scale))
    for depth in (4, 12, 20):
        found = made(width=16, depth=depth, scale=scale, branched=branched)(lr).detach()
        assert 0.0 < float((found - wanted)[inside].abs().mean()) < 0.05
    kernel = made(scale=scale, branched=branched).merged_state_dict()["tail.weight"]
    assert float(kernel[:, :3].sum((1, 2, 3)).sub(1.0).abs().max()) < 1e-5  # a flat picture stays what it is


@pytest.mark.parametrize("branched", [True, False])
def test_it_takes_a_network_of_another_scale_and_keeps_its_own_tail(branched: bool) -> None:
    double, net, before = (
        made(1, scale=2, branched=branched),
        made(2, branched=branched),
        made(2, branched=branched).merged_state_dict(),
    )
    net.load_plain(double.merged_state_dict())
    after = net.merged_state_dict()
    for name, tensor in double.merged_state_dict().items():
        torch.testing.assert_close(after[name], before[name] if name.startswith("tail.") else tensor, rtol=0, atol=1e-6)
    with pytest.raises(DataError, match="does not match the recipe"):
        net.load_plain(made(width=16, scale=2).merged_state_dict())


def test_a_depth_that_is_no_multiple_of_four_is_refused() -> None:
    config = TrainConfig(recipe="test", scale=4)
    with pytest.raises(UsageError, match=r"`depth` of residual must be a multiple of 4 .*, got 10"):
        change_config(config, ["network=residual", "depth=10"])
    assert change_config(config, ["network=residual", "depth=16"]).depth == 16
