"""Whole runs: every frame keeps its time, every track its packets; what is done is not done again."""

from __future__ import annotations

import gc
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from tests.tiny import compact_file
from tests.video.made import hashes_of, make_video, moving_planes, packets_of, times_of
from upres.upscaling.options import UpscaleOptions
from upres.upscaling.output_size import OutputSize
from upres.video.enlarger import Result
from upres.video.frames import layout_of, planes_of
from upres.video.journal import folder_of
from upres.video.plan import prepare
from upres.video.reader import SourceFrame
from upres.video.request import VideoRequest
from upres.video.run import VideoReport, run_video

ENGINE = UpscaleOptions().replace(engine="ncnn", threads=1)


class Counting:
    """A watcher that can stop the run, as Ctrl-C or a crash would, after some frames."""

    def __init__(self, stop_after: float | None = None) -> None:
        self.frames: list[float] = []
        self._stop_after = stop_after

    def done(self, frames: float) -> None:
        self.frames.append(frames)
        if self._stop_after is not None and frames >= self._stop_after:
            raise KeyboardInterrupt

    def putting_together(self) -> None:
        self.frames.append(-1.0)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(compact_file(tmp_path_factory.mktemp("model") / "tiny.safetensors"))


def upscale(source: Path, model: str, out: Path, watcher: Counting | None = None, **options: Any) -> VideoReport:
    options = {"options": ENGINE, "segment_frames": 5, **options}
    job = prepare(VideoRequest(str(source), out=str(out), model=model, **options))
    try:
        return run_video(job, watcher or Counting())
    finally:
        job.journal.release()
        job.upscaler.close()


def whole(report: VideoReport) -> VideoReport:
    assert report.error is None, repr(report.error)
    return report


@pytest.mark.parametrize("ending", ["mp4", "mkv", "mov"])
def test_times_tags_and_tracks_are_the_source_s(tmp_path: Path, model: str, ending: str) -> None:
    times = [0, 512, 1024, 1500, 3000, 3100, 4096, 4608, 6000, 6512, 7000, 9000, 9512]  # no constant rate
    source = make_video(
        tmp_path / f"in.{ending}",
        times,
        sound=True,
        rotation=90,
        aspect=Fraction(4, 3),
        extras=True,
        subtitle=ending == "mkv",
        tags=(9, 16, 9, 1),
        options={"chroma_sample_location": "topleft"},
    )
    out = tmp_path / f"out.{ending}"
    report = whole(upscale(source, model, out))
    assert report.frames == len(times)
    assert times_of(out) == times_of(source)
    assert packets_of(out, "audio") == packets_of(source, "audio")
    assert packets_of(out, "audio")[0]
    assert packets_of(out, "subtitle") == packets_of(source, "subtitle")
    with av.open(str(source)) as before, av.open(str(out)) as after:
        old, new = before.streams.video[0], after.streams.video[0]
        first = next(after.decode(video=0))
        assert (first.height, first.width) == (64, 96)
        assert first.rotation == 90
        assert (first.color_primaries, first.color_trc, first.colorspace, first.color_range) == (9, 16, 9, 1)
        assert new.sample_aspect_ratio == Fraction(4, 3)
        assert old.time_base == new.time_base
        assert new.metadata.get("language") == "jpn"
        for one, other in zip(before.streams, after.streams, strict=True):
            assert {**other.metadata, "ENCODER": "", "DURATION": ""} == {**one.metadata, "ENCODER": "", "DURATION": ""}
        if ending != "mov":  # whose languages are those of old Macs
            assert after.streams.audio[0].metadata.get("language") == "deu"
        assert after.metadata.get("title") == "a title"
        assert [chapter["metadata"]["title"] for chapter in after.chapters()] == ["one", "two"]
        assert [stream.disposition for stream in after.streams] == [stream.disposition for stream in before.streams]
        attached = [stream.data for stream in after.streams if stream.type == "attachment"]
        assert attached == ([b"a font"] if ending == "mkv" else [])
    assert not folder_of(out).exists()


def test_the_pixels_are_those_of_the_network(tmp_path: Path) -> None:
    """A network that repeats each pixel: the decoded levels come out doubled, to the rounding of YUV and RGB."""
    still = compact_file(tmp_path / "nearest.safetensors", strength=0.0)
    for pix_fmt, codec in (("yuv444p", "ffv1"), ("gray", "ffv1"), ("yuv444p10le", "ffv1"), ("gbrp10le", "ffv1")):
        source = make_video(tmp_path / f"{pix_fmt}.mkv", 3, codec=codec, pix_fmt=pix_fmt, tags=(2, 2, 2, 0))
        out = tmp_path / f"{pix_fmt}-2.mkv"
        whole(upscale(source, str(still), out, codec="ffv1"))
        with av.open(str(source)) as before, av.open(str(out)) as after:
            pairs = list(zip(before.decode(video=0), after.decode(video=0), strict=True))
        assert len(pairs) == 3
        for old, new in pairs:
            assert new.format.name == pix_fmt
            layout = layout_of(pix_fmt)
            for one, two in zip(planes_of(old, layout), planes_of(new, layout), strict=True):
                doubled = one.astype(int).repeat(2, axis=0).repeat(2, axis=1)
                assert np.abs(doubled - two).max() <= 1, pix_fmt


