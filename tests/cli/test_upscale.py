"""`upres upscale` as its users run it: a process, its exit code, its words, and what lies on the disk afterwards."""

from __future__ import annotations

import os
import re
import signal
import struct
import subprocess
import sys
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.made_ncnn import bilinear_x2
from tests.tiny import compact_file, noise, picture
from upres.batch.journal import NAME
from upres.images.io import read_header, read_picture, write_picture


def pressable() -> None:
    """Ctrl-C reaches the child even where the tests were started in the background, which makes it ignored."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "upres", "upscale", *map(str, arguments)]


def upscale(
    *arguments: object, code: int = 0, stdin: bytes | None = None, prepare: Callable[[], None] | None = None
) -> subprocess.CompletedProcess[bytes]:
    result = subprocess.run(
        command(*arguments),
        capture_output=True,
        check=False,
        input=stdin,
        stdin=subprocess.DEVNULL if stdin is None else None,
        preexec_fn=prepare,
    )
    words = result.stderr.decode()
    assert result.returncode == code, words
    assert "Traceback" not in words
    return result


def names(folder: Path) -> list[str]:
    """All but the journal of a job and what SQLite keeps beside it."""
    files = (path for path in folder.rglob("*") if path.is_file() and not path.name.startswith(NAME))
    return sorted(str(path.relative_to(folder)) for path in files)


def pictures_in(folder: Path) -> list[str]:
    return [name for name in names(folder) if name.endswith(".png") and not Path(name).name.startswith(".")]


def test_the_plainest_call(photo: Path, model: Path) -> None:
    result = upscale(photo, "-n", model)
    assert result.stdout == b""
    made = photo.with_name("photo_x2.png")
    assert read_header(made).height == 40
    assert f"{made}: 60 x 40" in result.stderr.decode()
    assert read_picture(made).dpi == pytest.approx((300.0, 300.0), abs=0.1)
    assert names(photo.parent) == ["photo.png", "photo_x2.png"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "name", "size"),
    [
        (["-s", "2.5"], "photo_x2.5.png", (50, 75)),
        (["-s", "0.5"], "photo_x0.5.png", (10, 15)),
        (["--width", "90"], "photo_90x60.png", (60, 90)),
        (["--width", "90", "--height", "30"], "photo_45x30.png", (30, 45)),
        (["--long-side", "45", "--format", "jpg"], "photo_45x30.jpg", (30, 45)),
        (["--megapixels", "0.0024", "--format", "webp"], "photo_60x40.webp", (40, 60)),
    ],
)
def test_sizes_and_names(photo: Path, model: Path, arguments: list[str], name: str, size: tuple[int, int]) -> None:
    upscale(photo, "-n", model, *arguments)
    header = read_header(photo.with_name(name))
    assert (header.height, header.width) == size


@pytest.mark.slow
def test_tiles_and_memory_and_engines_agree(photo: Path, model: Path) -> None:
    made: list[np.ndarray] = []
    for index, arguments in enumerate(
        (["--exact"], ["--exact", "--tile", "8"], ["--memory", "160M", "--threads", "1"])
    ):
        target = photo.with_name(f"{index}.tiff")
        upscale(photo, "-n", model, "-o", target, *arguments)
        made.append(read_picture(target).pixels)
    assert np.array_equal(made[0], made[1])
    assert np.abs(made[0] - made[2]).max() <= 1.01 / 255


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["ncnn", "onnx", "openvino"])
def test_every_engine_by_name_and_what_ran_is_told(photo: Path, model: Path, engine: str) -> None:
    if engine != "ncnn":
        pytest.importorskip({"onnx": "onnxruntime"}.get(engine, engine))
    options = ("--engine", engine, "--device", "cpu", "--precision", "fp32")
    words = upscale(photo, "-n", model, "-o", photo.with_name("a.tiff"), *options).stderr.decode()
    assert re.search(rf"60 x 40, .* s with {engine}(runtime)? \d", words)
    upscale(photo, "-n", model, "-o", photo.with_name("b.tiff"))
    made, expected = (read_picture(photo.with_name(f"{name}.tiff")).pixels for name in "ab")
    assert np.abs(made - expected).max() <= 1.01 / 255


@pytest.mark.slow
def test_devices_and_precisions_that_are_not_there_are_refused_with_what_is(photo: Path, model: Path) -> None:
    words = upscale(photo, "-n", model, "--engine", "ncnn", "--device", "cuda", code=2).stderr.decode()
    assert (
        "engine 'ncnn' has no device 'cuda': it runs on cpu, vulkan; --device cuda needs --engine torch or onnx"
        in words
    )
    words = upscale(photo, "-n", model, "--device", "quantum", code=2).stderr.decode()
    assert "--device must be auto or one of cpu" in words
    assert "fp32" in upscale(photo, "-n", model, "--precision", "int8", code=2).stderr.decode()
    assert names(photo.parent) == ["photo.png"]


@pytest.mark.slow
def test_blends_and_chains_and_denoise(tmp_path: Path, photo: Path, model: Path) -> None:
    other = compact_file(tmp_path / "other-x2.safetensors", 2, seed=1)
    words = upscale(photo, "-n", f"{model}:1,{other}:3", "-o", tmp_path / "blend.tiff").stderr.decode()
    assert "sum to 4, not 1: normalized to" in words
    upscale(photo, "-n", model, "--denoise", "0.25", "--denoise-with", other, "-o", tmp_path / "denoise.tiff")
    assert (tmp_path / "blend.tiff").read_bytes() == (tmp_path / "denoise.tiff").read_bytes()
    upscale(photo, "-n", f"{model}>{other}")
    assert read_header(tmp_path / "photo_x4.png").width == 120


@pytest.mark.slow
def test_turns_strength_lock_and_wrap_each_change_the_result(tmp_path: Path, photo: Path, model: Path) -> None:
    options = (
        [],
        ["--tta"],
        ["--blend", "0.5"],
        ["--color-lock"],
        ["--wrap"],
        ["--tta", "--blend", "0.5", "--color-lock", "--wrap"],
    )
    made: set[bytes] = set()
    for index, arguments in enumerate(options):
        upscale(photo, "-n", model, "-o", tmp_path / f"{index}.png", *arguments)
        made.add(read_picture(tmp_path / f"{index}.png").pixels.tobytes())
    assert len(made) == len(options)


@pytest.mark.slow
@pytest.mark.parametrize("scale", ["0", "-1", "nan", "inf", "1000"])
def test_a_nonsense_scale_is_a_usage_error(photo: Path, model: Path, scale: str) -> None:
    result = upscale(photo, "-n", model, "-s", scale, code=2)
    assert "--scale must be in (0, 64], got" in result.stderr.decode()
    assert names(photo.parent) == ["photo.png"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["-s", "2", "--width", "5"], "--scale and --width exclude each other"),
        (["--tile", "0"], "--tile expects auto or a number of pixels, got '0'"),
        (["--tile", "big"], "--tile expects auto"),
        (["--memory", "2"], "2G means 2 gigabytes"),
        (["--memory", "lots"], "--memory must be a size"),
        (["--max-pixels", "0"], "--max-pixels expects a number of pixels"),
        (["--blend", "1.5"], "--blend must be in [0, 1]"),
        (["--denoise", "2", "--denoise-with", "x.pth"], "--denoise must be in [0, 1]"),
        (["--denoise", "0.5"], "set --denoise-with to one that keeps noise"),
        (["--denoise-with", "x.pth"], "--denoise-with has no effect without --denoise"),
        (["-n", "a:0.5,b"], "give a share to each model of a blend, or to none"),
        (["-n", "a>"], "a model is missing before or after '>'"),
        (["--format", "bmp"], "--format bmp cannot be written"),
        (["-o", "x.bmp"], "cannot write .bmp"),
    ],
)
def test_usage_errors(photo: Path, model: Path, arguments: list[str], words: str) -> None:
    named = () if "-n" in arguments else ("-n", model)
    assert words in upscale(photo, *named, *arguments, code=2).stderr.decode()


@pytest.mark.slow
def test_results_too_large_fail_by_input_before_any_work(photo: Path, model: Path) -> None:
    words = upscale(photo, "-n", model, "-s", "64", "--max-pixels", "1M", code=3).stderr.decode()
    assert "the result would be 1,920 x 1,280, 2,457,600 pixels, but --max-pixels is 1,000,000" in words
    write_picture(picture(noise(100, 100)), photo)
    words = upscale(photo, "-n", model, "-s", "64", "--memory", "113M", code=3).stderr.decode()
    assert re.search(
        r"an output of 6400 x 6400 needs \d\d MB of memory, and 1.0 MB may be used \(beside 112 MB of", words
    )
    words = upscale(photo, "-n", model, "--memory", "64M", code=2).stderr.decode()
    assert "--memory must be more than 112 MB, which the program itself takes; got 64 MB" in words
    assert names(photo.parent) == ["photo.png"]


@pytest.mark.slow
def test_a_missing_input_fails_by_name(tmp_path: Path, model: Path) -> None:
    words = upscale(tmp_path / "gone.png", "-n", model, code=3).stderr.decode()
    assert words.count("gone.png") == 1
    assert words.count("\n") == 1


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def bomb() -> bytes:
    """A few hundred bytes that claim to be 50,000 x 50,000 pixels."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 50_000, 50_000, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(100_000))) + chunk(b"IEND", b"")


