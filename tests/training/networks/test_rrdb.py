"""RRDBNet against the plain reference network, value by value and gradient by gradient; its shape, its beginning, its
dialects.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import pytest

torch = pytest.importorskip("torch")
from torch import Tensor, nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402

from tests.oracles import networks as oracles  # noqa: E402
from upres.errors import DataError, UsageError  # noqa: E402
from upres.graph.architectures import graph_from_state_dict  # noqa: E402
from upres.training.networks.rrdb import RRDBNet, dense_block  # noqa: E402
from upres.upscaling.upscaler import Upscaler  # noqa: E402

SCALES = {1: (2, 4), 2: (2, 2), 4: (2, 1), 8: (3, 1)}  # scale -> upsamplings, unshuffle


def small(scale: int = 4, seed: int = 0, **settings: bool) -> RRDBNet:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return RRDBNet(scale=scale, width=8, blocks=2, growth=4, **settings)


def arrays(state: Mapping[str, Tensor]) -> dict[str, np.ndarray]:
    return {name: tensor.numpy() for name, tensor in state.items()}


def pixels(*shape: int, seed: int = 1) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("scale", SCALES)
def test_values_and_gradients_are_those_of_the_reference(scale: int) -> None:
    """Also what trap 13 names: the residuals of 0.2, LeakyReLU 0.2, the long skip, nearest and then conv, the last two
    convolutions.
    """
    ups, unshuffle = SCALES[scale]
    net = small(scale).double()
    oracle = oracles.RRDBNet(width=8, growth=4, blocks=2, ups=ups, unshuffle=unshuffle).double()
    # weights large enough for all to matter
    oracle.load_state_dict(oracles.randomized(net, 5, gain=1.5).state_dict(), strict=True)
    lr = pixels(2, 3, 8, 12).double().requires_grad_()
    twin = lr.detach().clone().requires_grad_()
    sr, expected = net(lr), oracle(twin)
    assert sr.shape == (2, 3, 8 * scale, 12 * scale)
    torch.testing.assert_close(sr, expected, rtol=0, atol=1e-12)
    sr.square().mean().backward()
    expected.square().mean().backward()
    torch.testing.assert_close(lr.grad, twin.grad, rtol=1e-9, atol=1e-15)
    theirs = dict(oracle.named_parameters())
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name
        torch.testing.assert_close(parameter.grad, theirs[name].grad, rtol=1e-9, atol=1e-15)


def test_a_dense_block_by_hand() -> None:
    """One pixel of -1, every weight 1: y = -0.2, -0.24, -0.288, -0.3456, then -2.0736 unactivated, a fifth of it added
    to -1.
    """
    weights = [torch.zeros(1, taken, 3, 3) for taken in range(1, 6)]
    for weight in weights:
        weight[:, :, 1, 1] = 1.0
    biases = [torch.zeros(1)] * 5
    assert dense_block(torch.full((1, 1, 1, 1), -1.0), weights, biases).item() == pytest.approx(-1.41472, abs=1e-6)
    assert dense_block(torch.full((1, 1, 1, 1), 1.0), weights, biases).item() == pytest.approx(1 + 0.2 * 16, abs=1e-6)


def test_a_fifth_of_three_dense_blocks_is_added_to_their_input() -> None:
    net = small()
    block = net.body[0]
    with torch.no_grad():
        for parameter in block.parameters():
            parameter.zero_()
    x = pixels(1, 8, 5, 5) - 0.5
    torch.testing.assert_close(block(x), 1.2 * x)


def test_the_result_is_not_clamped() -> None:
    net = small()
    assert net.conv_last.bias is not None
    for shift in (-5.0, 5.0):
        with torch.no_grad():
            net.conv_last.bias.fill_(shift)
            assert abs(net(pixels(1, 3, 8, 8)).mean().item() - shift) < 1.0


@pytest.mark.parametrize(("scale", "parameters"), [(4, 16_697_987), (2, 16_697_987 + 9 * 3 * 3 * 64)])
def test_parameters_of_the_published_network(scale: int, parameters: int) -> None:
    with torch.device("meta"):
        net = RRDBNet(scale=scale)
    assert sum(p.numel() for p in net.parameters()) == parameters


def test_only_the_dense_blocks_begin_small() -> None:
    """Trap 14: kaiming_normal (fan_in, a=0) x 0.1 and bias 0 there, torch's uniform default everywhere else."""
    with torch.random.fork_rng():
        torch.manual_seed(7)
        net = RRDBNet(scale=8, width=32, blocks=2, growth=16)
    convs = {name: module for name, module in net.named_modules() if isinstance(module, nn.Conv2d)}
    body = {f"body.{n}.rdb{b}.conv{c}" for n in (0, 1) for b in (1, 2, 3) for c in range(1, 6)}
    assert sorted(set(convs) - body) == [
        "conv_body", "conv_first", "conv_hr", "conv_last", "conv_up1", "conv_up2", "conv_up3",
    ]  # fmt: skip
    for name, conv in convs.items():
        fan_in = conv.in_channels * 9
        bound = 1 / math.sqrt(fan_in)  # of torch's default: kaiming_uniform with a = sqrt 5
        weight, bias = conv.weight.detach(), conv.bias.detach()
        if ".rdb" in name:
            assert weight.std().item() == pytest.approx(0.1 * math.sqrt(2 / fan_in), rel=0.06), name
            assert weight.mean().abs().item() < 0.1 * weight.std().item(), name
            assert weight.abs().max() > 3 * weight.std(), name  # a normal distribution has tails
            assert not bias.any(), name
        else:
            assert 0.98 * bound < weight.abs().max() <= bound, name
            assert weight.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.06), name
            assert 0 < bias.abs().max() <= bound, name


