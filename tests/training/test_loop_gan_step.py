"""One adversarial update against a literal one: five passes of D, G updated before D, everything written out."""

from __future__ import annotations

import copy
import dataclasses
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("tensorboard")

from torch import Tensor, nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402

from tests.training.made import features_file, run_of  # noqa: E402
from upres.errors import EngineError  # noqa: E402
from upres.training.config import TrainConfig  # noqa: E402
from upres.training.distributed.ranks import Ranks  # noqa: E402
from upres.training.loop import gan_step, pixel_step  # noqa: E402
from upres.training.losses.feature_files import Features, load_features  # noqa: E402
from upres.training.state import TrainState, build_state, set_rates  # noqa: E402

CONFIG = TrainConfig(
    recipe="test", scale=2, width=8, depth=2, branched=False, batch=4, patch_px=24, steps=50, warmup_steps=0,
    clip_norm=float("inf"), learning_rate=1e-3, discriminator_learning_rate=1e-3, pixel_weight=0.01, feature_weight=1.0,
    features="vgg19-conv3_1", gan_weight=0.5, discriminator="vgg", discriminator_width=4, features_otherwise="",
    schedule="multistep",
)  # fmt: skip
ALONE = Ranks()
NO_FEATURES = Features(None, {}, "")


def batch(number: int, config: TrainConfig = CONFIG) -> tuple[Tensor, Tensor]:
    random = torch.Generator().manual_seed(number)
    size = config.patch_px * config.scale
    hr = torch.rand(config.batch, 3, size, size, generator=random)
    return F.avg_pool2d(hr, config.scale), hr


def run(
    config: TrainConfig, state: TrainState, number: int, features: Features = NO_FEATURES, folder: Path = Path()
) -> dict[str, float]:
    lr, hr = batch(number, config)
    set_rates(state, config, number)
    step = gan_step if state.discriminator is not None else pixel_step
    return step(run_of(config, folder, features=features), state, lr, hr, number)


@pytest.fixture(scope="module")
def features(tmp_path_factory: pytest.TempPathFactory) -> Features:
    network = load_features(features_file(tmp_path_factory.mktemp("features") / "f.safetensors"))
    return Features(network, {"conv2_2": 0.1, "conv3_1": 1.0}, "made")


def literal_step(config: TrainConfig, state: TrainState, number: int, features: Features) -> tuple[float, float]:
    """ESRGAN's update as its paper and BasicSR's loop describe it; returns the losses of G and of D."""
    lr, hr = batch(number, config)
    net, discriminator = state.net, state.discriminator
    assert discriminator is not None and state.discriminator_optimizer is not None and features.network is not None
    bce = nn.BCEWithLogitsLoss()

    def d(x: Tensor) -> Tensor:
        (logits,) = discriminator(x)
        return logits

    def ragan(a: Tensor, b: Tensor, target: float) -> Tensor:
        logits = a - b.mean()
        return bce(logits, torch.full_like(logits, target))

    for parameter in discriminator.parameters():
        parameter.requires_grad_(False)
    state.optimizer.zero_grad()
    sr = net(lr)
    seen, wanted = (features.network(x, features.layers) for x in (sr, hr))
    perceptual = sum(
        weight * (seen[name] - wanted[name].detach()).abs().mean() for name, weight in features.layers.items()
    )
    real = d(hr).detach()
    fake = d(sr)
    loss_g = config.pixel_weight * (sr - hr).abs().mean() + config.feature_weight * perceptual
    loss_g = loss_g + config.gan_weight * 0.5 * (ragan(real, fake, 0.0) + ragan(fake, real, 1.0))
    loss_g.backward()
    state.optimizer.step()

    for parameter in discriminator.parameters():
        parameter.requires_grad_(True)
    state.discriminator_optimizer.zero_grad()
    sr = sr.detach()
    fake = d(sr).detach()
    real = d(hr)
    loss_real = 0.5 * ragan(real, fake, 1.0)
    loss_real.backward()
    fake = d(sr)
    loss_fake = 0.5 * ragan(fake, real.detach(), 0.0)
    loss_fake.backward()
    state.discriminator_optimizer.step()
    return loss_g.item(), (loss_real + loss_fake).item()


