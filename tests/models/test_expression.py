"""Model expressions and what comes of them: blends are sums of weights, chains are one network after the other, tiles
leave no trace.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.tiny import compact_file, compact_state, noise
from upres.errors import ModelError, UsageError
from upres.graph.architectures import graph_from_state_dict
from upres.graph.graph import Graph
from upres.graph.nodes import Conv
from upres.models.expression import NOISE_TWINS, Composition, Part, parse, with_denoise
from upres.models.load import load_model
from upres.upscaling.upscaler import Upscaler
from upres.weights.read import write_safetensors


def parameters(graph: Graph) -> list[np.ndarray]:
    return [node.weight for node in graph.nodes if isinstance(node, Conv)]


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    return [compact_file(tmp_path / f"{name}.safetensors", 2, seed=seed) for seed, name in enumerate("abc")]


@pytest.mark.parametrize(
    ("text", "stages", "again"),
    [
        ("a", [[("a", 1.0)]], "a"),
        ("a:0.7,b:0.3", [[("a", 0.7), ("b", 0.3)]], "a:0.7,b:0.3"),
        (" a : 0.5 , b:.5 ", [[("a ", 0.5), ("b", 0.5)]], None),
        ("a,b", [[("a", 0.5), ("b", 0.5)]], "a:0.5,b:0.5"),
        ("a:1,b:0,c:0", [[("a", 1.0), ("b", 0.0), ("c", 0.0)]], "a:1,b:0,c:0"),
        ("a > b", [[("a", 1.0)], [("b", 1.0)]], "a>b"),
        ("a:0.25,b:0.75>c>d", [[("a", 0.25), ("b", 0.75)], [("c", 1.0)], [("d", 1.0)]], "a:0.25,b:0.75>c>d"),
        ("C:\\nets\\a.pth", [[("C:\\nets\\a.pth", 1.0)]], None),
        ("C:/a.pth:0.5,C:/b.pth:0.5", [[("C:/a.pth", 0.5), ("C:/b.pth", 0.5)]], None),
    ],
)
def test_what_is_understood(text: str, stages: list[list[tuple[str, float]]], again: str | None) -> None:
    found = parse(text)
    assert [[(part.model.strip(), pytest.approx(part.share)) for part in stage] for stage in found.stages] == [
        [(name.strip(), share) for name, share in stage] for stage in stages
    ]
    assert found.notes == ()
    if again:
        assert str(found) == again
        assert parse(again) == found


def test_weights_of_another_sum_are_normalized_with_a_word() -> None:
    found = parse("a:3,b:1>c")
    assert found.stages == ((Part("a", 0.75), Part("b", 0.25)), (Part("c", 1.0),))
    assert found.notes == ("the shares of a:3,b:1 sum to 4, not 1: normalized to a 0.75, b 0.25",)
    assert parse("a:0.3333,b:0.3333,c:0.3333").notes == ()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "a model is missing before or after '>'"),
        ("a>", "a model is missing before or after '>'"),
        ("a>>b", "a model is missing"),
        ("a,", "the name of a model is missing"),
        (":0.5,b:0.5", "the name of a model is missing"),
        ("a:0.5,b", "give a share to each model of a blend, or to none"),
        ("a:x,b:1", "'x' is not a share of a; expected a number"),
        ("a:", "'' is not a share of a"),
        ("a:-1,b:2", "the share of a is -1; expected a number of 0 or more"),
        ("a:nan,b:1", "the share of a is nan"),
        ("a:inf,b:1", "the share of a is inf"),
        ("a:0,b:0", "all shares are 0"),
        ("a:0.7", "a share needs a blend of two models or more"),
    ],
)
def test_what_is_refused(text: str, words: str) -> None:
    with pytest.raises(UsageError) as error:
        parse(text)
    assert words in str(error.value)
    assert f"model {text!r}" in str(error.value)


def test_the_name_of_a_file_may_hold_anything(tmp_path: Path) -> None:
    path = compact_file(tmp_path / "a>b,c:0.5.safetensors", 2)
    assert parse(str(path)) == Composition(((Part(str(path), 1.0),),))
    other = compact_file(tmp_path / "d:0.5", 2)
    assert parse(f"{other}:0.25,{other}:0.75").stages == ((Part(str(other), 0.25), Part(str(other), 0.75)),)


def test_a_blend_is_the_sum_of_weights(files: list[Path]) -> None:
    """Against a plain float64 sum over the three state dicts."""
    a, b, c = (compact_state(2, seed=seed) for seed in range(3))
    (graph,) = load_model(
        ",".join(f"{path}:{weight}" for path, weight in zip(files, (0.5, 0.2, 0.3), strict=True))
    ).networks
    expected = {name: (0.5 * a[name].astype(float) + 0.2 * b[name] + 0.3 * c[name]).astype(np.float32) for name in a}
    for found, wanted in zip(parameters(graph), parameters(graph_from_state_dict(expected)), strict=True):
        np.testing.assert_allclose(found, wanted, atol=1e-7)


@pytest.mark.parametrize("weights", [(1, 0, 0), (0, 1, 0), (0, 0, 1)])
def test_the_ends_of_a_blend_are_its_models_to_the_bit(files: list[Path], weights: tuple[int, ...]) -> None:
    (graph,) = load_model(",".join(f"{path}:{weight}" for path, weight in zip(files, weights, strict=True))).networks
    (alone,) = load_model(str(files[weights.index(1)])).networks
    for found, wanted in zip(parameters(graph), parameters(alone), strict=True):
        np.testing.assert_array_equal(found, wanted)


def test_models_of_two_shapes_are_refused_by_the_first_difference(tmp_path: Path, files: list[Path]) -> None:
    wide = compact_file(tmp_path / "wide.safetensors", 2, width=8)
    with pytest.raises(ModelError, match=r"tensor 'body\.0\.bias' is \(4,\) in .*a\.safetensors and \(8,\) in .*wide"):
        load_model(f"{files[0]}:0.5,{wide}:0.5")
    with pytest.raises(ModelError, match=r"is compact x2, .* is compact x4; expected the same family and scale"):
        load_model(f"{files[0]},{compact_file(tmp_path / 'x4.safetensors', 4)}")
    with pytest.raises(ModelError, match="unknown model 'nowhere'"):
        load_model(f"{files[0]}>nowhere")


def test_house_models_blend_and_run() -> None:
    """The GAN was trained from the faithful one, so the network between them gives something between them."""
    lr = noise(12, 12) * np.float32(0.2) + np.float32(0.4)
    plain, between, gan = (
        Upscaler(load_model(text).networks, engine="ncnn", threads=1).upscale_array(lr)
        for text in ("srvgg-x4", "srvgg-x4:0.5,compact-gan-x4:0.5", "compact-gan-x4")
    )
    assert np.abs(plain - gan).mean() > 0.005
    assert np.abs(between - (plain + gan) / 2).mean() < 0.5 * np.abs(plain - gan).mean()


def test_denoise_is_a_share_of_the_model_and_the_rest_of_its_twin() -> None:
    model, twin = next(iter(NOISE_TWINS.items()))
    assert with_denoise(parse(model), 0.25).stages == ((Part(model, 0.25), Part(twin, 0.75)),)
    assert with_denoise(parse(model), 1.0).stages == ((Part(model, 1.0),),)
    assert with_denoise(parse(model), 0.0).stages == ((Part(twin, 1.0),),)
    for same in ("4x-realesr-general-x4v3", "REALESR-general-x4v3"):  # an alias, and another case
        assert with_denoise(parse(same), 0.25).stages == ((Part(same, 0.25), Part(twin, 0.75)),)
    assert with_denoise(parse("a"), 0.5, "b").stages == ((Part("a", 0.5), Part("b", 0.5)),)


def test_the_twin_of_a_file_lies_beside_it(tmp_path: Path) -> None:
    model = compact_file(tmp_path / "realesr-general-x4v3.pth", 2)
    with pytest.raises(
        UsageError, match=r"with realesr-general-wdn-x4v3\.pth, which is not beside it: set `denoise_with`"
    ):
        with_denoise(parse(str(model)), 0.5)
    twin = compact_file(tmp_path / "realesr-general-wdn-x4v3.pth", 2, seed=1)
    composition = with_denoise(parse(str(model)), 0.5)
    assert [part.model for part in composition.stages[0]] == [str(model), str(twin)]
    assert len(load_model(composition).networks) == 1


def test_the_published_pair_keeps_more_noise_the_less_is_asked_for(assets: Path) -> None:
    """Noise on flat gray: what is left of it falls from the twin (0) to the model (1), and in between lies a third."""
    model = parse(str(assets / "weights" / "RealESRGAN_General_x4_v3.param"))
    lr = (0.5 + 0.06 * np.random.default_rng(2).standard_normal((32, 32, 3))).astype(np.float32)
    left = [
        Upscaler(load_model(with_denoise(model, strength)).networks, engine="ncnn", threads=1)
        .upscale_array(lr)[32:-32, 32:-32]
        .std()
        for strength in (0.0, 0.5, 1.0)
    ]
    assert left[0] > 1.2 * left[1] > 1.2 * left[2]


@pytest.mark.parametrize(
    ("text", "strength", "words"),
    [
        ("realesr-general-x4v3", 1.5, r"`denoise` must be in \[0, 1\] .* got 1.5"),
        ("realesr-general-x4v3", float("nan"), r"`denoise` must be in \[0, 1\]"),
        ("compact-x4", 0.5, "knows the twin of realesr-general-x4v3, but none of compact-x4: set `denoise_with`"),
        ("a>b", 0.5, "`denoise` takes one model, got a>b"),
        ("a,b", 0.5, "`denoise` takes one model, got a:0.5,b:0.5"),
    ],
)
def test_denoise_refuses(text: str, strength: float, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        with_denoise(parse(text), strength)


def test_a_chain_runs_one_network_after_the_other(tmp_path: Path) -> None:
    four = compact_file(tmp_path / "x4.safetensors", 4, strength=0.05, seed=3)
    two = compact_file(tmp_path / "x2.safetensors", 2, strength=0.05)
    chain = Upscaler(load_model(f"{two}>{four}").networks, engine="ncnn", threads=1)
    lr = noise(9, 7) * np.float32(0.5) + np.float32(0.25)
    first, second = (Upscaler(load_model(str(path)).graph, engine="ncnn", threads=1) for path in (two, four))
    assert chain.scale == 8
    np.testing.assert_array_equal(chain.upscale_array(lr), second.upscale_array(first.upscale_array(lr)))


@pytest.mark.parametrize("engine", ["torch", "ncnn"])
@pytest.mark.parametrize("text", ["{a}:0.6,{b}:0.4", "{a}>{b}", "{a}:0.5,{b}:0.5>{c}"])
def test_tiled_equals_untiled_to_the_bit(files: list[Path], engine: str, text: str) -> None:
    if engine == "torch":
        pytest.importorskip("torch")
    graphs = load_model(text.format(**dict(zip("abc", files, strict=True)))).networks
    lr = noise(29, 41)
    whole = Upscaler(graphs, engine=engine, threads=1, exact=True).upscale_array(lr)
    for tile_px in (7, 16):
        tiled = Upscaler(graphs, engine=engine, threads=1, exact=True, tile_px=tile_px).upscale_array(lr)
        np.testing.assert_array_equal(tiled, whole)


def test_a_written_blend_is_what_interpolate_writes(tmp_path: Path, files: list[Path]) -> None:
    """`upres interpolate` and `-n` agree on what a blend is."""
    from upres.graph.interpolate import interpolate

    write_safetensors(tmp_path / "mixed.safetensors", interpolate(compact_state(2), compact_state(2, seed=1), 0.3), {})
    (ours,), (theirs,) = (
        load_model(f"{files[0]}:0.7,{files[1]}:0.3").networks,
        load_model(str(tmp_path / "mixed.safetensors")).networks,
    )
    for found, wanted in zip(parameters(ours), parameters(theirs), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-8)


def test_two_ncnn_files_of_one_shape_are_blended(assets: Path) -> None:
    """The mean of both networks' weights: float16 files of general-x4v3 and its twin."""
    names = [assets / "weights" / f"RealESRGAN_General_{name}.param" for name in ("x4_v3", "WDN_x4_v3")]
    (blend,) = load_model(f"{names[0]}:0.25,{names[1]}:0.75").networks
    first, second = (load_model(name).networks[0] for name in names)
    assert isinstance(blend, Graph) and isinstance(first, Graph) and isinstance(second, Graph)
    weights = [graph.nodes[0].weight for graph in (first, second, blend)]  # type: ignore[union-attr]
    np.testing.assert_allclose(weights[2], 0.25 * weights[0] + 0.75 * weights[1], rtol=0, atol=1e-7)