def test_the_beginning_is_a_function_of_the_seed() -> None:
    first, again, other = (small(seed=seed).state_dict() for seed in (3, 3, 4))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["conv_first.weight"], other["conv_first.weight"])


@pytest.mark.parametrize(("scale", "factor"), [(1, 4), (2, 2)])
@pytest.mark.parametrize("size", [(8, 8), (9, 14), (11, 13), (10, 7)])
def test_odd_sizes_are_mirrored_and_cropped(scale: int, factor: int, size: tuple[int, int]) -> None:
    """Trap 15, against the reference behind numpy's mirror, and against what `upres upscale` makes of the same file and
    picture.
    """
    net = small(scale)
    oracle = oracles.RRDBNet(width=8, growth=4, blocks=2, ups=2, unshuffle=factor)
    oracle.load_state_dict(net.merged_state_dict())
    lr = pixels(1, 3, *size)
    padded = np.pad(lr.numpy(), ((0, 0), (0, 0), (0, -size[0] % factor), (0, -size[1] % factor)), mode="reflect")
    with torch.no_grad():
        sr = net(lr)
        expected = oracle(torch.from_numpy(padded))[..., : size[0] * scale, : size[1] * scale]
    assert sr.shape == (1, 3, size[0] * scale, size[1] * scale)
    torch.testing.assert_close(sr, expected, rtol=0, atol=1e-6)
    upscaler = Upscaler(graph_from_state_dict(arrays(net.merged_state_dict())), engine="ncnn", threads=1)
    through_ncnn = upscaler.upscale_array(np.ascontiguousarray(lr[0].permute(1, 2, 0).numpy()))
    np.testing.assert_allclose(through_ncnn, sr[0].permute(1, 2, 0).numpy(), rtol=0, atol=1e-5)


def test_the_unshuffle_puts_pixels_in_torchs_order() -> None:
    """Channel c f f + i f + j of the first convolution reads pixel (i, j) of each f x f square of color c."""
    net = small(2)
    with torch.no_grad():
        for parameter in net.conv_first.parameters():
            parameter.zero_()
        net.conv_first.weight[0, 1 * 4 + 1 * 2 + 0, 1, 1] = 1.0  # green, the lower left of each square
    lr = pixels(1, 3, 6, 6)
    torch.testing.assert_close(net.conv_first(F.pixel_unshuffle(lr, net.unshuffle))[0, 0], lr[0, 1, 1::2, 0::2])
    changed = lr.clone()
    changed[0, 1, 0, 0] += 1.0  # green, but the upper left
    assert torch.equal(net(changed), net(lr))
    changed[0, 1, 1, 0] += 1.0
    assert not torch.equal(net(changed), net(lr))


@pytest.mark.parametrize(("scale", "size"), [(2, (1, 8)), (1, (2, 8)), (1, (8, 1))])
def test_a_picture_too_small_to_mirror_is_refused(scale: int, size: tuple[int, int]) -> None:
    with pytest.raises(DataError, match=rf"{size[0]} x {size[1]} pixels is too small to be reflected to a multiple of"):
        small(scale)(pixels(1, 3, *size))


