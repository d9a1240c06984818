"""Spectral normalization, and batch normalization over ranks, against torch."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from torch import Tensor, nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402

from tests.training.distributed.test_ranks import run_ranks  # noqa: E402
from tests.training.networks.test_discriminators import made, noise  # noqa: E402
from upres.training.distributed.ranks import Ranks  # noqa: E402
from upres.training.networks.discriminators import (  # noqa: E402
    RankBatchNorm,
    SpectralConv2d,
)


def spectral() -> SpectralConv2d:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return SpectralConv2d(3, 5, 4, stride=2, padding=1, bias=True)


def test_sigma_becomes_the_largest_singular_value() -> None:
    conv = spectral()
    for _ in range(200):
        conv.normalized_weight()
    largest = torch.linalg.svdvals(conv.weight_orig.flatten(1))[0]
    torch.testing.assert_close(conv.normalized_weight(), conv.weight_orig / largest, rtol=1e-5, atol=1e-7)
    twin = nn.utils.parametrizations.spectral_norm(nn.Conv2d(3, 5, 4, bias=False), n_power_iterations=200)
    with torch.no_grad():
        twin.parametrizations.weight.original.copy_(conv.weight_orig)
    torch.testing.assert_close(conv.normalized_weight(), twin.weight, rtol=1e-5, atol=1e-7)


def test_each_step_is_torchs() -> None:
    """Against torch.nn.utils.spectral_norm, which the published discriminators were trained with: outputs, gradients
    and state.
    """
    conv = spectral()
    twin = nn.utils.spectral_norm(nn.Conv2d(3, 5, 4, 2, 1))
    with torch.no_grad():
        conv.weight_u.copy_(F.normalize(torch.arange(1.0, 6.0), dim=0))  # far from converged
    twin.load_state_dict(conv.state_dict())
    x = noise(2, 3, 8, 8)
    for mode in (True, True, False, True, False):
        ours, theirs = conv.train(mode)(x), twin.train(mode)(x)
        torch.testing.assert_close(ours, theirs)
        conv.zero_grad()
        twin.zero_grad()
        ours.square().sum().backward()
        theirs.square().sum().backward()
        torch.testing.assert_close(conv.weight_orig.grad, twin.weight_orig.grad, rtol=1e-4, atol=1e-5)
        for key, value in twin.state_dict().items():
            torch.testing.assert_close(conv.state_dict()[key], value)


@pytest.mark.parametrize("kind", ["unet", "patch"])
def test_vectors_move_in_training_and_rest_in_eval(kind: str) -> None:
    discriminator = made(kind)
    layers = [m for m in discriminator.modules() if isinstance(m, SpectralConv2d)]
    assert len(layers) == {"unet": 8, "patch": 9}[kind]
    x = noise(1, 3, 32, 32)
    for mode in (True, False, True):
        before = [(m.weight_u.clone(), m.weight_v.clone()) for m in layers]
        with torch.no_grad():
            discriminator.train(mode)(x)
        moved = [
            not torch.equal(m.weight_u, u) and not torch.equal(m.weight_v, v)
            for m, (u, v) in zip(layers, before, strict=True)
        ]
        assert moved == [mode] * len(layers)
    assert not any(buffer.requires_grad for buffer in discriminator.buffers())
    assert not any("weight_u" in name or "weight_v" in name for name, _ in discriminator.named_parameters())


def test_a_frozen_discriminator_still_moves_its_vectors() -> None:
    """As in the generator's step: no gradient for the weights, one for the picture."""
    conv = spectral().requires_grad_(False)
    before = conv.weight_u.clone()
    x = noise(1, 3, 8, 8).requires_grad_(True)
    conv(x).sum().backward()
    assert x.grad is not None and conv.weight_orig.grad is None and not torch.equal(before, conv.weight_u)


def test_several_forwards_before_one_backward_give_the_sum_of_gradients() -> None:
    real, fake = noise(1, 3, 8, 8, seed=1), noise(1, 3, 8, 8, seed=2)
    conv = spectral()
    state = copy.deepcopy(conv.state_dict())
    still = conv.eval()(fake)  # uses the vectors as they are, which the next two forwards change
    conv.train()
    (conv(real).square().sum() - conv(fake).sin().sum() + still.square().sum()).backward()
    together = conv.weight_orig.grad
    other = spectral()
    other.load_state_dict(state)
    other.eval()(fake).square().sum().backward()
    other.train()(real).square().sum().backward()
    (-other(fake).sin().sum()).backward()
    torch.testing.assert_close(together, other.weight_orig.grad, rtol=1e-5, atol=1e-6)


def test_the_gradient_through_sigma_by_finite_differences() -> None:
    conv = SpectralConv2d(2, 2, 2, padding=0, bias=False).double().eval()
    x = noise(1, 2, 3, 3, dtype=torch.float64)

    def run(weight: Tensor) -> Tensor:
        return torch.func.functional_call(conv, {"weight_orig": weight}, (x,))

    weight = conv.weight_orig.detach().clone().requires_grad_(True)
    assert torch.autograd.gradcheck(run, (weight,))
    assert torch.autograd.gradgradcheck(run, (weight,))


