"""Videos measured frame by frame: the figures are those of the frames as pictures."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.tiny import compact_file
from tests.video.made import make_video, moving_planes
from upres.errors import InputError
from upres.evaluation.videos import measure_videos
from upres.images.io import quantize
from upres.images.resize import imresize
from upres.metrics.psnr_ssim import psnr, ssim
from upres.upscaling.upscaler import Upscaler
from upres.video.opened import open_source
from upres.video.yuv import to_rgb

Upres = Callable[..., tuple[str, str]]


def steady(number: int, height: int, width: int, pix_fmt: str) -> list[np.ndarray]:
    """Content that moves by 2 pixels a frame, with some texture."""
    longer = np.random.default_rng(0).integers(60, 180, (height, width + 40)).astype(np.float64)
    smooth = (longer + np.roll(longer, 1, 0) + np.roll(longer, 1, 1) + np.roll(longer, 2, 1)) / 4
    chroma = np.full((height // 2, width // 2), 128, np.uint8)
    return [smooth[:, 2 * number : 2 * number + width].astype(np.uint8), chroma, chroma]


def levels_of(path: Path) -> list[np.ndarray]:
    return [quantize(to_rgb(frame.planes, frame.coding)[0], 8) for frame in open_source(str(path), None).reader()]


def test_figures_are_those_of_the_frames(tmp_path: Path) -> None:
    hr = make_video(tmp_path / "hr.mkv", 4, codec="ffv1", size=(65, 64))
    model = str(compact_file(tmp_path / "tiny.safetensors"))
    frames = [one[:64] for one in levels_of(hr)]
    with Upscaler(model, engine="ncnn", threads=1) as upscaler:
        found = measure_videos(hr, None, {"same": hr}, {"tiny": upscaler}, scale=2)
        made = [
            quantize(upscaler.upscale_array(imresize(one, size=(32, 32)).astype(np.float32) / np.float32(255)), 8)
            for one in frames
        ]
    assert found.frames == 4
    assert list(found.scores) == ["bicubic", "tiny", "same", "hr"]
    bicubic = [imresize(imresize(one, size=(32, 32)), size=(64, 64)) for one in frames]
    for name, versions in (("bicubic", bicubic), ("tiny", made)):
        pairs = list(zip(versions, frames, strict=True))
        row = found.scores[name]
        assert row.psnr_y == pytest.approx(np.mean([psnr(sr, one, border=2, luma=True) for sr, one in pairs]))
        assert row.ssim_rgb == pytest.approx(np.mean([ssim(sr, one, border=2, luma=False) for sr, one in pairs]))
    assert found.scores["same"].psnr_y == float("inf")
    assert found.to_json()["versions"]["same"]["psnr_y"] is None
    assert found.scores["same"].vmaf is None


def test_flicker_of_what_flickers(tmp_path: Path) -> None:
    hr = make_video(tmp_path / "hr.mkv", 6, codec="ffv1", size=(96, 128), planes=steady)

    def noisy(number: int, *rest: object) -> list[np.ndarray]:
        planes = steady(number, *rest)  # type: ignore[arg-type]
        noise = np.random.default_rng(number).normal(0, 12, planes[0].shape)
        return [np.clip(planes[0] + noise, 16, 235).astype(np.uint8), *planes[1:]]

    sr = make_video(tmp_path / "sr.mkv", 6, codec="ffv1", size=(96, 128), planes=noisy)
    scores = measure_videos(hr, None, {"noisy": sr, "same": hr}, {}, scale=2).scores
    assert scores["bicubic"].flicker == pytest.approx(1.0, abs=0.02)  # of a bicubic rounded to 8 bits
    assert scores["noisy"].flicker is not None
    assert scores["same"].flicker is not None
    assert scores["noisy"].flicker > 3 * scores["same"].flicker
    assert scores["hr"].flicker == scores["same"].flicker


def test_what_does_not_fit(tmp_path: Path) -> None:
    hr = make_video(tmp_path / "hr.mkv", 4, codec="ffv1", size=(64, 64))
    for name, times, size, words in (
        ("short", 3, (64, 64), r"short\.mkv ends at 0\.120 s, before .*hr\.mkv"),
        ("long", 5, (64, 64), r"long\.mkv has more frames than .*hr\.mkv, which has 4"),
        (
            "late",
            [0, 512, 1400, 1536],
            (64, 64),
            r"late\.mkv has a frame at 0\.109 s where .*hr\.mkv has one at 0\.080",
        ),
        ("small", 4, (62, 64), r"small\.mkv is 64 x 62, expected 64 x 64"),
    ):
        other = make_video(tmp_path / f"{name}.mkv", times, codec="ffv1", size=size)
        with pytest.raises(InputError, match=words):
            measure_videos(hr, None, {"other": other}, {}, scale=2)


def test_the_command(tmp_path: Path, upres: Upres) -> None:
    hr = make_video(tmp_path / "hr.mkv", 3, codec="ffv1", size=(64, 64), planes=moving_planes)
    lr = make_video(tmp_path / "lr.mkv", 3, codec="ffv1", size=(32, 32), planes=moving_planes)
    json_file = tmp_path / "figures.json"
    model = compact_file(tmp_path / "tiny.safetensors")
    out, err = upres(
        *("evaluate", "--video", "--hr", hr, "--lr", lr, "-s", 2, "-n", model, "--sr", f"theirs={hr}"),
        *("--threads", 1, "--json", json_file),
    )
    assert "3 frames" in out
    assert "PSNR (Y, border 2)" in out
    rows = [line.split() for line in out.splitlines() if "inf" in line]
    assert [row[0] for row in rows] == ["theirs"]
    assert "VMAF" in out + err
    assert list(json.loads(json_file.read_text())["versions"]) == ["bicubic", str(model), "theirs", "hr"]
    for arguments, words in (
        (("--hr", hr), "--scale is missing"),
        (("-s", 2), "--hr is missing"),
        (("--hr", hr, "-s", 2, "--niqe"), "--video goes with"),
        (("--hr", hr, "-s", 2, "--sr", f"bicubic={hr}"), "bicubic twice"),
    ):
        assert words in upres("evaluate", "--video", *arguments, code=2)[1]
    assert "is for videos" in upres("evaluate", "--ffmpeg", "x", "--hr", tmp_path, "-s", 2, code=2)[1]