@pytest.mark.parametrize("scale", SCALES)
def test_the_state_dict_is_read_back_by_name(scale: int) -> None:
    net = small(scale)
    graph = graph_from_state_dict(arrays(net.merged_state_dict()))
    assert (graph.family, graph.scale, graph.in_channels, graph.alignment) == ("rrdb", scale, 3, net.unshuffle)
    assert graph.parameters == sum(p.numel() for p in net.parameters())
    assert list(net.merged_state_dict()) == list(net.state_dict())


def test_the_merged_state_is_a_copy() -> None:
    net = small()
    merged = net.merged_state_dict()
    merged["conv_last.bias"].fill_(9.0)
    assert net.conv_last.bias is not None and net.conv_last.bias.max() < 1.0


@pytest.mark.parametrize("scale", [2, 4])
def test_checkpointing_changes_no_bit_of_the_gradients(scale: int) -> None:
    lr = pixels(2, 3, 9, 8)
    made: list[list[Tensor]] = []
    for checkpoint in (False, True):
        net = small(scale, checkpoint=checkpoint)
        sr = net(lr)
        sr.square().mean().backward()
        made.append([sr.detach(), *(p.grad for p in net.parameters() if p.grad is not None)])
    assert len(made[0]) == len(made[1]) == 1 + len(list(small(scale).parameters()))
    assert all(torch.equal(plain, saving) for plain, saving in zip(*made, strict=True))


def test_checkpointing_keeps_less_for_the_backward_pass() -> None:
    kept: dict[bool, int] = {}
    for checkpoint in (False, True):
        held: list[int] = []

        def pack(tensor: Tensor, held: list[int] = held) -> Tensor:
            held.append(tensor.numel())
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            small(4, checkpoint=checkpoint)(pixels(1, 3, 8, 8))
        kept[checkpoint] = sum(held)
    assert kept[True] < 0.7 * kept[False]


def test_bfloat16_inside_and_float32_outside() -> None:
    net = small()
    lr = pixels(1, 3, 8, 8)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        sr = net(lr)
        assert net.conv_first(lr).dtype == torch.bfloat16
    assert sr.dtype == torch.float32
    torch.testing.assert_close(sr, net(lr).detach(), rtol=0, atol=0.02)


@pytest.mark.parametrize("dialect", ["basicsr", "esrgan", "old", "wrapped"])
def test_a_network_of_any_dialect_is_taken_up(dialect: str) -> None:
    known = small(seed=11).merged_state_dict()
    given: Mapping[str, object] = known
    if dialect == "esrgan":
        given = oracles.esrgan_keys(dict(known))
    elif dialect == "old":
        given = oracles.old_esrgan_keys(dict(known), blocks=2, ups=2)
    elif dialect == "wrapped":
        given = {f"module.netG.{name}": tensor for name, tensor in known.items()}
    assert dialect == "basicsr" or set(given) != set(known)
    net = small()
    net.load_plain(given)  # type: ignore[arg-type]
    assert all(torch.equal(tensor, known[name]) for name, tensor in net.merged_state_dict().items())


def test_another_network_is_refused_by_the_name_of_its_tensor() -> None:
    known = small().merged_state_dict()
    before = small().merged_state_dict()
    refused = [
        (
            small(2).merged_state_dict(),
            r"tensor 'conv_first.weight' is \(8, 12, 3, 3\), expected \(8, 3, 3, 3\): set scale, width, depth",
        ),
        (small(8).merged_state_dict(), r"tensor 'conv_up3.weight' is \(8, 8, 3, 3\), expected no such tensor"),
        (
            {k: v for k, v in known.items() if k != "body.1.rdb3.conv5.bias"},
            r"'body.1.rdb3.conv5.bias' is missing, expected \(8,\)",
        ),
        (
            {f"model.{i}.sub.0.RDB1.conv1.0.weight": torch.ones(1) for i in (1,)},
            "cannot be read: RRDBNet, old key names",
        ),
        ({}, "'conv_first.weight' is missing"),
    ]
    net = small()
    for state, words in refused:
        with pytest.raises(DataError, match=words):
            net.load_plain(state)
    # nothing was half loaded
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.merged_state_dict().items())


def test_other_scales_are_refused() -> None:
    with pytest.raises(UsageError, match="RRDBNet supports the scales 1, 2, 4, 8; got 3"):
        RRDBNet(scale=3)
