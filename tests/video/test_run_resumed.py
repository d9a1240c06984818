"""Videos that were stopped: what goes on, what is made again, what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.tiny import compact_file
from tests.video.made import hashes_of, make_video, moving_planes, times_of
from tests.video.test_run import Counting, upscale, whole
from upres.errors import InputError, OutputError, UsageError
from upres.video.journal import folder_of


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(compact_file(tmp_path_factory.mktemp("model") / "tiny.safetensors"))


def test_a_stopped_run_goes_on_and_gives_the_same_file(tmp_path: Path, model: str) -> None:
    source = make_video(tmp_path / "in.mp4", 23, sound=True)
    straight, out = tmp_path / "straight.mp4", tmp_path / "out.mp4"
    whole(upscale(source, model, straight))
    resumed = []
    for stop_after in (3.2, 7.0, 12.6, 18.0):
        report = upscale(source, model, out, Counting(stop_after))
        assert isinstance(report.error, KeyboardInterrupt)
        assert not out.exists()
        resumed.append(report.resumed)
    assert resumed == sorted(resumed)
    report = whole(upscale(source, model, out))
    assert report.resumed >= 10  # at most one segment of 5 frames is made again
    assert report.frames == 23
    assert hashes_of(out) == hashes_of(straight)
    assert times_of(out) == times_of(straight)
    assert out.read_bytes() == straight.read_bytes()


def test_a_damaged_segment_and_those_after_it_are_made_again(tmp_path: Path, model: str) -> None:
    source = make_video(tmp_path / "in.mp4", 17)
    straight, out = tmp_path / "straight.mp4", tmp_path / "out.mp4"
    whole(upscale(source, model, straight))
    upscale(source, model, out, Counting(16.5))
    second = folder_of(out) / "segment-000001.upres"
    data = bytearray(second.read_bytes())
    data[10] ^= 1
    second.write_bytes(data)
    report = whole(upscale(source, model, out))
    assert report.resumed == 5
    assert hashes_of(out) == hashes_of(straight)


def test_what_was_met_is_counted_once(tmp_path: Path, model: str) -> None:
    source = make_video(tmp_path / "in.mp4", 23, options={"x264-params": "interlaced=1"})
    straight = whole(upscale(source, model, tmp_path / "straight.mp4"))
    out = tmp_path / "out.mp4"
    upscale(source, model, out, Counting(12.0))
    resumed = whole(upscale(source, model, out))
    assert resumed.resumed > 0
    told = [[note for note in report.notes if "interlaced" in note] for report in (straight, resumed)]
    assert told[0] == ["23 frames were interlaced and have been deinterlaced (bwdif)"]
    assert int(told[1][0].split()[0]) - 23 in (0, 1)  # the filter is a frame ahead
    assert hashes_of(out) == hashes_of(tmp_path / "straight.mp4")


def test_other_settings_do_not_mix(tmp_path: Path, model: str) -> None:
    source = make_video(tmp_path / "in.mp4", 12)
    out = tmp_path / "out.mp4"
    upscale(source, model, out, Counting(8.0))
    with pytest.raises(UsageError, match=r"`crf`: not set before, 30 now"):
        upscale(source, model, out, crf=30)
    whole(upscale(source, model, out, crf=30, overwrite=True))
    with pytest.raises(OutputError, match="exists"):
        upscale(source, model, out)
    with pytest.raises(UsageError, match="overwrite the source"):
        upscale(source, model, source, overwrite=True)


def test_a_source_that_changed_is_refused(tmp_path: Path, model: str) -> None:
    source = make_video(tmp_path / "in.mp4", 12)
    out = tmp_path / "out.mp4"
    upscale(source, model, out, Counting(8.0))
    make_video(source, 12, planes=lambda number, *size: moving_planes(number + 50, *size))
    with pytest.raises(UsageError, match="`input`"):
        upscale(source, model, out)


def test_a_model_that_fails_in_the_middle_leaves_what_is_done(
    tmp_path: Path, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from upres.video import run as module

    source = make_video(tmp_path / "in.mp4", 12)
    out = tmp_path / "out.mp4"
    plain, calls = module.FrameEnlarger.__call__, []

    def failing(self: Any, *arguments: Any) -> Any:
        calls.append(1)
        if len(calls) > 8:
            raise InputError("the model fails here")
        return plain(self, *arguments)

    monkeypatch.setattr(module.FrameEnlarger, "__call__", failing)
    report = upscale(source, model, out)
    assert "fails here" in str(report.error)
    assert report.frames == 5
    monkeypatch.undo()
    assert whole(upscale(source, model, out)).resumed == 5
