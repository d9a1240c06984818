"""ONNX files of an unknown architecture: what a probe of each finds, that pictures come out as ONNX means them, and
refusals.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.models.test_load import Array, pixels, probed, saved
from tests.tiny import compact
from upres import engines
from upres.engines.onnx.program import onnx_bytes
from upres.errors import ModelError
from upres.graph.graph import Graph
from upres.graph.nodes import Conv, Resample
from upres.models.load import load_model
from upres.upscaling.upscaler import Upscaler


def onnx_file(
    path: Path, nodes: list[onnx.NodeProto], constants: dict[str, Array], shape: list[object], kind: int = 1
) -> Path:
    given = None if any(isinstance(size, str) for size in shape) else shape
    body = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("in", kind, shape)],
        [helper.make_tensor_value_info("out", kind, None if given is None else [None] * 4)],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    model = helper.make_model(body, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    return saved(path, model.SerializeToString())


DYNAMIC: list[object] = [1, 3, "h", "w"]


def test_onnx_of_a_known_graph_is_measured_as_the_graph_says(tmp_path: Path) -> None:
    graph = compact(2, depth=3, strength=0.01)
    path = saved(tmp_path / "m.onnx", onnx_bytes(graph))
    model = probed(path)
    assert (model.scale, model.in_channels, model.alignment, model.receptive_field) == (2, 3, 1, graph.receptive_field)
    assert (model.macs_per_pixel, model.activation_bytes_per_pixel) == (
        graph.macs_per_pixel,
        graph.activation_bytes_per_pixel,
    )
    assert model.notes[0] == (
        f"m.onnx is an ONNX file of unknown architecture, run as is by onnxruntime {onnxruntime.__version__}: "
        "scale 2, 3 channels, values 0 to 1, receptive field 5 px (measured)"
    )
    lr = pixels(37, 28)
    expected = Upscaler(graph, engine="torch", threads=1).upscale_array(lr)
    for tile_px in (None, 10):
        found = Upscaler(model, threads=1, tile_px=tile_px).upscale_array(lr)
        np.testing.assert_allclose(found, expected, rtol=0, atol=2e-6)


def test_onnx_whose_sides_are_multiples(tmp_path: Path) -> None:
    """A pixel-unshuffle by 4 in front; the reach is measured to within the block in which a pixel lies."""
    weight = np.random.default_rng(1).normal(0, 0.01, (48, 48, 3, 3)).astype(np.float32)
    weight[np.arange(48), np.arange(48), 1, 1] += 1.0
    nodes = [
        Resample("pixel_unshuffle", "down", "input", 4),
        Conv("c", "down", weight, padding=1),
        Resample("pixel_shuffle", "up", "c", 4),
    ]
    graph = Graph.of(nodes, output="up", in_channels=3, family="test")
    model = probed(saved(tmp_path / "m.onnx", onnx_bytes(graph)))
    assert (model.alignment, model.scale) == (4, 1)
    assert graph.receptive_field <= model.receptive_field <= graph.receptive_field + 3
    assert "sides multiples of 4" in model.notes[0]
    lr = pixels(41, 30)
    whole, tiled = (Upscaler(model, threads=1, tile_px=px).upscale_array(lr) for px in (None, 12))
    np.testing.assert_allclose(tiled, whole, rtol=0, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize(("low", "high"), [(0.0, 255.0), (-1.0, 1.0)])
def test_onnx_of_another_range_of_values(tmp_path: Path, low: float, high: float) -> None:
    """Doubled by pixels; values above 0.3 are raised by 0.1, which is nothing in 0 ... 255, little in -1 ... 1, and a
    fault in [0,1].
    """
    nodes = [
        helper.make_node("Clip", ["in", "low", "high"], ["clipped"]),
        helper.make_node("Less", ["clipped", "edge"], ["below"]),
        helper.make_node("Where", ["below", "none", "shift"], ["shifts"]),
        helper.make_node("Add", ["clipped", "shifts"], ["sum"]),
        helper.make_node("Resize", ["sum", "", "scales"], ["out"], mode="nearest"),
    ]
    values = {"low": low, "high": high, "edge": 0.3, "shift": 0.1, "none": 0.0}
    constants = {name: np.array(value, np.float32) for name, value in values.items()}
    model = probed(
        onnx_file(tmp_path / "m.onnx", nodes, constants | {"scales": np.array([1, 1, 2, 2], np.float32)}, DYNAMIC)
    )
    assert (model.value_range, model.output_range, model.scale) == ((low, high), (low, high), 2)
    lr = np.full((8, 8, 3), 0.3, np.float32)
    expected = 0.3 + (0.1 / 255 if high == 255.0 else 0.0)
    np.testing.assert_allclose(
        Upscaler(model, threads=1).upscale_array(lr), np.full((16, 16, 3), expected), rtol=0, atol=1e-5
    )


@pytest.mark.parametrize(("taken", "given"), [(255.0, 1.0), (1.0, 255.0)])
def test_onnx_whose_result_has_another_range_than_its_input(tmp_path: Path, taken: float, given: float) -> None:
    nodes = [
        helper.make_node("Mul", ["in", "factor"], ["scaled"]),
        helper.make_node("Resize", ["scaled", "", "scales"], ["out"], mode="nearest"),
    ]
    constants = {"factor": np.array(given / taken, np.float32), "scales": np.array([1, 1, 2, 2], np.float32)}
    model = probed(onnx_file(tmp_path / "m.onnx", nodes, constants, DYNAMIC))
    assert (model.value_range, model.output_range) == ((0.0, taken), (0.0, given))
    assert f"values 0 to {taken:g} (0 to {given:g} in the result)" in model.notes[0]
    lr = pixels(9, 8)
    sr = Upscaler(model, threads=1).upscale_array(lr)
    np.testing.assert_allclose(sr, lr.repeat(2, axis=0).repeat(2, axis=1), rtol=0, atol=1e-6)


def test_onnx_of_bytes_channels_last(tmp_path: Path) -> None:
    """As TensorFlow's exports are: uint8, height, width, colors."""
    nodes = [
        helper.make_node("Cast", ["in"], ["f"], to=TensorProto.FLOAT),
        helper.make_node("Resize", ["f", "", "scales"], ["r"], mode="nearest"),
        helper.make_node("Cast", ["r"], ["out"], to=TensorProto.UINT8),
    ]
    path = onnx_file(
        tmp_path / "m.onnx", nodes, {"scales": np.array([1, 3, 3, 1], np.float32)}, [1, "h", "w", 3], TensorProto.UINT8
    )
    model = probed(path)
    assert (model.scale, model.value_range, model.in_channels) == (3, (0.0, 255.0), 3)
    lr = (np.arange(8 * 8 * 3).reshape(8, 8, 3) / 255).astype(np.float32)
    np.testing.assert_allclose(
        Upscaler(model, threads=1).upscale_array(lr), lr.repeat(3, 0).repeat(3, 1), rtol=0, atol=1e-6
    )


