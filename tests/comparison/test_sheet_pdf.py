"""A sheet as PDF: its structure, pictures and text, read by their own rules."""

from __future__ import annotations

import re
import zlib

import numpy as np

from tests.comparison.made import random_levels
from upres.comparison.sheet import Drawing, Frame, Label, Placed
from upres.comparison.sheet_pdf import draw_pdf


def objects(data: bytes) -> dict[int, bytes]:
    """The objects that the cross-reference table names."""
    start = int(re.search(rb"startxref\n(\d+)\n%%EOF\n$", data)[1])  # type: ignore[index]
    assert data[start : start + 5] == b"xref\n"
    offsets = [int(line[:10]) for line in data[start:].splitlines()[3:] if line.endswith(b" n ")]
    found = {}
    for number, offset in enumerate(offsets, 1):
        assert data[offset:].startswith(b"%d 0 obj\n" % number)
        found[number] = data[offset : data.index(b"\nendobj\n", offset)]
    return found


def stream(body: bytes) -> bytes:
    length = int(re.search(rb"/Length (\d+)", body)[1])  # type: ignore[index]
    start = body.index(b"stream\n") + 7
    return zlib.decompress(body[start : start + length])


def test_pictures_and_text_stay_what_they_are() -> None:
    levels = random_levels(5, 7)
    labels = [Label(10, 4, r"a (b) \c", 12.0), Label(10, 24, "名前", 12.0, bold=True, faint=True)]
    data = draw_pdf(Drawing(100, 200, True, [Placed(20, 50, levels, 2)], labels, [Frame(1, 2, 30, 40)]))
    assert data.startswith(b"%PDF-1.4\n")
    found = objects(data)
    images = [body for body in found.values() if b"/Subtype /Image" in body]
    assert len(images) == 3  # the picture; the mask of the letters that Helvetica lacks, and their color
    np.testing.assert_array_equal(np.frombuffer(stream(images[0]), np.uint8).reshape(5, 7, 3), levels)
    (content,) = [
        stream(body)
        for body in found.values()
        if body.startswith(b"") and b"/Length" in body and b"/Subtype" not in body
    ]
    assert rb"(a \(b\) \\c) Tj" in content and content.count(b" Tj") == 1
    assert b"q 14 0 0 10 20 40 cm" in content  # 100 - 50 - 10 pixels from below
    assert any(b"/MediaBox [0 0 100 50]" in body for body in found.values())
