"""ncnn files of unknown make, and what holds for all: what a probe finds, that pictures come out as ncnn gives them, and refusals."""

from __future__ import annotations

import gc
from pathlib import Path

import ncnn
import numpy as np
import pytest

from tests.made_ncnn import bilinear_x2, raw, tagged, write
from tests.tiny import compact, compact_state, noise, picture
from upres import engines
from upres.engines.ncnn.opaque import NcnnProgram
from upres.engines.ncnn.runner import program as ncnn_program
from upres.engines.onnx.program import onnx_bytes
from upres.errors import EngineError, ModelError, UsageError
from upres.graph.architectures import graph_from_state_dict
from upres.graph.graph import Graph
from upres.graph.opaque import WHOLE_PICTURE_PX, OpaqueModel
from upres.models.load import kind_of, load_network
from upres.upscaling.enlarge import Upscaler

Array = np.ndarray


def pixels(height: int, width: int, channels: int = 3) -> Array:
    return np.random.default_rng(5).random((height, width, channels), dtype=np.float32)


def probed(path: Path) -> OpaqueModel:
    model = load_network(str(path))
    assert isinstance(model, OpaqueModel)
    return model


def saved(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def by_ncnn(param: Path, lr: Array, entrance: str, exit_: str) -> Array:
    """ncnn on the two files, with nothing of ours between."""
    net = ncnn.Net()
    net.opt.num_threads = 1
    net.opt.use_vulkan_compute = False
    assert net.load_param(str(param)) == 0 and net.load_model(str(param.with_suffix(".bin"))) == 0
    extractor = net.create_extractor()
    x = np.ascontiguousarray(lr.transpose(2, 0, 1))
    extractor.input(entrance, ncnn.Mat(x).clone())
    failed, mat = extractor.extract(exit_)
    assert failed == 0
    return np.array(mat).transpose(1, 2, 0)


# -- ncnn -----------------------------------------------------------------------------------------------------------


def test_ncnn_graph_of_our_nodes_becomes_a_graph(tmp_path: Path) -> None:
    text, chunks = ncnn_program(compact(3, depth=2))
    (tmp_path / "m.param").write_text(text)
    (tmp_path / "m.bin").write_bytes(b"".join(chunk.tobytes() for chunk in chunks))
    for name in ("m.param", "m.bin"):
        graph = load_network(str(tmp_path / name))
        assert isinstance(graph, Graph) and (graph.scale, graph.receptive_field) == (3, 4)


def test_published_ncnn_files_as_ncnn_runs_them(assets: Path) -> None:
    path = assets / "weights" / "RealESRGAN_General_WDN_x4_v3.param"
    graph = load_network(str(path))
    assert isinstance(graph, Graph)
    lr = pixels(21, 30)
    found = Upscaler(graph, threads=1).upscale_array(lr)
    np.testing.assert_allclose(found, by_ncnn(path, lr, "data", "output"), rtol=0, atol=2e-5)


def test_ncnn_file_with_layers_of_its_own(tmp_path: Path) -> None:
    path = bilinear_x2(tmp_path, kernel=5)
    model = probed(path)
    # Two convolutions see 2 and 1 pixels, the bilinear enlargement one more.
    assert (model.kind, model.scale, model.in_channels, model.alignment, model.receptive_field) == ("ncnn", 2, 3, 1, 4)
    assert model.macs_per_pixel == 8 * 3 * 25 + 3 * 8 * 9
    assert (model.value_range, model.range_is_certain, model.fixed, model.cut_px) == ((0.0, 1.0), True, None, 0)
    assert model.parameters == 8 * 3 * 25 + 8 + 3 * 8 * 9
    assert model.notes == (
        f"net.param is an ncnn graph of unknown make, run as it is by ncnn {ncnn.__version__}: "
        "scale 2, 3 channels, values 0 to 1, sees 4 px (measured)",
    )
    lr = pixels(40, 33)
    whole = Upscaler(model, threads=1, exact=True).upscale_array(lr)
    np.testing.assert_allclose(whole, by_ncnn(path, lr, "in0", "out0"), rtol=0, atol=1e-5)
    tiled = Upscaler(model, threads=1, exact=True, tile_px=13).upscale_array(lr)
    np.testing.assert_allclose(tiled, whole, rtol=0, atol=1e-6)
    with pytest.raises(UsageError, match="run as it is, by engine 'ncnn' alone: leave --engine torch out"):
        engines.load(model, engine="torch")


def test_ncnn_network_that_sees_the_whole_picture(tmp_path: Path) -> None:
    """A global mean (as attention by channel has it) is added: no overlap is exact, and the note says so."""
    weight = np.zeros((3, 3, 1, 1))
    lines = [
        "Input in 0 1 in",
        "Split s 1 2 in a b",
        "Pooling mean 1 1 a m 0=1 4=1",
        "Reshape r 1 1 m n 0=1 1=1 2=3",
        "Convolution c 1 1 b d 0=3 1=1 5=0 6=9",
        "BinaryOp add 2 1 d n out 0=0",
    ]
    model = probed(write(tmp_path, lines, tagged(weight)))
    assert model.receptive_field == WHOLE_PICTURE_PX and "sees farther than the" in model.notes[0]


def test_ncnn_network_that_cuts_its_border_off(tmp_path: Path) -> None:
    """As waifu2x does: 3x3 without padding. What is cut is mirrored around the picture first, so sizes are kept."""
    kernel = np.zeros((3, 3, 3, 3))
    kernel[np.arange(3), np.arange(3), 1, 1] = 1.0
    lines = ["Input in 0 1 in", "Convolution c 1 1 in x 0=3 1=3 4=0 5=0 6=81", "Mish m 1 1 x y", "BinaryOp b 1 1 y out 0=2 1=1 2=1.2"]
    model = probed(write(tmp_path, lines, tagged(kernel)))
    assert (model.scale, model.cut_px, model.receptive_field) == (1, 1, 0)
    lr = pixels(9, 12)
    x = lr.astype(np.float64)
    np.testing.assert_allclose(Upscaler(model, threads=1).upscale_array(lr), x * np.tanh(np.log1p(np.exp(x))) * 1.2, rtol=0, atol=1e-5)


def test_a_mat_of_ncnn_borrows_and_ours_does_not(tmp_path: Path) -> None:
    """`ncnn.Mat(array)` is the array's own memory and keeps nothing alive: what is written there later is what ncnn would compute with."""
    array = np.zeros((1, 4, 4), np.float32)
    mat = ncnn.Mat(array)
    copy = ncnn.Mat(array).clone()
    array[:] = 7.0
    assert np.array(mat).max() == 7.0 and np.array(copy).max() == 0.0  # the trap, and the way out
    program = NcnnProgram(bilinear_x2(tmp_path), threads=1)
    lr = pixels(20, 20).transpose(2, 0, 1)[None].copy()
    kept = lr.copy()
    expected = program(lr)
    for _ in range(5):  # temporaries of temporaries, and memory that is used again at once
        found = program(pixels(20, 20).transpose(2, 0, 1)[None].copy() + np.float32(0))
        gc.collect()
        np.zeros((64, 20, 20), np.float32).fill(9.0)
        np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(lr, kept)  # no layer works in place on the caller's picture
    program.close()
    with pytest.raises(EngineError, match="closed"):
        program(lr)


def test_ncnn_file_that_crashes_ncnn_is_one_error(tmp_path: Path) -> None:
    """What our checks do not see breaks the process that tries it, not this one: a MatMul of sizes that do not fit."""
    lines = ["Input in 0 1 in", "Split s 1 2 in a b", "Reshape r 1 1 a c 0=7 1=-1", "MatMul m 2 1 c b out"]
    with pytest.raises(ModelError, match=r"net.param: "):
        load_network(str(write(tmp_path, lines, b"")))


# -- all ------------------------------------------------------------------------------------------------------------


def test_kinds_by_content_and_not_by_name(tmp_path: Path) -> None:
    assert kind_of(saved(tmp_path / "m.pth", onnx_bytes(compact(2)))) == "onnx"
    assert kind_of(bilinear_x2(tmp_path)) == "ncnn"
    assert kind_of(saved(tmp_path / "m.onnx2", b"PK\x03\x04")) is None


def test_a_known_family_needs_no_probe() -> None:
    assert isinstance(load_network("compact-x2"), Graph)
    assert isinstance(graph_from_state_dict(compact_state(2)), Graph)


def test_without_spandrel_an_unknown_network_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from safetensors.numpy import save

    monkeypatch.setattr("upres.models.load.find_spec", lambda name: None)
    path = saved(tmp_path / "m.safetensors", save({"layers.0.residual_group.blocks.0.weight": raw_array()}))
    with pytest.raises(ModelError, match=r"looks like SwinIR.* spandrel runs many more: pip install spandrel \(or 'upres\[spandrel\]'\)"):
        load_network(str(path))


def raw_array() -> Array:
    return np.frombuffer(raw(np.ones(4)), np.float32)


def test_the_command_line_runs_them_and_says_once_what_was_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from typer.testing import CliRunner

    from upres.cli.main import app
    from upres.images.io import read_picture, write_picture

    bilinear_x2(tmp_path)
    for name in ("a.png", "b.png"):
        write_picture(picture(noise(10, 12)), tmp_path / name)
    command = ["upscale", str(tmp_path / "a.png"), str(tmp_path / "b.png"), "-o", str(tmp_path / "out"), "-n", str(tmp_path / "net.bin")]
    done = CliRunner().invoke(app, command)
    said = done.output + capsys.readouterr().err
    assert done.exit_code == 0, said
    assert said.count("is an ncnn graph of unknown make") == 1
    assert read_picture(tmp_path / "out" / "a.png").pixels.shape == (20, 24, 3)


def test_two_ncnn_files_of_one_shape_are_blended(assets: Path) -> None:
    """The mean of both networks' weights: float16 files of general-x4v3 and its twin."""
    from upres.models import expression

    names = [assets / "weights" / f"RealESRGAN_General_{name}.param" for name in ("x4_v3", "WDN_x4_v3")]
    (blend,) = expression.load(expression.parse(f"{names[0]}:0.25,{names[1]}:0.75"))
    first, second = (expression.load(expression.parse(str(name)))[0] for name in names)
    assert isinstance(blend, Graph) and isinstance(first, Graph) and isinstance(second, Graph)
    weights = [graph.nodes[0].weight for graph in (first, second, blend)]  # type: ignore[union-attr]
    np.testing.assert_allclose(weights[2], 0.25 * weights[0] + 0.75 * weights[1], rtol=0, atol=1e-7)
