"""What is compared on, how far off is too far, and figures against numpy's own."""

from __future__ import annotations

import math

import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio

from tests.tiny import aligned_graph, compact, far_seeing_graph, gray_graph
from upres.errors import UsageError
from upres.export import compare as report
from upres.export.compare import TOLERANCES, Comparison, compare, pictures
from upres.graph.graph import Graph
from upres.graph.nodes import Conv


def test_figures() -> None:
    rng = np.random.default_rng(0)
    expected = rng.random((1, 3, 8, 12), dtype=np.float32)
    found = (expected + rng.normal(0, 0.01, expected.shape)).astype(np.float32)
    check = compare("engine 1", "the sample", expected, found, 2)
    assert (check.height, check.width) == (4, 6)
    assert check.largest == pytest.approx(np.abs(found.astype(np.float64) - expected).max())
    assert check.psnr_db == pytest.approx(peak_signal_noise_ratio(expected, found, data_range=1.0), abs=1e-4)
    assert compare("e", "p", expected, expected, 2).psnr_db is None
    wide = compare("engine 1", "the sample", expected * 50, found * 50, 2)  # in shares of the range that the result has
    assert wide.largest == pytest.approx(check.largest / expected.max(), rel=1e-4)


@pytest.mark.parametrize(
    ("numbers", "largest", "psnr_db", "fits"),
    [
        ("float32", 1.1e-4, 115.6, True),  # realesr-general-wdn-x4v3 in ONNX Runtime against ncnn, on Set14's "foreman"
        ("float32", 9e-4, 91.0, True),
        ("float32", 2e-3, 120.0, False),
        ("float32", 9e-5, 89.0, False),
        ("float16", 7.9 / 255, 51.0, True),
        ("float16", 8.1 / 255, 70.0, False),
        ("float16", 0.01, 49.0, False),
        ("float32", 0.0, None, True),
        ("float32", math.nan, math.nan, False),
    ],
)
def test_tolerance(numbers: str, largest: float, psnr_db: float | None, fits: bool) -> None:
    assert Comparison("e", "p", 8, 8, largest, largest, psnr_db).is_within(TOLERANCES[numbers]) is fits


@pytest.mark.parametrize("shape", [(1, 1, 3), (3, 2000, 3), (200, 15, 1)])
def test_a_picture_that_shows_too_little_is_refused(shape: tuple[int, int, int]) -> None:
    with pytest.raises(UsageError, match=f"at least 16 x 16 pixels, got {shape[1]} x {shape[0]}"):
        next(pictures(compact(), np.zeros(shape, np.float32)))


def test_pictures_are_a_square_odd_sides_and_gray() -> None:
    found = dict(pictures(compact()))
    assert [lr.shape for lr in found.values()] == [(1, 3, 128, 128), (1, 3, 65, 97), (1, 3, 64, 64)]
    gray = found["the sample, gray"]
    assert np.array_equal(gray[:, 0], gray[:, 1]) and np.array_equal(gray[:, 0], gray[:, 2]) and gray.std() > 0.1
    assert not np.array_equal(found["the sample"][:, 0], found["the sample"][:, 1])
    assert all(lr.dtype == np.float32 and lr.flags.c_contiguous for lr in found.values())
    assert [lr.shape for _, lr in pictures(aligned_graph())] == [(1, 3, 128, 128), (1, 3, 66, 98), (1, 3, 64, 64)]
    assert {lr.shape[1] for _, lr in pictures(gray_graph())} == {1}


def test_a_costly_network_gets_a_smaller_picture() -> None:
    graph = far_seeing_graph()
    assert next(lr.shape[2:] for _, lr in pictures(graph)) == (128, 128)
    wide = Graph.of(
        [Conv("c", "input", np.zeros((4096, 3, 33, 33), np.float32), padding=16)],
        output="c",
        in_channels=3,
        family="wide",
    )
    side = next(pictures(wide))[1].shape[2]
    assert side == math.isqrt(int(3e10 / wide.macs_per_pixel)) < 128


def test_the_users_picture_is_cut_to_its_middle() -> None:
    picture = np.random.default_rng(0).random((300, 200, 3), dtype=np.float32)
    found = dict(pictures(compact(), picture))
    np.testing.assert_array_equal(found["the picture"][0].transpose(1, 2, 0), picture[86:214, 36:164])
    assert [lr.shape[2:] for lr in found.values()] == [(128, 128), (65, 97), (64, 64)]
    for shape in ((19, 17, 3), (19, 17, 1), (16, 16, 3)):
        small = np.random.default_rng(0).random(shape, dtype=np.float32)
        for graph in (compact(), gray_graph(), aligned_graph()):
            for _, lr in pictures(graph, small):
                assert lr.shape[1] == graph.in_channels and lr.shape[2] % graph.alignment == 0 and lr.shape[2] <= 20


def test_versions_are_those_that_are_installed() -> None:
    import onnx

    assert report.versions()["onnx"] == onnx.__version__
