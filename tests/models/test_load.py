"""Loading: ncnn files that run as they are, and what `load_model` returns for names, files, blends and chains."""

from __future__ import annotations

import errno
from pathlib import Path

import ncnn
import numpy as np
import pytest

from tests.made_ncnn import bilinear_x2, halving, raw, tagged, write
from tests.tiny import compact, compact_file, compact_state
from upres import engines
from upres.engines.onnx.program import onnx_bytes
from upres.errors import ModelError, UsageError
from upres.graph.architectures import graph_from_state_dict
from upres.graph.graph import Graph
from upres.graph.opaque import WHOLE_PICTURE_PX, OpaqueModel
from upres.graph.serialize import digest, structure
from upres.models.load import ModelFile, kind_of, load_model
from upres.upscaling.upscaler import Upscaler

Array = np.ndarray


def pixels(height: int, width: int, channels: int = 3) -> Array:
    return np.random.default_rng(5).random((height, width, channels), dtype=np.float32)


def probed(path: Path) -> OpaqueModel:
    model = load_model(str(path)).networks[0]
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


def test_a_disk_that_fails_is_told_with_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = compact_file(tmp_path / "net.safetensors", 2)

    def failing(path: Path) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr("upres.models.load.check_file", failing)
    with pytest.raises(ModelError, match=rf"model {path}: cannot read {path}: Input/output error; check the disk$"):
        load_model(str(path))


def test_ncnn_file_with_layers_of_its_own(tmp_path: Path) -> None:
    path = bilinear_x2(tmp_path, kernel=5)
    model = probed(path)
    # Two convolutions see 2 and 1 pixels, the bilinear enlargement one more.
    assert (model.kind, model.scale, model.in_channels, model.alignment, model.receptive_field) == ("ncnn", 2, 3, 1, 4)
    assert model.macs_per_pixel == 8 * 3 * 25 + 3 * 8 * 9
    assert (model.value_range, model.residual, model.fixed, model.cut_px) == ((0.0, 1.0), False, None, 0)
    assert model.parameters == 8 * 3 * 25 + 8 + 3 * 8 * 9
    assert model.notes == (
        f"net.param is an ncnn graph of unknown architecture, run as is by ncnn {ncnn.__version__}: "
        "scale 2, 3 channels, values 0 to 1, receptive field 4 px (measured)",
    )
    lr = pixels(40, 33)
    whole = Upscaler(model, threads=1, exact=True).upscale_array(lr)
    np.testing.assert_allclose(whole, by_ncnn(path, lr, "in0", "out0"), rtol=0, atol=1e-5)
    tiled = Upscaler(model, threads=1, exact=True, tile_px=13).upscale_array(lr)
    np.testing.assert_allclose(tiled, whole, rtol=0, atol=1e-6)
    with pytest.raises(UsageError, match="runs on ncnn alone: leave `engine='torch'` out"):
        engines.load(model, engine="torch")


@pytest.mark.slow
def test_ncnn_network_that_sees_the_whole_picture(tmp_path: Path) -> None:
    """A global mean (as attention by channel has it) is added: no overlap is exact, and the note says so."""
    weight = np.eye(3).reshape(3, 3, 1, 1)
    lines = [
        "Input in 0 1 in",
        "Split s 1 2 in a b",
        "Pooling mean 1 1 a m 0=1 4=1",
        "BinaryOp less 1 1 m l 0=2 1=1 2=0.02",
        "Reshape r 1 1 l n 0=1 1=1 2=3",
        "Convolution c 1 1 b d 0=3 1=1 5=0 6=9",
        "BinaryOp add 2 1 d n out 0=0",
    ]
    model = probed(write(tmp_path, lines, tagged(weight)))
    assert model.receptive_field == WHOLE_PICTURE_PX and "receptive field over" in model.notes[0]


