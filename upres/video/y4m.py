"""YUV4MPEG2 (y4m) for pipes: one line of text for all, one for each frame, and the planes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import BinaryIO

from upres.errors import OutputError
from upres.video.frames import Layout
from upres.video.yuv import Coding, Levels

_CHROMA = {(2, 2): "420", (1, 2): "422", (1, 1): "444", (1, 4): "411", (2, 1): "440"}
_SITES = {"left": "mpeg2", "center": "jpeg", "topleft": "paldv"}
FORMATS = tuple(
    f"{start}{depth}"
    for start in ("yuv420p", "yuv422p", "yuv444p", "gray")
    for depth in ("", "10le", "12le", "14le", "16le")
    if (start, depth) != ("gray", "14le")
)


def head(layout: Layout, coding: Coding, height: int, width: int, rate: Fraction, aspect: Fraction | None) -> bytes:
    """The first line. Raises `OutputError` for a layout that y4m does not have."""
    if layout.kind == "rgb" or layout.alpha:
        raise OutputError(f"y4m does not have {layout.name}; choose another `pix_fmt`")
    depth = "" if layout.depth == 8 else str(layout.depth)
    if layout.kind == "gray":
        chroma = f"mono{depth}"
    else:
        chroma = _CHROMA[layout.step]
        if chroma == "420" and not depth:
            chroma += _SITES.get(coding.siting, "mpeg2")
        elif depth:
            chroma += f"p{depth}"
    aspect = aspect or Fraction(0)
    shape = f"{aspect.numerator}:{aspect.denominator if aspect else 0}"
    levels = "FULL" if coding.full else "LIMITED"
    fields = f"W{width} H{height} F{rate.numerator}:{rate.denominator} Ip A{shape} C{chroma} XCOLORRANGE={levels}"
    return f"YUV4MPEG2 {fields}\n".encode()


@dataclass(slots=True)
class Y4mSink:
    """Writes frames to a pipe.

    file: Open for writing.
    first_line: What `head` gives.
    """

    file: BinaryIO
    first_line: bytes
    count: int = 0

    def add(self, planes: Sequence[Levels]) -> None:
        """The next frame. Raises OSError, such as `BrokenPipeError`."""
        if not self.count:
            self.file.write(self.first_line)
        self.count += 1
        self.file.write(b"FRAME\n")
        for plane in planes:
            self.file.write(plane.astype("<u2" if plane.dtype.itemsize == 2 else "u1", copy=False).tobytes())

    def close(self) -> None:
        """All frames are written."""
        self.file.flush()
