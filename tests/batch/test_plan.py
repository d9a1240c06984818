"""From a request to jobs: which engine is asked for, and for how much work. What a user sees of it:
`tests/cli/test_upscale.py`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.tiny import FakeRunner, compact_file, picture
from upres.batch import upscalers as module
from upres.batch.plan import prepare
from upres.batch.request import Request
from upres.engines.options import EngineOptions
from upres.images.io import write_picture
from upres.upscaling import upscaler
from upres.upscaling.options import UpscaleOptions
from upres.upscaling.output_size import OutputSize


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[EngineOptions]:
    """The engine options of every upscaler that was made."""
    seen: list[EngineOptions] = []

    def make(networks: Any, options: UpscaleOptions) -> upscaler.Upscaler:
        seen.append(options.engine_options)
        return upscaler.Upscaler(networks, runner=FakeRunner(networks[0].scale))

    monkeypatch.setattr(module, "Upscaler", make)
    return seen


def pictures(folder: Path, *sides: int) -> tuple[str, ...]:
    paths = [folder / f"{index}.png" for index in range(len(sides))]
    for path, side in zip(paths, sides, strict=True):
        write_picture(picture(np.zeros((side, 10, 3), np.float32)), path)
    return tuple(map(str, paths))


def never() -> bytes:
    raise AssertionError("standard input was read")


def test_an_engine_is_chosen_for_all_pictures_together(tmp_path: Path, made: list[EngineOptions]) -> None:
    inputs = pictures(tmp_path, 10, 20, 60)
    model = str(compact_file(tmp_path / "tiny.safetensors", 2))
    request = Request(
        inputs, model=model, options=UpscaleOptions().replace(engine="onnx", device="cpu", precision="fp16", threads=3)
    )
    prepared = prepare(request, never)
    (options,) = made
    assert len(prepared.jobs) == 3
    assert (options.expected_px, options.picture_px) == (900, 200)
    assert (options.engine, options.device, options.precision, options.threads) == ("onnx", "cpu", "fp16", 3)


def test_eight_turns_are_eight_times_the_work(tmp_path: Path, made: list[EngineOptions]) -> None:
    request = Request(
        pictures(tmp_path, 10),
        model=str(compact_file(tmp_path / "tiny.safetensors", 2)),
        options=UpscaleOptions(tta=True),
    )
    prepare(request, never)
    assert (made[0].expected_px, made[0].picture_px) == (800, 100)


def test_results_that_are_there_count_for_nothing_and_where_all_are_no_engine_is_opened(
    tmp_path: Path, made: list[EngineOptions]
) -> None:
    inputs = pictures(tmp_path, 10, 20)
    request = Request(inputs, model=str(compact_file(tmp_path / "tiny.safetensors", 2)))
    (tmp_path / "1_x2.png").write_bytes(b"a result")
    assert len(prepare(request, never).jobs) == 1
    assert made[0].expected_px == 100
    (tmp_path / "0_x2.png").write_bytes(b"a result")
    assert prepare(request, never).jobs == []
    assert len(made) == 1


def test_each_model_has_its_own_work(tmp_path: Path, made: list[EngineOptions]) -> None:
    """Without -n the bundled model follows from the factor, which differs where a width is asked for."""
    inputs = pictures(tmp_path, 10)
    wide = tmp_path / "wide.png"
    write_picture(picture(np.zeros((10, 30, 3), np.float32)), wide)
    prepare(Request((*inputs, str(wide)), size=OutputSize(width=40)), never)
    assert sorted(options.expected_px or 0 for options in made) == [100, 300]


def test_notes_of_the_engine_reach_every_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runner = FakeRunner()
    runner.notes = ("fp16 is not used",)
    monkeypatch.setattr(module, "Upscaler", lambda networks, _: upscaler.Upscaler(networks, runner=runner))
    prepared = prepare(
        Request(pictures(tmp_path, 10, 20), model=str(compact_file(tmp_path / "tiny.safetensors", 2))), never
    )
    assert all("fp16 is not used" in job.notes for job in prepared.jobs)


def test_half_precision_that_was_asked_for_is_a_setting_of_the_job() -> None:
    assert Request(("a.png",)).settings() == {}
    plain = UpscaleOptions()
    assert Request(("a.png",), options=plain.replace(precision="fp32", engine="onnx", device="cpu")).settings() == {}
    assert Request(("a.png",), options=plain.replace(precision="fp16")).settings() == {"precision": "fp16"}


def test_pictures_that_are_not_read_are_named_and_others_are_read_by_content(
    tmp_path: Path, made: list[EngineOptions]
) -> None:
    pictures(tmp_path, 10)
    (tmp_path / "0.png").rename(tmp_path / "0.jpe")
    (tmp_path / "1.HEIC").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")
    (tmp_path / "2.bmp").write_bytes(b"BM" + bytes(100))
    (tmp_path / "3.dcm").write_bytes(bytes(128) + b"DICM" + bytes(100))
    (tmp_path / "notes.txt").touch()
    model = str(compact_file(tmp_path / "m.safetensors", 2))
    prepared = prepare(Request((str(tmp_path),), out=str(tmp_path / "out"), model=model), never)
    assert len(prepared.jobs) == 1
    told = [str(failure.error) for failure in prepared.failures]
    assert len(told) == 3
    for words, kind in zip(told, ("an HEIC picture", "a BMP picture", "a DICOM file"), strict=True):
        assert kind in words
    assert prepared.left_out["file that is not a picture"] == 2
