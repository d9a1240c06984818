"""Mistakes that other trainers shipped, caught in one step of ours; docs/traps.md lists all of them with the tests that hold them."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("tensorboard")

from torch import Tensor  # noqa: E402
from torch.nn import functional as F  # noqa: E402

from tests import REPOSITORY  # noqa: E402
from tests.training.distributed.test_ranks import run_ranks  # noqa: E402
from tests.training.test_loop_gan_step import ALONE, CONFIG, batch, gradients, run  # noqa: E402
from upres.errors import DataError  # noqa: E402
from upres.training.config import TrainConfig  # noqa: E402
from upres.training.data.images import TrainingSet, make_pair  # noqa: E402
from upres.training.data.sampling import draw_batch  # noqa: E402
from upres.training.loop import draw_of  # noqa: E402
from upres.training.losses import formulas  # noqa: E402
from upres.training.losses.generator_loss import Features, generator_terms  # noqa: E402
from upres.training.networks.generators import build_generator  # noqa: E402
from upres.training.pretrained import features_layers, load_parent  # noqa: E402
from upres.training.recipes import resolve_recipe  # noqa: E402
from upres.training.state import TrainState, build_state, set_rates  # noqa: E402
from upres.training.timing import Stopwatch  # noqa: E402

QUIET = dataclasses.replace(CONFIG, feature_weight=0.0)
NOTHING = Features(None, {}, "")


# ---- the generator --------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("level", [-5.0, 5.0])
@pytest.mark.parametrize("weights", [{"gan_weight": 0.0}, {"pixel_weight": 0.0}])
def test_a_step_clamps_nothing(weights: dict[str, float], level: float) -> None:
    """Trap 13: a picture far out of range still has its gradient, from pixels and from the discriminator."""
    config = dataclasses.replace(QUIET, **weights)  # type: ignore[arg-type]
    state = build_state(config, ALONE)
    last = state.net.get_submodule("convs")[-1]  # type: ignore[index]
    with torch.no_grad():
        last.bias.fill_(level)
    told = run(config, state, 0)
    assert all(gradient.abs().sum() > 0 for gradient in gradients(state.net).values())
    if "pixel" in told:
        assert told["pixel"] == pytest.approx(5.0 * config.pixel_weight, abs=config.pixel_weight)


def test_networks_see_levels_over_255() -> None:
    """Trap 13: RGB in [0,1] without a mean taken off, the same rows of the same picture in LR and HR."""
    image = np.random.default_rng(0).integers(0, 256, (64, 72, 3), dtype=np.uint8)
    pairs = [make_pair("a", image, 2)]
    lr, hr, target = draw_of(QUIET, TrainingSet(pairs, np.ones(1), [], [], ""), None, ALONE)(3)
    batch = draw_batch(QUIET, pairs, np.ones(1), 3)
    assert target is hr
    for found, expected in zip((lr, hr), (batch.lr, batch.hr), strict=True):
        assert found.dtype == torch.float32
        np.testing.assert_array_equal(found.permute(0, 2, 3, 1).numpy(), expected.astype(np.float32) / np.float32(255.0))


# ---- losses ---------------------------------------------------------------------------------------------------------------------------


def test_the_layers_of_esrgan_and_of_a_replacement() -> None:
    """Trap 20: conv5_4 with weight 1; layers that a user names are those of the first choice, another network keeps its own."""
    gan = resolve_recipe("esrgan-x4")
    assert features_layers(gan, gan.features) == {"conv5_4": 1.0}
    five = "conv1_2:0.1,conv2_2:0.1,conv3_4:1,conv4_4:1,conv5_4:1"
    named = resolve_recipe("esrgan-x4", [f"feature_layers={five}"])
    assert features_layers(named, "vgg19") == {"conv1_2": 0.1, "conv2_2": 0.1, "conv3_4": 1.0, "conv4_4": 1.0, "conv5_4": 1.0}
    assert set(features_layers(named, gan.features_otherwise)) == {"conv3_1"}


def test_every_term_has_its_weight_and_its_pictures() -> None:
    """Of the artifact loss: the picture of the averaged generator, not of the present one."""
    config = dataclasses.replace(
        QUIET, pixel_weight=0.5, artefact_weight=3.0, frequency_weight=5.0, consistency_weight=7.0, lattice_weight=11.0, loss="mse"
    )
    state = build_state(config, ALONE)
    for tensor in state.ema.values():
        tensor.mul_(0.7)
    steady_net = build_generator(config)
    steady_net.load_state_dict(state.ema)
    lr, hr = batch(0)
    with torch.no_grad():
        sr, steady = state.net(lr), steady_net(lr)
        terms = generator_terms(config, state, NOTHING, Stopwatch(ALONE.device), sr, lr, hr, 0)
    expected = {
        "pixel": 0.5 * F.mse_loss(sr, hr),
        "artefact": 3.0 * formulas.artifact(sr, hr, steady),
        "frequency": 5.0 * formulas.frequency(sr, hr),
        "consistency": 7.0 * formulas.lr_consistency(sr, lr, 2),
        "lattice": 11.0 * formulas.lattice(sr, hr, 2),
    }
    assert not torch.allclose(formulas.artifact(sr, hr, steady), formulas.artifact(sr, hr, sr), rtol=0.01)
    assert terms.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(terms[name], value, rtol=1e-5, atol=1e-9)


# ---- the adversarial step -------------------------------------------------------------------------------------------------------------


def test_a_step_leaves_the_gradients_of_the_literal_losses() -> None:
    """Traps 22, 23 and 25, in gradients: Adam divides a wrong factor away, so that losses alone do not show it."""
    ours, twin = build_state(QUIET, ALONE), build_state(QUIET, ALONE)
    run(QUIET, ours, 0)
    lr, hr = batch(0)
    assert twin.discriminator is not None and ours.discriminator is not None
    sr = twin.net(lr)
    (real,), (fake,) = twin.discriminator(hr), twin.discriminator(sr)

    def bce(x: Tensor, target: float) -> Tensor:
        return F.binary_cross_entropy_with_logits(x, torch.full_like(x, target))

    constant = real.detach()
    gan = 0.5 * (bce(constant - fake.mean(), 0.0) + bce(fake - constant.mean(), 1.0))
    of_net = torch.autograd.grad(0.01 * F.l1_loss(sr, hr) + QUIET.gan_weight * gan, list(twin.net.parameters()), retain_graph=True)
    judge = 0.5 * (bce(real - fake.detach().mean(), 1.0) + bce(fake - real.detach().mean(), 0.0))
    of_judge = torch.autograd.grad(judge, list(twin.discriminator.parameters()))
    for module, expected in ((ours.net, of_net), (ours.discriminator, of_judge)):
        for (name, found), wanted in zip(gradients(module).items(), expected, strict=True):
            torch.testing.assert_close(found, wanted, rtol=1e-3, atol=1e-6 * wanted.abs().max().item() + 1e-9, msg=name)


SHARED = f"""
sys.path.insert(0, {str(REPOSITORY)!r})
import dataclasses
from pathlib import Path
from tests.training.test_loop_gan_step import CONFIG, NO_FEATURES, batch
from upres.training.loop import gan_step
from upres.training.state import build_state
from upres.training.timing import Stopwatch

