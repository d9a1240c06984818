"""What a run finds: new, changed, moved and removed pictures, results that are there, and what it refuses."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from tests.batch.collected import Folder
from tests.tiny import compact_file
from upres.batch import record, resume
from upres.batch.job import Encoding
from upres.batch.journal import NAME
from upres.errors import InputError, UsageError
from upres.images.io import write_picture
from upres.upscaling.options import UpscaleOptions


def test_what_is_done_is_not_done_again(folder: Folder) -> None:
    _, first = folder.run()
    calls = len(folder.runner.calls)
    collection, second = folder.run()
    assert (first.done, second.done, collection.kept.existing.count) == (3, 0, 3)
    assert len(folder.runner.calls) == calls
    assert folder.rows("SELECT DISTINCT state FROM pictures") == [(2,)]


def test_added_changed_moved_and_removed_pictures_give_the_tree_of_an_undisturbed_run(folder: Folder) -> None:
    folder.add("deep/3.png", seed=3)
    folder.run()
    folder.add("4.png", seed=4)
    shutil.copy(folder.add("spare.png", seed=9), folder.inputs / "0.png")  # another picture of the same name
    (folder.inputs / "1.png").rename(folder.inputs / "deep" / "moved.png")
    shutil.copy(folder.inputs / "2.png", folder.inputs / "deep" / "copy.png")
    os.utime(folder.inputs / "deep" / "3.png", ns=(5, 5))  # touched, and as it was
    calls = len(folder.runner.calls)
    collection, summary = folder.run()
    assert (summary.done, summary.failed, collection.reused) == (3, 0, 2)  # two new ones of one content came together
    assert folder.results() == folder.undisturbed()
    assert len(folder.runner.calls) - calls == 3 + len(folder.results())  # of which the undisturbed run made all


def test_a_result_that_was_removed_is_made_again(folder: Folder) -> None:
    folder.run()
    before = folder.results()
    (folder.out / "1.png").unlink()
    _, summary = folder.run()
    assert summary.done == 1 and folder.results() == before


def test_a_result_that_someone_changed_is_kept_and_not_taken_over(folder: Folder) -> None:
    folder.run()
    (folder.out / "1.png").write_bytes(b"mine")
    shutil.copy(folder.inputs / "1.png", folder.inputs / "copy.png")
    _, summary = folder.run()
    assert summary.done == 1
    assert folder.results()["1.png"] == b"mine" and len(folder.results()["copy.png"]) > 100


def test_the_result_of_a_picture_that_is_gone_stays(folder: Folder) -> None:
    folder.run()
    (folder.inputs / "1.png").unlink()
    _, summary = folder.run()
    assert (summary.done, summary.left, len(folder.results())) == (0, 0, 3)


def test_results_without_a_journal_are_known_by_their_own_records(folder: Folder) -> None:
    """A damaged journal is kept aside; nothing is made again."""
    folder.run()
    before = folder.results()
    (folder.out / NAME).write_bytes(b"no journal" * 1000)
    (folder.out / "2.png").unlink()
    calls = len(folder.runner.calls)
    collection, summary = folder.run()
    assert (
        "is damaged" in collection.notes[0] and "a new one is made from the results' own records" in collection.notes[0]
    )
    assert (folder.out / f"{NAME}.damaged").read_bytes() == b"no journal" * 1000
    assert (summary.done, collection.kept.existing.count, len(folder.runner.calls) - calls) == (1, 2, 1)
    assert folder.results() == before
    assert folder.rows("SELECT count(result), count(content) FROM pictures") == [(3, 3)]


def test_a_job_of_an_earlier_version_is_taken_over(folder: Folder) -> None:
    folder.run()
    (folder.out / NAME).unlink()
    (folder.out / "2.png").unlink()
    settings = {"model": folder.model}
    (folder.out / resume.NAME).write_text(json.dumps({"format": 2, "settings": settings}))
    with pytest.raises(UsageError, match="of an unfinished job with other settings"):
        folder.open(options=UpscaleOptions(tta=True))
    assert (folder.out / resume.NAME).exists()
    collection, summary = folder.run()
    assert (summary.done, collection.kept.existing.count) == (1, 2)
    assert not (folder.out / resume.NAME).exists()


def test_other_settings_are_refused_while_results_are_there(folder: Folder) -> None:
    (folder.inputs / "bad.png").write_bytes(b"no picture")
    folder.run()
    for changed in ({"options": UpscaleOptions(blend=0.5)}, {"encoding": Encoding(png_level=9)}):
        with pytest.raises(UsageError, match="of an unfinished job with other settings"):
            folder.open(**changed)
    collection, _ = folder.run()  # a refusal changes nothing
    assert collection.kept.existing.count == 3
    assert folder.rows("SELECT count(*) FROM jobs") == [(1,)]
    _, summary = folder.run(options=UpscaleOptions(blend=0.5), overwrite=True)
    assert summary.done == 3
    collection, summary = folder.run(options=UpscaleOptions(blend=0.5))
    assert (summary.done, collection.kept.existing.count) == (0, 3)


def test_a_finished_folder_is_not_mixed_with_other_settings(folder: Folder) -> None:
    folder.run()
    with pytest.raises(UsageError, match=r"contains 3 results made without `blend`; `blend=0\.5` was not used"):
        folder.open(options=UpscaleOptions(blend=0.5))


def test_another_file_of_the_same_name_is_another_model(folder: Folder) -> None:
    folder.run()
    folder.add("new.png", seed=7)
    compact_file(Path(folder.model), 2, seed=5)
    with pytest.raises(UsageError, match="is another file than when the job in"):
        folder.run()


def test_the_second_of_two_results_of_one_name_fails(folder: Folder) -> None:
    write_picture_as_jpeg(folder, "0.jpg")
    _, summary = folder.run()
    (failure,) = summary.failures
    assert (summary.done, failure.name) == (3, str(folder.inputs / "0.png"))
    assert "0.jpg have the same output" in str(failure.error)
    (folder.inputs / "0.jpg").unlink()
    _, summary = folder.run()
    assert (summary.done, summary.failed) == (1, 0)
    assert folder.results() == folder.undisturbed()


def write_picture_as_jpeg(folder: Folder, name: str) -> None:
    from tests.tiny import noise, picture

    write_picture(picture(noise(6, 8)), folder.inputs / name)


def test_results_beside_their_pictures_are_no_inputs(folder: Folder) -> None:
    for path in folder.inputs.iterdir():
        path.unlink()
    write_picture_as_jpeg(folder, "a.jpg")
    folder.run(folder.inputs)
    collection, summary = folder.run(folder.inputs)
    assert (summary.done, collection.kept.existing.count) == (0, 1)
    assert collection.left_out == {"earlier result beside its picture (name it alone to upscale it)": 1}
    folder.add("b.png")
    with pytest.raises(UsageError, match=r"b\.png would overwrite the input"):
        folder.open(folder.inputs)


def test_what_failed_is_tried_again_when_it_or_its_limits_changed_or_on_request(folder: Folder) -> None:
    bad = folder.inputs / "bad.png"
    bad.write_bytes(b"no picture")
    _, first = folder.run()
    _, second = folder.run()
    assert (first.failed, second.failed, second.left) == (1, 1, 0)
    assert folder.rows("SELECT code, limits IS NULL FROM pictures WHERE state = 3") == [(3, 0)]
    _, third = folder.run(retry_failed=True)
    assert third.failed == 1
    _, fourth = folder.run(max_pixels=10**6)
    assert fourth.failed == 1
    shutil.copy(folder.inputs / "0.png", bad)
    _, fifth = folder.run()
    assert (fifth.failed, fifth.done) == (0, 0)
    assert folder.results()["bad.png"] == folder.results()["0.png"]


def test_inputs_without_pictures_leave_no_folder(folder: Folder) -> None:
    for path in folder.inputs.iterdir():
        path.rename(path.with_suffix(".txt"))
    with pytest.raises(InputError, match="contains no pictures; skipped 3 x file that is not a picture"):
        folder.open()
    assert not folder.out.exists()


def test_another_job_is_refused_while_one_runs_here(folder: Folder) -> None:
    collection = folder.open()
    with pytest.raises(UsageError, match="another upres job with other settings is writing to"):
        folder.open(options=UpscaleOptions(tta=True))
    collection.close()
    folder.open().close()
    assert [path.name for path in folder.out.iterdir()] == [NAME]


def test_overwriting_goes_on_where_it_was_ended(folder: Folder) -> None:
    """A run that replaces results, and one after it that does not: every result is of the new kind, none is twice."""
    folder.run()
    collection = folder.open(overwrite=True, options=UpscaleOptions(blend=0.5))
    collection.close()
    _, summary = folder.run(options=UpscaleOptions(blend=0.5))
    assert summary.done == 3
    assert {record.read_record(path)["blend"] for path in folder.out.glob("*.png")} == {"0.5"}  # type: ignore[index]
    assert folder.rows("SELECT count(*) FROM pictures") == [(3,)]
