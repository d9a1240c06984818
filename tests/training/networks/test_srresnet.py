"""SRResNet against the paper's figure, the folded network against the trained one, and the way back from a file into
training.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping

import numpy as np
import pytest

torch = pytest.importorskip("torch")
from torch import Tensor, nn  # noqa: E402

from upres import engines  # noqa: E402
from upres.errors import DataError, UsageError  # noqa: E402
from upres.graph.architectures import graph_from_state_dict  # noqa: E402
from upres.training.networks.srresnet import SRResNet  # noqa: E402


class Residual(nn.Module):
    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x)


def paper(scale: int, width: int, blocks: int) -> nn.Sequential:
    """Figure 4 of Ledig et al., read from left to right: k9n64s1, B times k3n64s1, k3n64s1, k3n256s1 and shuffle,
    k9n3s1.
    """

    def conv(taken: int, given: int, kernel: int, bias: bool = True) -> nn.Conv2d:
        return nn.Conv2d(taken, given, kernel, 1, kernel // 2, bias=bias)

    def block() -> Residual:
        first = [conv(width, width, 3, False), nn.BatchNorm2d(width), nn.PReLU(width)]
        return Residual(*first, conv(width, width, 3, False), nn.BatchNorm2d(width))

    trunk = Residual(*(block() for _ in range(blocks)), conv(width, width, 3, False), nn.BatchNorm2d(width))
    ups: list[nn.Module] = []
    for _ in range({2: 1, 4: 2, 8: 3}[scale]):
        ups += [conv(width, 4 * width, 3), nn.PixelShuffle(2), nn.PReLU(width)]
    return nn.Sequential(conv(3, width, 9), nn.PReLU(width), trunk, *ups, conv(width, 3, 9))


def small(scale: int = 4, seed: int = 0, *, lived: bool = False) -> SRResNet:
    """`lived`: with statistics, gains and slopes as after some training."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        net = SRResNet(scale=scale, width=8, blocks=2)
    if lived:
        generator = torch.Generator().manual_seed(seed + 100)
        with torch.no_grad():
            for module in net.modules():
                if isinstance(module, nn.BatchNorm2d):
                    assert module.running_mean is not None and module.running_var is not None
                    module.running_mean.copy_(torch.randn(8, generator=generator))
                    module.running_var.copy_(torch.rand(8, generator=generator) * 3 + 0.01)
                    module.weight.copy_(torch.rand(8, generator=generator) + 0.5)
                    module.bias.copy_(torch.randn(8, generator=generator) * 0.2)
                elif isinstance(module, nn.PReLU):
                    module.weight.copy_(torch.rand(8, generator=generator) - 0.2)
    return net


def pixels(*shape: int, seed: int = 1) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def arrays(state: Mapping[str, Tensor]) -> dict[str, np.ndarray]:
    return {name: tensor.numpy() for name, tensor in state.items()}


@pytest.mark.parametrize("scale", [2, 4, 8])
@pytest.mark.parametrize("training", [True, False])
def test_values_and_gradients_are_those_of_the_figure(scale: int, training: bool) -> None:
    net = small(scale, lived=True).double().train(training)
    oracle = paper(scale, 8, 2).double().train(training)
    pairs = [  # both list the layers of a kind in the order in which they run
        pair
        for kind in (nn.Conv2d, nn.BatchNorm2d, nn.PReLU)
        for pair in zip(*([m for m in whole.modules() if isinstance(m, kind)] for whole in (net, oracle)), strict=True)
    ]
    assert sum(p.numel() for mine, _ in pairs for p in mine.parameters()) == sum(p.numel() for p in net.parameters())
    for mine, other in pairs:
        other.load_state_dict(mine.state_dict())
    lr = pixels(2, 3, 7, 9).double()
    sr, expected = net(lr), oracle(lr)
    assert sr.shape == (2, 3, 7 * scale, 9 * scale)
    torch.testing.assert_close(sr, expected, rtol=0, atol=1e-12)
    sr.square().mean().backward()
    expected.square().mean().backward()
    for mine, other in pairs:
        for (name, parameter), twin in zip(mine.named_parameters(), other.parameters(), strict=True):
            assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name
            torch.testing.assert_close(parameter.grad, twin.grad, rtol=1e-9, atol=1e-15)
        assert all(torch.equal(a, b) for a, b in zip(mine.buffers(), other.buffers(), strict=True))


def buffers_of(module: nn.Module) -> list[Tensor]:
    return [buffer for m in module.modules() if isinstance(m, nn.BatchNorm2d) for buffer in m.buffers()]


def test_parameters_of_the_published_network() -> None:
    """Counted by hand: convolutions without bias before a normalization, which has a gain and a shift a channel; a
    slope a channel.
    """
    with torch.device("meta"):
        net = SRResNet(scale=4)
    total = sum(p.numel() for p in net.parameters())
    assert (
        total
        == (9 * 9 * 3 * 64 + 64)
        + 33 * (9 * 64 * 64 + 2 * 64)
        + 2 * (9 * 64 * 256 + 256)
        + (9 * 9 * 64 * 3 + 3)
        + 19 * 64
    )


