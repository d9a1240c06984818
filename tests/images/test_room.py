from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from upres.errors import InputError
from upres.images import room
from upres.images.io import Header, read_header
from upres.images.read_rows import open_rows
from upres.images.room import check_room, decode_bytes

BIG = Header(20_000, 20_000, 3, False, 16, "tiff", held_bytes=500_000_000)


def test_a_picture_above_the_usable_memory_is_refused_before_it_is_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "usable_bytes", lambda: 7_000_000_000)
    with pytest.raises(InputError, match=r"20,000 x 20,000 pixels and needs 6.7 GB of memory to be read, but 6.5 GB"):
        check_room("big.tif", BIG)
    check_room("big.tif", BIG, by_rows=True)
    monkeypatch.setattr(room, "usable_bytes", lambda: 7_800_000_000)
    check_room("big.tif", BIG)
    with pytest.raises(InputError, match=r"of memory to be worked on, but"):
        check_room("big.tif", BIG, copies=8.0)
    monkeypatch.setattr(room, "usable_bytes", lambda: 400_000_000)
    with pytest.raises(InputError, match=r"needs 477 MB of memory to be read"):
        check_room("big.tif", BIG, by_rows=True)


def _saved(form: str, **settings: object) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(np.zeros((40, 30, 3), np.uint8)).save(stream, form, **settings)  # type: ignore[arg-type]
    return stream.getvalue()


@pytest.mark.parametrize(
    ("data", "per_pixel"),
    [
        pytest.param(_saved("JPEG"), 0.0, id="JPEG"),
        pytest.param(_saved("JPEG", progressive=True, subsampling=0), 6.0, id="progressive JPEG"),
        pytest.param(_saved("JPEG", progressive=True, subsampling=2), 3.0, id="progressive, 4:2:0"),
        pytest.param(_saved("PNG"), 0.0, id="PNG"),
        pytest.param(_saved("TIFF"), 0.0, id="TIFF"),
    ],
)
def test_what_a_decoder_holds_is_counted(data: bytes, per_pixel: float) -> None:
    header = read_header(data)
    assert header.held_bytes == round(per_pixel * 1200)
    assert decode_bytes(header) == 1200 * 3 * 5 + max(0, header.held_bytes - 1200 * 12)


def test_rows_of_what_its_decoder_holds_whole_are_weighed_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "_WEIGHED_PIXELS", 100)
    monkeypatch.setattr(room, "usable_bytes", lambda: 3000)
    open_rows(_saved("JPEG"))
    with pytest.raises(InputError, match=r"the picture has 30 x 40 pixels and needs"):
        open_rows(_saved("JPEG", progressive=True))
