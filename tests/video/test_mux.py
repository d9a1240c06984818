"""Tracks that a file cannot hold, and what is left when it cannot be written."""

from __future__ import annotations

from pathlib import Path

import av
import pytest
from av.stream import Disposition

from tests.tiny import compact_file
from tests.video.made import hashes_of, make_video, moving_planes, packets_of, times_of
from tests.video.test_run import ENGINE, Counting, upscale, whole
from upres.errors import OutputError
from upres.video.frames import frame_of, layout_of
from upres.video.journal import folder_of
from upres.video.plan import prepare
from upres.video.request import VideoRequest
from upres.video.run import write_part


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(compact_file(tmp_path_factory.mktemp("model") / "tiny.safetensors"))


def test_a_track_that_the_file_cannot_hold_is_refused_before_any_work(tmp_path: Path, model: str) -> None:
    source = make_video(tmp_path / "in.mkv", 5, subtitle=True)
    with pytest.raises(OutputError, match=r"\.mp4 file cannot hold subtitle track 1 .*`out=NAME\.mkv`"):
        prepare(VideoRequest(str(source), out=str(tmp_path / "out.mp4"), model=model))
    assert not folder_of(tmp_path / "out.mp4").exists()


def test_sound_longer_than_the_video_is_kept(tmp_path: Path, model: str) -> None:
    source = make_video(tmp_path / "in.mp4", 5, sound=True, sound_s=2.0)
    whole(upscale(source, model, tmp_path / "out.mp4"))
    assert packets_of(tmp_path / "out.mp4", "audio") == packets_of(source, "audio")
    assert len(packets_of(source, "audio")[0]) > 80


def test_the_part_that_is_done_plays(tmp_path: Path, model: str) -> None:
    source = make_video(tmp_path / "in.mp4", 20, sound=True)
    out = tmp_path / "out.mp4"
    report = upscale(source, model, out, Counting(12.0))
    assert isinstance(report.error, KeyboardInterrupt)
    job = prepare(VideoRequest(str(source), out=str(out), model=model, segment_frames=5, options=ENGINE))
    part = write_part(job)
    job.journal.release()
    job.upscaler.close()
    assert part == tmp_path / "out.part.mp4"
    assert part is not None
    assert times_of(part) == times_of(source)[:10]


def test_a_full_disk_keeps_what_is_done(tmp_path: Path, model: str) -> None:
    resource = pytest.importorskip("resource")
    source = make_video(tmp_path / "in.mp4", 20, size=(64, 96))
    straight, out = tmp_path / "straight.mp4", tmp_path / "out.mp4"
    whole(upscale(source, model, straight))
    limit = straight.stat().st_size // 2  # for each file: a segment fits, the result does not
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        report = upscale(source, model, out)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert isinstance(report.error, OutputError)
    assert "the disk is full. Free some space and run the same command again" in str(report.error)
    assert report.frames == 20
    assert not out.exists()
    assert not list(tmp_path.glob("*.partial"))
    assert whole(upscale(source, model, out)).resumed == 20
    assert hashes_of(out) == hashes_of(straight)


@pytest.mark.parametrize("ending", ["mp4", "mkv"])
def test_a_cover_stays_a_cover(tmp_path: Path, model: str, ending: str) -> None:
    source = tmp_path / "in.mp4"
    layout = layout_of("yuv420p")
    with av.open(str(source), "w") as file:
        cover = file.add_stream("mjpeg", rate=1, options={"strict": "-1"})
        cover.height, cover.width, cover.pix_fmt = 20, 20, "yuvj420p"
        cover.disposition = Disposition.attached_pic
        track = file.add_stream("libx264", rate=25)
        track.height, track.width, track.pix_fmt = 32, 48, "yuv420p"
        file.mux(cover.encode(frame_of(moving_planes(0, 20, 20, "yuv420p"), layout).reformat(format="yuvj420p")))
        file.mux(cover.encode())
        for number in range(3):
            file.mux(track.encode(frame_of(moving_planes(number, 32, 48, "yuv420p"), layout)))
        file.mux(track.encode())
    out = tmp_path / f"out.{ending}"
    assert whole(upscale(source, model, out)).frames == 3
    with av.open(str(source)) as before, av.open(str(out)) as after:
        pictures = []
        for one in (before, after):
            (index,) = [stream.index for stream in one.streams if stream.disposition & Disposition.attached_pic]
            pictures.append(next(bytes(packet) for packet in one.demux(one.streams[index]) if packet.size))
    assert pictures[0] == pictures[1]
    assert times_of(out) == times_of(source)
