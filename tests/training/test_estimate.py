"""What is said before step 1, against counts that are not ours."""

from __future__ import annotations

import dataclasses

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("tensorboard")

from upres.errors import UsageError  # noqa: E402
from upres.training.config import TrainConfig  # noqa: E402
from upres.training.distributed.ranks import Ranks  # noqa: E402
from upres.training.estimate import estimate  # noqa: E402
from upres.training.recipes import resolve_recipe  # noqa: E402

ALONE = Ranks()
CONFIG = TrainConfig(recipe="test", scale=2, width=8, depth=2, branched=False, batch=4, patch_px=16, steps=7200)


def test_multiply_adds_of_a_pixel_step() -> None:
    """Forward: the products of each convolution. Backward: as many for the weights, and for the input of all layers but
    the first.
    """
    layers = [3 * 8 * 9, 8 * 8 * 9, 8 * 8 * 9, 8 * 12 * 9]
    pixels = 4 * 16 * 16
    assert estimate(CONFIG, ALONE, timed=False).macs == pytest.approx(pixels * (3 * sum(layers) - layers[0]))


@pytest.mark.slow
def test_a_gan_step_counts_every_network() -> None:
    config = dataclasses.replace(
        CONFIG, gan_weight=0.1, feature_weight=1.0, features="vgg19-conv3_1", discriminator_width=8, patch_px=32
    )
    told: list[str] = []
    plain, whole = (
        estimate(dataclasses.replace(CONFIG, patch_px=32), ALONE, timed=False),
        estimate(config, ALONE, timed=True, say=told.append),
    )
    assert whole.macs > 20 * plain.macs and whole.needed_bytes - 100 * 2**20 > 3 * (plain.needed_bytes - 100 * 2**20)
    assert whole.step_s is not None and whole.step_s > 0
    words = "\n".join(told)
    assert "vgg19-conv3_1 555,340" in words and "for 7,200 steps" in words and "available" in words
    assert set(whole.parameters) == {"generator", "discriminator", "vgg19-conv3_1", "generator as shipped"}


def test_esrgan_has_its_published_size() -> None:
    from upres.training.estimate import count_parameters
    from upres.training.networks.discriminators import build_discriminator
    from upres.training.networks.generators import build_generator

    config = resolve_recipe("esrgan-x4")
    assert count_parameters(build_generator(config)) == 16_697_987
    assert count_parameters(build_discriminator(config.discriminator, config.discriminator_width)) == 14_499_401


def test_processes_share_the_batch() -> None:
    one, two = (estimate(CONFIG, ALONE, processes=count, timed=False) for count in (1, 2))
    assert one.macs == two.macs and two.needed_bytes < one.needed_bytes
    with pytest.raises(UsageError, match="`batch` must be a multiple of `processes`"):
        estimate(CONFIG, ALONE, processes=3)
