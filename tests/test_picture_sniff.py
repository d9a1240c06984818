"""EXIF in TIFF: Pillow writes it, we say that it is there."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from PIL import Image

from upres.picture import read_picture
from upres.picture_sniff import tiff_has_exif


def _tiff(exif: bool, *, big: bool = False) -> bytes:
    tags = Image.Exif()
    if exif:
        tags[271], tags[306] = "ACME", "2020:01:01 00:00:00"
    target = io.BytesIO()
    Image.new("RGB", (8, 8), (9, 90, 200)).save(target, "TIFF", exif=tags, big_tiff=big)
    return target.getvalue()


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("exif", [False, True])
def test_exif_in_a_tiff_is_seen(tmp_path: Path, exif: bool, big: bool) -> None:
    data = _tiff(exif, big=big)
    (tmp_path / "a.tif").write_bytes(data)
    assert tiff_has_exif(data) is exif and tiff_has_exif(tmp_path / "a.tif") is exif
    assert any("EXIF" in note for note in read_picture(data).notes) is exif


def test_a_torn_directory_is_no_crash() -> None:
    data = _tiff(True)
    for length in range(len(data)):
        assert tiff_has_exif(data[:length]) in (False, True)
