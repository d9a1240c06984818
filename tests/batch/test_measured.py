"""Measured data among the pictures of a request, from the command's request to the file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.batch.collected import Watching
from tests.science.made import dicom, field
from tests.tiny import compact_file
from upres.batch import measured
from upres.batch.collection import Collection
from upres.batch.collection_run import CollectionRun
from upres.batch.job import Encoding, Outcome, Summary
from upres.batch.paths import Destination, InputFile
from upres.batch.plan import prepare
from upres.batch.request import CollectionOptions, Request
from upres.batch.run import run_jobs
from upres.errors import InputError
from upres.images.io import Picture, write_picture
from upres.upscaling.output_size import OutputSize

rasterio = pytest.importorskip("rasterio")
pytest.importorskip("pydicom")


def never() -> bytes:
    raise AssertionError


def run_folder(request: Request, out: Path) -> tuple[Collection, Summary, Watching]:
    place, watching = Destination("png", folder=out), Watching()
    collection = Collection(request, Encoding(), place, never, CollectionOptions())
    try:
        return collection, CollectionRun(collection).run(watching), watching
    finally:
        collection.close()


def run(request: Request) -> list[Outcome]:
    prepared = prepare(request, never)
    report = run_jobs(prepared.jobs, Encoding(), Watching())
    for upscaler in {id(job.upscaler): job.upscaler for job in prepared.jobs}.values():
        upscaler.close()
    return [*prepared.failures, *report.outcomes]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A picture, a GeoTIFF of three bands and a DICOM file without an ending."""
    inside = tmp_path / "in"
    inside.mkdir()
    write_picture(Picture(np.full((8, 8, 3), 0.5, np.float32)), inside / "p.png")
    values = np.stack([field(16, 20, seed) * 3000 for seed in range(3)]).astype(np.uint16)
    with rasterio.open(
        inside / "map.tif", "w", driver="GTiff", height=16, width=20, count=3, dtype="uint16",
        crs="EPSG:32633", transform=rasterio.Affine(10, 0, 5e5, 0, -10, 4e6),
    ) as file:  # fmt: skip
        file.write(values)
    dicom(inside / "scan.dcm", (field(16, 16) * 1000).astype(np.int16)[None])
    return inside


def test_each_file_of_a_folder_becomes_a_file_of_its_kind(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    request = Request((str(folder),), out=str(out))
    _, summary, watching = run_folder(request, out)
    assert summary.failed == 0 and {outcome.error for outcome in watching.outcomes} == {None}
    assert all(outcome.model for outcome in watching.outcomes)
    assert [path.name for path in sorted(out.iterdir()) if path.name[0] != "."] == ["map.tif", "p.png", "scan.dcm"]
    with rasterio.open(tmp_path / "out" / "map.tif") as result:
        assert (result.count, result.height, result.width) == (3, 64, 80)
        assert result.transform[:6] == (2.5, 0, 5e5, 0, -2.5, 4e6)
    for forgotten in (False, True):  # the same request again keeps them, by the journal and by their own records
        if forgotten:
            for own in out.glob(".upres*"):
                own.unlink()
        again, _, watching = run_folder(request, out)
        assert again.kept.existing.count == 3 and not watching.outcomes and not again.kept.other


def test_models_that_may_invent_are_refused_for_measured_data_alone(folder: Path, tmp_path: Path) -> None:
    model = str(compact_file(tmp_path / "m.safetensors", 2))
    request = Request((str(folder),), out=str(tmp_path / "out"), model=model)
    _, summary, _ = run_folder(request, tmp_path / "out")
    outcomes = {Path(outcome.name).name: outcome.error for outcome in summary.failures}
    assert set(outcomes) == {"map.tif", "scan.dcm"}
    for name in ("map.tif", "scan.dcm"):
        assert isinstance(outcomes[name], InputError)
        assert "is measured data, and" in str(outcomes[name]) and "`allow_generative=True`" in str(outcomes[name])
    allowed = Request((str(folder / "map.tif"),), out=str(tmp_path / "x.tif"), model=model, allow_generative=True)
    assert [outcome.error for outcome in run(allowed)] == [None]
    with rasterio.open(tmp_path / "x.tif") as result:
        assert result.tags(ns="UPRES")["GENERATIVE"].endswith("m.safetensors")


def test_a_format_that_cannot_hold_it_is_refused(folder: Path, tmp_path: Path) -> None:
    (outcome,) = run(Request((str(folder / "scan.dcm"),), out=str(tmp_path / "x.png")))
    assert "is measured data (dicom), which png cannot hold; name a result that ends in .dcm" in str(outcome.error)
    (outcome,) = run(Request((str(folder / "p.png"),), out=str(tmp_path / "x.dcm")))
    assert "format must be one of png" in str(outcome.error)


def test_the_scale_decides_the_model(folder: Path) -> None:
    for factor, name in ((2.0, "compact-x2"), (3.0, "compact-x4"), (None, "compact-x4")):
        prepared = prepare(Request((str(folder / "map.tif"),), size=OutputSize(factor=factor)), never)
        assert prepared.jobs[0].choice is not None and prepared.jobs[0].choice.name == name


def test_nii_gz_is_one_ending() -> None:
    source = InputFile(Path("a/brain.nii.gz"))
    assert measured.target(Destination("png"), source, "_x2", ".nii.gz") == Path("a/brain_x2.nii.gz")
    assert measured.target(Destination("png", folder=Path("o")), source, "_x2", ".nii.gz") == Path("o/brain.nii.gz")
    assert measured.target(Destination("tiff", folder=Path("o")), InputFile(Path("m.TIF")), "_x2", ".TIF") == Path(
        "o/m.TIF"
    )


def test_files_without_an_ending_are_read_by_content(folder: Path, tmp_path: Path) -> None:
    (folder / "scan.dcm").rename(folder / "IM0001")
    (folder / "p.png").rename(folder / "photo")
    (folder / "map.tif").rename(folder / "map.2026")
    (folder / "notes").write_text("no picture")
    out = tmp_path / "out"
    collection, summary, _ = run_folder(Request((str(folder),), out=str(out)), out)
    assert summary.failed == 0 and collection.left_out == {"file that is not a picture": 1}
    assert sorted(path.name for path in out.iterdir() if path.name[0] != ".") == ["IM0001.dcm", "map.tif", "photo.png"]
