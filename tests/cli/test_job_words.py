"""The lines of `upres upscale` before and after its jobs. The rest of them: `test_upscale.py`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.inspection.made import as_picture, jpeg, texture
from tests.tiny import FakeRunner, compact_file
from upres.batch import plan, upscalers
from upres.batch.request import Request
from upres.cli.job_words import tell_choices
from upres.images.io import write_picture
from upres.upscaling.upscaler import Upscaler


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(
        upscalers, "Upscaler", lambda networks, _: Upscaler(networks, runner=FakeRunner(networks[0].scale))
    )
    monkeypatch.chdir(tmp_path)
    scene = np.repeat(texture(128)[:, :, None], 3, axis=2)
    write_picture(as_picture(scene), tmp_path / "clean.png")
    for name in ("a.jpg", "b.jpg"):
        (tmp_path / name).write_bytes(jpeg(scene, 40))
    return tmp_path


def told(capsys: pytest.CaptureFixture[str], *inputs: str, model: str | None = None) -> list[str]:
    tell_choices(plan.prepare(Request(inputs, model=model), lambda: b"").jobs)
    return capsys.readouterr().err.splitlines()


@pytest.mark.usefixtures("folder")
def test_one_picture_gets_one_line_with_reason_model_and_another(capsys: pytest.CaptureFixture[str]) -> None:
    assert told(capsys, "a.jpg") == ["JPEG quality 40: photo-x4 (another: -n compact-x4)"]


@pytest.mark.usefixtures("folder")
def test_many_pictures_get_a_line_for_each_model(capsys: pytest.CaptureFixture[str]) -> None:
    assert told(capsys, "a.jpg", "b.jpg", "clean.png") == [
        "2 of 3 pictures (a.jpg: JPEG quality 40): photo-x4 (another: -n compact-x4)",
        "1 of 3 pictures (clean.png: gray and clean): compact-x4 (another: -n photo-x4)",
    ]


def test_nothing_is_told_of_a_model_that_was_named(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert told(capsys, "a.jpg", model=str(compact_file(folder / "tiny.safetensors", 2))) == []
