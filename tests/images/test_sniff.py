"""Files that are not what they seem."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from PIL import Image
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from upres.errors import InputError
from upres.images.io import read_header, read_picture


@pytest.mark.parametrize(("tag", "value"), [(254, 1), (262, 32803), (262, 34892)])
def test_a_camera_raw_file_is_not_read_as_its_preview(tag: int, value: int, tmp_path: Path) -> None:
    tags = ImageFileDirectory_v2()
    tags[tag] = value
    tags[330], tags.tagtype[330] = 8, 4
    target = io.BytesIO()
    Image.new("RGB", (8, 8)).save(target, "TIFF", tiffinfo=tags)
    data = bytearray(target.getvalue())
    if tag == 262:  # Pillow writes its own: put ours into the entry
        at = data.index((262).to_bytes(2, "little"))
        data[at + 8 : at + 10] = value.to_bytes(2, "little")
    path = tmp_path / "a.dng"
    path.write_bytes(data)
    for read in (read_picture, read_header):
        with pytest.raises(InputError, match=r"a\.dng .* a camera raw file"):
            read(path)


def test_a_reduced_page_without_another_picture_is_a_picture() -> None:
    tags = ImageFileDirectory_v2()
    tags[254] = 1
    target = io.BytesIO()
    Image.new("RGB", (8, 8)).save(target, "TIFF", tiffinfo=tags)
    assert read_picture(target.getvalue()).pixels.shape == (8, 8, 3)


def test_lab_and_cr2_are_refused_by_name() -> None:
    target = io.BytesIO()
    Image.new("LAB", (8, 8)).save(target, "TIFF")
    with pytest.raises(InputError, match="seems to be a TIFF in Lab color"):
        read_picture(target.getvalue())
    with pytest.raises(InputError, match="a camera raw file"):
        read_picture(b"II*\0\x10\0\0\0CR\2\0" + bytes(64))
