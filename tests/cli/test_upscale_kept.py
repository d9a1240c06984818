"""What `upres upscale` does with results that exist: kept, told, or refused where the settings differ."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.cli.test_upscale import names, upscale
from tests.cli.test_upscale_stopped import limited
from tests.tiny import compact_file, noise, picture
from upres.batch.journal import NAME
from upres.images.io import read_header, read_picture, write_picture


@pytest.mark.slow
def test_running_it_again_keeps_the_result_and_overwrite_makes_it_anew(photo: Path, model: Path) -> None:
    upscale(photo, "-n", model)
    made = photo.with_name("photo_x2.png")
    before = made.stat().st_mtime_ns
    again = upscale(photo, "-n", model, "-s", "2", "--tile", "8")  # the same result
    assert made.stat().st_mtime_ns == before
    assert "photo_x2.png exists (--overwrite replaces it)" in again.stderr.decode()
    made.write_bytes(b"mine")
    again = upscale(photo, "-n", model)
    assert made.read_bytes() == b"mine"
    assert "photo_x2.png exists; its settings are unknown (--overwrite replaces it)" in again.stderr.decode()
    upscale(photo, "-n", model, "--overwrite")
    assert read_header(made).width == 60


@pytest.mark.slow
def test_a_job_is_not_continued_with_other_settings(tmp_path: Path, photo: Path, model: Path) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    for index in range(5):
        (folder / f"{index}.png").write_bytes(photo.read_bytes())
    job = (folder, "-n", model, "-s", "32", "-o", out)
    upscale(*job, "--tta", code=5, prepare=limited)
    (out / "0.png").write_bytes(b"a result of that job")
    words = upscale(*job, "--blend", "0.5", code=2).stderr.decode()
    assert f"{out} contains a result of an unfinished job with other settings" in words
    assert "(--blend: not set before, 0.5 now; --tta: set before, not set now)" in words
    assert names(out) == ["0.png"]
    upscale(*job, "--tta", "--tile", "8", "--threads", "1")  # what does not change the picture may differ
    assert names(out) == [f"{index}.png" for index in range(5)]
    assert (out / "0.png").read_bytes() == b"a result of that job"
    upscale(*job, "--blend", "0.5", "--overwrite")
    assert read_header(out / "0.png").width == 960


def test_a_request_for_other_settings_is_reported(tmp_path: Path, photo: Path, model: Path) -> None:
    (tmp_path / "models").mkdir()
    other = compact_file(tmp_path / "models" / "other.safetensors", 2, seed=9)
    upscale(photo, "-n", model)
    made = photo.with_name("photo_x2.png")
    first = made.read_bytes()
    assert str(tmp_path).encode() not in first
    words = upscale(photo, "-n", other, "--tta", code=5).stderr.decode()
    assert f"kept: {made} exists, made with -n tiny-x2.safetensors@" in words
    assert re.search(
        r", without --tta; -n other\.safetensors@\w+ and --tta were not used: add --overwrite, or choose another -o$",
        words,
    )
    assert made.read_bytes() == first
    upscale(photo, "-n", other, "--overwrite")
    assert made.read_bytes() != first
    upscale(photo, "-n", model, "-o", tmp_path / "named.png")
    words = upscale(photo, "-n", model, "-s", "3", "-o", tmp_path / "named.png", code=5).stderr.decode()
    assert "made with a size of 60 x 40; a size of 90 x 60 was not used" in words


@pytest.mark.slow
def test_a_result_of_another_picture_is_told(tmp_path: Path, photo: Path, model: Path) -> None:
    """Of a file named by -o, and in a folder, of which the rest is done."""
    other = photo.with_name("other.png")
    write_picture(picture(noise(30, 20)), other)
    named = tmp_path / "named.png"
    upscale(photo, "-n", model, "-o", named)
    words = upscale(other, "-n", model, "-o", named, code=5).stderr.decode()
    assert f"kept: {named} exists, made from another picture: add --overwrite, or choose another -o" in words
    assert "exists (" in upscale("-", "-n", model, "-o", named, stdin=photo.read_bytes()).stderr.decode()
    out = tmp_path / "out"
    upscale(photo, other, "-n", model, "-o", out)
    photo.write_bytes(other.read_bytes())
    (tmp_path / "new.png").write_bytes(other.read_bytes())
    (out / NAME).unlink()  # without the journal it could be anyone's
    words = upscale(photo, other, tmp_path / "new.png", "-n", model, "-o", out, code=5).stderr.decode()
    assert f"kept: {out / photo.name} exists, made from another picture" in words
    assert names(out) == sorted([photo.name, "other.png", "new.png"])


def test_results_of_other_settings_beside_their_pictures_are_counted_and_the_rest_is_done(
    photo: Path, model: Path
) -> None:
    for name in ("a.png", "b.png"):
        (photo.parent / name).write_bytes(photo.read_bytes())
    upscale(photo, photo.with_name("a.png"), "-n", model)
    words = upscale(photo.parent, "-n", model, "--blend", "0.5", code=5).stderr.decode()
    assert "kept: 2 results exist, made without --blend; --blend 0.5 was not used: add --overwrite" in words
    assert photo.with_name("b_x2.png").exists()


def test_a_folder_of_finished_results_is_not_mixed_with_others(tmp_path: Path, photo: Path, model: Path) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    (folder / "a.png").write_bytes(photo.read_bytes())
    upscale(folder, "-n", model, "-o", out)
    (folder / "b.png").write_bytes(photo.read_bytes())
    words = upscale(folder, "-n", model, "--tta", "-o", out, code=2).stderr.decode()
    assert (
        f"{out} contains {out / 'a.png'} made without --tta; --tta was not used; use the same settings, choose another "
        "folder" in words
    )
    assert names(out) == ["a.png"]
    upscale(folder, "-n", model, "-o", out)
    assert names(out) == ["a.png", "b.png"]


def test_a_folder_job_with_a_failed_picture_remembers_its_settings(tmp_path: Path, photo: Path, model: Path) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    (folder / "a.png").write_bytes(photo.read_bytes())
    (folder / "torn.png").write_bytes(photo.read_bytes()[:-200])
    upscale(folder, "-n", model, "-o", out, code=3)
    (out / "a.png").write_bytes(b"a result that says nothing")
    words = upscale(folder, "-n", model, "--tta", "-o", out, code=2).stderr.decode()
    assert f"{out} contains a result of an unfinished job with other settings (--tta: not set before, set now)" in words
    (folder / "torn.png").write_bytes(photo.read_bytes())
    upscale(folder, "-n", model, "-o", out)
    assert names(out) == ["a.png", "torn.png"]


@pytest.mark.slow
def test_inputs_that_collide_are_both_named(tmp_path: Path, model: Path, photo: Path) -> None:
    write_picture(read_picture(photo), tmp_path / "photo.jpg")
    words = upscale(photo, tmp_path / "photo.jpg", "-n", model, "-o", tmp_path / "out", code=3).stderr.decode()
    assert "photo.jpg and " in words
    assert "photo.png; rename one, or upscale it alone with -o FILE" in words
    assert names(tmp_path / "out") == ["photo.png"]
    words = upscale(photo, "-n", model, "-o", photo, "--overwrite", code=2).stderr.decode()
    assert "would overwrite the input" in words
    assert names(tmp_path) == ["out/photo.png", "photo.jpg", "photo.png"]


@pytest.mark.slow
def test_an_empty_name_is_not_the_present_folder(tmp_path: Path, model: Path, photo: Path) -> None:
    for arguments in (("", "-n", model), (photo, "-n", model, "-o", "")):
        assert "an empty string" in upscale(*arguments, code=2).stderr.decode()


@pytest.mark.slow
def test_a_folder_beside_itself_twice(tmp_path: Path, model: Path, photo: Path) -> None:
    (tmp_path / "notes.txt").touch()
    upscale(tmp_path, "-n", model)
    again = upscale(tmp_path, "-n", model).stderr.decode()
    assert names(tmp_path) == ["notes.txt", "photo.png", "photo_x2.png"]
    assert "skipped: 1 x earlier result beside its picture" in again
    assert "skipped: 1 x file that is not a picture" in again
    assert "photo_x2.png exists" in again


@pytest.mark.slow
def test_a_folder_without_pictures(tmp_path: Path, model: Path) -> None:
    (tmp_path / "notes.txt").touch()
    words = upscale(tmp_path, "-n", model, code=3).stderr.decode()
    assert "contains no pictures" in words
    assert "1 x file that is not a picture" in words
