"""Discriminators against literal readings of the published ones, spectral norm against torch's and the SVD, two gloo
ranks against one.
"""

from __future__ import annotations

import copy

import pytest

torch = pytest.importorskip("torch")

from torch import Tensor, nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402

from upres.errors import UsageError  # noqa: E402
from upres.training.distributed.ranks import Ranks  # noqa: E402
from upres.training.losses.formulas import gan_discriminator_loss, gradient_penalty, r1_penalty  # noqa: E402
from upres.training.networks.discriminators import (  # noqa: E402
    DISCRIMINATORS,
    PatchDiscriminator,
    RankBatchNorm,
    UNetDiscriminator,
    VGGDiscriminator,
    build_discriminator,
)

KINDS = sorted(DISCRIMINATORS)
SMALLEST = {"vgg": 32, "unet": 8, "attention": 16, "patch": 32}


def noise(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def made(kind: str, width: int = 4) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return build_discriminator(kind, width)


# ---- the networks


@pytest.mark.parametrize(("kind", "parameters"), [("vgg", 14_499_401), ("unet", 4_376_897), ("patch", 3 * 2_764_737)])
def test_parameter_counts_are_the_published_ones(kind: str, parameters: int) -> None:
    """The PatchGAN of pix2pix has 2,764,737 in its convolutions with biases, and we have three."""
    assert sum(p.numel() for p in DISCRIMINATORS[kind]().parameters()) == parameters


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [(96, 96), (128, 128), (130, 130), (200, 200), (96, 130), (33, 47)])
def test_any_size_gives_logits_and_gradients(kind: str, size: tuple[int, int]) -> None:
    discriminator = made(kind)
    x = noise(2, 3, *size).requires_grad_(True)
    logits = discriminator(x)
    assert isinstance(logits, tuple)
    if kind == "vgg":
        assert [t.shape for t in logits] == [(2, 1)]
    elif kind == "unet":
        assert [t.shape for t in logits] == [(2, 1, *size)]
    elif kind == "attention":
        assert [t.shape for t in logits] == [(2, 1, *size), (2, 1, *((side + 1) // 2 for side in size))]
    else:
        assert [t.shape[:2] for t in logits] == [(2, 1)] * 3
        assert [t.shape[2] for t in logits] == sorted((t.shape[2] for t in logits), reverse=True)
    sum(t.square().mean() for t in logits).backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in discriminator.parameters())
    # every pixel is looked at, the last rows too
    assert x.grad is not None and (x.grad.abs().sum(1) > 0).float().mean() > 0.99


@pytest.mark.parametrize("kind", KINDS)
def test_sizes_that_are_too_small_are_refused(kind: str) -> None:
    discriminator, smallest = made(kind).eval(), SMALLEST[kind]
    assert all(torch.isfinite(t).all() for t in discriminator(noise(1, 3, smallest, smallest)))
    words = rf"at least {smallest}x{smallest} px, got {smallest}x{smallest - 1} \(h x w\): use larger patches"
    with pytest.raises(UsageError, match=words):
        discriminator(noise(1, 3, smallest, smallest - 1))
    with pytest.raises(UsageError, match=r"batches b 3 h w, got shape \(1, 1, 64, 64\)"):
        discriminator(noise(1, 1, 64, 64))


@pytest.mark.parametrize("kind", KINDS)
def test_gray_pictures_are_judged_by_a_gray_discriminator(kind: str) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        color, gray = (build_discriminator(kind, 4, channels=channels).eval() for channels in (3, 1))
    shapes = [[tuple(logits.shape) for logits in net(noise(2, c, 64, 64))] for net, c in ((color, 3), (gray, 1))]
    assert shapes[0] == shapes[1]
    first = next(name for name, tensor in gray.state_dict().items() if tensor.dim() == 4)
    differing = [name for name, tensor in gray.state_dict().items() if tensor.shape != color.state_dict()[name].shape]
    assert differing and set(differing) <= {
        first,
        "scales.1.conv0.weight",
        "scales.1.first.weight",
        "scales.2.first.weight",
    }
    with pytest.raises(UsageError, match=r"batches b 1 h w, got shape \(1, 3, 64, 64\)"):
        gray(noise(1, 3, 64, 64))


def test_one_value_a_channel_cannot_be_normalized() -> None:
    discriminator = made("vgg")
    with pytest.raises(
        UsageError, match="normalizes over the batch: one patch below 64 px is too little, raise `batch`"
    ):
        discriminator(noise(1, 3, 63, 40))
    discriminator(noise(2, 3, 63, 40))
    discriminator(noise(1, 3, 64, 40))


def test_build_refuses_what_it_does_not_know() -> None:
    with pytest.raises(UsageError, match="unknown discriminator 'dcgan': choose one of vgg, unet, attention, patch"):
        build_discriminator("dcgan", 64)
    with pytest.raises(UsageError, match="the width of a discriminator must be at least 1, got 0"):
        build_discriminator("vgg", 0)
    ranks = Ranks(0, 2)
    norms = [m for m in build_discriminator("vgg", 4, ranks).modules() if isinstance(m, RankBatchNorm)]
    assert len(norms) == 9 and all(m.ranks is ranks for m in norms)


def literal_vgg(state: dict[str, Tensor], x: Tensor) -> Tensor:
    """ESRGAN's discriminator for 128 px in eval mode, from its state dict."""
    x = F.leaky_relu(F.conv2d(x, state["conv0_0.weight"], state["conv0_0.bias"], 1, 1), 0.2)
    for name in ("0_1", "1_0", "1_1", "2_0", "2_1", "3_0", "3_1", "4_0", "4_1"):
        x = F.conv2d(x, state[f"conv{name}.weight"], None, 2 if name.endswith("1") else 1, 1)
        mean, var, gain, bias = (state[f"bn{name}.{key}"] for key in ("running_mean", "running_var", "weight", "bias"))
        x = F.leaky_relu(F.batch_norm(x, mean, var, gain, bias, training=False), 0.2)
    x = F.leaky_relu(F.linear(x.flatten(1), state["linear1.weight"], state["linear1.bias"]), 0.2)
    return F.linear(x, state["linear2.weight"], state["linear2.bias"])


def test_vgg_at_128_px_is_the_published_network() -> None:
    discriminator = made("vgg")
    discriminator(noise(2, 3, 128, 128, seed=1))  # running statistics that are not 0 and 1
    x = noise(1, 3, 128, 128)
    torch.testing.assert_close(discriminator.eval()(x)[0], literal_vgg(discriminator.state_dict(), x))


@pytest.mark.parametrize("size", [(96, 200), (256, 130)])
def test_vgg_pools_as_torchs_adaptive_average_does(size: tuple[int, int]) -> None:
    discriminator = made("vgg").eval()
    assert isinstance(discriminator, VGGDiscriminator)
    x = noise(1, 3, *size)
    seen: list[Tensor] = []
    features: list[Tensor] = []
    with discriminator.linear1.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0])):
        bn = discriminator.get_submodule("bn4_1")
        with bn.register_forward_hook(lambda _, __, output: features.append(F.leaky_relu(output, 0.2))):
            discriminator(x)
    torch.testing.assert_close(seen[0], F.adaptive_avg_pool2d(features[0], 4).flatten(1))


