"""Recipes: what is built in parses; what is wrong is refused by file, stage and key."""

import re
from pathlib import Path

import pytest

from upres.degradation.recipe import BUILT_IN, load_recipe, parse_recipe
from upres.errors import DataError, UsageError

HEAD = 'name = "mine"\nsource = "a test"\n'
BLUR = '[[stage]]\nop = "blur"\nsize = [7, 21]\nkinds = { isotropic = 1.0 }\nsigma = [0.2, 3.0]\n'
RESIZE = '[[stage]]\nop = "resize"\ndirections = {{ {} = 1.0 }}\nfactor = [{}, {}]\nmodes = {{ area = 1.0 }}\n'


def refused(text: str) -> str:
    with pytest.raises(UsageError) as caught:
        parse_recipe(HEAD + text, "mine.toml")
    return str(caught.value)


@pytest.mark.parametrize("name", BUILT_IN)
def test_built_in_recipes_parse_and_name_their_source(name: str) -> None:
    recipe = load_recipe(name)
    assert recipe.name == name and len(recipe.source) > 10 and len(recipe.sha256) == 64


def test_checkpoints_of_earlier_versions_know_the_recipes_by_their_hashes() -> None:
    known = {"real-esrgan": "9b8ac302", "bsrgan": "43c3aec5", "wild": "6b2beb00", "bicubic": "1cddf3de"}
    assert {name: load_recipe(name).sha256[:8] for name in BUILT_IN} == known


def test_every_toml_of_the_package_is_built_in() -> None:
    folder = Path(parse_recipe.__code__.co_filename).parent / "recipes"
    assert {path.stem for path in folder.glob("*.toml")} == set(BUILT_IN)


def test_only_real_esrgan_sharpens_its_target() -> None:
    target = load_recipe("real-esrgan").target
    assert target is not None and (target.amount, target.radius_px, target.threshold_255) == (0.5, 51, 10)
    assert all(load_recipe(name).target is None for name in BUILT_IN if name != "real-esrgan")


