from __future__ import annotations

from typing import Any

import pytest

from tests.batch.collected import Folder
from tests.tiny import FakeRunner
from upres.batch import upscalers
from upres.engines.options import EngineOptions
from upres.upscaling.options import UpscaleOptions
from upres.upscaling.upscaler import Upscaler


@pytest.fixture
def opened(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> list[EngineOptions]:
    """What upscalers are opened with, after a first run on ncnn."""
    seen: list[EngineOptions] = []

    def make(networks: Any, options: UpscaleOptions) -> Upscaler:
        seen.append(options.engine_options)
        return Upscaler(networks, runner=folder.runner)

    monkeypatch.setattr(upscalers, "Upscaler", make)
    folder.runner.name = "ncnn 1.0"
    folder.run()
    folder.add("new.png", seed=5)
    seen.clear()
    return seen


def test_the_engine_of_the_job_stays(folder: Folder, opened: list[EngineOptions]) -> None:
    assert folder.rows("SELECT engine, device, precision FROM models") == [("ncnn 1.0", "cpu", "fp32")]
    collection, _ = folder.run()
    (options,) = opened
    assert (options.engine, options.device, options.precision, collection.notes) == ("ncnn", "cpu", "fp32", [])


def test_another_engine_on_request_is_told(folder: Folder, opened: list[EngineOptions]) -> None:
    collection, _ = folder.run(options=UpscaleOptions().replace(engine="onnx"))
    assert opened[0].engine == "onnx"
    assert collection.notes == [f"{folder.model} ran on ncnn 1.0 until now and runs on onnx from here, as requested"]


def test_an_engine_that_is_gone_is_told(
    folder: Folder, opened: list[EngineOptions], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("upres.engines.registry.missing_modules", lambda engine: ["ncnn"] if engine == "ncnn" else [])
    collection, summary = folder.run()
    assert (opened[0].engine, summary.done) == ("auto", 1)
    assert "which is not here" in collection.notes[0] and "results may differ in rounding" in collection.notes[0]


def test_the_engine_of_a_runner_that_has_no_name_here_is_chosen_again(
    folder: Folder, opened: list[EngineOptions]
) -> None:
    folder.runner = FakeRunner(2)
    folder.run(folder.out.parent / "other")
    assert opened[0].engine == "auto"
