from __future__ import annotations

import dataclasses
import math

import pytest

from upres.errors import UsageError
from upres.training.config_changes import parse_layers, shrink_config
from upres.training.recipes import RECIPES, resolve_recipe
from upres.training.state import learning_rate_at


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_every_recipe_resolves_and_names_itself(name: str) -> None:
    assert resolve_recipe(name).recipe == name


def test_set_parses_by_type() -> None:
    config = resolve_recipe("compact-x4", ["steps=1_000", "niqe=yes", "betas=0.5, 0.9", "reuse=4", "clip_norm=inf"])
    assert (config.steps, config.niqe, config.betas, config.reuse, config.clip_norm) == (
        1000,
        True,
        (0.5, 0.9),
        4,
        math.inf,
    )
    config = resolve_recipe(
        "compact-x4", ["steps=50", "learning_rate=2e-4", "branched=false", "hr_scales=1,0.5", "loss=charbonnier"]
    )
    assert (config.steps, config.learning_rate, config.branched) == (50, 2e-4, False)
    assert (config.hr_scales, config.loss) == ((1.0, 0.5), "charbonnier")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (["step=50"], "did you mean 'steps'"),
        (["steps"], "key=value"),
        (["steps=many"], "steps must be a whole number of 1 or more, got 'many'"),
        (["branched=maybe"], "branched must be true or false, got 'maybe'"),
        (["steps=0"], "steps must be a whole number of 1 or more, got '0'"),
        (["loss=smooth"], "loss must be one of l1, charbonnier, mse, or FILE.py:NAME, got 'smooth'"),
        (["learning_rate=-1"], "learning_rate must be a number between 0 and 1"),
        (["learning_rate=nan"], "learning_rate must be a number between 0 and 1"),
        (["hr_scales=0"], r"hr_scales must be numbers in \(0, 1\]"),
        (["color_augment=2"], r"color_augment must be a number in \[0, 1\]"),
        (["mixup=-0.1"], r"mixup must be a number in \[0, 1\], got \'-0.1\'"),
        (["mixup=0.5", "cutmix=0.6"], "add up to at most 1, got mixup 0.5, cutmix 0.6, cutblur 0"),
        (
            ["reuse=4", "cutblur=0.5"],
            "`reuse=4` cannot be combined with mixup, cutmix or cutblur, got mixup=0, cutmix=0, cutblur=0.5",
        ),
        (["channels=2"], "channels must be one of 0, 1, 3, got 2"),
        (["bits=12"], "bits must be one of 0, 8, 16, got 12"),
        (["turns=none"], "turns must be one of all, mirror"),
        (["workers=-1"], "workers must be a whole number of 0 or more"),
        (["pixel_steps=5", "pixel_weight=0", "gan_weight=1"], "`pixel_steps` needs a `pixel_weight"),
        (["patch_px=2"], "patch_px must be a whole number of 8 or more"),
        (["recipe=other"], "unknown setting"),
        (["betas=0.9"], "betas must be two numbers"),
        (["final_learning_rate=1"], "`final_learning_rate` must be in"),
        (["feature_weight=inf"], "feature_weight must be a finite number"),
    ],
)
def test_bad_settings_are_refused_by_name(changes: list[str], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        resolve_recipe("compact-x4", changes)


def test_an_unknown_recipe_is_refused_with_the_nearest() -> None:
    with pytest.raises(UsageError, match="did you mean 'compact-x4'"):
        resolve_recipe("compact-x44")


def test_configurations_are_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        resolve_recipe("compact-x4").steps = 1  # type: ignore[misc]


def test_esrgan_has_its_published_figures() -> None:
    """ESRGAN, section 4.1, and BasicSR's options: the figures of training.md that everybody copies wrongly."""
    psnr, gan = resolve_recipe("esrgan-psnr-x4"), resolve_recipe("esrgan-x4")
    for config in (psnr, gan):
        assert (config.network, config.depth, config.width, config.growth) == ("rrdb", 23, 64, 32)
        assert (config.batch, config.patch_px * config.scale, config.betas, config.ema_decay) == (
            16,
            128,
            (0.9, 0.99),
            0.999,
        )
    assert (psnr.steps, psnr.learning_rate, psnr.cycles, psnr.final_learning_rate, psnr.loss) == (
        1_000_000,
        2e-4,
        4,
        1e-7,
        "l1",
    )
    assert (gan.pixel_weight, gan.feature_weight, gan.gan_weight, gan.gan_loss) == (1e-2, 1.0, 5e-3, "relativistic")
    assert (gan.features, gan.discriminator, gan.steps) == ("vgg19", "vgg", 400_000)
    at = [learning_rate_at(gan, step) for step in (0, 49_999, 50_000, 100_000, 200_000, 300_000, 399_999)]
    assert at == pytest.approx([1e-4, 1e-4, 5e-5, 2.5e-5, 1.25e-5, 6.25e-6, 6.25e-6])
    at = [learning_rate_at(psnr, step) for step in (0, 125_000, 249_999, 250_000, 999_999)]
    assert at == pytest.approx([2e-4, 1.0005e-4, 1e-7, 2e-4, 1e-7], rel=1e-3)


@pytest.mark.parametrize("name", [name for name in RECIPES if name.endswith("-x2")])
def test_a_twin_differs_in_scale_and_keeps_the_hr_patch(name: str) -> None:
    two, four = resolve_recipe(name), resolve_recipe(name.replace("-x2", "-x4"))
    assert (two.scale, four.scale) == (2, 4)
    if not name.startswith("compact-x"):
        assert two.patch_px * two.scale == four.patch_px * four.scale


def test_shrink_divides_the_whole_schedule() -> None:
    full, small = resolve_recipe("esrgan-x4"), resolve_recipe("esrgan-x4", shrink=100)
    assert (small.steps, small.validate_every, small.checkpoint_every) == (4000, 200, 200)
    assert small.ema_decay == pytest.approx(0.999**100)
    for fraction in (0.0, 0.12, 0.13, 0.3, 0.6, 0.99):
        assert learning_rate_at(small, int(fraction * small.steps)) == learning_rate_at(
            full, int(fraction * full.steps)
        )
    assert resolve_recipe("esrgan-x4", ["steps=7"], shrink=100).steps == 7
    for wrong in (0, 10**9):
        with pytest.raises(UsageError, match="`shrink"):
            shrink_config(full, wrong)


def test_real_esrgan_has_its_published_figures() -> None:
    """Real-ESRGAN, section 4.1 and its options: traps 20, 30, 32 and 40."""
    net, gan = resolve_recipe("real-esrnet-x4"), resolve_recipe("real-esrgan-x4")
    for config in (net, gan):
        assert (config.network, config.depth, config.width, config.growth) == ("rrdb", 23, 64, 32)
        assert (config.batch, config.patch_px * config.scale, config.turns, config.degradation) == (
            48,
            256,
            "mirror",
            "real-esrgan",
        )
        assert config.betas == (0.9, 0.99) and config.ema_decay == 0.999
    assert (net.steps, net.loss, net.pixel_weight, net.adversarial) == (1_000_000, "l1", 1.0, False)
    assert {learning_rate_at(net, step) for step in (0, 500_000, 999_999)} == {2e-4}
    assert (gan.steps, gan.pixel_weight, gan.feature_weight, gan.gan_weight, gan.gan_loss) == (
        400_000,
        1.0,
        1.0,
        0.1,
        "standard",
    )
    assert {learning_rate_at(gan, step) for step in (0, 399_999)} == {1e-4} and gan.discriminator_learning_rate == 1e-4
    assert (gan.discriminator, gan.discriminator_width) == ("unet", 64)
    five = {"conv1_2": 0.1, "conv2_2": 0.1, "conv3_4": 1.0, "conv4_4": 1.0, "conv5_4": 1.0}
    assert gan.features == "vgg19" and parse_layers(gan.feature_layers) == five


def test_bsrgan_has_the_figures_of_its_options() -> None:
    config = resolve_recipe("bsrgan-x4")
    assert (config.degradation, config.patch_px, config.gan_loss, config.gan_weight) == (
        "bsrgan",
        72,
        "least_squares",
        1.0,
    )
    assert (config.learning_rate, config.discriminator_learning_rate, config.discriminator) == (5e-5, 5e-5, "unet")
    assert (config.pixel_weight, config.feature_weight, config.batch) == (1.0, 1.0, 48)


@pytest.mark.parametrize("name", [name for name in RECIPES if name.endswith("-x2")])
def test_twins_for_x2_differ_in_scale_and_patch_alone(name: str) -> None:
    two, four = resolve_recipe(name), resolve_recipe(name.replace("-x2", "-x4"))
    if name == "compact-x2":
        return  # a bundled model with a schedule of its own
    assert two == dataclasses.replace(four, recipe=name, scale=2, patch_px=2 * four.patch_px)


def test_the_first_steps_on_pixels_are_shrunk_too() -> None:
    whole, shrunk = resolve_recipe("compact-wild-x4"), resolve_recipe("compact-wild-x4", shrink=10)
    assert whole.pixel_steps > 0 and shrunk.pixel_steps == whole.pixel_steps // 10