@pytest.mark.parametrize("scale", [2, 4, 8])
@pytest.mark.parametrize("engine", ["ncnn", "torch", "onnx"])
def test_the_folded_network_is_the_trained_one_in_eval_mode(scale: int, engine: str) -> None:
    net = small(scale, lived=True).eval()
    state = net.merged_state_dict()
    assert not any("bn" in name for name in state)
    graph = graph_from_state_dict(arrays(state))
    assert (graph.family, graph.scale, graph.parameters) == (
        "srresnet",
        scale,
        sum(tensor.numel() for tensor in state.values()),
    )
    lr = pixels(1, 3, 17, 22)
    with torch.no_grad():
        expected = net(lr).numpy()
    assert expected.std() > 0.05
    sr = engines.load(graph, engine=engine, threads=1)(lr.numpy())
    np.testing.assert_allclose(sr, expected, rtol=0, atol=2e-5 * np.abs(expected).max())


def test_the_merged_state_is_a_copy() -> None:
    net = small()
    before = copy.deepcopy(net.state_dict())
    for tensor in net.merged_state_dict().values():
        tensor.fill_(9.0)
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())


def test_a_folded_file_is_taken_up() -> None:
    known = small(seed=5, lived=True)
    net = small(seed=6, lived=True)
    net.load_plain({f"module.{name}": tensor for name, tensor in known.merged_state_dict().items()})
    for name, tensor in net.merged_state_dict().items():
        torch.testing.assert_close(tensor, known.merged_state_dict()[name], rtol=1e-6, atol=1e-7)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert (
                module.running_mean is not None
                and module.running_var is not None
                and module.num_batches_tracked is not None
            )
            assert not module.running_mean.any() and (module.running_var == 1).all() and module.num_batches_tracked == 0
    lr = pixels(2, 3, 8, 8)
    with torch.no_grad():
        torch.testing.assert_close(net.eval()(lr), known.eval()(lr), rtol=1e-4, atol=1e-5)


def test_calibrated_it_trains_from_the_network_that_was_loaded() -> None:
    known = small(seed=5, lived=True).eval()
    batch, other = pixels(4, 3, 12, 12), pixels(4, 3, 12, 12, seed=9)
    net = small(seed=6)
    net.load_plain(known.merged_state_dict())
    with torch.no_grad():
        expected = known(batch)
        size = expected.std()
        uncalibrated = (copy.deepcopy(net).train()(batch) - expected).abs().max() / size
        net.calibrate(batch)
        assert (net.eval()(other) - known(other)).abs().max() < 1e-4 * size  # the function in eval mode stayed
        assert (copy.deepcopy(net).train()(batch) - expected).abs().max() < 1e-4 * size  # and training begins with it
        assert (copy.deepcopy(net).train()(other) - known(other)).abs().max() < 0.5 * uncalibrated * size
    assert uncalibrated > 0.2
    merged = net.merged_state_dict()
    for name, tensor in known.merged_state_dict().items():
        torch.testing.assert_close(merged[name], tensor, rtol=1e-5, atol=1e-5)


def test_training_moves_the_statistics_and_evaluation_does_not() -> None:
    net = small()
    before = [buffer.clone() for buffer in buffers_of(net)]
    with torch.no_grad():
        net.eval()(pixels(2, 3, 8, 8))
        assert all(torch.equal(a, b) for a, b in zip(before, buffers_of(net), strict=True))
        net.train()(pixels(2, 3, 8, 8))
    assert not any(torch.equal(a, b) for a, b in zip(before, buffers_of(net), strict=True))


def test_another_network_is_refused_by_the_name_of_its_tensor() -> None:
    known = small().merged_state_dict()
    refused = [
        (
            small(2).merged_state_dict(),
            r"'up2.conv.weight' is missing, expected \(32, 8, 3, 3\): set scale, width and depth to those",
        ),
        (
            SRResNet(scale=4, width=8, blocks=3).merged_state_dict(),
            r"'blocks.2.conv1.weight' is \(8, 8, 3, 3\), expected no such tensor",
        ),
        (known | {"tail.weight": torch.ones(3, 4, 9, 9)}, r"'tail.weight' is \(3, 4, 9, 9\), expected \(3, 8, 9, 9\)"),
    ]
    net = small(seed=3)
    for state, words in refused:
        with pytest.raises(DataError, match=words):
            net.load_plain(state)
    assert all(torch.equal(tensor, small(seed=3).state_dict()[name]) for name, tensor in net.state_dict().items())


def test_bfloat16_inside_and_float32_outside() -> None:
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        assert small()(pixels(2, 3, 8, 8)).dtype == torch.float32


@pytest.mark.parametrize("scale", [1, 3])
def test_other_scales_are_refused(scale: int) -> None:
    with pytest.raises(UsageError, match=f"SRResNet supports the scales 2, 4, 8; got {scale}"):
        SRResNet(scale=scale)
