"""Pictures decoded in child processes: results are the same, and what a child does costs one picture."""

from __future__ import annotations

import multiprocessing
import os
import sys
import threading
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests import REPOSITORY
from upres.errors import InputError, UsageError
from upres.images import isolated_process, isolation
from upres.images.animation import count_frames, encode_animation, read_animation
from upres.images.ifd import Entry
from upres.images.io import Picture, encode_picture, read_header, read_picture, read_xmp
from upres.images.isolation import Limits, isolated, isolated_where_possible
from upres.images.read_rows import Pieces, open_rows

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such limits")
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="Landlock and seccomp are of Linux")
_MAGIC = b"\x89PNG\r\n\x1a\n"


def _pictures() -> dict[str, bytes]:
    rng = np.random.default_rng(3)
    color, gray = (rng.random((31, 23, channels)).astype(np.float32) for channels in (3, 1))
    rich = Picture(
        color,
        rng.random((31, 23)).astype(np.float32),
        depth=16,
        xmp=b"<x:xmpmeta xmlns:x='adobe:ns:meta/'/>",
        dpi=(300.0, 200.0),
        texts=(("Comment", "Grüße"),),
        tiff_tags={270: Entry(2, 3, b"hi\0\0", b"hi\0", "<")},
    )
    forms = {f"{form} {name}": (picture, form) for form in ("png", "tiff", "webp") for name, picture in
             (("rich", rich), ("gray", Picture(gray)))}  # fmt: skip
    forms["jpeg"], forms["avif"] = (Picture(color), "jpeg"), (Picture(color), "avif")
    return {name: encode_picture(picture, form) for name, (picture, form) in forms.items()}


def _assert_same(one: Any, other: Any) -> None:
    assert type(one) is type(other)
    for field in fields(one):
        before, after = getattr(one, field.name), getattr(other, field.name)
        if isinstance(before, np.ndarray):
            assert before.dtype == after.dtype
            np.testing.assert_array_equal(before, after)
        elif field.name == "first":
            _assert_same(before, after)
        elif field.name == "frames":
            for x, y in zip(before, after, strict=True):
                np.testing.assert_array_equal(x, y)
        else:
            assert before == after


def test_results_are_equal_to_the_bit_and_one_child_serves_them_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[object] = []
    begin = isolation.Child.__init__
    monkeypatch.setattr(isolation.Child, "__init__", lambda self, limits: (started.append(1), begin(self, limits))[1])
    pictures = _pictures()
    moving = encode_animation([Picture(np.full((4, 5, 3), x, np.float32)) for x in (0.0, 1.0)], [40, 50], 0, "gif")
    here = {name: (read_picture(data), read_header(data), read_xmp(data)) for name, data in pictures.items()}
    path = tmp_path / "Größe.png"
    path.write_bytes(pictures["png rich"])
    first = read_animation(moving)
    with isolated():
        for name, data in pictures.items():
            picture, header, xmp = here[name]
            _assert_same(read_picture(data), picture)
            _assert_same(read_header(data), header)
            assert read_header(data).by_rows == header.by_rows
            assert read_xmp(data) == xmp
        _assert_same(read_picture(path), here["png rich"][0])
        with path.open("rb") as file:
            _assert_same(read_picture(file), here["png rich"][0])
        assert count_frames(moving) == 2
        _assert_same(read_animation(moving), first)
        _assert_same(read_animation(moving).picture(1), first.picture(1))
    assert len(started) == 1