def test_ten_bits_stay_ten_bits(tmp_path: Path) -> None:
    """A shallow ramp keeps more levels than 8 bits have."""

    def ramp(number: int, height: int, width: int, pix_fmt: str) -> list[np.ndarray]:
        levels = np.linspace(400, 460, width).round().astype(np.uint16)
        return [
            np.broadcast_to(levels, (height, width)).copy(),
            *(np.full((height // 2, width // 2), 512, np.uint16),) * 2,
        ]

    still = compact_file(tmp_path / "nearest.safetensors", strength=0.0)
    source = make_video(tmp_path / "in.mkv", 2, codec="ffv1", pix_fmt="yuv420p10le", planes=ramp, size=(16, 64))
    out = tmp_path / "out.mkv"
    whole(upscale(source, str(still), out, codec="ffv1"))
    with av.open(str(out)) as file:
        frame = next(file.decode(video=0))
        assert frame.format.name == "yuv420p10le"
        luma = np.frombuffer(frame.planes[0], "<u2").reshape(frame.height, -1)[:, : frame.width]
    assert len(np.unique(luma)) > 55
    assert luma.min() == 400
    assert luma.max() == 460


def test_equal_frames_and_still_areas_are_not_computed_again(tmp_path: Path, model: str) -> None:
    def some_still(number: int, height: int, width: int, pix_fmt: str) -> list[np.ndarray]:
        planes = moving_planes(0, height, width, pix_fmt)
        moved = moving_planes(number // 2, height, width, pix_fmt)  # two equal frames each
        for plane, other in zip(planes, moved, strict=True):
            plane[: plane.shape[0] // 4] = other[: plane.shape[0] // 4]
        return planes

    source = make_video(tmp_path / "in.mkv", 10, codec="ffv1", planes=some_still, size=(160, 48))
    small = ENGINE.replace(tile_px=32)
    report = whole(upscale(source, model, tmp_path / "out.mkv", codec="ffv1", options=small))
    assert report.reused == 5
    assert 0.2 < report.static < 0.8
    # Bit by bit the frames of a run that computes each of them.
    once = [
        make_video(
            tmp_path / f"{n}.mkv", 1, codec="ffv1", size=(160, 48), planes=lambda _, *rest, n=n: some_still(n, *rest)
        )
        for n in (2, 9)
    ]
    for number, one in zip((2, 9), once, strict=True):
        whole(upscale(one, model, tmp_path / f"{number}-2.mkv", codec="ffv1", options=small))
        assert hashes_of(tmp_path / f"{number}-2.mkv") == [hashes_of(tmp_path / "out.mkv")[number]]


def test_a_part(tmp_path: Path, model: str) -> None:
    source = make_video(tmp_path / "in.mkv", 25, sound=True, extras=True)
    out = tmp_path / "out.mkv"
    whole(upscale(source, model, out, start_s=Fraction("0.3"), end_s=Fraction("0.7")))
    wanted = [time - Fraction("0.3") for time in times_of(source) if Fraction("0.3") <= time < Fraction("0.7")]
    assert times_of(out) == wanted
    assert len(wanted) == 10
    kept = packets_of(out, "audio")[0]
    assert 0 < len(kept) < len(packets_of(source, "audio")[0])
    assert {one for one, _ in kept} <= {one for one, _ in packets_of(source, "audio")[0]}
    with av.open(str(out)) as file:
        assert [chapter["metadata"]["title"] for chapter in file.chapters()] == ["two"]


def test_a_part_of_a_recording_that_begins_late(tmp_path: Path, model: str) -> None:
    """Times of a part count from the first frame, wherever the clock of the recording stands."""
    source = make_video(tmp_path / "in.mkv", [128_000 + 512 * number for number in range(20)], sound=False)
    out = tmp_path / "out.mkv"
    whole(upscale(source, model, out, start_s=Fraction("0.2"), end_s=Fraction("0.4")))
    assert times_of(out) == [Fraction(number, 25) for number in range(5)]


def test_odd_sizes_and_a_size_between(tmp_path: Path, model: str) -> None:
    source = make_video(tmp_path / "in.mkv", 2, codec="ffv1", size=(17, 23))
    whole(upscale(source, model, tmp_path / "2.mp4"))
    whole(upscale(source, model, tmp_path / "1.5.mp4", size=OutputSize(factor=1.5)))
    whole(upscale(source, model, tmp_path / "1.mp4", size=OutputSize(factor=1.0)))
    sizes = {}
    for name in ("2", "1.5", "1"):
        with av.open(str(tmp_path / f"{name}.mp4")) as file:
            frame = next(file.decode(video=0))
            sizes[name] = (frame.height, frame.width)
    assert sizes == {"2": (34, 46), "1.5": (26, 36), "1": (18, 24)}


def test_one_pixel(tmp_path: Path, model: str) -> None:
    source = make_video(tmp_path / "in.mkv", 2, codec="ffv1", size=(1, 1), pix_fmt="yuv420p")
    whole(upscale(source, model, tmp_path / "out.mkv"))
    assert len(hashes_of(tmp_path / "out.mkv")) == 2


def test_only_a_few_frames_are_held(tmp_path: Path, model: str) -> None:
    """Memory stays the same however long the video is."""

    class Census(Counting):
        most = 0

        def done(self, frames: float) -> None:
            super().done(frames)
            if frames % 8 == 0:
                self.most = max(self.most, held())

    def held() -> int:
        return sum(type(one) in (SourceFrame, Result) for one in gc.get_objects())

    source = make_video(tmp_path / "in.mp4", 40)
    watcher = Census()
    gc.collect()
    before = held()  # of other tests, whose errors hold their frames
    whole(upscale(source, model, tmp_path / "out.mp4", watcher))
    assert len(watcher.frames) > 40
    assert 1 <= watcher.most - before <= 12


def test_progress_counts_to_the_end(tmp_path: Path, model: str) -> None:
    source = make_video(tmp_path / "in.mp4", 6)
    watcher = Counting()
    whole(upscale(source, model, tmp_path / "out.mp4", watcher))
    assert watcher.frames[:-1] == sorted(watcher.frames[:-1])
    assert watcher.frames[-2:] == [6.0, -1.0]