@pytest.mark.slow
def test_onnx_of_one_size_runs_in_windows(tmp_path: Path) -> None:
    graph = compact(2, depth=2, strength=0.01)
    model = onnx.load_from_string(onnx_bytes(graph))
    for dim, size in zip(model.graph.input[0].type.tensor_type.shape.dim, (1, 3, 24, 32), strict=True):
        dim.dim_value = size
    for dim in model.graph.output[0].type.tensor_type.shape.dim:
        dim.Clear()
    found = probed(saved(tmp_path / "m.onnx", model.SerializeToString()))
    assert found.fixed == (24, 32) and "accepts only 32 x 24 px, so it runs in windows of that size" in found.notes[0]
    assert found.receptive_field == graph.receptive_field
    for lr in (pixels(56, 71), pixels(10, 9), pixels(24, 32), pixels(1, 1)):
        sr = Upscaler(found, threads=1).upscale_array(lr)
        assert sr.shape == (lr.shape[0] * 2, lr.shape[1] * 2, 3)
        if min(lr.shape[:2]) >= 24:  # smaller ones are padded, which shows at the border
            np.testing.assert_allclose(
                sr, Upscaler(graph, engine="torch", threads=1).upscale_array(lr), rtol=0, atol=2e-6
            )


@pytest.mark.slow
def test_hostile_and_damaged_onnx_files_are_one_error_each(tmp_path: Path) -> None:
    good = onnx_bytes(compact(2))
    external = onnx.load_from_string(good)
    tensor = external.graph.initializer[0]
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="/etc/passwd")
    custom = onnx.load_from_string(good)
    custom.graph.node[0].domain = "evil.corp"
    custom.opset_import.add(domain="evil.corp", version=1)
    two = onnx.load_from_string(good)
    two.graph.input.append(helper.make_tensor_value_info("second", TensorProto.FLOAT, [1]))
    unknown = onnx.load_from_string(good)
    unknown.graph.node[0].op_type = "NoSuchOperator"
    cases = [
        (good[: len(good) // 2], "it is truncated or not ONNX"),
        (external.SerializeToString(), r"tensor '.*' is in an external file, which upres does not open"),
        (custom.SerializeToString(), r"'Conv' is a custom operator \('evil.corp'\)"),
        (two.SerializeToString(), "expected one input and one output, got 2 and 1"),
        (unknown.SerializeToString(), "onnxruntime .* rejects it"),
        (b"\x08\x08\x12\x07pytorch" + bytes(40), "(it is truncated or not ONNX|.*has no network)"),
    ]
    for number, (data, words) in enumerate(cases):
        with pytest.raises(ModelError, match=rf"model file .*m{number}.onnx: {words}"):
            load_model(str(saved(tmp_path / f"m{number}.onnx", data)))
    with pytest.raises(ModelError, match="its format is unknown"):
        load_model(str(saved(tmp_path / "t.onnx", b"this is a text that was renamed, no more")))
    pool = helper.make_node("MaxPool", ["in"], ["out"], kernel_shape=[2, 2], strides=[2, 2])
    shrinks = onnx_file(tmp_path / "s.onnx", [pool], {}, DYNAMIC)
    with pytest.raises(ModelError, match="turns 128 x 64 pixels into 64 x 32; expected an integer scale from 1 to 16"):
        load_model(str(shrinks))


@pytest.mark.slow
def test_a_file_that_is_changed_after_the_probe_is_refused(tmp_path: Path) -> None:
    path = saved(tmp_path / "m.onnx", onnx_bytes(compact(2)))
    model = probed(path)
    saved(path, onnx_bytes(compact(2, seed=9)))
    with pytest.raises(ModelError, match="it changed while it was being read"):
        engines.load(model)