def test_rows_are_decoded_one_band_after_the_other_in_one_child(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[object] = []
    begin = isolation.Child.__init__
    monkeypatch.setattr(isolation.Child, "__init__", lambda self, limits: (started.append(1), begin(self, limits))[1])
    pixels = np.random.default_rng(2).random((300, 20, 3)).astype(np.float32)
    for form in ("png", "jpeg"):
        data = encode_picture(Picture(pixels), form)
        data = data.removesuffix(b"\xff\xd9")  # the end of a JPEG
        here = open_rows(data)
        places = Pieces([0, 60, 292], [1, 12, 3], (8, 8))
        expected, pieces = here.rows().read(0, 300), here.pieces(places)[0]
        with isolated():
            there = open_rows(data)
            _assert_same(there.frame, here.frame)
            assert (there.highest, there.header) == (here.highest, here.header)
            rows = there.rows()
            for top in range(0, 300, 50):
                np.testing.assert_array_equal(rows.read(top, top + 50), expected[top : top + 50])
            np.testing.assert_array_equal(there.pieces(places)[0], pieces)
            assert len(started) == 1
            left = there.rows()
            left.read(0, 10)  # and no more: a child that has more to say is not asked for other things
            assert read_picture(data).pixels.shape == (300, 20, 3)
            assert len(started) == 2
        started.clear()


def test_errors_between_rows_are_told(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(encode_picture(Picture(np.random.default_rng(2).random((300, 20, 3)).astype(np.float32)), "png"))
    with isolated():
        opened = open_rows(path)
        path.write_bytes(path.read_bytes()[:-9000])
        with pytest.raises(InputError, match=r"a\.png changed while it was read; read it again once it is complete \("):
            opened.rows().read(0, 300)


def test_errors_are_the_same(tmp_path: Path) -> None:
    cut = tmp_path / "cut.png"
    cut.write_bytes(_pictures()["png rich"][:-400])
    text = tmp_path / "text.png"
    text.write_text("no picture")
    cases: list[Any] = [cut, text, tmp_path / "missing.png", tmp_path, b"", cut.read_bytes()]

    def words() -> list[str]:
        found: list[str] = []
        for case in cases:
            with pytest.raises(InputError) as caught:
                read_picture(case)
            found.append(str(caught.value))
        with pytest.raises(InputError) as caught:
            read_picture(_pictures()["jpeg"], max_pixels=10)
        return [*found, str(caught.value)]

    here = words()
    with isolated():
        assert words() == here


def _ask(word: str, limits: Limits | None = None) -> None:
    with isolated(limits):
        good = read_picture(_MAGIC + b"\nfine").pixels[0, 0, 0]
        with pytest.raises(InputError) as caught:
            read_picture(_MAGIC + b"\n" + word.encode())
        again = read_picture(_MAGIC + b"\nfine").pixels[0, 0, 0]
        assert good != again  # another child
    raise caught.value


@pytest.fixture
def hostile(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(isolated_process, "_CHILD", "tests.images.hostile_child")
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))


@pytest.mark.usefixtures("hostile")
@pytest.mark.parametrize(
    ("word", "limits", "expected"),
    [
        ("segfault", None, "SIGSEGV"),
        ("memory", Limits(memory_bytes=1 << 30), "needs more memory than"),
        ("native_memory", Limits(memory_bytes=1 << 30), "SIGABRT"),
        ("processor", Limits(cpu_seconds=1), "took more than 1 s of processor time"),
        ("truncate", None, "ended with code 0"),
        ("nonsense", None, "nonsense"),
        pytest.param("network", None, "Operation not permitted|Permission denied", marks=LINUX),
        pytest.param("file", None, "Permission denied: '/etc/passwd'", marks=LINUX),
        pytest.param("write", None, "Permission denied: '/tmp/upres-was-here'", marks=LINUX),
        pytest.param("program", None, "Operation not permitted|Permission denied", marks=LINUX),
        pytest.param("signal", None, "Operation not permitted", marks=LINUX),
    ],
)
def test_what_a_child_does_costs_one_picture(word: str, limits: Limits | None, expected: str) -> None:
    if word == "memory":  # an error of Python: the child goes on
        with isolated(limits), pytest.raises(InputError, match=expected):
            read_picture(_MAGIC + b"\nmemory")
        return
    with pytest.raises(InputError, match=expected):
        _ask(word, limits)


def test_threads_share_the_children() -> None:
    data = _pictures()["png rich"]
    expected, found = read_picture(data), list[Picture]()
    with isolated():
        threads = [threading.Thread(target=lambda: found.append(read_picture(data))) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        found.append(read_picture(data))  # by a child that was started for a thread that has ended
    assert len(found) == 5
    for one in found:
        _assert_same(one, expected)


def _read(data: bytes) -> bytes:
    with isolated_where_possible():
        return read_picture(data).pixels.tobytes()


def test_a_forked_process_has_children_of_its_own() -> None:
    data = _pictures()["tiff gray"]
    with isolated():
        expected = read_picture(data).pixels.tobytes()
        with multiprocessing.get_context("fork").Pool(1) as pool:
            assert pool.apply(_read, (data,)) == expected


def test_processes_started_within_are_isolated_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(isolation.VARIABLE, raising=False)
    with isolated():
        assert os.environ[isolation.VARIABLE] == "1"
        with isolated(Limits(cpu_seconds=1)):
            pool = isolation.current()
        assert pool is isolation.current()
    assert isolation.VARIABLE not in os.environ
    assert isolation.current() is None


def test_limits_must_be_some() -> None:
    with pytest.raises(UsageError, match="limits must be"):
        Limits(memory_bytes=10)


def test_windows_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("upres.images.isolation.sys.platform", "win32")
    with pytest.raises(UsageError, match="needs Linux or macOS"), isolated():
        pass
    with isolated_where_possible():
        assert isolation.current() is None
