"""Files that are damaged, cut off or unusual: no frame is lost without a word."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from tests.video.made import BASE, make_video, moving_planes, times_of
from upres.errors import InputError
from upres.video.frames import frame_of, layout_of, planes_of
from upres.video.reader import FrameReader, Place, SourceFrame, digest_of
from upres.video.source import examine


def read(path: Path, **options: object) -> tuple[list[SourceFrame], FrameReader]:
    reader = FrameReader(examine(str(path))[0], **options)  # type: ignore[arg-type]
    return list(reader), reader


def rewritten(source: Path, out: Path, change: Callable[[int, bytes], bytes]) -> Path:
    """A copy whose packets of video have passed through `change`, called with their number."""
    with av.open(str(source)) as before, av.open(str(out), "w") as after:
        track = after.add_stream_from_template(before.streams.video[0], opaque=True)
        for number, packet in enumerate(before.demux(video=0)):
            if packet.size:
                new = av.Packet(change(number, bytes(packet)))
                new.stream, new.time_base, new.pts, new.dts = track, packet.time_base, packet.pts, packet.dts
                new.duration, new.is_keyframe = packet.duration, packet.is_keyframe
                after.mux_one(new)
    return out


def test_frames_are_those_of_the_decoder(tmp_path: Path) -> None:
    source = make_video(tmp_path / "in.mp4", [0, 512, 700, 3000, 3001])
    frames, reader = read(source)
    layout = reader.video.layout
    with av.open(str(source)) as file:
        theirs = [(frame.pts, digest_of(planes_of(frame, layout))) for frame in file.decode(video=0)]
    assert [(frame.pts, frame.digest) for frame in frames] == theirs
    assert reader.counts.notes == ()


@pytest.mark.parametrize("codec", ["mjpeg", "ffv1"])
def test_a_frame_that_cannot_be_decoded_is_repeated_and_told(tmp_path: Path, codec: str) -> None:
    pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
    source = make_video(tmp_path / "in.mkv", 8, codec=codec, pix_fmt=pix_fmt, options={"g": "1"})
    whole, _ = read(source)
    spoiled = rewritten(source, tmp_path / "bad.mkv", lambda number, data: b"\0" * 16 if number in (3, 4, 7) else data)
    frames, reader = read(spoiled)
    assert [frame.pts for frame in frames] == [frame.pts for frame in whole]
    assert reader.counts.repeated == 3
    digests = [frame.digest for frame in frames]
    assert digests[2] == digests[3] == digests[4]
    assert digests[6] == digests[7]
    assert digests[5] == whole[5].digest
    assert "3 frames could not be decoded" in reader.counts.notes[0]


def test_damaged_h264_keeps_every_time(tmp_path: Path) -> None:
    source = make_video(tmp_path / "in.mp4", 40, size=(64, 96))
    rng = np.random.default_rng(0)

    def spoil(number: int, data: bytes) -> bytes:
        if number % 7 != 3:
            return data
        changed = bytearray(data)
        for at in rng.integers(8, len(data), 6):
            changed[at] ^= 0x55
        return bytes(changed)

    spoiled = rewritten(source, tmp_path / "bad.mp4", spoil)
    frames, reader = read(spoiled)
    assert [frame.pts for frame in frames] == [round(time / BASE) for time in times_of(source)]
    assert reader.counts.repeated + reader.counts.damaged > 0


def test_a_file_that_was_cut_off_is_told(tmp_path: Path) -> None:
    source = make_video(tmp_path / "in.mkv", 100, codec="ffv1")
    cut = tmp_path / "cut.mkv"
    cut.write_bytes(source.read_bytes()[: source.stat().st_size // 2])
    frames, reader = read(cut)
    assert 30 < len(frames) < 70
    assert "before its file says" in reader.counts.notes[-1]


def test_another_size_in_the_middle(tmp_path: Path) -> None:
    small, large = (
        make_video(tmp_path / f"{name}.h264", 4, size=size, format="h264")
        for name, size in (("small", (32, 48)), ("large", (48, 64)))
    )
    both = tmp_path / "both.h264"
    both.write_bytes(small.read_bytes() + large.read_bytes())
    frames, reader = read(both)
    assert [frame.planes[0].shape for frame in frames] == [(32, 48)] * 4 + [(48, 64)] * 4
    assert reader.counts.resized == 4
    stamps = [frame.pts for frame in frames]
    assert stamps == sorted(set(stamps))


def test_missing_times_are_made(tmp_path: Path) -> None:
    source = make_video(tmp_path / "in.h264", 6, format="h264")
    frames, _ = read(source)
    stamps = [frame.pts for frame in frames]
    assert len(stamps) == 6
    assert stamps == sorted(set(stamps))


def test_times_before_zero_and_edit_lists(tmp_path: Path) -> None:
    source = make_video(tmp_path / "in.mp4", [-1024, -512, 0, 512, 1024])
    frames, reader = read(source)
    assert [frame.pts * BASE for frame in frames] == times_of(source)
    assert reader.counts.moved == 0
    assert len(frames) == 3  # the edit list that FFmpeg has written hides what is before zero


@pytest.mark.parametrize("ending", ["mp4", "mkv"])
def test_interlaced_frames_are_deinterlaced(tmp_path: Path, ending: str) -> None:
    """Fields of a moving edge: combs before, none after."""

    def combed(number: int, height: int, width: int, pix_fmt: str) -> list[np.ndarray]:
        planes = moving_planes(0, height, width, pix_fmt)
        columns = np.arange(width)
        for row in range(height):
            edge = 8 * number + 4 * (row % 2)
            planes[0][row] = np.where(columns < edge, 200, 50)
        return planes

    def comb(luma: np.ndarray) -> float:
        wide = luma.astype(float)
        return float(np.abs(wide[1:-1] - (wide[:-2] + wide[2:]) / 2).mean())

    source = make_video(
        tmp_path / f"in.{ending}",
        10,
        size=(64, 128),
        planes=combed,
        options={"x264-params": "interlaced=1", "crf": "5"},
    )
    frames, reader = read(source)
    assert [frame.pts * reader.video.time_base for frame in frames] == times_of(source)
    assert reader.counts.interlaced == 10
    assert "deinterlaced" in reader.counts.notes[0]
    with av.open(str(source)) as file:
        before = [comb(frame.to_ndarray()[:64]) for frame in file.decode(video=0)][4]
    assert comb(frames[4].planes[0]) < before / 5
    # Going on in the middle gives the same frames.
    rest = list(FrameReader(reader.video, after=Place(5, frames[4].pts, frames[4].digest)))
    assert [frame.digest for frame in rest] == [frame.digest for frame in frames[5:]]


def test_going_on_after_a_frame(tmp_path: Path) -> None:
    source = make_video(tmp_path / "in.mp4", 30, options={"g": "8"})
    frames, reader = read(source)
    for count in (1, 7, 8, 9, 29):
        place = Place(count, frames[count - 1].pts, frames[count - 1].digest)
        rest = list(FrameReader(reader.video, after=place))
        assert [frame.digest for frame in rest] == [frame.digest for frame in frames[count:]]
    with pytest.raises(InputError, match="other frames than when the job began"):
        list(FrameReader(reader.video, after=Place(7, frames[6].pts, "another")))


def test_an_attached_picture_is_not_the_video(tmp_path: Path) -> None:
    path = tmp_path / "cover.mp4"
    with av.open(str(path), "w") as file:
        cover = file.add_stream("mjpeg", rate=1, options={"strict": "-1"})
        cover.height, cover.width, cover.pix_fmt = 20, 20, "yuvj420p"
        cover.disposition = av.stream.Disposition.attached_pic
        track = file.add_stream("libx264", rate=25)
        track.height, track.width, track.pix_fmt = 32, 48, "yuv420p"
        layout = layout_of("yuv420p")
        file.mux(cover.encode(frame_of(moving_planes(0, 20, 20, "yuv420p"), layout).reformat(format="yuvj420p")))
        file.mux(cover.encode())
        for number in range(3):
            file.mux(track.encode(frame_of(moving_planes(number, 32, 48, "yuv420p"), layout)))
        file.mux(track.encode())
    video, _ = examine(str(path))
    assert (video.height, video.width) == (32, 48)
    assert len(list(FrameReader(video))) == 3
    only = tmp_path / "only.mp4"
    with av.open(str(only), "w") as file:
        cover = file.add_stream("mjpeg", rate=1, options={"strict": "-1"})
        cover.height, cover.width, cover.pix_fmt = 20, 20, "yuvj420p"
        cover.disposition = av.stream.Disposition.attached_pic
        file.mux(cover.encode(frame_of(moving_planes(0, 20, 20, "yuv420p"), layout).reformat(format="yuvj420p")))
        file.mux(cover.encode())
    with pytest.raises(InputError, match="has no video, only 1 attached picture"):
        examine(str(only))


def test_a_part_by_time(tmp_path: Path) -> None:
    source = make_video(tmp_path / "in.mp4", 20, options={"g": "5"})
    frames, _ = read(source)
    part, _ = read(source, start_pts=frames[7].pts, end_pts=frames[12].pts)
    assert [frame.digest for frame in part] == [frame.digest for frame in frames[7:12]]
    assert Fraction(1, 12800) == BASE