@pytest.mark.slow
def test_our_step_equals_the_literal_one_over_ten_steps(features: Features) -> None:
    ours, theirs = build_state(CONFIG, ALONE), build_state(CONFIG, ALONE)
    for number in range(10):
        told = run(CONFIG, ours, number, features)
        expected_g, expected_d = literal_step(CONFIG, theirs, number, features)
        assert told["total"] == pytest.approx(expected_g, rel=1e-4), number
        assert told["discriminator"] == pytest.approx(expected_d, rel=1e-4), number


def gradients(module: nn.Module) -> dict[str, Tensor]:
    return {name: p.grad.clone() for name, p in module.named_parameters() if p.grad is not None}


def test_the_generator_gets_a_gradient_from_the_discriminator(features: Features) -> None:
    """Trap 26: a GAN term that reaches no weight."""
    with_gan, without = build_state(CONFIG, ALONE), build_state(CONFIG, ALONE)
    run(CONFIG, with_gan, 0, features)
    run(dataclasses.replace(CONFIG, gan_weight=1e-30), without, 0, features)
    changed = [
        name
        for name, gradient in gradients(with_gan.net).items()
        if not torch.allclose(gradient, gradients(without.net)[name], rtol=1e-3)
    ]
    assert len(changed) == len(gradients(with_gan.net))


@pytest.mark.parametrize("kind", ["vgg", "unet", "patch"])
def test_the_discriminator_is_frozen_in_the_generators_part(kind: str) -> None:
    """D's gradient is that of its own loss alone: no weight of the generator's loss changes it."""
    config = dataclasses.replace(CONFIG, discriminator=kind, feature_weight=0.0)
    one, other = build_state(config, ALONE), build_state(config, ALONE)
    run(config, one, 0)
    run(dataclasses.replace(config, gan_weight=50.0, pixel_weight=7.0), other, 0)
    assert one.discriminator is not None and other.discriminator is not None
    own, theirs = gradients(one.discriminator), gradients(other.discriminator)
    assert own.keys() == theirs.keys() and len(own) == len(list(one.discriminator.parameters()))
    for name, gradient in own.items():
        assert torch.equal(gradient, theirs[name]), name
    assert any(gradient.abs().sum() > 0 for gradient in own.values())


@pytest.mark.parametrize("kind", ["unet", "patch"])
def test_spectral_norm_vectors_move_in_every_step(kind: str) -> None:
    config = dataclasses.replace(CONFIG, discriminator=kind, feature_weight=0.0)
    state = build_state(config, ALONE)
    assert state.discriminator is not None
    for number in range(3):
        before = {
            name: buffer.clone() for name, buffer in state.discriminator.named_buffers() if name.endswith("weight_u")
        }
        assert before
        run(config, state, number)
        after = dict(state.discriminator.named_buffers())
        assert all(not torch.equal(vector, after[name]) for name, vector in before.items()), number


