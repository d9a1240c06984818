"""One failure, one reason: what libvips says of a file is told of that file alone, in whatever encoding."""

from __future__ import annotations

import io
import os
import struct
import sys
import threading
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import pyvips
from PIL import Image

from upres.errors import InputError
from upres.images.io import Picture, encode_picture, read_picture
from upres.images.vips import VipsError, attempt


def good() -> bytes:
    return encode_picture(Picture(np.random.default_rng(0).random((40, 50, 3), np.float32)), "png")


def cut(form: str, share: float = 0.6) -> bytes:
    stream = io.BytesIO()
    pixels = np.random.default_rng(1).integers(0, 256, (64, 64, 3)).astype(np.uint8)
    Image.fromarray(pixels).save(stream, form)
    return stream.getvalue()[: int(share * stream.tell())]


def fail(text: bytes) -> None:
    """Let libvips fail, with `text` in its words."""
    pyvips.Operation.call("profile_load", text)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems insist on UTF-8 names")
def test_a_fault_in_a_file_with_a_latin_1_name_is_told_and_the_next_picture_is_read(tmp_path: Path) -> None:
    bad = tmp_path / os.fsdecode(b"caf\xe9.png")
    bad.write_bytes(cut("PNG"))
    for _ in range(3):
        with pytest.raises(InputError, match="is a damaged or truncated PNG"):
            read_picture(bad)
        assert read_picture(good()).pixels.shape == (40, 50, 3)


def test_text_that_is_not_utf_8_is_decoded_with_replacement_and_cleared() -> None:
    with pytest.raises(VipsError, match="caf\N{REPLACEMENT CHARACTER}"):
        attempt(lambda: fail(b"caf\xe9"))
    with pytest.raises(VipsError, match="tea") as caught:
        attempt(lambda: fail(b"tea"))
    assert "caf" not in str(caught.value)


def test_stale_text_is_not_reported_with_the_next_failure() -> None:
    with pytest.raises((pyvips.Error, UnicodeDecodeError)):
        fail(b"left \xe9 behind")  # beside `attempt`, as a program of the user may
    with pytest.raises(InputError) as caught:
        read_picture(cut("JPEG", 0.2))
    assert "behind" not in str(caught.value)


def test_a_failure_beside_other_calls_is_repeated_alone() -> None:
    begun, done = threading.Event(), threading.Event()
    times: list[int] = []

    def slow() -> str:
        begun.set()
        done.wait(10)
        return "result"

    def work() -> None:
        times.append(len(times))
        if len(times) == 1:
            with pytest.raises(pyvips.Error):
                fail(b"of another thread")
            done.set()
        fail(b"mine")

    with ThreadPoolExecutor(1) as pool:
        other = pool.submit(attempt, slow)
        assert begun.wait(10)
        with pytest.raises(VipsError, match="mine") as caught:
            attempt(work)
        assert other.result(10) == "result"
    assert times == [0, 1]
    assert "another" not in str(caught.value)


def test_a_failure_alone_is_not_repeated() -> None:
    times: list[int] = []

    def work() -> None:
        times.append(0)
        fail(b"once")

    with pytest.raises(VipsError, match="once"):
        attempt(work)
    assert times == [0]


def test_a_success_of_the_repetition_counts() -> None:
    """The file was being written, say, when it was read first."""
    begun, done = threading.Event(), threading.Event()
    times: list[int] = []

    def slow() -> None:
        begun.set()
        done.wait(10)

    def work() -> str:
        times.append(0)
        done.set()
        if len(times) == 1:
            fail(b"first")
        return "second"

    with ThreadPoolExecutor(1) as pool:
        other = pool.submit(attempt, slow)
        assert begun.wait(10)
        assert attempt(work) == "second"
        other.result(10)


def test_errors_of_other_kinds_pass_and_leave_nothing_locked() -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        attempt(interrupt)
    assert attempt(lambda: 7) == 7


def lzw(text: bytes) -> bytes:
    """A TIFF of 8 x 8 gray pixels whose only strip, `text`, is not LZW."""
    head = struct.pack("<2sHI", b"II", 42, 8)
    tags = [(256, 3, 1, 8), (257, 3, 1, 8), (258, 3, 1, 8), (259, 3, 1, 5), (262, 3, 1, 1), (273, 4, 1, 134)]
    tags += [(277, 3, 1, 1), (278, 3, 1, 8), (279, 4, 1, len(text)), (339, 3, 1, 1)]
    entries = b"".join(struct.pack("<HHII", *tag) for tag in tags)
    return head + struct.pack("<H", len(tags)) + entries + bytes(4) + text


def test_in_threads_every_file_gets_its_own_reason() -> None:
    """Eight faults and a good picture, in eight threads: the reasons are those of each file alone."""
    png = good()
    head = png.index(b"IDAT") + 4
    files = [
        *(cut(form) for form in ("PNG", "JPEG", "TIFF", "WEBP", "GIF", "AVIF")),
        png[:head] + zlib.compress(b"")[:2] + png[head + 2 :][::-1],
        lzw(b"\xff" * 30),
        png,
    ]

    def tell(data: bytes) -> str:
        try:
            picture = read_picture(data)
        except InputError as error:
            return str(error)
        return f"read {picture.pixels.shape} {picture.notes}"

    alone = [tell(data) for data in files]
    assert len({words for words in alone if not words.startswith("read")}) >= 6
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(tell, files * 8))
    assert together == alone * 8