def literal_unet(state: dict[str, Tensor], x: Tensor) -> Tensor:
    """Real-ESRGAN's discriminator in eval mode, from its state dict."""

    def weight(name: str) -> Tensor:
        w = state[f"{name}.weight_orig"]
        return w / torch.einsum(
            "o,ok,k->", state[f"{name}.weight_u"], w.reshape(w.shape[0], -1), state[f"{name}.weight_v"]
        )

    def up(x: Tensor) -> Tensor:
        return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)

    x0 = F.leaky_relu(F.conv2d(x, state["conv0.weight"], state["conv0.bias"], 1, 1), 0.2)
    x1 = F.leaky_relu(F.conv2d(x0, weight("conv1"), None, 2, 1), 0.2)
    x2 = F.leaky_relu(F.conv2d(x1, weight("conv2"), None, 2, 1), 0.2)
    x3 = F.leaky_relu(F.conv2d(x2, weight("conv3"), None, 2, 1), 0.2)
    x4 = F.leaky_relu(F.conv2d(up(x3), weight("conv4"), None, 1, 1), 0.2) + x2
    x5 = F.leaky_relu(F.conv2d(up(x4), weight("conv5"), None, 1, 1), 0.2) + x1
    x6 = F.leaky_relu(F.conv2d(up(x5), weight("conv6"), None, 1, 1), 0.2) + x0
    y = F.leaky_relu(F.conv2d(x6, weight("conv7"), None, 1, 1), 0.2)
    y = F.leaky_relu(F.conv2d(y, weight("conv8"), None, 1, 1), 0.2)
    return F.conv2d(y, state["conv9.weight"], state["conv9.bias"], 1, 1)


def test_unet_is_the_published_network() -> None:
    discriminator = made("unet").eval()
    x = noise(1, 3, 32, 40)
    torch.testing.assert_close(discriminator(x)[0], literal_unet(discriminator.state_dict(), x))


def test_unet_has_the_key_names_and_shapes_of_the_published_weights() -> None:
    state = UNetDiscriminator().state_dict()
    expected = {f"conv{i}.{key}" for i in range(1, 9) for key in ("weight_orig", "weight_u", "weight_v")}
    assert set(state) == expected | {"conv0.weight", "conv0.bias", "conv9.weight", "conv9.bias"}
    assert state["conv3.weight_orig"].shape == (512, 256, 4, 4)
    assert state["conv3.weight_u"].shape == (512,) and state["conv3.weight_v"].shape == (256 * 16,)


