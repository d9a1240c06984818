"""Videos side by side: each column is its source at the time of the first, whatever the rates and sizes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from tests.video.made import make_video, times_of
from upres.errors import InputError
from upres.video.columns import frame_times, join_columns
from upres.video.frames import layout_of, planes_of


def gray(start: int) -> Any:
    """Frames whose luma says their number."""

    def planes(number: int, height: int, width: int, _: str) -> list[np.ndarray]:
        chroma = np.full((height // 2, width // 2), 128, np.uint8)
        return [np.full((height, width), start + 4 * number, np.uint8), chroma, chroma]

    return planes


def test_columns_are_the_frames_shown_at_the_same_time(tmp_path: Path) -> None:
    one = make_video(tmp_path / "one.mp4", [0, 512, 1024, 3000, 4096], size=(32, 48), planes=gray(40))
    two = make_video(tmp_path / "two.mkv", [6400 + 1024 * n for n in range(3)], size=(64, 96), planes=gray(120))
    done: list[float] = []
    columns = join_columns([str(one), str(two)], tmp_path / "out.mp4", done.append)
    assert done == [1.0, 2.0, 3.0, 4.0, 5.0]
    assert (columns.height, columns.width, columns.whole) == (64, 96, (64, 196))
    assert list(columns.times) == pytest.approx([float(time) for time in times_of(one)], abs=1e-6)
    assert columns.times == frame_times(tmp_path / "out.mp4")
    with av.open(str(tmp_path / "out.mp4")) as file:
        found = [planes_of(frame, layout_of("yuv420p"))[0] for frame in file.decode(video=0)]
    numbers = [0, 0, 1, 2, 2]  # of the second, whose frames come half as often and which ends early
    for number, (frame, other) in enumerate(zip(found, numbers, strict=True)):
        assert abs(float(frame[:, 4:92].mean()) - (40 + 4 * number)) < 1.5
        assert abs(float(frame[:, 104:192].mean()) - (120 + 4 * other)) < 1.5
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_what_is_no_video_leaves_nothing(tmp_path: Path) -> None:
    one = make_video(tmp_path / "one.mp4", 3)
    (tmp_path / "two.mp4").write_bytes(b"")
    with pytest.raises(InputError, match=r"two\.mp4 is empty"):
        join_columns([str(one), str(tmp_path / "two.mp4")], tmp_path / "out.mp4", lambda _: None)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one.mp4", "two.mp4"]
