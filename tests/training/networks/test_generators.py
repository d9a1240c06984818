"""A configuration names its generator, and every generator keeps the promises that the loop builds on."""

from __future__ import annotations

import dataclasses

import pytest

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402

from upres.errors import DataError, UsageError  # noqa: E402
from upres.graph.architectures import graph_from_state_dict  # noqa: E402
from upres.training.config import TrainConfig  # noqa: E402
from upres.training.networks.compact import BranchedConv, Compact  # noqa: E402
from upres.training.networks.generators import GENERATORS, Generator, build_generator  # noqa: E402
from upres.training.networks.residual import Residual  # noqa: E402
from upres.training.networks.rrdb import RRDBNet  # noqa: E402
from upres.training.networks.srresnet import SRResNet  # noqa: E402

KINDS = {"compact": Compact, "residual": Residual, "rrdb": RRDBNet, "srresnet": SRResNet}


def config(network: str, **settings: object) -> TrainConfig:
    base = TrainConfig(recipe="test", scale=2, width=8, depth=4, growth=4)
    return dataclasses.replace(base, network=network, **settings)  # type: ignore[arg-type]


def test_every_name_of_the_configuration_has_a_generator() -> None:
    assert list(GENERATORS) == [*KINDS, "realplksr"]  # which test_realplksr.py tests
    assert {name: type(build_generator(config(name))) for name in KINDS} == KINDS


@pytest.mark.parametrize("network", KINDS)
@pytest.mark.parametrize("scale", [2, 4, 8])
def test_what_the_loop_asks_of_each(network: str, scale: int) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        net, other = (build_generator(config(network, scale=scale)) for _ in range(2))
    asked: Generator = net
    assert isinstance(net, nn.Module) and net.training and asked.scale == scale
    lr = torch.rand(2, 3, 8, 10, generator=torch.Generator().manual_seed(1))
    sr = net(lr)
    assert sr.shape == (2, 3, 8 * scale, 10 * scale) and sr.dtype == torch.float32
    sr.mean().backward()
    assert all(parameter.grad is not None for parameter in net.parameters())
    graph = graph_from_state_dict({name: tensor.numpy() for name, tensor in net.merged_state_dict().items()})
    assert (graph.family, graph.scale) == (network, scale)
    other.load_plain(net.merged_state_dict())
    with torch.no_grad():
        torch.testing.assert_close(other.eval()(lr), net.eval()(lr), rtol=1e-4, atol=1e-5)
    with pytest.raises(DataError, match="the initial network does not match the recipe"):
        other.load_plain({"x": torch.ones(1)})


@pytest.mark.parametrize("network", KINDS)
@pytest.mark.parametrize("scale", [2, 4])
def test_gray_goes_in_and_comes_out_and_the_file_tells(network: str, scale: int) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        net, other, color = (build_generator(config(network, scale=scale, channels=c)).eval() for c in (1, 1, 0))
    lr = torch.rand(1, 1, 9, 10, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        sr = net(lr)
    assert sr.shape == (1, 1, 9 * scale, 10 * scale)
    graph = graph_from_state_dict({name: tensor.numpy() for name, tensor in net.merged_state_dict().items()})
    assert (graph.family, graph.scale, graph.in_channels, graph.out_channels) == (network, scale, 1, 1)
    other.load_plain(net.merged_state_dict())
    with torch.no_grad():
        torch.testing.assert_close(other(lr), sr, rtol=1e-4, atol=1e-5)
    with pytest.raises(DataError, match="does not match the recipe"):
        other.load_plain(color.merged_state_dict())


@pytest.mark.parametrize("network", KINDS)
def test_a_file_is_taken_by_name_whatever_its_order(network: str) -> None:
    """A loader that pairs tensors off by their order loads others of the same shape without a word."""
    with torch.random.fork_rng():
        torch.manual_seed(2)
        known, another = (build_generator(config(network)).merged_state_dict() for _ in range(2))
        other = build_generator(config(network))
    other.load_plain(dict(sorted(known.items(), reverse=True)))
    for name, tensor in other.merged_state_dict().items():
        torch.testing.assert_close(tensor, known[name], rtol=1e-5, atol=1e-6, msg=name)
    assert any(not torch.equal(another[name], tensor) for name, tensor in known.items())


def test_the_settings_arrive() -> None:
    assert len(build_generator(config("compact", depth=5)).merged_state_dict()) == 6 * 3 + 2
    assert any(isinstance(m, BranchedConv) for m in build_generator(config("compact")).modules())
    assert not any(isinstance(m, BranchedConv) for m in build_generator(config("compact", branched=False)).modules())
    rrdb = build_generator(config("rrdb", depth=3, growth=5, width=6, gradient_checkpointing=True))
    assert isinstance(rrdb, RRDBNet) and rrdb.checkpoint and len(rrdb.body) == 3
    assert rrdb.merged_state_dict()["body.2.rdb1.conv2.weight"].shape == (5, 11, 3, 3)
    srresnet = build_generator(config("srresnet", depth=3, width=6))
    assert isinstance(srresnet, SRResNet) and len(srresnet.blocks) == 3
    assert srresnet.merged_state_dict()["up1.conv.weight"].shape == (24, 6, 3, 3)


@pytest.mark.parametrize("network", ["rrdb", "srresnet"])
def test_a_scale_that_a_network_lacks_is_refused(network: str) -> None:
    with pytest.raises(UsageError, match=r"supports the scales .*; got 3"):
        build_generator(config(network, scale=3))