@pytest.mark.parametrize("loss", ["relativistic", "standard", "least_squares", "hinge"])
@pytest.mark.parametrize("kind", ["vgg", "unet", "patch"])
def test_every_loss_with_every_discriminator_moves_both_networks(loss: str, kind: str) -> None:
    config = dataclasses.replace(
        CONFIG, gan_loss=loss, discriminator=kind, feature_weight=0.0, artefact_weight=1.0, frequency_weight=0.1,
        consistency_weight=1.0, r1_weight=1.0, gradient_penalty_weight=1.0,
    )  # fmt: skip
    state = build_state(config, ALONE)
    assert state.discriminator is not None
    before = copy.deepcopy(state.net.state_dict()), copy.deepcopy(state.discriminator.state_dict())
    told = run(config, state, 0)
    for old, module in zip(before, (state.net, state.discriminator), strict=True):
        still = [name for name, _ in module.named_parameters() if torch.equal(old[name], module.state_dict()[name])]
        # What is added to all logits alike changes neither a difference of logits nor, at the start, a hinge.
        assert all(name.endswith("bias") and module is state.discriminator for name in still), still
    wanted = {
        "pixel",
        "gan",
        "artefact",
        "frequency",
        "consistency",
        "discriminator",
        "r1",
        "gradient penalty",
        "D(real)",
        "D(fake)",
    }
    assert wanted <= told.keys()


@pytest.mark.slow
def test_the_discriminator_learns_to_tell(features: Features) -> None:
    """With a generator that stands still D(real) rises above D(fake)."""
    config = dataclasses.replace(
        CONFIG,
        learning_rate=1e-12,
        final_learning_rate=0.0,
        discriminator_learning_rate=2e-3,
        feature_weight=0.0,
        discriminator="unet",
    )
    state = build_state(config, ALONE)
    told = [run(config, state, number) for number in range(30)]
    assert told[-1]["D(real)"] - told[-1]["D(fake)"] > told[0]["D(real)"] - told[0]["D(fake)"] + 0.5


def test_a_batch_in_parts_gives_the_same_pixel_gradient() -> None:
    config = dataclasses.replace(CONFIG, gan_weight=0.0, feature_weight=0.0, pixel_weight=1.0)
    whole, split = build_state(config, ALONE), build_state(config, ALONE)
    one = run(config, whole, 0)
    other = run(dataclasses.replace(config, accumulate=4), split, 0)
    assert one["total"] == pytest.approx(other["total"], rel=1e-6)
    for name, gradient in gradients(whole.net).items():
        assert torch.allclose(gradient, gradients(split.net)[name], rtol=1e-4, atol=1e-7), name


def test_a_loss_that_is_not_finite_changes_no_weight_and_saves_the_batch(tmp_path: Path) -> None:
    from safetensors.torch import load_file

    config = dataclasses.replace(CONFIG, feature_weight=0.0)
    state = build_state(config, ALONE)
    before = copy.deepcopy(state.net.state_dict())
    lr, hr = batch(0)
    hr[2, 1, 5, 5] = float("nan")
    with pytest.raises(EngineError, match=r"step 8: \w+.* is nan.*not_finite_step_8\.safetensors"):
        gan_step(run_of(config, tmp_path), state, lr, hr, 7)
    assert all(torch.equal(tensor, before[name]) for name, tensor in state.net.state_dict().items())
    saved = load_file(tmp_path / "not_finite_step_8.safetensors")
    assert torch.equal(saved["lr"], lr) and torch.isnan(saved["hr"][2, 1, 5, 5])


@pytest.mark.parametrize("discriminator", ["vgg", "unet"])
def test_no_step_draws_from_a_global_generator(discriminator: str) -> None:
    """That is why a checkpoint needs no state of one."""
    config = dataclasses.replace(CONFIG, discriminator=discriminator, feature_weight=0.0, gradient_penalty_weight=1.0)
    state = build_state(config, ALONE)
    before = torch.get_rng_state()
    run(config, state, 0)
    assert torch.equal(before, torch.get_rng_state())


def test_bfloat16_stays_near_float32(features: Features) -> None:
    exact, rough = build_state(CONFIG, ALONE), build_state(CONFIG, ALONE)
    one = run(CONFIG, exact, 0, features)
    other = run(dataclasses.replace(CONFIG, precision="bfloat16"), rough, 0, features)
    assert other["total"] == pytest.approx(one["total"], rel=0.05) and other["total"] != one["total"]
    assert all(parameter.dtype == torch.float32 for parameter in rough.net.parameters())