@pytest.mark.slow
def test_ncnn_network_that_halves_the_picture_runs_right_at_odd_sizes(tmp_path: Path) -> None:
    """As Real-CUGAN does: the alignment is found, and nothing is read beyond an operand."""
    model = probed(halving(tmp_path))
    assert (model.alignment, model.scale) == (2, 1)
    upscaler = Upscaler(model, threads=1)
    for height, width in ((20, 31), (31, 20), (33, 33), (24, 40)):
        lr = pixels(height, width)
        means = np.pad(lr, ((0, height % 2), (0, width % 2), (0, 0)), mode="reflect")
        means = means.reshape(-(-height // 2), 2, -(-width // 2), 2, 3).mean((1, 3)).repeat(2, 0).repeat(2, 1)
        np.testing.assert_allclose(
            upscaler.upscale_array(lr), 0.98 * lr + 0.02 * means[:height, :width], rtol=0, atol=1e-5
        )


@pytest.mark.slow
def test_ncnn_network_that_gives_only_a_difference(tmp_path: Path) -> None:
    """As Real-CUGAN's for 4x does: the program that comes with it adds the picture, and so do we."""
    lines = [
        "Input in 0 1 in",
        "BinaryOp k 1 1 in a 0=2 1=1 2=0.01",
        "Mish m 1 1 a b",
        "Interp up 1 1 b out 0=1 1=2.000000e+00 2=2.000000e+00",
    ]
    model = probed(write(tmp_path, lines, b""))
    assert model.residual and "gives the difference to the enlarged picture, which is added" in model.notes[0]
    lr = pixels(11, 14)
    x = 0.01 * lr.astype(np.float64)
    expected = (lr + x * np.tanh(np.log1p(np.exp(x)))).repeat(2, 0).repeat(2, 1)
    np.testing.assert_allclose(Upscaler(model, threads=1).upscale_array(lr), expected, rtol=0, atol=1e-5)


def test_a_network_that_gives_no_picture_back_is_refused(tmp_path: Path) -> None:
    lines = ["Input in 0 1 in", "BinaryOp k 1 1 in a 0=7 1=1 2=1.0", "Mish m 1 1 a out"]
    with pytest.raises(ModelError, match="it does not give a smooth picture back, with values from 0 to 1, 0 to 255"):
        load_model(str(write(tmp_path, lines, b"")))


@pytest.mark.slow
def test_ncnn_network_that_cuts_its_border_off(tmp_path: Path) -> None:
    """As waifu2x does: 3x3 without padding. What is cut is mirrored around the picture first, so sizes are kept."""
    kernel = np.zeros((3, 3, 3, 3))
    kernel[np.arange(3), np.arange(3), 1, 1] = 1.0
    lines = [
        "Input in 0 1 in",
        "Convolution c 1 1 in x 0=3 1=3 4=0 5=0 6=81",
        "Mish m 1 1 x y",
        "BinaryOp b 1 1 y out 0=2 1=1 2=1.2",
    ]
    model = probed(write(tmp_path, lines, tagged(kernel)))
    assert (model.scale, model.cut_px, model.receptive_field) == (1, 1, 0)
    lr = pixels(9, 12)
    x = lr.astype(np.float64)
    np.testing.assert_allclose(
        Upscaler(model, threads=1).upscale_array(lr), x * np.tanh(np.log1p(np.exp(x))) * 1.2, rtol=0, atol=1e-5
    )


def test_ncnn_file_that_crashes_ncnn_is_one_error(tmp_path: Path) -> None:
    """What our checks do not see breaks the process that tries it, not this one: a MatMul of sizes that do not fit."""
    lines = ["Input in 0 1 in", "Split s 1 2 in a b", "Reshape r 1 1 a c 0=7 1=-1", "MatMul m 2 1 c b out"]
    with pytest.raises(ModelError, match=r"net.param: "):
        load_model(str(write(tmp_path, lines, b"")))


# -- all ------------------------------------------------------------------------------------------------------------


def test_kinds_by_content_and_not_by_name(tmp_path: Path) -> None:
    assert kind_of(saved(tmp_path / "m.pth", onnx_bytes(compact(2)))) == "onnx"
    assert kind_of(bilinear_x2(tmp_path)) == "ncnn"
    assert kind_of(saved(tmp_path / "m.onnx2", b"PK\x03\x04")) is None


def test_a_known_family_needs_no_probe() -> None:
    assert isinstance(load_model("compact-x2").networks[0], Graph)
    assert isinstance(graph_from_state_dict(compact_state(2)), Graph)


def test_of_a_bundled_model_the_bytes_that_were_hashed_are_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that is swapped after it was hashed is not seen: it is read once."""
    read = Path.read_bytes
    seen: list[Path] = []

    def once(path: Path) -> bytes:
        if path.suffix != ".safetensors":
            return read(path)
        seen.append(path)
        return read(path) if len(seen) == 1 else b"swapped"

    monkeypatch.setattr(Path, "read_bytes", once)
    assert load_model("compact-x2").files[0].path == seen[0] and len(seen) == 1


def test_without_spandrel_an_unknown_network_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from safetensors.numpy import save

    monkeypatch.setattr("upres.models.load.find_spec", lambda name: None)
    path = saved(tmp_path / "m.safetensors", save({"layers.0.residual_group.blocks.0.weight": raw_array()}))
    with pytest.raises(
        ModelError,
        match=r"looks like SwinIR.* spandrel runs many more: pip install spandrel \(or 'upres\[spandrel\]'\)",
    ):
        load_model(str(path))


def raw_array() -> Array:
    return np.frombuffer(raw(np.ones(4)), np.float32)


# -- what load_model returns -------------------------------------------------------------------------------------------


def test_a_loaded_model_says_what_it_is(tmp_path: Path) -> None:
    path = compact_file(tmp_path / "m.safetensors", 2)
    for model in (load_model(path), load_model(str(path))):
        assert (model.scale, model.family, model.name, model.notes) == (2, "compact", str(path), ())
        assert model.files == (ModelFile(path, 1.0, "unknown"),)
        assert model.state_dict() is model.weights and model.weights.keys() == compact_state(2).keys()
        assert model.graph is model.networks[0]
        assert repr(model) == f"<LoadedModel {path}: compact, 2x>"
    assert load_model("COMPACT-X2").files[0].license == "Apache-2.0"


def test_a_path_is_one_file_whatever_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    compact_file(tmp_path / "compact-x4", 2)
    assert load_model("compact-x4").scale == 4 and load_model(Path("compact-x4")).scale == 2
    with pytest.raises(ModelError, match=r"a>b\.pth: no such file"):
        load_model(tmp_path / "a>b.pth")


def test_a_chain_has_several_networks_and_no_graph(tmp_path: Path) -> None:
    path = compact_file(tmp_path / "m.safetensors", 2)
    model = load_model(f"{path}>srvgg-x4:3,compact-gan-x4:1")
    assert (len(model.networks), model.scale, model.family, model.weights) == (2, 8, "compact>compact", None)
    assert model.name == f"{path}>srvgg-x4:0.75,compact-gan-x4:0.25" and "sum to 4" in model.notes[0]
    assert [file.share for file in model.files] == [1.0, 0.75, 0.25]
    for use in (lambda: model.graph, model.state_dict):
        with pytest.raises(ModelError, match=r"is a chain of 2 networks; expected one network\. Load each by itself"):
            use()


def test_what_runs_as_it_is_has_neither_layers_nor_weights(tmp_path: Path) -> None:
    model = load_model(bilinear_x2(tmp_path))
    assert model.weights is None and isinstance(model.networks[0], OpaqueModel)
    for use in (lambda: model.graph, model.state_dict):
        with pytest.raises(
            ModelError, match=r"net\.param is an ncnn network that upres runs as it is, .* Take the same network as"
        ):
            use()
    with pytest.raises(ModelError, match=r"blend of .*net\.param, compact-x2: .* runs as it is"):
        load_model(f"{tmp_path / 'net.param'},compact-x2")


def test_an_ncnn_graph_of_no_family_has_layers_and_no_names(tmp_path: Path) -> None:
    weight = np.ones((3, 3, 3, 3))
    path = write(tmp_path, ["Input in 0 1 in", "Convolution c 1 1 in out 0=3 1=3 4=1 5=0 6=81"], tagged(weight))
    model = load_model(path)
    assert (model.family, len(model.graph.nodes)) == ("ncnn", 1)
    with pytest.raises(ModelError, match="is a network of 1 layers of no known family, so its weights have no names"):
        model.state_dict()


def test_an_ncnn_file_of_a_known_family_is_as_good_as_its_safetensors(assets: Path) -> None:
    """Weights, structure (by which the choice of an engine is remembered), and blends of the two."""
    folder = assets / "weights" / "realesrgan"
    by_ncnn = load_model(folder / "realesrgan-x4plus-anime.bin")
    named = load_model(folder / "RealESRGAN_x4plus_anime_6B.f16.safetensors")
    assert by_ncnn.family == "rrdb" and len(by_ncnn.files) == 2
    assert digest(structure(by_ncnn.graph)) == digest(structure(named.graph))
    blend = load_model(
        f"{folder / 'realesrgan-x4plus-anime.param'}:0.25,{folder / 'RealESRGAN_x4plus_anime_6B.f16.safetensors'}:0.75"
    )
    for name, array in named.state_dict().items():
        np.testing.assert_array_equal(by_ncnn.state_dict()[name], array)
        np.testing.assert_allclose(blend.state_dict()[name], array, rtol=1e-6, atol=0)
