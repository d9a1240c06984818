"""y4m against FFmpeg's reader, and through pipes."""

from __future__ import annotations

import io
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from tests.tiny import compact_file
from tests.video.made import hashes_of, make_video, moving_planes, times_of
from upres.errors import OutputError
from upres.video.frames import layout_of, planes_of
from upres.video.y4m import FORMATS, Y4mSink, head
from upres.video.yuv import Coding


@pytest.mark.parametrize("name", FORMATS)
def test_ffmpeg_reads_what_is_written(name: str) -> None:
    layout = layout_of(name)
    coding = Coding("gray" if layout.kind == "gray" else "bt709", depth=layout.depth, step=layout.step)
    file = io.BytesIO()
    sink = Y4mSink(file, head(layout, coding, 31, 45, Fraction(30000, 1001), Fraction(4, 3)))
    frames = [moving_planes(number, 31, 45, name) for number in range(2)]
    for planes in frames:
        sink.add(planes)
    sink.close()
    file.seek(0)
    with av.open(file, format="yuv4mpegpipe") as reader:
        stream = reader.streams.video[0]
        assert stream.average_rate == Fraction(30000, 1001)
        assert stream.sample_aspect_ratio == Fraction(4, 3)
        for frame, planes in zip(reader.decode(video=0), frames, strict=True):
            assert frame.format.name == name
            for one, other in zip(planes_of(frame, layout), planes, strict=True):
                np.testing.assert_array_equal(one, other)


def test_rgb_is_refused() -> None:
    with pytest.raises(OutputError, match=r"y4m does not have gbrp; choose another `pix_fmt`"):
        head(layout_of("gbrp"), Coding("rgb"), 4, 4, Fraction(25), None)


@pytest.mark.slow
def test_pipes(tmp_path: Path) -> None:
    """A video to y4m on stdout, and that on stdin to a video."""
    source = make_video(tmp_path / "in.mkv", 5, codec="ffv1", tags=(2, 2, 2, 0))
    model = compact_file(tmp_path / "tiny.safetensors")
    command = [sys.executable, "-m", "upres", "video", "-n", str(model), "--engine", "ncnn", "--threads", "1"]
    large = subprocess.run([*command, str(source), "-o", "-"], check=True, capture_output=True)
    assert large.stdout.startswith(b"YUV4MPEG2 W96 H64 F25:1 Ip A0:0 C420mpeg2 XCOLORRANGE=LIMITED\n")
    out = tmp_path / "out.mkv"
    subprocess.run(
        [*command, "-", "-o", str(out), "--codec", "ffv1"], check=True, input=large.stdout, capture_output=True
    )
    assert times_of(out) == [Fraction(40 * number, 1000) for number in range(5)]
    straight = tmp_path / "straight.mkv"
    subprocess.run(
        [*command, str(source), "-o", str(tmp_path / "2.mkv"), "--codec", "ffv1"], check=True, capture_output=True
    )
    subprocess.run(
        [*command, str(tmp_path / "2.mkv"), "-o", str(straight), "--codec", "ffv1"], check=True, capture_output=True
    )
    assert hashes_of(out) == hashes_of(straight)
