"""Whole runs over sources that are broken or strange: every frame has its time in the result, or it is refused."""

from __future__ import annotations

import struct
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from tests.tiny import compact_file
from tests.video.made import make_video, packets_of, times_of
from tests.video.test_reader import rewritten
from tests.video.test_run import Counting, upscale, whole
from upres.errors import InputError
from upres.video.plan import prepare
from upres.video.request import VideoRequest


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(compact_file(tmp_path_factory.mktemp("model") / "tiny.safetensors"))


def joined(tmp_path: Path, *parts: dict[str, Any]) -> Path:
    """One raw H.264 stream of several encodings, four frames each."""
    both = tmp_path / "both.h264"
    data = [make_video(tmp_path / f"{n}.h264", 4, format="h264", **part).read_bytes() for n, part in enumerate(parts)]
    both.write_bytes(b"".join(data))
    return both


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        (({"size": (32, 48)}, {"size": (48, 64)}), "another size"),
        (({"pix_fmt": "yuv420p"}, {"pix_fmt": "yuv444p"}), ""),
        (({"pix_fmt": "yuv420p"}, {"pix_fmt": "yuv420p10le"}), ""),
        (({"pix_fmt": "yuv420p10le"}, {"pix_fmt": "gray"}), ""),
    ],
)
def test_size_and_pixels_that_change_in_the_middle(
    tmp_path: Path, model: str, parts: tuple[dict[str, Any], ...], words: str
) -> None:
    source = joined(tmp_path, *parts)
    out = tmp_path / "out.mkv"
    report = whole(upscale(source, model, out))
    assert report.frames == 8
    assert len(times_of(out)) == 8
    assert words in " ".join(report.notes)
    with av.open(str(out)) as file:
        shapes = {(frame.height, frame.width, frame.format.name) for frame in file.decode(video=0)}
    assert len(shapes) == 1
    # The picture goes on: both halves show the same waves.
    with av.open(str(out)) as file:
        means = [float(frame.to_ndarray(format="gray8").mean()) for frame in file.decode(video=0)]
    assert max(means) - min(means) < 12


def test_pixels_that_cannot_be_decoded_are_repeated_and_told(tmp_path: Path, model: str) -> None:
    good = make_video(tmp_path / "in.mkv", 9, codec="ffv1", options={"g": "1"}, sound=True)
    bad = rewritten(good, tmp_path / "bad.mkv", lambda number, data: b"\0" * 16 if number in (3, 8) else data)
    report = whole(upscale(bad, model, tmp_path / "out.mkv"))
    assert report.frames == 9
    assert times_of(tmp_path / "out.mkv") == times_of(good)
    assert "2 frames could not be decoded; the frame before was shown again" in " ".join(report.notes)


def test_one_frame(tmp_path: Path, model: str) -> None:
    for ending in ("mp4", "mkv"):
        source = make_video(tmp_path / f"in.{ending}", 1, sound=True, sound_s=0.5)
        report = whole(upscale(source, model, tmp_path / f"out.{ending}"))
        assert report.frames == 1
        assert report.flicker is None
        assert times_of(tmp_path / f"out.{ending}") == times_of(source)
        assert packets_of(tmp_path / f"out.{ending}", "audio") == packets_of(source, "audio")


