"""What a video says of its colors, from source to result: HDR10, HLG, range, siting, and the time it takes to say."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import pytest

from tests.tiny import compact_file
from tests.video.made import make_video, times_of
from tests.video.test_run import ENGINE, upscale, whole
from upres.video.plan import disk_note, prepare
from upres.video.request import VideoRequest
from upres.video.run import estimate_seconds
from upres.video.source import Hdr, examine

PQ, HLG, BT2020 = 16, 18, 9


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(compact_file(tmp_path_factory.mktemp("model") / "tiny.safetensors"))


def test_hdr10_goes_through(tmp_path: Path, model: str) -> None:
    display = "G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,50)"
    source = make_video(
        tmp_path / "in.mkv",
        3,
        codec="libx265",
        pix_fmt="yuv420p10le",
        tags=(BT2020, PQ, BT2020, 1),
        size=(64, 64),
        options={"x265-params": f"log-level=error:hdr10=1:master-display={display}:max-cll=1000,400"},
    )
    before, _ = examine(str(source))
    assert before.hdr.light == (1000, 400)
    for ending in ("mkv", "mp4"):
        whole(upscale(source, model, tmp_path / f"out.{ending}"))
        after, first = examine(str(tmp_path / f"out.{ending}"))
        assert after.hdr == before.hdr != Hdr()
        assert after.tags == before.tags == (BT2020, PQ, BT2020, 1)
        assert first.format.name == "yuv420p10le"
    assert before.hdr.luminance == (Fraction(5, 1000), Fraction(1000))


def test_hlg_and_full_range_and_siting_go_through(tmp_path: Path, model: str) -> None:
    for number, (tags, siting) in enumerate((((BT2020, HLG, BT2020, 1), "topleft"), ((1, 1, 1, 2), "center"))):
        source = make_video(
            tmp_path / f"in{number}.mkv",
            3,
            pix_fmt="yuv420p10le",
            tags=tags,
            options={"chroma_sample_location": siting},
        )
        whole(upscale(source, model, tmp_path / f"out{number}.mkv"))
        before, after = (examine(str(tmp_path / f"{name}{number}.mkv"))[0] for name in ("in", "out"))
        assert after.tags == before.tags == tags
        assert after.coding == before.coding
        assert after.coding.siting == siting


def test_an_edit_list_is_honored(tmp_path: Path, model: str) -> None:
    source = make_video(tmp_path / "in.mp4", [-1024, -512, 0, 512, 1024, 4096], sound=True)
    whole(upscale(source, model, tmp_path / "out.mp4"))
    assert times_of(tmp_path / "out.mp4") == times_of(source)
    assert len(times_of(source)) == 4


def test_time_and_space_are_told_before_the_start(tmp_path: Path, model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    source = make_video(tmp_path / "in.mp4", 50, size=(64, 96))
    job = prepare(VideoRequest(str(source), out=str(tmp_path / "out.mp4"), model=model, options=ENGINE))
    try:
        assert job.frames == 50
        assert job.disk_bytes == round(source.stat().st_size * 4**0.75)
        assert estimate_seconds(job) > 0.0
        assert disk_note(job) is None
        monkeypatch.setattr("upres.video.plan.free_bytes", lambda _: job.disk_bytes)
        assert "twice that while it is put together" in (disk_note(job) or "")
    finally:
        job.journal.release()
        job.upscaler.close()


def test_every_result_is_decoded_without_a_complaint(tmp_path: Path, model: str) -> None:
    """As players do it, in the order of the file: no message of FFmpeg, one frame for each."""
    source = make_video(tmp_path / "in.mkv", 4, sound=True, size=(64, 64))
    pairs = [("h264", "mp4"), ("h264", "mov"), ("hevc", "mkv"), ("av1", "webm"), ("vp9", "webm"), ("prores", "mov")]
    silent = make_video(tmp_path / "silent.mkv", 4, size=(64, 64))
    for codec, ending in (*pairs, ("ffv1", "mkv")):
        out = tmp_path / f"{codec}.{ending}"
        whole(upscale(silent if ending == "webm" else source, model, out, codec=codec))
        av.logging.set_level(av.logging.WARNING)
        try:
            with av.logging.Capture(False) as lines, av.open(str(out)) as file:
                assert len(list(file.decode(video=0))) == 4
        finally:
            av.logging.set_level(None)
        harmless = "UDTA parsing failed"  # FFmpeg's reader of MOV, of the title that FFmpeg writes
        assert [line for line in lines if "swscaler" not in line[1] and harmless not in line[2]] == []
