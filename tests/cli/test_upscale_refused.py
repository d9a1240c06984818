"""What `upres upscale` refuses: sizes, options, models and pictures that cannot be."""

from __future__ import annotations

import re
import struct
import zlib
from pathlib import Path

import pytest

from tests.cli.test_upscale import names, upscale
from tests.tiny import noise, picture
from upres.images.io import write_picture


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
        (["--format", "psd"], "--format psd cannot be written"),
        (["-o", "x.psd"], "cannot write .psd"),
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
def test_a_refused_model(tmp_path: Path, photo: Path) -> None:
    (tmp_path / "bad.safetensors").write_bytes(b"garbage" * 10)
    for name in (tmp_path / "bad.safetensors", "compact-x5", tmp_path / "gone.pth"):
        words = upscale(photo, "-n", name, code=4).stderr.decode()
        assert words.startswith("upres: ")
    assert names(tmp_path) == ["bad.safetensors", "photo.png"]
