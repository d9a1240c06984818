"""Maps of what pictures do not vouch for: where they go, what they show, and what has none."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.batch.test_run import Watching, made_jobs
from tests.tiny import FakeRunner, compact
from upres.batch.invented_maps import check_files, check_maps, map_file, map_note, why_none
from upres.batch.job import Encoding
from upres.batch.paths import InputFile
from upres.batch.request import Request
from upres.batch.run import run_jobs
from upres.errors import UsageError
from upres.images.io import quantize, read_picture
from upres.upscaling.invented import draw_map
from upres.upscaling.options import UpscaleOptions
from upres.upscaling.output_size import OutputSize
from upres.upscaling.upscaler import Upscaler


@pytest.fixture
def upscaler() -> Upscaler:
    return Upscaler(compact(), runner=FakeRunner())


def test_each_result_has_the_map_of_its_own_levels(tmp_path: Path, upscaler: Upscaler) -> None:
    jobs = made_jobs(tmp_path, 3, upscaler)
    report = run_jobs(jobs, Encoding(invented=str(tmp_path / "maps")), Watching())

    assert len(report.done) == 3
    for job, outcome in zip(jobs, report.done, strict=True):
        assert job.target is not None
        made = quantize(read_picture(job.target).pixels, 8)
        found = read_picture(tmp_path / "maps" / f"{job.target.stem}_invented.png")
        expected = draw_map(made, (job.header.height, job.header.width))
        np.testing.assert_array_equal(quantize(found.pixels, 8), expected)
        assert "says where to doubt" in outcome.notes[-1]


def test_the_map_comes_first_so_that_a_killed_run_makes_it_again(tmp_path: Path, upscaler: Upscaler) -> None:
    """A result says that nothing is left to do; without its map that would be untrue."""
    (job,) = made_jobs(tmp_path, 1, upscaler)
    (tmp_path / "maps").write_bytes(b"a file where the folder should be")
    report = run_jobs([job], Encoding(invented=str(tmp_path / "maps")), Watching())

    assert len(report.failed) == 1 and "maps" in str(report.failed[0].error)
    assert job.target is not None and not job.target.exists()


def test_what_has_no_map_is_made_and_says_why(tmp_path: Path, upscaler: Upscaler) -> None:
    (job,) = made_jobs(tmp_path, 1, upscaler)
    height, width = job.header.height, job.header.width
    assert why_none(job) is None
    assert why_none(replace(job, frames=2)) == "no map of an animation"
    smaller, same = replace(job.plan, height=height - 1), replace(job.plan, height=height, width=width)
    assert why_none(replace(job, plan=smaller)) == "no map, for it is not enlarged"
    assert why_none(replace(job, plan=same)) == "no map, for it keeps its size"
    large = replace(job.plan, by_rows=True)
    assert "too large for the memory" in (why_none(replace(job, plan=large)) or "")

    kept = replace(job, size=OutputSize(1.0), plan=upscaler.plan(height, width, size=OutputSize(1.0)))
    report = run_jobs([kept], Encoding(invented=str(tmp_path / "maps")), Watching())
    assert report.done[0].notes[-1] == "no map, for it keeps its size"
    assert not (tmp_path / "maps").exists()


def test_a_map_needs_memory_beside_the_picture(tmp_path: Path) -> None:
    options = UpscaleOptions(memory_bytes=200_000)
    (job,) = made_jobs(tmp_path, 1, Upscaler(compact(), options, runner=FakeRunner()))
    assert why_none(job) is None
    assert "too large" in (why_none(replace(job, plan=replace(job.plan, array_bytes=199_000))) or "")


def test_maps_keep_the_tree_of_the_inputs(tmp_path: Path, upscaler: Upscaler) -> None:
    (job,) = made_jobs(tmp_path, 1, upscaler)
    deep = replace(job, found=InputFile(job.found.path, Path("a/b")))
    assert map_file("maps", deep) == Path("maps/a/b/p00_invented.png")
    assert map_file("maps", replace(job, target=None)) == Path("maps/stdin_invented.png")
    assert map_file("one.PNG", deep) == Path("one.PNG")


def test_two_results_of_one_name_are_refused(tmp_path: Path, upscaler: Upscaler) -> None:
    first, second = made_jobs(tmp_path, 2, upscaler)
    second = replace(second, target=tmp_path / "elsewhere" / "P00.png")
    with pytest.raises(UsageError, match=r"p01\.png and .*p00\.png have the same map, maps/P00_invented\.png"):
        check_files("maps", [first, second], overwrite=False)
    check_files("maps", [first, replace(second, frames=2)], overwrite=False)  # only one of them has a map


def test_a_map_replaces_no_result_and_no_file_unasked(tmp_path: Path, upscaler: Upscaler) -> None:
    (job,) = made_jobs(tmp_path, 1, upscaler)
    with pytest.raises(UsageError, match="is the result itself"):
        check_files(str(job.target), [job], overwrite=True)
    (tmp_path / "mine.png").write_bytes(b"mine")
    with pytest.raises(UsageError, match=r"mine\.png exists; `overwrite=True` replaces the map"):
        check_files(str(tmp_path / "mine.png"), [job], overwrite=False)
    check_files(str(tmp_path / "mine.png"), [job], overwrite=True)


@pytest.mark.parametrize(
    ("place", "changes", "words"),
    [
        ("m.png", {"size": OutputSize(1.0)}, "needs an enlargement"),
        ("m.png", {"size": OutputSize(0.5)}, "needs an enlargement"),
        ("m.png", {"options": UpscaleOptions(blend=0.0)}, "nothing to show of a cubic resize"),
        ("m.png", {"inputs": ("a.png", "b.png")}, r"one file for the maps of several pictures; .*`invented=m/`"),
        ("m.png", {"inputs": ("in",)}, "one file for the maps of several pictures"),
        ("m.png", {"out": "made/"}, "results go to a folder; name a folder for maps too"),
        ("m.png", {"inputs": ("m.png",)}, "is the picture or its result"),
        ("m.png", {"out": "m.png"}, "is the picture or its result"),
        ("m.jpg", {}, r"must end in \.png, or be a folder \(m\.jpg/\)"),
        ("maps/", {"inputs": ("book.cbz",)}, "have no files of their own for maps"),
        ("maps/", {"inputs": ("a.png",), "out": "s3://bucket/made/"}, "written on this machine only"),
        ("in/maps", {"inputs": ("in",)}, "lies in in, where maps would be taken for pictures"),
        ("made", {"inputs": ("in",), "out": "made"}, "lies in made"),
    ],
)
def test_what_has_no_meaning_is_refused(
    place: str, changes: dict[str, object], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    with pytest.raises(UsageError, match=words):
        check_maps(place, replace(Request(inputs=("photo.png",)), **changes))


@pytest.mark.parametrize(
    ("place", "changes"),
    [
        ("m.png", {}),
        ("m.png", {"out": "-"}),
        ("m.png", {"inputs": ("-",), "out": "made.png"}),
        ("maps", {"inputs": ("in", "a.png"), "out": "made"}),
        ("maps.v2/", {"size": OutputSize(width=50)}),
    ],
)
def test_what_has_a_meaning_is_taken(
    place: str, changes: dict[str, object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    check_maps(place, replace(Request(inputs=("photo.png",)), **changes))


def test_how_far_a_map_can_be_trusted_is_said(tmp_path: Path, upscaler: Upscaler) -> None:
    (job,) = made_jobs(tmp_path, 1, upscaler)
    known = map_note(replace(job, record={"model": "photo-x4"}))
    assert "rank correlation with the true error is 0." in known and "by bsrgan" in known
    assert map_note(replace(job, record={"model": "mine"})).endswith("was not measured for mine")
