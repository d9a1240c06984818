"""Adversarial losses and the penalties of the discriminator: closed forms, torch, finite differences."""

from __future__ import annotations

import math

import pytest

torch = pytest.importorskip("torch")

from torch import Tensor, nn  # noqa: E402

from tests.training.losses.test_formulas import column, gaussian, noise  # noqa: E402
from upres.errors import UsageError  # noqa: E402
from upres.training.losses.formulas import (  # noqa: E402
    GAN_LOSSES,
    gan_discriminator_loss,
    gan_generator_loss,
    gradient_penalty,
    r1_penalty,
)

LN2 = math.log(2.0)
bce = nn.BCEWithLogitsLoss()
REAL, FAKE = column(1.0, 3.0), column(0.0, 2.0)  # means 2 and 1
UP, DOWN = math.log(1.0 + math.exp(2.0)), math.log(1.0 + math.exp(-2.0))  # softplus(2), softplus(-2)
VALUES = {  # kind: (of the generator, of the discriminator), worked out by hand
    "standard": (
        (LN2 + DOWN) / 2,
        (math.log(1 + math.exp(-1.0)) + math.log(1 + math.exp(-3.0))) / 2 + (LN2 + UP) / 2,
    ),
    "least_squares": (0.5 * (1.0 + 1.0) / 2, 0.5 * (0.0 + 4.0) / 2 + 0.5 * (0.0 + 4.0) / 2),
    "hinge": (-1.0, 0.0 + (1.0 + 3.0) / 2),
    # real - mean(fake) = 0, 2 and fake - mean(real) = -2, 0
    "relativistic": ((LN2 + UP) / 2, (LN2 + DOWN) / 2),
}


@pytest.mark.parametrize("kind", sorted(GAN_LOSSES))
def test_adversarial_closed_forms(kind: str) -> None:
    generator, discriminator = VALUES[kind]
    assert gan_generator_loss(kind, (REAL,), (FAKE,)).item() == pytest.approx(generator, rel=1e-12)
    assert gan_discriminator_loss(kind, (REAL,), (FAKE,)).item() == pytest.approx(discriminator, rel=1e-12)


def test_adversarial_values_of_torchs_bce() -> None:
    real, fake = gaussian(3, 1, 4, 5, seed=1), gaussian(3, 1, 4, 5, seed=2)
    ones, zeros = torch.ones_like(real), torch.zeros_like(real)
    assert gan_generator_loss("standard", (real,), (fake,)).item() == pytest.approx(bce(fake, ones).item(), rel=1e-12)
    expected = bce(real, ones) + bce(fake, zeros)
    assert gan_discriminator_loss("standard", (real,), (fake,)).item() == pytest.approx(expected.item(), rel=1e-12)
    expected = 0.5 * (bce(real - fake.mean(), zeros) + bce(fake - real.mean(), ones))
    assert gan_generator_loss("relativistic", (real,), (fake,)).item() == pytest.approx(expected.item(), rel=1e-12)
    expected = 0.5 * (bce(real - fake.mean(), ones) + bce(fake - real.mean(), zeros))
    assert gan_discriminator_loss("relativistic", (real,), (fake,)).item() == pytest.approx(expected.item(), rel=1e-12)


def test_hinge_stops_at_the_margin() -> None:
    real, fake = column(1.5, 0.5).requires_grad_(True), column(-1.5, -0.5).requires_grad_(True)
    loss = gan_discriminator_loss("hinge", (real,), (fake,))
    assert loss.item() == pytest.approx(0.25 + 0.25)
    loss.backward()
    assert real.grad is not None and fake.grad is not None
    assert real.grad.flatten().tolist() == [0.0, -0.5] and fake.grad.flatten().tolist() == [0.0, 0.5]


@pytest.mark.parametrize("kind", sorted(GAN_LOSSES))
def test_adversarial_gradients_by_finite_differences(kind: str) -> None:
    real, fake = gaussian(2, 1, 3, 2, seed=1), gaussian(2, 1, 3, 2, seed=2)
    assert torch.autograd.gradcheck(
        lambda f: gan_generator_loss(kind, (real,), (f,)), (fake.clone().requires_grad_(True),)
    )
    # the discriminator's form holds the means still
    constants = {round(t.mean().item(), 9): t.mean() for t in (real, fake)}

    def held(x: Tensor) -> Tensor:
        return min(constants.values(), key=lambda mean: abs(mean.item() - x.mean().item()))

    inputs = (real.clone().requires_grad_(True), fake.clone().requires_grad_(True))
    assert torch.autograd.gradcheck(lambda r, f: gan_discriminator_loss(kind, (r,), (f,), held), inputs)