def test_an_mp4_cut_off_behind_its_index(tmp_path: Path, model: str) -> None:
    whole_file = make_video(tmp_path / "in.mkv", 60, size=(64, 96), sound=True, options={"bf": "0"})
    fast = tmp_path / "fast.mp4"
    with av.open(str(whole_file)) as before, av.open(str(fast), "w", options={"movflags": "faststart"}) as after:
        tracks = {stream.index: after.add_stream_from_template(stream) for stream in before.streams}
        for packet in before.demux():
            if packet.dts is not None:
                packet.stream = tracks[packet.stream.index]
                after.mux(packet)
    data = fast.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")
    fast.write_bytes(data[: (data.index(b"mdat") + len(data)) // 2])
    report = whole(upscale(fast, model, tmp_path / "out.mp4"))
    assert 10 < report.frames < 60
    assert "before its file says: the file may have been cut off" in " ".join(report.notes)
    times = times_of(tmp_path / "out.mp4")
    assert [float(time) for time in times] == pytest.approx(
        [float(time) for time in times_of(whole_file)[: len(times)]]
    )


def test_times_that_are_negative_missing_or_late(tmp_path: Path, model: str) -> None:
    for ending, times in (
        ("mp4", [-1024, -512, 0, 512, 1024]),  # with an edit list
        ("mkv", [-1024, -512, 0, 512, 1024]),
        ("ts", [0, 512, 1024, 1536]),  # whose clock begins somewhere
        ("mkv", [512_000, 512_512, 513_024]),
    ):
        source = make_video(tmp_path / f"in{len(times)}.{ending}", times)
        out = tmp_path / f"out-{ending}-{len(times)}.mkv"
        whole(upscale(source, model, out))
        wanted = times_of(source)
        assert [float(time) for time in times_of(out)] == pytest.approx([float(time) for time in wanted], abs=0.0011)
        assert wanted
    raw = make_video(tmp_path / "in.h264", 6, format="h264")
    whole(upscale(raw, model, tmp_path / "raw.mkv"))
    found = times_of(tmp_path / "raw.mkv")
    assert len(found) == 6
    assert all(0 < later - now < Fraction(1, 10) for now, later in pairwise(found))


@pytest.mark.parametrize("rotation", [90, 180, -90])
def test_the_display_matrix_is_kept(tmp_path: Path, model: str, rotation: int) -> None:
    source = make_video(tmp_path / "in.mp4", 2, rotation=rotation)
    whole(upscale(source, model, tmp_path / "out.mp4"))
    turned = []
    for path in (source, tmp_path / "out.mp4"):
        with av.open(str(path)) as file:
            turned.append(next(file.decode(video=0)).rotation)
    assert turned[0] == turned[1] != 0


@pytest.mark.parametrize("size", [(1, 1), (1, 2), (17, 23), (33, 47)])
def test_small_and_odd_sizes_of_420(tmp_path: Path, model: str, size: tuple[int, int]) -> None:
    source = make_video(tmp_path / "in.mkv", 2, codec="ffv1", size=size)
    whole(upscale(source, model, tmp_path / "out.mp4"))
    with av.open(str(tmp_path / "out.mp4")) as file:
        frame = next(file.decode(video=0))
    assert (frame.height, frame.width) == (2 * size[0], 2 * size[1])


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "is empty"),
        (b"a text\n" * 40, "text"),
        (b"\x1a\x45\xdf\xa3" + bytes(300), "damaged"),
        (struct.pack(">I4s4sI", 16, b"ftyp", b"isom", 0) + bytes(50), "has no index"),
        (np.random.default_rng(0).bytes(5000), "no video that upres reads"),
    ],
)
def test_what_is_no_video_leaves_nothing(tmp_path: Path, model: str, data: bytes, words: str) -> None:
    source = tmp_path / "in.mp4"
    source.write_bytes(data)
    with pytest.raises(InputError, match=words):
        prepare(VideoRequest(str(source), out=str(tmp_path / "out.mp4"), model=model))
    assert [path.name for path in tmp_path.iterdir()] == ["in.mp4"]


def test_sound_without_video_beside_and_no_sound(tmp_path: Path, model: str) -> None:
    silent = make_video(tmp_path / "silent.mp4", 3)
    whole(upscale(silent, model, tmp_path / "out.mp4"))
    assert packets_of(tmp_path / "out.mp4", "audio") == {}
    watcher = Counting()
    report = upscale(silent, model, tmp_path / "late.mp4", watcher, start_s=Fraction(50))
    assert "no frames in this part" in str(report.error)
    assert not (tmp_path / "late.mp4").exists()
