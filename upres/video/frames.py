"""Frames of PyAV <-> planes of numpy, and what the tags of a frame say of its colors."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import av
import numpy as np
from av.video.format import VideoFormat

from upres.errors import InputError
from upres.video.yuv import SITINGS, Coding, Levels

# Codes of ITU-T H.273; 0 (RGB) and 2 (unspecified) are handled apart.
_MATRICES = {1: "bt709", 4: "fcc", 5: "bt601", 6: "bt601", 7: "smpte240m", 9: "bt2020"}
CODES = {"bt709": 1, "fcc": 4, "bt601": 6, "smpte240m": 7, "bt2020": 9, "rgb": 0}
_REFUSED = {8: "YCgCo", 10: "BT.2020 constant luminance", 11: "Y'D'zD'x", 12: "chromaticity-derived", 14: "ICtCp"}
UNSPECIFIED = 2
FULL = 2  # of color_range; 1 is limited, 0 unspecified
_HD_LINES = 720  # below, an untagged video has the matrix of BT.601, as players assume
_STEPS = {(1, 1): "444", (1, 2): "422", (2, 2): "420", (2, 1): "440", (1, 4): "411", (4, 4): "410"}
_PLANAR = re.compile(r"(yuvj?|yuva|gray|gbrp|gbrap)(\d{3}p)?(9|10|12|14|16)?(le)?")


@dataclass(frozen=True, slots=True)
class Layout:
    """A planar format of pixels.

    name: As FFmpeg calls it: "yuv420p10le".
    kind: "yuv", "gray" or "rgb".
    depth: Bits a sample, 8 to 16.
    step: Luma samples for each chroma sample, (h, w).
    alpha: Whether the last plane is alpha.
    """

    name: str
    kind: str
    depth: int
    step: tuple[int, int]
    alpha: bool

    @property
    def planes(self) -> int:
        return (1 if self.kind == "gray" else 3) + self.alpha


def layout_of(name: str) -> Layout:
    """The planar layout with the samples of the format `name`. Raises `InputError` where there is none."""
    form = VideoFormat(name, 64, 64)
    parts = form.components
    if form.is_bayer or not parts or name.startswith("xyz") or name == "none":
        raise InputError(f"its pixels have the format {name}, which upres does not read; convert the video first")
    alpha = any(part.is_alpha for part in parts)
    depth = 8 if form.has_palette else min(16, max(part.bits for part in parts))
    depth = 8 if depth < 8 else depth
    if form.is_rgb or form.has_palette or (alpha and len(parts) == 2):
        return _named("gbrap" if alpha or form.has_palette else "gbrp", "rgb", depth, (1, 1))
    if len(parts) == 1:
        return _named("gray", "gray", depth, (1, 1))
    step = (64 // form.chroma_height(64), 64 // form.chroma_width(64))
    if step not in _STEPS:
        raise InputError(f"its pixels have the format {name}, which upres does not read; convert the video first")
    return _named(f"{'yuva' if alpha else 'yuv'}{_STEPS[step]}p", "yuv", depth, step)


def _named(start: str, kind: str, depth: int, step: tuple[int, int]) -> Layout:
    alpha = start.startswith(("yuva", "gbrap"))
    for bits in (depth, *(bits for bits in (10, 12, 14, 16) if bits > depth)):
        name = start if bits == 8 else f"{start}{bits}le"
        try:
            VideoFormat(name, 16, 16)
        except ValueError:
            continue
        return Layout(name, kind, bits, step, alpha)
    raise InputError(f"FFmpeg has no planar format {start} of {depth} bits")


def is_planar(name: str) -> bool:
    """Whether the format `name` is one of a `Layout`, but for the range of "yuvj420p"."""
    return _PLANAR.fullmatch(name) is not None


def planes_of(frame: av.VideoFrame, layout: Layout) -> list[Levels]:
    """Copies of the planes of `frame`, repacked without change of values where its format is not planar."""
    if not is_planar(frame.format.name):
        frame = frame.reformat(format=layout.name)
    planes: list[Levels] = []
    for plane in frame.planes[: layout.planes]:
        memory: Any = plane  # a buffer, which its stub does not tell
        levels: Levels = np.frombuffer(memory, np.uint8)
        if layout.depth > 8:
            levels = levels.view("<u2").astype(np.uint16, copy=False)
        row = plane.line_size // levels.itemsize
        whole = levels[: row * plane.height].reshape(plane.height, row)
        planes.append(whole[:, : plane.width].copy())
    return planes


def frame_of(planes: Sequence[Levels], layout: Layout) -> av.VideoFrame:
    """A frame of these planes, without time or tags."""
    height, width = planes[0].shape
    frame = av.VideoFrame(width, height, layout.name)
    for plane, levels in zip(frame.planes, planes, strict=True):
        row = plane.line_size // levels.itemsize
        padded: Any = np.zeros((plane.height, row), levels.dtype)
        padded[:, : levels.shape[1]] = levels
        plane.update(padded)
    return frame


def coding_of(layout: Layout, matrix: int, color_range: int, siting: str, height: int, *, jpeg: bool) -> Coding:
    """How frames of `layout` code colors.

    matrix, color_range: Codes of H.273 as the frame says them.
    siting: As FFmpeg calls it; "unspecified" is "left".
    height: Of the video: one that names no matrix has BT.709's from 720 lines on, below that of BT.601.
    jpeg: The format of the frame is of full range by its name ("yuvj420p").

    Raises `InputError` for a matrix that is not one of RGB with Y.
    """
    place = siting if siting in SITINGS else "left"
    if layout.kind == "rgb":
        return Coding("rgb", True, layout.depth, alpha=layout.alpha)
    full = jpeg or color_range == FULL
    if layout.kind == "gray":
        return Coding("gray", full or color_range == 0, layout.depth, alpha=layout.alpha)
    if matrix in _REFUSED:
        raise InputError(f"its colors are coded as {_REFUSED[matrix]}, which upres does not read; convert it first")
    name = _MATRICES.get(matrix, "bt709" if height >= _HD_LINES else "bt601")
    return Coding(name, full, layout.depth, layout.step, place, layout.alpha)
