"""Which model each picture of a request gets where none is named; what the job remembers and the results record."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.inspection.made import as_picture, jpeg, texture
from tests.tiny import FakeRunner
from upres.batch import upscalers as module
from upres.batch.model_choice import ModelChooser
from upres.batch.plan import Prepared, prepare
from upres.batch.request import Request
from upres.errors import InputError
from upres.images.io import read_header, write_picture
from upres.inspection import inspect
from upres.upscaling.output_size import OutputSize
from upres.upscaling.upscaler import Upscaler


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the same scene clean and as a JPEG of low quality."""
    monkeypatch.setattr(
        module, "Upscaler", lambda networks, _: Upscaler(networks, runner=FakeRunner(networks[0].scale))
    )
    inputs = tmp_path / "in"
    inputs.mkdir()
    scene = np.repeat(texture(128)[:, :, None], 3, axis=2)
    write_picture(as_picture(scene), inputs / "clean.png")
    (inputs / "web.jpg").write_bytes(jpeg(scene, 40))
    return inputs


def models_of(prepared: Prepared) -> dict[str, str]:
    return {Path(job.found.name).name: job.record["model"] for job in prepared.jobs}


def planned(folder: Path, **fields: Any) -> Prepared:
    return prepare(Request((str(folder),), out=str(folder.parent / "out"), **fields), lambda: b"")


def test_a_folder_is_decided_picture_by_picture_and_each_result_names_its_model(folder: Path) -> None:
    prepared = planned(folder)
    assert models_of(prepared) == {"clean.png": "compact-x4", "web.jpg": "photo-x4"}
    reasons = {Path(job.found.name).name: job.choice and job.choice.reason for job in prepared.jobs}
    assert reasons == {"clean.png": "gray and clean", "web.jpg": "JPEG quality 40"}


@pytest.mark.parametrize("factor", [1.0, 2.0])
def test_a_smaller_factor_takes_the_smaller_network_where_the_role_has_one(folder: Path, factor: float) -> None:
    prepared = planned(folder, size=OutputSize(factor=factor))
    assert models_of(prepared) == {"clean.png": "compact-x2", "web.jpg": "photo-x4"}
    assert all(len(job.plan.passes) == 1 for job in prepared.jobs)


def test_a_model_that_is_named_is_used_for_all(folder: Path) -> None:
    prepared = planned(folder, model="compact-x4")
    assert models_of(prepared) == {"clean.png": "compact-x4", "web.jpg": "compact-x4"}
    assert [job.choice for job in prepared.jobs] == [None, None]


def test_pictures_that_are_only_reduced_or_too_large_are_not_looked_at(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inspect, "inspect_picture", lambda _: pytest.fail("a picture was decoded"))
    assert len(planned(folder, size=OutputSize(factor=0.5)).jobs) == 2
    failures = planned(folder, max_pixels=1000).failures
    assert len(failures) == 2 and "`max_pixels` is 1,000" in str(failures[0].error)


def test_a_damaged_picture_fails_alone(folder: Path) -> None:
    whole = (folder / "web.jpg").read_bytes()
    (folder / "half.jpg").write_bytes(whole[: len(whole) // 2])
    prepared = planned(folder)
    assert len(prepared.jobs) == 2
    (failure,) = prepared.failures
    assert failure.name.endswith("half.jpg") and isinstance(failure.error, InputError)


def test_a_picture_keeps_the_model_that_it_had(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inspect, "inspect_picture", lambda _: pytest.fail("a picture was looked at again"))
    name = str(folder / "clean.png")
    chooser, header = ModelChooser(Request(()), {name: "photo-x4"}), read_header(folder / "clean.png")
    assert chooser.choose(name, folder / "clean.png", header).name == "photo-x4"  # of the job of an earlier version
    choice = chooser.choose(name, folder / "clean.png", header, "compact-x2")
    assert (choice.name, choice.reason) == ("compact-x2", "as when the job began")


def test_a_model_that_is_not_known_any_more_is_chosen_anew(folder: Path) -> None:
    source = folder / "web.jpg"
    chooser = ModelChooser(Request(()), {str(source): "gone-x4"})
    assert chooser.choose(str(source), source, read_header(source), "gone-x3").name == "photo-x4"
