"""What a file is said to be: its tags, and what it is not."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from tests.video.made import make_video
from upres.errors import InputError
from upres.video.source import Hdr, examine, told_matrix

DISPLAY = "G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,50)"


def test_the_tags_of_a_video(tmp_path: Path) -> None:
    source = make_video(
        tmp_path / "in.mp4",
        options={"chroma_sample_location": "topleft"},
        tags=(9, 18, 9, 1),
        aspect=Fraction(16, 15),
        rotation=270,
    )
    video, first = examine(str(source))
    assert (video.height, video.width, video.frames, video.start) == (32, 48, 12, 0)
    assert video.tags == (9, 18, 9, 1)
    assert video.coding.matrix == "bt2020"
    assert video.coding.siting == "topleft"
    assert video.aspect == Fraction(16, 15)
    assert video.matrix is not None
    assert first.pts == 0


@pytest.mark.parametrize(("size", "matrix"), [((32, 48), "bt601"), ((720, 16), "bt709")])
def test_a_video_that_names_no_matrix(tmp_path: Path, size: tuple[int, int], matrix: str) -> None:
    source = make_video(tmp_path / "in.mkv", 1, codec="ffv1", size=size, tags=(2, 2, 2, 0))
    video, _ = examine(str(source))
    assert video.coding.matrix == matrix
    # A result that crosses the line must say what its colors are.
    assert told_matrix(video, 480) == (2 if matrix == "bt601" else 1)
    assert told_matrix(video, 1440) == (6 if matrix == "bt601" else 2)


def test_hdr10(tmp_path: Path) -> None:
    params = f"hdr10=1:master-display={DISPLAY}:max-cll=1000,400:log-level=error"
    source = make_video(
        tmp_path / "in.mkv",
        8,
        codec="libx265",
        pix_fmt="yuv420p10le",
        tags=(9, 16, 9, 1),
        size=(64, 64),
        options={"x265-params": params},
    )
    video, _ = examine(str(source))
    assert video.hdr.light == (1000, 400)
    assert [float(one) for one in video.hdr.luminance] == [0.005, 1000.0]
    assert [round(float(one), 4) for one in video.hdr.primaries] == [0.68, 0.32, 0.265, 0.69, 0.15, 0.06, 0.3127, 0.329]
    assert Hdr() == Hdr((), (), ())


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("empty.mp4", b"", "is empty"),
        ("text.mp4", b"These are words, not a video.\n" * 50, "seems to be text"),
        ("page.mkv", b"<!doctype html><html></html>", "seems to be a web page"),
        ("list.m3u8", b"#EXTM3U\n#EXTINF:1,\n/etc/passwd\n#EXT-X-ENDLIST\n", "seems to be text"),
        ("list.txt", b"ffconcat version 1.0\nfile in.mp4\n", "seems to be text"),
        ("noise.mkv", bytes(range(256)) * 20, "is no video that upres reads, or is damaged"),
    ],
)
def test_what_is_no_video(tmp_path: Path, name: str, data: bytes, words: str) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(InputError, match=words):
        examine(str(path))


def test_a_recording_without_its_index(tmp_path: Path) -> None:
    whole = make_video(tmp_path / "in.mp4", 30)
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    with pytest.raises(InputError, match="has no index"):
        examine(str(cut))


def test_a_picture_is_told(tmp_path: Path, example_photo: Path) -> None:
    path = tmp_path / "picture.mp4"
    path.write_bytes(example_photo.read_bytes())
    with pytest.raises(InputError, match="use upres upscale"):
        examine(str(path))
    with pytest.raises(InputError, match="cannot be read: No such file"):
        examine(str(tmp_path / "missing.mp4"))


def test_sound_alone_and_no_frames(tmp_path: Path) -> None:
    path = tmp_path / "sound.mp4"
    with av.open(str(path), "w") as file:
        tones = file.add_stream("aac", rate=44100)
        frame = av.AudioFrame.from_ndarray(np.zeros((2, 1024), np.float32), "fltp", "stereo")
        frame.sample_rate, frame.pts = 44100, 0
        file.mux(tones.encode(frame))
        file.mux(tones.encode())
    with pytest.raises(InputError, match="has no video"):
        examine(str(path))
    bare = tmp_path / "bare.mkv"
    with av.open(str(bare), "w") as file:
        track = file.add_stream("ffv1", rate=25)
        track.height, track.width, track.pix_fmt = 32, 32, "yuv420p"
        file.start_encoding()
    with pytest.raises(InputError, match=r"has no frame|is damaged"):
        examine(str(bare))
