"""The same seconds by several models, side by side: bicubic interpolation at the left, then each model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np

from upres.errors import UsageError
from upres.models.load import load_model
from upres.upscaling.options import UpscaleOptions
from upres.upscaling.postprocess import resize
from upres.upscaling.upscaler import Upscaler
from upres.video.encoder import Encoding, fitting_size
from upres.video.enlarger import FrameEnlarger, Result
from upres.video.mux import Window
from upres.video.reader import SourceFrame
from upres.video.request import VideoRequest
from upres.video.source import UPRIGHT, Video
from upres.video.yuv import Array

GAP_PX = 4  # black, between two columns
BICUBIC = "bicubic"
PAGE_CODEC, PAGE_FORMAT = "h264", "yuv420p"  # what every browser plays


class SideBySide:
    """Enlarges each frame in every way, and sets the results beside each other.

    enlargers: Of the models, which stand to the right of bicubic.
    height, width: Of one column.
    """

    def __init__(self, enlargers: Sequence[FrameEnlarger], height: int, width: int) -> None:
        self._enlargers, self._size = tuple(enlargers), (height, width)

    def __call__(self, frame: SourceFrame, pixels: Array, alpha: Array | None) -> Result:
        """As `FrameEnlarger`; transparency is left out."""
        columns = [resize(pixels, self._size), *(one(frame, pixels, alpha).pixels for one in self._enlargers)]
        height, width = self._size
        whole = np.zeros((height, total_width(width, len(self._enlargers)), pixels.shape[2]), np.float32)
        for place, column in enumerate(columns):
            left = place * (width + GAP_PX)
            whole[:, left : left + width] = column
        return Result(whole, None)

    @property
    def reused(self) -> int:
        return self._enlargers[0].reused

    @property
    def static_share(self) -> float:
        return self._enlargers[0].static_share

    @property
    def notes(self) -> dict[str, None]:
        return {note: None for one in self._enlargers for note in one.notes}

    def close(self) -> None:
        """Free the memory of tiles."""
        for one in self._enlargers:
            one.close()


def total_width(width: int, models: int) -> int:
    """Of bicubic and so many models, each of this width."""
    return (width + GAP_PX) * models + width


def preview_encoding(encoding: Encoding, models: int) -> Encoding:
    """`encoding` of one column for all of them."""
    height, width = fitting_size(encoding.height, total_width(encoding.width, models), encoding.layout)
    return replace(encoding, height=height, width=width)


def preview_window(window: Window, seconds: Fraction, video: Video) -> Window:
    """So many seconds from the beginning asked for, or around the middle."""
    start = window.start_s
    if start is None:
        first = video.start * video.time_base
        start = first + max(Fraction(0), (Fraction(video.seconds).limit_denominator(1000) - seconds) / 2)
    return Window(start, start + seconds)


def page_of(request: VideoRequest) -> Path | None:
    """The page that a preview shall become. Raises `UsageError` for a page of no preview."""
    if request.out is None or not request.out.lower().endswith((".html", ".htm")):
        return None
    if request.preview_s is None:
        raise UsageError("a page is made of a preview; set `preview` too, such as 10 seconds, or name a video")
    if request.codec not in (None, PAGE_CODEC) or request.pix_fmt not in (None, PAGE_FORMAT):
        raise UsageError(f"the video of a page is {PAGE_CODEC} in {PAGE_FORMAT}; leave `codec` and `pix_fmt` out")
    return Path(request.out)


def page_notes(video: Video) -> tuple[str, ...]:
    """What a page leaves out of its video."""
    turned = video.matrix is not None and video.matrix != UPRIGHT
    return (
        "the page has no sound",
        *(("the video is turned when it is played; the page shows it as it is stored",) if turned else ()),
    )


def hidden_video(page: Path) -> Path:
    """Where the video of a page lies until it becomes part of it; its unfinished job lies beside."""
    return page.with_name(f".{page.name}.mp4")


def open_rivals(models: Sequence[str], options: UpscaleOptions) -> tuple[Upscaler, ...]:
    """Upscalers of the models beside the first. Raises as `load_model` and `Upscaler` do."""
    return tuple(Upscaler(load_model(model), options) for model in models)
