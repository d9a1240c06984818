"""Small jobs begin without a look at the machine, and only those."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.graph.test_segments import rrdb
from tests.tiny import compact
from upres.engines.autotune import worth
from upres.engines.autotune.worth import WORTH_MACS, choices_file, is_settled, likely
from upres.engines.options import EngineOptions


def installed(engine: str) -> list[str]:
    return []


def missing(engine: str) -> list[str]:
    return ["onnxruntime"]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("UPRES_CACHE", str(tmp_path))
    return tmp_path


def test_nothing_measured_and_nothing_worth_measuring() -> None:
    graph = compact(2)
    small_px = int(WORTH_MACS / graph.macs_per_pixel) - 1
    assert is_settled(graph, EngineOptions())
    assert is_settled(graph, EngineOptions(expected_px=small_px, device="cpu"))
    assert not is_settled(graph, EngineOptions(expected_px=small_px + 2))
    assert not is_settled(graph, EngineOptions(device="cuda"))


def test_what_was_measured_is_looked_up() -> None:
    choices_file().write_text("{}")
    assert not is_settled(compact(2), EngineOptions())


def test_a_narrow_network_with_much_to_do_goes_to_onnx_on_x86(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = compact(2, width=32)
    much = EngineOptions(expected_px=int(20e9 / graph.macs_per_pixel))
    monkeypatch.setattr(worth.platform, "machine", lambda: "AMD64")
    monkeypatch.setattr(worth, "missing_modules", installed)
    assert likely(graph, much) == "onnx"
    assert likely(graph, much.replace(device="cpu")) == "onnx"
    others = [much.replace(exact=True), much.replace(expected_px=1000), EngineOptions(), much.replace(precision="fp16")]
    assert {likely(graph, options) for options in others} == {"ncnn"}
    assert likely(compact(2, width=64), much) == "ncnn"
    monkeypatch.setattr(worth.platform, "machine", lambda: "arm64")
    assert likely(graph, much) == "ncnn"
    monkeypatch.setattr(worth.platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(worth, "missing_modules", missing)
    assert likely(graph, much) == "ncnn"


def test_dense_blocks_go_to_onnx_while_a_picture_needs_no_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = rrdb(2, width=64, growth=32)
    monkeypatch.setattr(worth.platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(worth, "missing_modules", installed)

    def chosen(macs: float) -> str:
        return likely(graph, EngineOptions(expected_px=int(macs / graph.macs_per_pixel)))

    assert [chosen(macs) for macs in (20e9, 0.99e11, 1.01e11, 0.99 * WORTH_MACS, 1.01 * WORTH_MACS)] == [
        *("ncnn", "ncnn", "onnx", "onnx", "ncnn")
    ]
