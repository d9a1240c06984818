"""Results that cannot be resumed: y4m in a pipe, and numbered pictures."""

from __future__ import annotations

import sys
from pathlib import Path

from upres.errors import UsageError
from upres.images.io import CORE_SUFFIXES
from upres.video import y4m
from upres.video.encoder import Encoding, fitting_size
from upres.video.encoding import UNCODED, encoding_of, layout_among
from upres.video.frames import Layout, layout_of
from upres.video.opened import STDIO
from upres.video.request import VideoRequest
from upres.video.sequence import PictureSink, is_pattern
from upres.video.source import UPRIGHT, Video
from upres.video.yuv import Coding

Sink = y4m.Y4mSink | PictureSink


def is_stream(request: VideoRequest) -> bool:
    """Whether the frames of a request go on as they are made: to a pipe, or into pictures."""
    return request.out is not None and (request.out == STDIO or is_pattern(request.out))


def open_stream(
    request: VideoRequest, video: Video, size: tuple[int, int], notes: list[str]
) -> tuple[Coding, Encoding, Sink]:
    """For y4m and for pictures: how colors are coded, and where frames go. Raises `UsageError` and `OutputError`."""
    assert request.out is not None
    if request.codec is not None or request.crf is not None:
        raise UsageError("`codec` and `crf` are for files of video; leave them out for y4m and pictures")
    if video.matrix is not None and video.matrix != UPRIGHT:
        notes.append("the video is turned when it is shown; y4m and pictures do not say so, and are as it is stored")
    if request.out == STDIO:
        layout = layout_among(request.pix_fmt, video, y4m.FORMATS, "y4m", notes)
        coding, encoding = encoding_of(request, video, UNCODED, layout, fitted_size(size, layout, notes))
        line = y4m.head(layout, coding, encoding.height, encoding.width, video.rate, video.aspect)
        notes.append("y4m has one rate for all frames and no sound")
        return coding, encoding, y4m.Y4mSink(sys.stdout.buffer, line)
    if request.pix_fmt is not None:
        raise UsageError("`pix_fmt` is for files of video; leave it out for pictures")
    ending = Path(request.out).suffix.lower()
    deep = video.coding.depth > 8 and CORE_SUFFIXES[ending] in ("png", "tiff", "avif")
    name = "gray" if video.layout.kind == "gray" else "gbrap" if video.layout.alpha else "gbrp"
    layout = layout_of(f"{name}16le" if deep else name)
    coding, encoding = encoding_of(request, video, UNCODED, layout, size)
    sink = PictureSink(request.out, layout.depth, request.overwrite)
    sink.check()
    return coding, encoding, sink


def fitted_size(size: tuple[int, int], layout: Layout, notes: list[str]) -> tuple[int, int]:
    """(h, w) rounded up to whole chroma samples, with a note."""
    fitted = fitting_size(*size, layout)
    if fitted != size:
        was, now = f"{size[1]} x {size[0]}", f"{fitted[1]} x {fitted[0]}"
        notes.append(f"{was} became {now}: {layout.name} needs whole chroma samples")
    return fitted