def stepped(ranks):
    config = dataclasses.replace(CONFIG, feature_weight=0.0, pixel_weight=0.0)
    state = build_state(config, ranks)
    with torch.no_grad():
        state.discriminator.linear2.weight.mul_(30)  # logits far apart: each half of the batch has another mean
    share = 4 // ranks.count
    lr, hr = (x[ranks.rank * share :][:share] for x in batch(0))
    gan_step(config, state, lr, hr, 0, ranks=ranks, out=Path(), clock=Stopwatch(ranks.device), features=NO_FEATURES)
    return [p.grad.flatten().tolist() for module in (state.net, state.discriminator) for p in module.parameters()]

if __name__ == "__main__":
    with join_ranks() as ranks:
        out = stepped(ranks)
    with open(sys.argv[1] + f"/{{ranks.rank}}.json", "w") as file:
        json.dump(out, file)
"""


def test_a_step_of_two_ranks_is_that_of_one_with_the_whole_batch(tmp_path: Path) -> None:
    """Trap 24: the mean inside the relativistic loss, batch statistics and gradients are those of all ranks, in the step itself."""
    names: dict[str, object] = {"__name__": "here"}
    exec("import json, sys, torch\n" + SHARED, names)
    expected = names["stepped"](ALONE)  # type: ignore[operator]
    for found in run_ranks(SHARED, 2, tmp_path):
        for ours, theirs in zip(found, expected, strict=True):
            wanted = torch.tensor(theirs)
            torch.testing.assert_close(torch.tensor(ours), wanted, rtol=1e-3, atol=1e-4 * wanted.abs().max().item() + 1e-8)


# ---- what a run is made of ------------------------------------------------------------------------------------------------------------


def test_both_optimizers_have_the_recipes_figures() -> None:
    """Traps 29 and 30."""
    gan = resolve_recipe("esrgan-x4")
    assert gan.discriminator_learning_rate == gan.learning_rate and gan.discriminator_width == 64
    config = dataclasses.replace(QUIET, betas=(0.8, 0.95), learning_rate=3e-4, discriminator_learning_rate=2e-4, milestones=(0.5,))
    state = build_state(config, ALONE)
    for optimizer, rate in ((state.optimizer, 3e-4), (state.discriminator_optimizer, 2e-4)):
        assert type(optimizer) is torch.optim.Adam
        found = {key: optimizer.defaults[key] for key in ("lr", "betas", "eps", "weight_decay", "amsgrad")}
        assert found == {"lr": rate, "betas": (0.8, 0.95), "eps": 1e-8, "weight_decay": 0, "amsgrad": False}
        for step, factor in ((24, 1.0), (25, 0.5)):
            set_rates(state, config, step)
            assert optimizer.param_groups[0]["lr"] == pytest.approx(rate * factor)


def judged(config: TrainConfig = QUIET) -> TrainState:
    return build_state(config, ALONE)


def test_a_discriminators_file_is_taken_by_name_and_shape(tmp_path: Path) -> None:
    """Trap 43."""
    known = judged(dataclasses.replace(QUIET, seed=9)).discriminator
    assert known is not None
    published = {name: tensor.numpy() for name, tensor in known.state_dict().items() if not name.endswith("num_batches_tracked")}
    lr, path = batch(0)[0], tmp_path / "net_d.safetensors"

    def load(arrays: dict[str, np.ndarray], state: TrainState) -> None:
        torch.save({name: torch.from_numpy(array) for name, array in arrays.items()}, path)
        load_parent(None, path, state, lambda: lr, lambda words: None)

    state = judged()
    assert state.discriminator is not None
    load(dict(sorted(published.items(), reverse=True)), state)
    for name, array in published.items():
        np.testing.assert_array_equal(state.discriminator.state_dict()[name].numpy(), array, err_msg=name)

    first = next(iter(published))
    refusals = (
        ({name: published[name] for name in published if name != "conv2_0.weight"}, "conv2_0.weight should have .* found no such tensor"),
        (published | {"conv5_0.weight": published["conv4_0.weight"]}, "it holds conv5_0.weight"),
        (published | {first: np.zeros((8, 3, 3, 3), np.float32)}, rf"{first} should have .* found shape \(8, 3, 3, 3\)"),
    )
    for arrays, words in refusals:
        state = judged()
        assert state.discriminator is not None
        before = {name: tensor.clone() for name, tensor in state.discriminator.state_dict().items()}
        with pytest.raises(DataError, match=words):
            load(arrays, state)
        assert all(torch.equal(tensor, before[name]) for name, tensor in state.discriminator.state_dict().items())
    with pytest.raises(DataError, match="needs a recipe with a discriminator"):
        load(published, judged(dataclasses.replace(QUIET, gan_weight=0.0)))
