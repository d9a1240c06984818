"""Flicker is calmed where the source, followed along its motion, stays the same; elsewhere nothing changes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.tiny import compact_file
from tests.video.made import hashes_of, make_video
from upres.errors import UsageError
from upres.images.resize import imresize
from upres.upscaling.options import UpscaleOptions
from upres.video.enlarger import Result
from upres.video.flicker import Flicker
from upres.video.plan import prepare
from upres.video.request import VideoRequest
from upres.video.run import run_video
from upres.video.steady import Steady

SCENE = imresize(np.random.default_rng(0).random((40, 60)).astype(np.float32), size=(200, 300)).clip(0, 1)


def scene(number: int, step: tuple[int, int]) -> np.ndarray:
    """HR of a frame, 160 x 200; `step` is in HR pixels a frame."""
    top, left = 20 + number * step[0], 40 + number * step[1]
    return SCENE[top : top + 160, left : left + 200, None].repeat(3, axis=2)


@pytest.mark.parametrize("step", [(0, 0), (2, -4), (4, 2)])
def test_noise_of_a_network_is_calmed_and_the_picture_stays(step: tuple[int, int]) -> None:
    """Results that are HR with other noise in each frame: flicker and error fall, motion or not."""
    rng = np.random.default_rng(1)
    calm, plain, calmed = Steady(0.6), Flicker(2), Flicker(2)  # every second pair
    errors = np.zeros(2)
    for number in range(6):
        hr = scene(number, step)
        lr = imresize(hr, size=(80, 100))
        sr = (hr + rng.normal(0, 0.02, hr.shape)).astype(np.float32)
        result = calm(lr, Result(sr, None))
        errors += [np.mean((one - hr)[20:-20, 20:-20] ** 2) for one in (sr, result.pixels)]
        plain.add(lr, sr)
        calmed.add(lr, result.pixels)
    assert errors[1] < 0.7 * errors[0]
    assert plain.pairs == calmed.pairs == 3
    assert calmed.sums[0] < 0.4 * plain.sums[0]


def test_new_content_stays_as_it_is() -> None:
    rng = np.random.default_rng(2)
    calm = Steady(0.9)
    for _ in range(3):
        lr = rng.random((48, 64, 3)).astype(np.float32)
        sr = rng.random((96, 128, 3)).astype(np.float32)
        np.testing.assert_array_equal(calm(lr, Result(sr, None)).pixels, sr)


def test_a_segment_begins_anew() -> None:
    calm = Steady(0.5)
    lr = imresize(scene(0, (0, 0)), size=(80, 100))
    first, second = (np.full((160, 200, 3), level, np.float32) for level in (0.2, 0.8))
    calm(lr, Result(first, None))
    assert calm(lr, Result(second, None)).pixels.mean() == pytest.approx(0.5, abs=1e-3)
    calm.begin()
    np.testing.assert_array_equal(calm(lr, Result(second, None)).pixels, second)


def test_a_resumed_run_gives_the_same_frames(tmp_path: Path) -> None:
    model = str(compact_file(tmp_path / "tiny.safetensors"))
    source = make_video(tmp_path / "in.mkv", 13, codec="ffv1", size=(48, 64))
    options = UpscaleOptions().replace(engine="ncnn", threads=1)

    class Stop:
        def __init__(self, after: float) -> None:
            self.after = after

        def done(self, frames: float) -> None:
            if frames >= self.after:
                raise KeyboardInterrupt

        def putting_together(self) -> None: ...

    def run(out: str, steady: float, *stops: float) -> list[str]:
        for stop in (*stops, 99.0):
            request = VideoRequest(
                str(source),
                str(tmp_path / out),
                model=model,
                options=options,
                codec="ffv1",
                segment_frames=5,
                steady=steady,
            )
            job = prepare(request)
            report = run_video(job, Stop(stop))
            job.journal.release()
            job.upscaler.close()
            assert (report.error is None) == (stop == 99.0)
        return hashes_of(tmp_path / out)

    straight = run("straight.mkv", 0.6)
    assert run("resumed.mkv", 0.6, 3.0, 8.0) == straight
    plain = run("plain.mkv", 0.0)
    assert plain != straight
    assert [one == other for one, other in zip(plain, straight, strict=True)][::5] == [True] * 3  # segments begin anew


def test_values() -> None:
    for value in (-0.1, 1.0):
        with pytest.raises(UsageError, match="`steady` must be in"):
            VideoRequest("in.mp4", steady=value)