@pytest.mark.slow
def test_bad_pictures_among_good_ones(tmp_path: Path, model: Path, photo: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for index in range(3):
        (folder / f"good{index}.png").write_bytes(photo.read_bytes())
    (folder / "empty.png").touch()
    (folder / "text.png").write_text("hello")
    (folder / "torn.png").write_bytes(photo.read_bytes()[:-200])
    (folder / "bomb.png").write_bytes(bomb())
    result = upscale(folder, "-n", model, "-o", tmp_path / "out", code=3)
    assert names(tmp_path / "out") == ["good0.png", "good1.png", "good2.png"]
    lines = result.stderr.decode().splitlines()
    start = lines.index("4 of 7 pictures failed:")
    assert sorted(line.split()[0].rstrip(":").rsplit("/", 1)[-1] for line in lines[start + 1 :]) == [
        "bomb.png",
        "empty.png",
        "text.png",
        "torn.png",
    ]
    assert f"3 pictures done in {tmp_path / 'out'}" in result.stderr.decode()


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


@pytest.mark.slow
def test_a_refused_model(tmp_path: Path, photo: Path) -> None:
    (tmp_path / "bad.safetensors").write_bytes(b"garbage" * 10)
    for name in (tmp_path / "bad.safetensors", "compact-x5", tmp_path / "gone.pth"):
        words = upscale(photo, "-n", name, code=4).stderr.decode()
        assert words.startswith("upres: ")
    assert names(tmp_path) == ["bad.safetensors", "photo.png"]


@pytest.mark.slow
def test_pipes(model: Path, photo: Path) -> None:
    upscale(photo, "-n", model, "-o", photo.with_name("file.png"))
    result = upscale("-", "-n", model, stdin=photo.read_bytes())
    assert result.stdout == photo.with_name("file.png").read_bytes()
    result = upscale("-", "-n", model, "-o", "-", "--format", "webp", "--quality", "80", stdin=photo.read_bytes())
    assert result.stdout[8:12] == b"WEBP"
    upscale("-", "-n", model, "-o", photo.parent / "folder", stdin=photo.read_bytes())
    assert names(photo.parent / "folder") == ["stdin.png"]


def test_nothing_on_standard_input(model: Path) -> None:
    result = upscale("-", "-n", model, stdin=b"", code=3)
    assert "standard input is empty" in result.stderr.decode()
    assert result.stdout == b""


@pytest.mark.slow
def test_a_closed_pipe(model: Path, photo: Path) -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    result = subprocess.run(
        command(photo, "-n", model, "-o", "-"), stdout=write_end, stderr=subprocess.PIPE, check=False
    )
    os.close(write_end)
    assert result.returncode == 5
    assert b"closed the pipe" in result.stderr
    assert b"Traceback" not in result.stderr
    assert b"Exception" not in result.stderr


@pytest.mark.slow
def test_pictures_are_not_written_to_a_terminal(model: Path, photo: Path) -> None:
    pty = pytest.importorskip("pty")
    parent, child = pty.openpty()
    result = subprocess.run(command(photo, "-n", model, "-o", "-"), stdout=child, stderr=subprocess.PIPE, check=False)
    os.close(child)
    os.close(parent)
    assert result.returncode == 2
    assert b"standard output is a terminal" in result.stderr


@pytest.mark.slow
def test_what_a_format_cannot_hold_is_told_once(tmp_path: Path, model: Path) -> None:
    write_picture(picture(noise(8, 8), noise(8, 8, 1)[:, :, 0]), tmp_path / "soft.png")
    words = upscale(tmp_path / "soft.png", "-n", model, "-o", tmp_path / "flat.jpg").stderr.decode()
    assert words.count("transparency was blended with white") == 1
    assert words.startswith(f"note: {tmp_path / 'soft.png'}: ")


@pytest.mark.slow
def test_odd_names(tmp_path: Path, model: Path, photo: Path) -> None:
    name = tmp_path / "-ümläut 图 [bold]x.png"
    photo.rename(name)
    upscale("-n", model, "--", name)
    assert name.with_name("-ümläut 图 [bold]x_x2.png").exists()


def test_a_traceback_only_with_debug(tmp_path: Path, model: Path) -> None:
    result = subprocess.run(
        [*command(tmp_path / "gone.png", "-n", model), "--debug"],
        capture_output=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    assert result.returncode == 3
    assert b"Traceback" in result.stderr


@pytest.mark.slow
def test_the_command_line_runs_them_and_says_once_what_was_found(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from typer.testing import CliRunner

    from upres.cli.main import app
    from upres.images.io import read_picture, write_picture

    bilinear_x2(tmp_path)
    for name in ("a.png", "b.png"):
        write_picture(picture(noise(10, 12)), tmp_path / name)
    command = [
        "upscale",
        str(tmp_path / "a.png"),
        str(tmp_path / "b.png"),
        "-o",
        str(tmp_path / "out"),
        "-n",
        str(tmp_path / "net.bin"),
    ]
    done = CliRunner().invoke(app, command)
    said = done.output + capsys.readouterr().err
    assert done.exit_code == 0, said
    assert said.count("is an ncnn graph of unknown architecture") == 1
    assert read_picture(tmp_path / "out" / "a.png").pixels.shape == (20, 24, 3)