def test_the_generators_relativistic_gradient_flows_through_the_mean() -> None:
    real = gaussian(4, 1, seed=1)
    fake = gaussian(4, 1, seed=2).requires_grad_(True)
    (whole,) = torch.autograd.grad(gan_generator_loss("relativistic", (real,), (fake,)), fake)
    (without,) = torch.autograd.grad(
        gan_generator_loss("relativistic", (real,), (fake,), lambda x: x.mean().detach()), fake
    )
    # d/dfake_i of 1/2 mean softplus(real - mean(fake)) is -1/(2 N) mean sigmoid(real - mean(fake)), the same for every
    # i
    missing = -torch.sigmoid(real - fake.mean()).mean() / (2 * 4)
    torch.testing.assert_close(whole - without, missing.detach().expand(4, 1))
    assert missing.abs() > 0.02


def test_the_discriminators_relativistic_gradient_is_that_of_two_halves_with_detached_means() -> None:
    net = nn.Linear(3, 1).double()
    hr, sr = gaussian(5, 3, seed=1), gaussian(5, 3, seed=2)
    gan_discriminator_loss("relativistic", (net(hr),), (net(sr),)).backward()
    ours = [p.grad.clone() for p in net.parameters() if p.grad is not None]
    net.zero_grad()
    real = net(hr)
    (0.5 * bce(real - net(sr).detach().mean(), torch.ones_like(real))).backward()
    fake = net(sr)
    (0.5 * bce(fake - real.detach().mean(), torch.zeros_like(fake))).backward()
    for found, parameter in zip(ours, net.parameters(), strict=True):
        torch.testing.assert_close(found, parameter.grad, rtol=1e-12, atol=1e-14)
    net.zero_grad()
    real, fake = net(hr), net(sr)
    attached = bce(real - fake.mean(), torch.ones_like(real)) + bce(fake - real.mean(), torch.zeros_like(fake))
    (0.5 * attached).backward()
    # the paper's own gradient is another one
    assert net.weight.grad is not None and (net.weight.grad - ours[0]).abs().max() > 1e-3


@pytest.mark.parametrize("kind", sorted(GAN_LOSSES))
def test_the_generators_loss_gives_the_real_logits_no_gradient(kind: str) -> None:
    real, fake = gaussian(3, 1, seed=1).requires_grad_(True), gaussian(3, 1, seed=2).requires_grad_(True)
    gan_generator_loss(kind, (real,), (fake,)).backward()
    assert real.grad is None and fake.grad is not None and fake.grad.abs().sum() > 0


def test_the_relativistic_mean_is_over_batch_and_map() -> None:
    real, fake = gaussian(2, 1, 2, 2, seed=1), gaussian(2, 1, 2, 2, seed=2)
    seen: list[tuple[int, ...]] = []

    def mean(x: Tensor) -> Tensor:
        seen.append(tuple(x.shape))
        return x.mean()

    value = gan_generator_loss("relativistic", (real,), (fake,), mean)
    assert seen == [(2, 1, 2, 2)] * 2
    ones, zeros = torch.ones_like(real), torch.zeros_like(real)
    over_batch = 0.5 * (bce(real - fake.mean(0, keepdim=True), zeros) + bce(fake - real.mean(0, keepdim=True), ones))
    assert abs(value.item() - over_batch.item()) > 1e-3


def test_shares_of_two_ranks_average_to_the_whole_batch() -> None:
    real, fake = gaussian(4, 1, seed=1), gaussian(4, 1, seed=2)
    means = {"real": real.mean(), "fake": fake.mean()}
    for loss in (gan_generator_loss, gan_discriminator_loss):
        shares = []
        for half in (slice(0, 2), slice(2, 4)):
            answers = iter([means["fake"], means["real"]])  # in the order of the formula
            shares.append(
                loss("relativistic", (real[half],), (fake[half],), lambda _, answers=answers: next(answers)).item()
            )
        assert sum(shares) / 2 == pytest.approx(loss("relativistic", (real,), (fake,)).item(), rel=1e-12)


@pytest.mark.parametrize("kind", sorted(GAN_LOSSES))
def test_scales_count_alike_whatever_their_size(kind: str) -> None:
    real = (gaussian(2, 1, 8, 8, seed=1), gaussian(2, 1, 3, 3, seed=2))
    fake = (gaussian(2, 1, 8, 8, seed=3), gaussian(2, 1, 3, 3, seed=4))
    for loss in (gan_generator_loss, gan_discriminator_loss):
        alone = [loss(kind, (r,), (f,)).item() for r, f in zip(real, fake, strict=True)]
        assert loss(kind, real, fake).item() == pytest.approx(sum(alone) / 2, rel=1e-12)
        with pytest.raises(ValueError, match="shorter"):
            loss(kind, real, fake[:1])


@pytest.mark.parametrize("kind", sorted(GAN_LOSSES))
def test_logits_of_half_precision_and_of_great_size_keep_their_value(kind: str) -> None:
    real, fake = column(60.0, 80.0).to(torch.bfloat16), column(-90.0, -70.0).to(torch.bfloat16)
    for loss in (gan_generator_loss, gan_discriminator_loss):
        value = loss(kind, (real,), (fake,))
        assert value.dtype == torch.float32
        assert value.item() == pytest.approx(loss(kind, (real.double(),), (fake.double(),)).item(), rel=1e-6, abs=1e-12)