def test_an_untrained_layer_is_normalized_in_eval_mode() -> None:
    largest = torch.linalg.svdvals(spectral().eval().normalized_weight().flatten(1))[0].item()
    assert largest == pytest.approx(1.0, abs=0.05)


def test_sigma_is_the_same_under_autocast() -> None:
    conv, twin = spectral(), spectral()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        under = conv.normalized_weight()
    assert torch.equal(under, twin.normalized_weight())


def test_alone_it_is_torchs_own() -> None:
    ours, twin = RankBatchNorm(3), nn.BatchNorm2d(3)
    for seed in range(3):
        x = noise(2, 3, 4, 5, seed=seed)
        assert torch.equal(ours(x), twin(x))
    assert all(torch.equal(a, b) for a, b in zip(ours.state_dict().values(), twin.state_dict().values(), strict=True))
    assert list(ours.state_dict()) == list(twin.state_dict())


class _Alike(Ranks):
    """Two ranks that hold the same batch: every mean over ranks is one's own."""

    def mean_over_ranks(self, x: Tensor) -> Tensor:
        return x


def test_two_ranks_with_the_same_batch_equal_torch_on_the_doubled_batch() -> None:
    ours, twin = RankBatchNorm(3, _Alike(0, 2)).double(), nn.BatchNorm2d(3).double()
    x = (100.0 + noise(2, 3, 4, 5, dtype=torch.float64)).requires_grad_(True)
    y = x.detach().clone().requires_grad_(True)
    for seed in range(2):
        target = noise(2, 3, 4, 5, seed=seed + 1, dtype=torch.float64)
        out, expected = ours(x), twin(torch.cat([y, y]))
        torch.testing.assert_close(out, expected[:2], rtol=1e-9, atol=1e-9)
        (out * target).sum().backward()
        (expected[:2] * target).sum().backward()
        torch.testing.assert_close(x.grad, y.grad, rtol=1e-7, atol=1e-9)
    for key, value in twin.state_dict().items():
        torch.testing.assert_close(ours.state_dict()[key], value, rtol=1e-12, atol=1e-12)
    ours.eval(), twin.eval()
    torch.testing.assert_close(ours(x), twin(x))


def test_half_precision_is_normalized_in_float32() -> None:
    norm = RankBatchNorm(2, _Alike(0, 2))
    x = (100.0 + noise(2, 2, 8, 8)).to(torch.bfloat16)
    out = norm(x)
    assert out.dtype == torch.bfloat16
    torch.testing.assert_close(out.float(), nn.BatchNorm2d(2)(x.float()), rtol=1e-2, atol=1e-2)


TWO = """
from upres.training.networks.discriminators import build_discriminator
from upres.training.losses.formulas import gan_discriminator_loss, gan_generator_loss, r1_penalty

def discriminator(real, fake, ranks):
    torch.manual_seed(0)
    net = build_discriminator("vgg", 2, ranks).double()
    real = real.clone().requires_grad_(True)
    on_real, on_fake = net(real), net(fake)
    loss = gan_discriminator_loss("relativistic", on_real, on_fake, ranks.mean) + 0.1 * r1_penalty(on_real, real)
    loss.backward(retain_graph=True)
    ranks.average_gradients(net.parameters())
    value = ranks.mean(gan_generator_loss("relativistic", on_real, on_fake, ranks.mean)).item()
    return {
        "loss": ranks.mean(loss).item(), "generator": value,
        "gradients": [p.grad.flatten().tolist() for p in net.parameters()],
        "buffers": [b.tolist() for b in net.buffers()],
    }

def pictures():
    random = torch.Generator().manual_seed(1)
    return torch.rand(2, 4, 3, 32, 40, dtype=torch.float64, generator=random)

if __name__ == "__main__":
    with join_ranks() as ranks:
        real, fake = (part[ranks.rank::ranks.count] for part in pictures())
        out = discriminator(real, fake, ranks)
    with open(sys.argv[1] + f"/{ranks.rank}.json", "w") as file:
        json.dump(out, file)
"""


def test_two_ranks_judge_as_one_with_the_whole_batch(tmp_path: Path) -> None:
    """Losses (both of RaGAN, R1), averaged gradients and running statistics of a batch-normalized discriminator."""
    found = run_ranks(TWO, 2, tmp_path)
    names: dict[str, object] = {"__name__": "here"}
    with torch.random.fork_rng():
        exec("import json, sys, torch\n" + TWO, names)
        real, fake = names["pictures"]()  # type: ignore[operator]
        expected = names["discriminator"](real, fake, Ranks())  # type: ignore[operator]
    for result in found:
        assert result["loss"] == pytest.approx(expected["loss"], rel=1e-9)
        assert result["generator"] == pytest.approx(expected["generator"], rel=1e-9)
        for ours, theirs in zip(result["gradients"], expected["gradients"], strict=True):
            torch.testing.assert_close(torch.tensor(ours).double(), torch.tensor(theirs).double(), rtol=1e-6, atol=1e-9)
        for ours, theirs in zip(result["buffers"], expected["buffers"], strict=True):
            torch.testing.assert_close(torch.tensor(ours).double(), torch.tensor(theirs).double(), rtol=1e-6, atol=1e-9)