def test_the_hash_is_that_of_the_content() -> None:
    plain = parse_recipe(HEAD + BLUR, "a").sha256
    assert parse_recipe("# a word\n" + HEAD + "\n\n" + BLUR.replace("0.2, 3.0", "0.2,   3.0"), "b").sha256 == plain
    assert parse_recipe(HEAD + BLUR.replace("3.0", "3.1"), "c").sha256 != plain


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", r"mine.toml: stage is missing: expected at least one \[\[stage\]\]"),
        (BLUR.replace("blur", "blurr"), r"stage 1: unknown op 'blurr', did you mean 'blur'\?"),
        (BLUR.replace("sigma", "sgima"), r"stage 1 \(blur\): unknown key 'sgima', did you mean 'sigma'\?"),
        (BLUR + "chance = 1.5\n", r"stage 1 \(blur\): chance must be a chance in \[0, 1\], got 1.5"),
        (BLUR + "sinc = -0.1\n", r"sinc must be a chance in \[0, 1\], got -0.1"),
        (BLUR.replace("[7, 21]", "[21, 7]"), r"size is upside down: expected \[least, greatest\], got \[21, 7\]"),
        (BLUR.replace("[7, 21]", "[8, 21]"), r"size must be odd numbers \(kernel sizes\), got \[8, 21\]"),
        (BLUR.replace("[7, 21]", "7"), r"size must be a range \[least, greatest\] of numbers, got 7"),
        (BLUR.replace("[0.2, 3.0]", "[3.0, 0.2]"), r"sigma is upside down at scale 1: 3 to 0.2"),
        (BLUR.replace("[0.2, 3.0]", "[0.2, inf]"), r"sigma must be finite numbers, got \[0.2, inf\]"),
        (
            BLUR.replace("[0.2, 3.0]", '[0.2, "a"]'),
            r"sigma must be a range \[least, greatest\] of numbers, got \[0.2, 'a'\]",
        ),
        (
            BLUR.replace("isotropic = 1.0", "isotropic = 0.6, anisotropic = 0.6"),
            r"kinds must hold chances that add up to 1, got 1.2",
        ),
        (
            BLUR.replace("isotropic = 1.0", "isotopic = 1.0"),
            r"kinds has the unknown name 'isotopic', did you mean 'isotropic'\?; there are",
        ),
        (BLUR.replace("kinds = { isotropic = 1.0 }\n", ""), r"stage 1 \(blur\): kinds is missing"),
        (BLUR + BLUR.replace("sigma", "sigmas"), r"stage 2 \(blur\): unknown key 'sigmas'"),
        (
            '[[stage]]\nop = "codec"\nformats = { jpeg = 1.0 }\nquality = [0, 95]\n',
            r"quality must lie in \[1, 100\], got \[0, 95\]",
        ),
        (
            '[[stage]]\nop = "codec"\nformats = { gif = 1.0 }\nquality = [30, 95]\n',
            r"formats has the unknown name 'gif'; there are jpeg, webp, avif",
        ),
        (
            '[[stage]]\nop = "choose"\n[[stage.option]]\nchance = 0.5\n',
            r"stage 1 \(choose\): option must be at least two \[\[...option\]\]",
        ),
        (
            '[[stage]]\nop = "choose"\n[[stage.option]]\nchance = 0.5\n[[stage.option]]\nchance = 0.4\n',
            r"option must hold chances that add up to 1, got 0.9",
        ),
        ("stages = 1\n" + BLUR, r"mine.toml: unknown key 'stages', did you mean 'stage'\?"),
        (
            "[target]\namount = 0.5\nradius_px = 50\nthreshold_255 = 10\n" + BLUR,
            r"mine.toml: target\.radius_px must be an odd whole number, got 50",
        ),
        (BLUR.replace("sigma = [0.2, 3.0]\n", ""), r"stage 1 \(blur\): sigma is missing"),
        # isotropic kernels have no variance
        (BLUR.replace("sigma =", "variance ="), r"stage 1 \(blur\): sigma is missing"),
        (BLUR + "variance_per_scale = [0.0, 1.0]\n", r"variance is missing, to which variance_per_scale adds"),
        (BLUR + "beta_plateau = [1.5, 2.0]\n", r"beta_plateau must be a range that contains 1, got \[1.5, 2\]"),
        (BLUR + "sigma_per_scale = [1.0, 0.0]\n", r"sigma is upside down at scale 16: 16.2 to 3"),
        (BLUR + "sigma_per_scale = [1.0, 0.0]\nscales = [2, 4]\n", r"sigma is upside down at scale 4: 4.2 to 3"),
        (BLUR + "scales = [true]\n", r"scales must be a list of scales, whole numbers of 1 or more, got \[True\]"),
        (RESIZE.format("up", 0.3, 0.8), r"factor must reach above 1 for directions.up, got \[0.3, 0.8\]"),
        (RESIZE.format("down", 1.2, 1.8), r"factor must reach below 1 for directions.down, got \[1.2, 1.8\]"),
        ('[[stage]]\nop = "noise"\nkinds = { gaussian = 1.0 }\n', r"sigma_255 is missing, but kinds.gaussian is 1"),
        (
            '[[stage]]\nop = "noise"\nkinds = { poisson = 1.0 }\nsigma_255 = [1, 2]\n',
            r"strength is missing, but kinds.poisson is 1",
        ),
        (
            '[[stage]]\nop = "noise"\nkinds = { gaussian = 1.0 }\nsigma_255 = [0.5, 2]\nwhole_sigma = true\n',
            r"sigma_255 must be whole numbers if whole_sigma is true, got \[0.5, 2.0\]",
        ),
        ('[[stage]]\nop = "divide"\nmodes = { area = 1.0 }\n', r"stage 1 \(divide\): factor is missing"),
        ('[[stage]]\nop = "decimate"\nsize = 25\n', r"stage 1 \(decimate\): sigma is missing"),
        ("[[stage", r"mine.toml is not TOML"),
    ],
)
def test_what_cannot_be_drawn_is_refused_by_name(text: str, words: str) -> None:
    assert re.search(words, refused(text)), refused(text)


def test_a_recipe_names_itself_and_its_source() -> None:
    with pytest.raises(UsageError, match=r'source is missing: expected "\.\.\."'):
        parse_recipe('name = "a"\n' + BLUR, "a.toml")


def test_files_and_names(tmp_path: Path) -> None:
    own = tmp_path / "mine.toml"
    own.write_text(HEAD + BLUR)
    assert load_recipe(own).name == load_recipe(str(own)).name == "mine"
    with pytest.raises(UsageError, match="unknown degradation recipe 'real-esgan', did you mean 'real-esrgan'"):
        load_recipe("real-esgan")
    with pytest.raises(DataError, match=r"none\.toml cannot be read"):
        load_recipe(tmp_path / "none.toml")
    own.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match="cannot be read"):
        load_recipe(own)


def test_a_deeply_nested_recipe_is_refused() -> None:
    assert "is not TOML" in refused("name = " + "[" * 5000 + "]" * 5000)
