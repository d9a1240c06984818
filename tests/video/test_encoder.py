"""What encoders are told, and the nearest format of pixels."""

from __future__ import annotations

import os
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import pytest

from tests import REPOSITORY
from tests.video.made import BASE, moving_planes
from upres.errors import UsageError
from upres.video.encoder import ENCODERS, Encoding, best_layout, encoder_name, fitting_size, formats_of
from upres.video.frames import frame_of, layout_of
from upres.video.mux import Window, write_result
from upres.video.segments import SegmentWriter, is_whole, read_index
from upres.video.source import Hdr, Video, examine

HDR = Hdr(
    tuple(Fraction(number, 50_000) for number in (34000, 16000, 13250, 34500, 7500, 3000, 15635, 16450)),
    (Fraction(50, 10_000), Fraction(1000)),
    (1000, 400),
)


def encoding(codec: str, pix_fmt: str, **changes: object) -> Encoding:
    fields = {
        "codec": codec,
        "layout": layout_of(pix_fmt),
        "height": 64,
        "width": 96,
        "crf": 20 if ENCODERS[codec].crf else None,
        "time_base": BASE,
        "rate": Fraction(25),
        "tags": (9, 16, 9, 1),
        "siting": "topleft",
        "aspect": None,
        "hdr": Hdr(),
        "gop": 8,
        "threads": 1,
    }
    return Encoding(**{**fields, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("codec", "pix_fmt"),
    [
        ("h264", "yuv420p"),
        ("hevc", "yuv420p10le"),
        ("av1", "yuv420p10le"),
        ("vp9", "yuv420p"),
        ("ffv1", "yuv422p12le"),
        ("prores", "yuv422p10le"),
    ],
)
def test_segments_of_every_codec_make_one_file(tmp_path: Path, codec: str, pix_fmt: str) -> None:
    """Two segments with encoders of their own: all frames, at their times, with their tags."""
    asked = encoding(codec, pix_fmt)
    paths, times = [], []
    for number in range(2):
        path = tmp_path / f"{number}.upres"
        with SegmentWriter(path, asked) as writer:
            for index in range(8 if number == 0 else 3):
                planes = moving_planes(8 * number + index, 64, 96, pix_fmt)
                times.append((8 * number + index) * 512 + index % 2 * 7)
                writer.add(frame_of(planes, asked.layout), times[-1], 512)
            sha256 = writer.close()
        assert is_whole(path, sha256)
        paths.append(path)
    indexes = [read_index(path) for path in paths]
    assert all(index.frames[0].key for index in indexes)
    assert indexes[0].extradata == indexes[1].extradata
    source = Video(
        "-",
        0,
        32,
        48,
        asked.layout,
        None,
        asked.tags,
        BASE,
        Fraction(25),
        11,
        0,
        0.0,
        None,
        None,
        False,
        Hdr(),
        0,
        (),
        True,
    )  # type: ignore[arg-type]
    out = tmp_path / f"out{ENCODERS[codec].endings[0]}"
    write_result(out, paths, asked, source, Window())
    with av.open(str(out)) as file:
        frames = list(file.decode(video=0))
        base = file.streams.video[0].time_base
    unit = max(base, Fraction(0)) if base > BASE else Fraction(0)  # Matroska's milliseconds
    assert len(frames) == 11
    for frame, time in zip(frames, times, strict=True):
        assert abs(frame.pts * base - time * BASE) <= unit
    assert frames[0].format.name == pix_fmt
    assert (frames[0].color_primaries, frames[0].color_trc, frames[0].colorspace) == (9, 16, 9)


@pytest.mark.parametrize("codec", ["hevc", "h264", "av1"])
def test_hdr10_is_written(tmp_path: Path, codec: str) -> None:
    asked = encoding(codec, "yuv420p10le", hdr=HDR)
    path = tmp_path / "0.upres"
    with SegmentWriter(path, asked) as writer:
        for index in range(4):
            writer.add(frame_of(moving_planes(index, 64, 96, "yuv420p10le"), asked.layout), index * 512, 512)
        writer.close()
    source = Video(
        "-",
        0,
        32,
        48,
        asked.layout,
        None,
        asked.tags,
        BASE,
        Fraction(25),
        4,
        0,
        0.0,
        None,
        None,
        False,
        Hdr(),
        0,
        (),
        True,
    )  # type: ignore[arg-type]
    out = tmp_path / "out.mkv"
    write_result(out, [path], asked, source, Window())
    found, _ = examine(str(out))
    assert found.hdr.light == (1000, 400)
    assert [round(float(one), 3) for one in found.hdr.primaries] == [round(float(one), 3) for one in HDR.primaries]
    assert [round(float(one), 3) for one in found.hdr.luminance] == [0.005, 1000.0]
    assert found.coding.siting == "topleft"


def test_the_same_frames_give_the_same_bytes(tmp_path: Path) -> None:
    """x264's AVX-512 code differed from run to run at this size."""
    found = set()
    for number in range(6):
        with SegmentWriter(tmp_path / f"{number}.upres", encoding("h264", "yuv420p", height=128, width=192)) as writer:
            for index in range(9):
                writer.add(frame_of(moving_planes(index, 128, 192, "yuv420p"), layout_of("yuv420p")), index * 512, 512)
            found.add(writer.close())
    assert len(found) == 1


@pytest.mark.parametrize(
    ("codec", "wanted", "best"),
    [
        ("h264", "yuv420p", "yuv420p"),
        ("h264", "gbrp", "yuv444p"),
        ("h264", "yuv444p12le", "yuv444p10le"),
        ("h264", "gray", "gray"),
        ("hevc", "yuv420p12le", "yuv420p12le"),
        ("av1", "yuv444p", "yuv420p"),
        ("ffv1", "gbrap16le", "gbrap16le"),
        ("prores", "yuva420p", "yuva444p10le"),
        ("prores", "yuv420p", "yuv422p10le"),
    ],
)
def test_the_nearest_format(codec: str, wanted: str, best: str) -> None:
    found = best_layout(layout_of(wanted), formats_of(codec))
    assert found is not None
    assert found.name == best


def test_names_and_sizes() -> None:
    assert [encoder_name(name) for name in ("h264", "libx265", "H265", "AV1")] == ["h264", "hevc", "hevc", "av1"]
    with pytest.raises(UsageError, match=r"`codec='h266'` is unknown, did you mean 'h26"):
        encoder_name("h266")
    assert fitting_size(7, 9, layout_of("yuv420p")) == (8, 10)
    assert fitting_size(7, 9, layout_of("yuv422p")) == (7, 10)
    assert fitting_size(7, 9, layout_of("gbrp")) == (7, 9)


@pytest.mark.parametrize("size", [(32, 40), (32, 48), (64, 48)])
def test_narrow_pictures_in_hevc_do_not_end_the_process(tmp_path: Path, size: tuple[int, int]) -> None:
    """x265's code for vectors writes beyond its memory there, which ends the process a moment later."""
    script = (
        "import sys; from pathlib import Path; from fractions import Fraction\n"
        "from tests.video.made import moving_planes\n"
        "from upres.video.encoder import Encoding; from upres.video.frames import frame_of, layout_of\n"
        "from upres.video.segments import SegmentWriter; from upres.video.source import Hdr\n"
        "layout = layout_of('yuv420p'); height, width = int(sys.argv[2]), int(sys.argv[3]); base = Fraction(1, 25)\n"
        "tags = (1, 1, 1, 1); rate = Fraction(25)\n"
        "one = Encoding('hevc', layout, height, width, 18, base, rate, tags, 'left', None, Hdr(), 25)\n"
        "with SegmentWriter(Path(sys.argv[1]), one) as writer:\n"
        "    for n in range(4): writer.add(frame_of(moving_planes(n, height, width, 'yuv420p'), layout), n, 1)\n"
        "    writer.close()\n"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "one.upres"), *map(str, size)]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("codec", list(ENCODERS))
@pytest.mark.skipif(sys.platform != "linux", reason="scheduling of Linux")
def test_no_encoder_leaves_threads_in_real_time(codec: str) -> None:
    """SVT-AV1 would, for root: nothing else of the machine ran then."""
    context = encoding(codec, formats_of(codec)[0]).open()
    policies = {os.sched_getscheduler(int(task.name)) for task in Path("/proc/self/task").iterdir()}
    del context
    assert not policies & {os.SCHED_FIFO, os.SCHED_RR}
