"""Animations through `upres upscale`: each frame is upscaled as what is shown."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.tiny import compact_file
from upres.images.animation import encode_animation, read_animation
from upres.images.io import Picture
from upres.upscaling.upscaler import Upscaler

Upres = Callable[..., tuple[str, str]]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compact_file(tmp_path_factory.mktemp("model") / "tiny.safetensors")


def animation(path: Path) -> Path:
    rng = np.random.default_rng(0)
    still = np.rint(rng.random((16, 20, 3)) * 3).astype(np.float32) / 3
    pictures = []
    for number in (0, 1, 1, 2):
        pixels = still.copy()
        pixels[4:8, 3 + number : 7 + number] = (0.0, 1.0, 0.0)
        alpha = np.ones((16, 20), np.float32)
        alpha[:, :2] = 0.0
        pictures.append(Picture(pixels, alpha))
    path.write_bytes(encode_animation(pictures, (40, 50, 60, 1000), 0, path.suffix[1:]))
    return path


@pytest.mark.parametrize("ending", ["gif", "png", "webp"])
def test_frames_equal_those_upscaled_alone(tmp_path: Path, model: Path, upres: Upres, ending: str) -> None:
    source = animation(tmp_path / f"in.{ending}")
    out = tmp_path / "out.png"
    upres("upscale", source, "-n", model, "-o", out, "--engine", "ncnn", "--threads", 1)
    before, after = read_animation(source), read_animation(out)
    assert after.delays_ms == before.delays_ms
    assert before.delays_ms == ((40, 50, 60, 1000) if ending == "png" else (40, 110, 1000))  # equal frames are joined
    assert after.plays == 0
    with Upscaler(str(model), engine="ncnn", threads=1) as upscaler:
        for index in range(len(before.frames)):
            alone = upscaler(before.picture(index))
            found = after.picture(index)
            np.testing.assert_allclose(found.pixels, np.clip(alone.pixels, 0, 1), atol=0.51 / 255)
            assert found.alpha is not None
            assert alone.alpha is not None
            np.testing.assert_allclose(found.alpha, np.clip(alone.alpha, 0, 1), atol=0.51 / 255)


def test_every_pair_of_formats(tmp_path: Path, model: Path, upres: Upres) -> None:
    source = animation(tmp_path / "in.gif")
    for ending in ("gif", "webp", "apng", "avif"):
        _, err = upres("upscale", source, "-n", model, "-o", tmp_path / f"out.{ending}", "--engine", "ncnn")
        found = read_animation(tmp_path / f"out.{ending}")
        assert found.delays_ms == (40, 110, 1000)
        assert found.frames[0].shape[:2] == (32, 40)
        assert ("gif holds 256 colors a frame" in err) == (ending == "gif")


def test_stills_and_formats_without_animation(tmp_path: Path, model: Path, upres: Upres, example_photo: Path) -> None:
    source = animation(tmp_path / "in.gif")
    _, err = upres("upscale", source, "-n", model, "-o", tmp_path / "out.jpg", "--engine", "ncnn")
    assert "only the first of 3 frames was read" in err
    _, err = upres("upscale", example_photo, "-n", model, "-o", tmp_path / "out.gif", "--engine", "ncnn", code=3)
    assert "it is a still picture; gif is written for animations only" in err
    assert not (tmp_path / "out.gif").exists()
