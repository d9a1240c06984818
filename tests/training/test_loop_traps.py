"""Mistakes that other trainers shipped, caught in one step of ours; docs/traps.md lists all of them with the tests that
hold them.
"""

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
from upres.training.batches import draw_of  # noqa: E402
from upres.training.data.images import TrainingSet, make_pair  # noqa: E402
from upres.training.data.sampling import draw_batch  # noqa: E402
from upres.training.state import build_state  # noqa: E402

QUIET = dataclasses.replace(CONFIG, feature_weight=0.0)


# ---- the generator


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
        np.testing.assert_array_equal(
            found.permute(0, 2, 3, 1).numpy(), expected.astype(np.float32) / np.float32(255.0)
        )


# ---- the adversarial step


def test_one_step_gives_the_gradients_of_the_literal_losses() -> None:
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
    of_net = torch.autograd.grad(
        0.01 * F.l1_loss(sr, hr) + QUIET.gan_weight * gan, list(twin.net.parameters()), retain_graph=True
    )
    discriminator_loss = 0.5 * (bce(real - fake.detach().mean(), 1.0) + bce(fake - real.detach().mean(), 0.0))
    of_discriminator = torch.autograd.grad(discriminator_loss, list(twin.discriminator.parameters()))
    for module, expected in ((ours.net, of_net), (ours.discriminator, of_discriminator)):
        for (name, found), wanted in zip(gradients(module).items(), expected, strict=True):
            torch.testing.assert_close(found, wanted, rtol=1e-3, atol=1e-6 * wanted.abs().max().item() + 1e-9, msg=name)


SHARED = f"""
sys.path.insert(0, {str(REPOSITORY)!r})
import dataclasses
from tests.training.made import run_of
from tests.training.test_loop_gan_step import CONFIG, batch
from upres.training.loop import gan_step
from upres.training.state import build_state

def stepped(ranks):
    config = dataclasses.replace(CONFIG, feature_weight=0.0, pixel_weight=0.0)
    state = build_state(config, ranks)
    with torch.no_grad():
        state.discriminator.linear2.weight.mul_(30)  # logits far apart: each half of the batch has another mean
    share = 4 // ranks.count
    lr, hr = (x[ranks.rank * share :][:share] for x in batch(0))
    gan_step(run_of(config, ranks=ranks), state, lr, hr, 0)
    return [p.grad.flatten().tolist() for module in (state.net, state.discriminator) for p in module.parameters()]

if __name__ == "__main__":
    with join_ranks() as ranks:
        out = stepped(ranks)
    with open(sys.argv[1] + f"/{{ranks.rank}}.json", "w") as file:
        json.dump(out, file)
"""


def test_a_step_of_two_ranks_is_that_of_one_with_the_whole_batch(tmp_path: Path) -> None:
    """Trap 24: the mean inside the relativistic loss, batch statistics and gradients are those of all ranks, in the
    step itself.
    """
    names: dict[str, object] = {"__name__": "here"}
    exec("import json, sys, torch\n" + SHARED, names)
    expected = names["stepped"](ALONE)  # type: ignore[operator]
    for found in run_ranks(SHARED, 2, tmp_path):
        for ours, theirs in zip(found, expected, strict=True):
            wanted = torch.tensor(theirs)
            torch.testing.assert_close(
                torch.tensor(ours), wanted, rtol=1e-3, atol=1e-4 * wanted.abs().max().item() + 1e-8
            )
