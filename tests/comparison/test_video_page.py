"""The page of videos: it holds its video or names it, and loads nothing else."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path

import pytest

from upres.comparison import video_page
from upres.comparison.video_page import ColumnsVideo, draw_video_page, write_video_page
from upres.errors import OutputError

EVIL = "</script><img src=x>.mp4"
COLUMNS = ColumnsVideo(("bicubic", EVIL), 20, 30, (20, 64), 4, (0.0, 0.04), bicubic=True)


def test_the_video_is_in_the_page_and_names_stay_text() -> None:
    page = draw_video_page(EVIL, COLUMNS, b"not a video").decode()
    found = re.search(r'id="bytes">([^<]*)<', page)
    assert found is not None
    assert base64.b64decode(found[1]) == b"not a video"
    data = re.search(r'id="data">([^<]*)<', page)
    assert data is not None
    assert json.loads(data[1])["names"] == ["bicubic", EVIL]
    assert json.loads(data[1])["times"] == [0.0, 0.04]
    assert "<img src=x>" not in page
    assert "media-src blob:" in page
    assert "http" not in page.replace("http-equiv", "").replace("http://www.w3.org", "")
    assert len(page) < 60_000


def test_a_large_video_lies_beside_its_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(video_page, "MOST_BYTES", 10)
    for size in (10, 11):
        video = tmp_path / "hidden.mp4"
        video.write_bytes(b"x" * size)
        written = write_video_page(tmp_path / f"{size}.html", "title", COLUMNS, video)
        assert [one.name for one in written] == [f"{size}.html", *(["11.mp4"] if size == 11 else [])]
    assert (tmp_path / "11.mp4").read_bytes() == b"x" * 11
    assert '"file": "11.mp4"' in (tmp_path / "11.html").read_text()
    (tmp_path / "hidden.mp4").write_bytes(b"y" * 20)
    with pytest.raises(OutputError, match=r"11\.mp4 exists.*choose another name"):
        write_video_page(tmp_path / "11.html", "title", COLUMNS, tmp_path / "hidden.mp4")
    assert (tmp_path / "11.mp4").read_bytes() == b"x" * 11
