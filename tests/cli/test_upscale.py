"""`upres upscale` as its users run it: a process, its exit code, its words, and what lies on the disk afterwards."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.made_ncnn import bilinear_x2
from tests.tiny import compact_file, noise, picture
from upres.batch.journal import NAME
from upres.images.io import read_header, read_picture, write_picture


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
