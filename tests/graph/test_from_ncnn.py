"""ncnn files whose layers all have a node become a graph, which computes what ncnn itself does."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tests.models.test_load import by_ncnn, pixels
from tests.tiny import compact
from upres.engines.ncnn.runner import program as ncnn_program
from upres.graph.graph import Graph
from upres.models.load import load_network
from upres.upscaling.upscaler import Upscaler


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