def test_an_unknown_kind_is_refused() -> None:
    words = "unknown adversarial loss 'wgan': choose one of standard, least_squares, hinge, relativistic"
    for loss in (gan_generator_loss, gan_discriminator_loss):
        with pytest.raises(UsageError, match=words):
            loss("wgan", (REAL,), (FAKE,))


def test_r1_closed_form() -> None:
    """D(x) = sum x^2 has the slope 2x: R1 = mean over samples of 4 |x|^2."""
    hr = noise(3, 2, 2, 2).requires_grad_(True)
    value = r1_penalty((hr.square().sum((1, 2, 3))[:, None],), hr)
    assert value.item() == pytest.approx(4 * hr.detach().square().sum((1, 2, 3)).mean().item(), rel=1e-12)
    assert r1_penalty((3.0 * hr.flatten(1).sum(1, keepdim=True),), hr).item() == pytest.approx(9.0 * 8)


def test_r1_takes_the_mean_of_maps_and_scales() -> None:
    """A map whose every entry is that logit is that logit, and so are several."""
    hr = noise(3, 2, 2, 2).requires_grad_(True)
    logit = hr.pow(3).sum((1, 2, 3))[:, None]
    expected = r1_penalty((logit,), hr).item()
    maps = (logit[..., None, None].expand(3, 1, 5, 4), logit[..., None, None].expand(3, 1, 2, 2))
    assert r1_penalty(maps, hr).item() == pytest.approx(expected, rel=1e-12)


def scored(x: Tensor, weight: Tensor) -> tuple[Tensor, ...]:
    """A smooth discriminator with one weight a pixel."""
    return ((x * weight).sum((1, 2, 3)).tanh()[:, None] + (x * weight).square().sum((1, 2, 3))[:, None],)


def test_r1_gradient_into_the_discriminator_by_finite_differences() -> None:
    hr = noise(2, 1, 2, 3, seed=1).requires_grad_(True)
    weight = gaussian(1, 2, 3, seed=2).requires_grad_(True)
    assert torch.autograd.gradcheck(lambda w: r1_penalty(scored(hr, w), hr), (weight,))


def test_gradient_penalty_closed_form() -> None:
    """D(x) = w x has the slope w everywhere: (|w| - 1)^2, wherever between hr and sr it is asked."""
    weight = torch.full((3, 2, 2), 0.5, dtype=torch.float64)
    value = gradient_penalty(
        lambda x: ((x * weight).flatten(1).sum(1, keepdim=True),),
        noise(2, 3, 2, 2),
        noise(2, 3, 2, 2),
        torch.Generator(),
    )
    assert value.item() == pytest.approx((0.5 * math.sqrt(12) - 1.0) ** 2, rel=1e-12)


def test_gradient_penalty_asks_between_hr_and_sr_where_the_generator_says() -> None:
    hr, sr = torch.ones(4, 3, 2, 2, requires_grad=True), torch.zeros(4, 3, 2, 2, requires_grad=True)
    asked: list[Tensor] = []

    def discriminator(x: Tensor) -> tuple[Tensor, ...]:
        asked.append(x.detach().clone())
        return (x.square().flatten(1).sum(1, keepdim=True),)

    for _ in range(2):
        gradient_penalty(discriminator, hr, sr, torch.Generator().manual_seed(5))
    expected = torch.rand((4, 1, 1, 1), generator=torch.Generator().manual_seed(5))
    torch.testing.assert_close(asked[0], expected.expand(4, 3, 2, 2))
    assert torch.equal(asked[0], asked[1])
    gradient_penalty(discriminator, hr, sr, torch.Generator().manual_seed(6))
    assert not torch.equal(asked[0], asked[2])
    assert hr.grad is None and sr.grad is None


def test_gradient_penalty_leaves_the_global_generator_alone() -> None:
    before = torch.random.get_rng_state()
    gradient_penalty(
        lambda x: (x.square().sum((1, 2, 3))[:, None],), noise(2, 1, 2, 2), noise(2, 1, 2, 2, seed=1), torch.Generator()
    )
    assert torch.equal(before, torch.random.get_rng_state())


def test_gradient_penalty_gradient_by_finite_differences() -> None:
    hr, sr = noise(2, 1, 2, 3, seed=1), noise(2, 1, 2, 3, seed=3)
    weight = gaussian(1, 2, 3, seed=2).requires_grad_(True)
    assert torch.autograd.gradcheck(
        lambda w: gradient_penalty(lambda x: scored(x, w), hr, sr, torch.Generator().manual_seed(1)), (weight,)
    )


def test_gradient_penalty_of_a_flat_discriminator_is_finite() -> None:
    weight = torch.zeros(1, 2, 2, dtype=torch.float64, requires_grad=True)
    value = gradient_penalty(
        lambda x: ((x * weight).sum((1, 2, 3))[:, None],),
        noise(2, 1, 2, 2),
        noise(2, 1, 2, 2, seed=1),
        torch.Generator(),
    )
    assert value.item() == 1.0
    value.backward()
    assert weight.grad is not None and torch.isfinite(weight.grad).all()