def test_a_patch_sees_70_px_of_its_scale() -> None:
    """Of the logit in the middle of each map: the pixels that it depends on."""
    discriminator = PatchDiscriminator(width=2)
    x = noise(1, 3, 400, 400).requires_grad_(True)
    seen: list[int] = []
    for logits in discriminator(x):
        (slope,) = torch.autograd.grad(logits[0, 0, logits.shape[2] // 2, logits.shape[3] // 2], x, retain_graph=True)
        rows = slope[0].abs().sum((0, 2)).nonzero()
        seen.append(int(rows.max() - rows.min()) + 1)
    assert seen[0] == 70
    assert seen[1] == 2 * 69 + 3  # pooling by 3x3 in steps of 2
    assert seen[2] == 4 * 69 + 2 * 2 + 3


def test_scales_of_the_patch_share_no_weights() -> None:
    discriminator = PatchDiscriminator(width=2, scales=2)
    names = [name.split(".", 2)[1] for name, _ in discriminator.named_parameters()]
    assert names.count("0") == names.count("1") == len(names) // 2
    first, second = (next(scale.parameters()) for scale in discriminator.scales)
    assert not torch.equal(first, second)
    assert [len(PatchDiscriminator(2, scales, 2)(noise(1, 3, 64, 64))) for scales in (1, 2)] == [1, 2]


# ---- spectral normalization


# ---- batch normalization over ranks


# ---- training with them


@pytest.mark.parametrize("kind", KINDS)
def test_a_pass_under_bfloat16_autocast(kind: str) -> None:
    discriminator = made(kind)
    x = noise(2, 3, 64, 64).requires_grad_(True)
    expected = copy.deepcopy(discriminator)(x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = discriminator(x)
    assert {t.dtype for t in logits} == {torch.bfloat16}
    gan_discriminator_loss("relativistic", logits, logits).backward()
    assert all(
        p.grad is not None and p.grad.dtype == torch.float32 and torch.isfinite(p.grad).all()
        for p in discriminator.parameters()
    )
    for ours, theirs in zip(logits, expected, strict=True):
        torch.testing.assert_close(ours.float(), theirs, rtol=0.05, atol=0.05)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("loss", ["standard", "relativistic", "hinge"])
def test_steps_of_the_discriminator_lower_its_loss(kind: str, loss: str) -> None:
    """Sharp noise against smooth noise. Gates that begin half open learn more slowly."""
    rate, steps = (2e-3, 16) if kind == "attention" else (4e-3, 8)
    discriminator = made(kind)
    real = noise(4, 3, 32, 32)
    fake = F.interpolate(noise(4, 3, 8, 8), scale_factor=4.0, mode="bilinear")
    optimizer = torch.optim.Adam(discriminator.parameters(), rate)
    values: list[float] = []
    for _ in range(steps):
        value = gan_discriminator_loss(loss, discriminator(real), discriminator(fake))
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        values.append(value.item())
    assert values[-1] < 0.95 * values[0]
    means = [torch.stack([t.mean() for t in discriminator(x)]).mean().item() for x in (real, fake)]
    assert means[0] > means[1]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("penalty", ["r1", "gradient"])
def test_penalties_reach_the_weights_of_every_discriminator(kind: str, penalty: str) -> None:
    """Second derivatives through convolutions, activations in place and normalizations: along one direction, by finite
    differences.
    """
    discriminator = made(kind, width=2).double().eval()
    hr, sr = noise(2, 3, 32, 32, dtype=torch.float64), noise(2, 3, 32, 32, seed=1, dtype=torch.float64)
    if kind == "vgg":
        discriminator.train()  # batch statistics do not depend on what was before; spectral-norm vectors do

    def value() -> Tensor:
        if penalty == "gradient":
            return gradient_penalty(discriminator, hr, sr, torch.Generator().manual_seed(3))
        x = hr.clone().requires_grad_(True)
        return r1_penalty(discriminator(x), x)

    parameters = list(discriminator.parameters())
    directions = [noise(*p.shape, seed=9 + i, dtype=torch.float64) - 0.5 for i, p in enumerate(parameters)]
    value().backward()
    expected = sum((p.grad * d).sum().item() for p, d in zip(parameters, directions, strict=True) if p.grad is not None)
    sides: list[float] = []
    for sign in (1.0, -1.0):
        with torch.no_grad():
            for p, d in zip(parameters, directions, strict=True):
                p.add_(d, alpha=sign * 1e-6)
        sides.append(value().item())
        with torch.no_grad():
            for p, d in zip(parameters, directions, strict=True):
                p.sub_(d, alpha=sign * 1e-6)
    assert expected != 0.0
    assert (sides[0] - sides[1]) / 2e-6 == pytest.approx(expected, rel=1e-3)
