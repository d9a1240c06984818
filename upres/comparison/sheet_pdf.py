"""Draw a contact sheet as a PDF of one page: pictures at their own pixels, text as text.

ISO 32000-1. Letters outside Latin-1, which the standard font Helvetica lacks, are drawn as masks.
"""

from __future__ import annotations

import zlib

import numpy as np

from upres.comparison.sheet import Drawing, Label
from upres.comparison.vips import draw_text

_POINTS_PER_PX = 0.5
_MASK_ZOOM = 4  # of letters that are drawn as masks
_DARK = ("0.125 0.129 0.141", "0.91 0.918 0.929", "0.604 0.627 0.651", "1 0.769 0")
_PAPER = ("1 1 1", "0 0 0", "0.333 0.333 0.333", "0.878 0.188 0.125")


class _File:
    """Numbered objects of a PDF, and its cross-reference table."""

    def __init__(self) -> None:
        self.objects: list[bytes] = []

    def add(self, body: bytes) -> int:
        self.objects.append(body)
        return len(self.objects)

    def add_stream(self, entries: str, data: bytes) -> int:
        packed = zlib.compress(data, 9)
        head = f"<< {entries} /Filter /FlateDecode /Length {len(packed)} >>\nstream\n".encode()
        return self.add(head + packed + b"\nendstream")

    def add_image(self, pixels: np.ndarray, entries: str) -> int:
        size = f"/Width {pixels.shape[1]} /Height {pixels.shape[0]} /BitsPerComponent 8 /Interpolate false"
        return self.add_stream(f"/Type /XObject /Subtype /Image {size} {entries}", pixels.tobytes())

    def finish(self, catalog: int) -> bytes:
        out = bytearray(b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n")
        places: list[int] = []
        for number, body in enumerate(self.objects, 1):
            places.append(len(out))
            out += b"%d 0 obj\n%b\nendobj\n" % (number, body)
        start = len(out)
        out += b"xref\n0 %d\n0000000000 65535 f \n" % (len(places) + 1)
        out += b"".join(b"%010d 00000 n \n" % place for place in places)
        out += b"trailer\n<< /Size %d /Root %d 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (len(places) + 1, catalog, start)
        return bytes(out)


def draw_pdf(drawing: Drawing) -> bytes:
    """The file. Two pixels of the sheet are one point."""
    paper, ink, faint, frame = _PAPER if drawing.paper else _DARK
    file, height = _File(), drawing.height
    images: dict[str, int] = {}
    page = [f"{_POINTS_PER_PX} 0 0 {_POINTS_PER_PX} 0 0 cm"]  # from here on in pixels, upwards
    page.append(f"{paper} rg 0 0 {drawing.width} {height} re f")

    def place(number: int, left: float, top: float, width: float, tall: float) -> None:
        images[f"I{number}"] = number
        page.append(f"q {width:g} 0 0 {tall:g} {left:g} {height - top - tall:g} cm /I{number} Do Q")

    for placed in drawing.pictures:
        rows, columns, _ = placed.levels.shape
        number = file.add_image(np.ascontiguousarray(placed.levels), "/ColorSpace /DeviceRGB")
        place(number, placed.left, placed.top, columns * placed.zoom, rows * placed.zoom)
    page.append(f"{frame} RG 2 w")
    page += [
        f"{box.left + 1} {height - box.top - box.height + 1} {box.width - 2} {box.height - 2} re S"
        for box in drawing.frames
    ]
    for label in drawing.labels:
        color = faint if label.faint else ink
        text = _latin(label.text)
        if text is not None:
            font = "F2" if label.bold else "F1"
            base = height - label.top - 1.17 * label.size_px  # the ascent of most sans-serif fonts is near 0.93 em
            page.append(f"BT {color} rg /{font} {label.size_px:g} Tf {label.left} {base:g} Td ({text}) Tj ET")
        else:
            place(_add_mask(file, label, color), *_mask_place(label))
    content = file.add_stream("", "\n".join(page).encode("latin-1"))
    fonts = [
        file.add(f"<< /Type /Font /Subtype /Type1 /BaseFont /{name} /Encoding /WinAnsiEncoding >>".encode())
        for name in ("Helvetica", "Helvetica-Bold")
    ]
    named = " ".join(f"/{name} {number} 0 R" for name, number in images.items())
    resources = f"<< /Font << /F1 {fonts[0]} 0 R /F2 {fonts[1]} 0 R >> /XObject << {named} >> >>"
    box_pt = f"[0 0 {drawing.width * _POINTS_PER_PX:g} {height * _POINTS_PER_PX:g}]"
    own = len(file.objects) + 1
    body = f"<< /Type /Page /Parent {own + 1} 0 R /MediaBox {box_pt} /Resources {resources} /Contents {content} 0 R >>"
    file.add(body.encode())
    file.add(f"<< /Type /Pages /Kids [{own} 0 R] /Count 1 >>".encode())
    return file.finish(file.add(f"<< /Type /Catalog /Pages {own + 1} 0 R >>".encode()))


def _latin(text: str) -> str | None:
    """`text` as the inside of a PDF string; None if Helvetica lacks a letter."""
    try:
        data = text.encode("cp1252")
    except UnicodeEncodeError:
        return None
    escaped = data.replace(b"\\", rb"\\").replace(b"(", rb"\(").replace(b")", rb"\)")
    return escaped.decode("latin-1")


def _add_mask(file: _File, label: Label, color: str) -> int:
    mask = draw_text(label.text, label.size_px * _MASK_ZOOM, label.bold)
    soft = file.add_image(np.ascontiguousarray(mask.coverage), "/ColorSpace /DeviceGray")
    levels = np.rint(np.array([float(value) for value in color.split()]) * 255.0).astype(np.uint8)
    return file.add_image(levels.reshape(1, 1, 3), f"/ColorSpace /DeviceRGB /SMask {soft} 0 R")


def _mask_place(label: Label) -> tuple[float, float, float, float]:
    mask = draw_text(label.text, label.size_px * _MASK_ZOOM, label.bold)
    height, width = mask.coverage.shape
    top, left = label.top + mask.top / _MASK_ZOOM, label.left + mask.left / _MASK_ZOOM
    return left, top, width / _MASK_ZOOM, height / _MASK_ZOOM
