from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn  # noqa: E402

from upres.training.state import start_ema, update_ema  # noqa: E402


def test_equals_torchs_own_average_once_warm() -> None:
    torch.manual_seed(0)
    net = torch.nn.Linear(4, 3)
    ema = start_ema(net)
    twin = AveragedModel(net, multi_avg_fn=get_ema_multi_avg_fn(0.9))
    twin.update_parameters(net)  # its first call copies
    for step in range(1000, 1010):
        with torch.no_grad():
            for parameter in net.parameters():
                parameter.add_(torch.randn_like(parameter))
        update_ema(ema, net, 0.9, step)
        twin.update_parameters(net)
    for name, parameter in twin.module.named_parameters():
        assert torch.allclose(ema[name], parameter, atol=1e-6)


def test_statistics_of_batch_normalization_are_averaged_with_the_weights() -> None:
    """Averaged gains behind the newest statistics would be a network that never was.

    The count of batches is no statistic.
    """
    net = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 1), torch.nn.BatchNorm2d(4))
    ema = start_ema(net)
    assert ema.keys() == {"0.weight", "0.bias", "1.weight", "1.bias", "1.running_mean", "1.running_var"}
    net(5.0 + torch.rand(2, 3, 6, 6, generator=torch.Generator().manual_seed(0)))
    begun, now = ema["1.running_mean"].clone(), dict(net.named_buffers())["1.running_mean"]
    update_ema(ema, net, 0.9, 1000)
    assert (now - begun).abs().max() > 0.01
    torch.testing.assert_close(ema["1.running_mean"], 0.9 * begun + 0.1 * now)


def test_the_start_is_forgotten_quickly() -> None:
    net = torch.nn.Linear(1, 1, bias=False)
    with torch.no_grad():
        net.weight.fill_(100.0)
    ema = start_ema(net)
    with torch.no_grad():
        net.weight.fill_(0.0)
    for step in range(100):
        update_ema(ema, net, 0.999, step)
    assert ema["weight"].item() < 0.01  # at a constant 0.999 it would still be 90
