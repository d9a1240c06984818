"""`upres upscale` that is killed, stopped, or has no room: nothing is half there, and the same command goes on."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.test_upscale import command, names, upscale
from tests.tiny import noise, picture
from upres.images.io import read_picture, write_picture


def pressable() -> None:
    """Ctrl-C reaches the child even where the tests were started in the background, which makes it ignored."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pictures_in(folder: Path) -> list[str]:
    return [name for name in names(folder) if name.endswith(".png") and not Path(name).name.startswith(".")]


@pytest.mark.slow
def test_a_folder_with_five_percent_bad_files_resumes_after_kill_9(tmp_path: Path, model: Path) -> None:
    folder = tmp_path / "in"
    (folder / "deep").mkdir(parents=True)
    for index in range(40):
        place = folder / "deep" if index % 2 else folder
        write_picture(picture(noise(60, 50 + index, seed=index)), place / f"{index:02d}.png")
    for index in (4, 21):
        path = folder / ("deep" if index % 2 else ".") / f"{index:02d}.png"
        path.write_bytes(path.read_bytes()[:-300])
    straight = tmp_path / "straight"
    arguments = (folder, "-r", "-n", model, "--threads", "1", "-s", "6")
    upscale(*arguments, "-o", straight, code=3)
    assert len(pictures_in(straight)) == 38

    out = tmp_path / "out"
    child = subprocess.Popen(command(*arguments, "-o", out), stderr=subprocess.DEVNULL)
    wait_for(lambda: out.is_dir() and len(pictures_in(out)) >= 5)
    child.kill()
    assert child.wait() == -signal.SIGKILL
    before = {name: (out / name).read_bytes() for name in pictures_in(out)}
    assert len(before) < 38
    again = upscale(*arguments, "-o", out, code=3).stderr.decode()
    assert f"kept: {len(before)} results exist" in again
    finished = {name: (out / name).read_bytes() for name in pictures_in(out)}
    assert finished == {name: (straight / name).read_bytes() for name in pictures_in(straight)}


def wait_for(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.005)


@pytest.mark.slow
def test_leftovers_of_a_killed_run_are_no_pictures(tmp_path: Path, model: Path, photo: Path) -> None:
    (tmp_path / ".photo_x2.png.0123abcd.partial").write_bytes(photo.read_bytes())
    upscale(tmp_path, "-n", model)
    assert [name for name in names(tmp_path) if not name.startswith(".")] == ["photo.png", "photo_x2.png"]


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code", "told"), [(signal.SIGINT, 130, "Ctrl-C"), (signal.SIGTERM, 143, "SIGTERM")])
def test_a_signal_to_stop_keeps_what_is_finished(
    number: int, code: int, told: str, tmp_path: Path, model: Path
) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    for index in range(60):
        write_picture(picture(noise(100, 100, seed=index)), folder / f"{index:02d}.png")
    child = subprocess.Popen(
        command(folder, "-n", model, "-s", "8", "--threads", "1", "-o", out),
        stderr=subprocess.PIPE,
        preexec_fn=pressable,
    )
    wait_for(lambda: out.is_dir() and len([name for name in names(out) if name.endswith(".png")]) >= 2)
    child.send_signal(number)
    _, errors = child.communicate(timeout=60)
    words = errors.decode()
    assert child.returncode == code, words
    assert "Traceback" not in words
    assert f"stopped by {told}" in words
    assert "run the same command again; finished pictures are kept" in words
    assert 2 <= len(names(out)) < 60
    for name in names(out):
        assert name.endswith(".png")  # nothing temporary is left
        assert read_picture(out / name).pixels.shape == (800, 800, 3)


def limited() -> None:
    import resource

    resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, 400_000))  # holds the journal


@pytest.mark.slow
def test_a_full_disk_leaves_no_file_and_stops(tmp_path: Path, model: Path, photo: Path) -> None:
    pytest.importorskip("resource")
    folder = tmp_path / "in"
    folder.mkdir()
    for index in range(5):
        (folder / f"{index}.png").write_bytes(photo.read_bytes())
    words = upscale(folder, "-n", model, "-s", "32", "-o", tmp_path / "out", code=5, prepare=limited).stderr.decode()
    assert names(tmp_path / "out") == []
    assert "the disk is full" in words
    assert "stopped; 4 pictures not started: fix the problem and run" in words
    assert "run the same command again" in words
    upscale(folder, "-n", model, "-s", "32", "-o", tmp_path / "out")
    assert len(names(tmp_path / "out")) == 5


@pytest.mark.slow
def test_a_full_file_system(model: Path, photo: Path) -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("this system has no /dev/full")
    with full.open("wb") as sink:
        result = subprocess.run(
            command(photo, "-n", model, "-o", "-"), stdout=sink, stderr=subprocess.PIPE, check=False
        )
    assert result.returncode == 5, result.stderr
    assert b"No space left on device" in result.stderr
    assert b"Traceback" not in result.stderr


@pytest.mark.slow
def test_a_place_that_cannot_be_written_is_told_before_the_work(tmp_path: Path, model: Path, photo: Path) -> None:
    (tmp_path / "file").touch()
    for place in (tmp_path / "file" / "out", Path("/proc/out")):
        if place.parent.exists():
            words = upscale(photo, "-n", model, "-o", f"{place}/", code=5).stderr.decode()
            assert f"cannot write to the folder {place}: " in words
