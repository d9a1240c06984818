"""ncnn files whose layers all have a node become a graph, which computes what ncnn itself does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.made_ncnn import tagged, write
from tests.models.test_load import by_ncnn, pixels
from tests.tiny import compact
from upres.engines.ncnn.runner import program as ncnn_program
from upres.graph.from_ncnn import graph_of
from upres.graph.graph import Graph
from upres.models.load import load_model
from upres.upscaling.upscaler import Upscaler
from upres.weights.ncnn_file import read_ncnn


def test_ncnn_graph_of_our_nodes_becomes_a_graph(tmp_path: Path) -> None:
    text, chunks = ncnn_program(compact(3, depth=2))
    (tmp_path / "m.param").write_text(text)
    (tmp_path / "m.bin").write_bytes(b"".join(chunk.tobytes() for chunk in chunks))
    for name in ("m.param", "m.bin"):
        graph = load_model(str(tmp_path / name)).networks[0]
        assert isinstance(graph, Graph) and (graph.scale, graph.receptive_field) == (3, 4)


def test_published_ncnn_files_as_ncnn_runs_them(assets: Path) -> None:
    path = assets / "weights" / "RealESRGAN_General_WDN_x4_v3.param"
    graph = load_model(str(path)).networks[0]
    assert isinstance(graph, Graph)
    lr = pixels(21, 30)
    found = Upscaler(graph, threads=1).upscale_array(lr)
    np.testing.assert_allclose(found, by_ncnn(path, lr, "data", "output"), rtol=0, atol=2e-5)


@pytest.mark.parametrize(
    ("kernel", "stride", "padding", "graph"),
    [
        *((3, 1, 1, True), (1, 1, 0, True), (2, 2, 0, True), (3, 2, 1, True), (4, 2, 1, True)),
        *((3, 1, 0, False), (3, 1, 2, False), (3, 2, 0, False)),
    ],
)
def test_a_convolution_that_changes_sizes_by_its_border_has_no_node(
    kernel: int, stride: int, padding: int, graph: bool, tmp_path: Path
) -> None:
    """A graph's values are whole multiples of its input; what cuts a border off is measured and runs as it is."""
    enlarged = f"PixelShuffle p 1 1 x out 0={stride}" if stride > 1 else "ReLU r 1 1 x out"
    weight = np.ones((3 * stride * stride, 3, kernel, kernel))
    conv = f"Convolution c 1 1 in x 0={len(weight)} 1={kernel} 3={stride} 4={padding} 5=0 6={weight.size}"
    path = write(tmp_path, ["Input in 0 1 in", conv, enlarged], tagged(weight))
    assert (graph_of(read_ncnn(path, path.with_suffix(".bin"))) is not None) == graph
