"""The encoders, how each is set, and an encoder for one segment or for the tracks of the whole file."""

# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false
# The stubs of PyAV leave the type of packets open.

from __future__ import annotations

import platform
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from typing import Any

import av
import numpy as np
from av.codec.context import Flags
from av.container import OutputContainer
from av.error import FFmpegError
from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream

from upres.errors import InputError, OutputError, UsageError, nearest
from upres.system.priority import no_real_time
from upres.video.frames import Layout, layout_of
from upres.video.source import Hdr


@dataclass(frozen=True, slots=True)
class Encoder:
    """An encoder of FFmpeg.

    name: As FFmpeg calls it.
    crf: Its default of constant quality, and the highest; None: it has none.
    options: Always set.
    endings: Files that can hold it, the usual one first.
    """

    name: str
    crf: tuple[int, int] | None
    options: dict[str, str]
    endings: tuple[str, ...]


ENCODERS = {
    "h264": Encoder("libx264", (16, 51), {"preset": "medium"}, (".mp4", ".mkv", ".mov", ".m4v")),
    "hevc": Encoder("libx265", (18, 51), {"preset": "medium"}, (".mp4", ".mkv", ".mov", ".m4v")),
    "av1": Encoder("libsvtav1", (24, 63), {"preset": "6"}, (".mkv", ".mp4", ".webm")),
    "vp9": Encoder("libvpx-vp9", (20, 63), {"row-mt": "1", "cpu-used": "2"}, (".webm", ".mkv", ".mp4")),
    "ffv1": Encoder("ffv1", None, {"level": "3", "slicecrc": "1"}, (".mkv", ".mov")),
    "prores": Encoder("prores_ks", None, {"vendor": "apl0"}, (".mov", ".mkv")),
}
ALIASES = {
    "x264": "h264",
    "libx264": "h264",
    "avc": "h264",
    "h265": "hevc",
    "x265": "hevc",
    "libx265": "hevc",
    "libsvtav1": "av1",
    "libvpx-vp9": "vp9",
    "prores_ks": "prores",
}
CONTAINERS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska", ".webm": "webm"}
_SITES = {"left": "left", "center": "center", "topleft": "topleft", "top": "top", "bottomleft": "bottomleft"}
_NARROW_PX = 64  # a block of x265
_PRIMARY_UNIT, _LUMINANCE_UNIT = 50_000, 10_000  # of HEVC's SEI message


@dataclass(frozen=True, slots=True)
class Encoding:
    """How the frames of a result are encoded.

    codec: A key of `ENCODERS`; "none": frames are not encoded.
    layout: Of the pixels.
    height, width: In pixels.
    crf: Constant quality, 0 is best; None: the encoder has none.
    time_base: Unit of the time stamps.
    rate: Frames a second, on average.
    tags: Codes of H.273: primaries, transfer, matrix, range.
    siting: Of chroma.
    aspect: Width / height of a pixel; None: not said.
    hdr: Metadata of HDR10.
    gop: Frames between two that stand alone, at most.
    threads: 0 is one per core.
    """

    codec: str
    layout: Layout
    height: int
    width: int
    crf: int | None
    time_base: Fraction
    rate: Fraction
    tags: tuple[int, int, int, int]
    siting: str
    aspect: Fraction | None
    hdr: Hdr
    gop: int
    threads: int = 0

    def options(self) -> dict[str, str]:
        """For FFmpeg's encoder."""
        encoder = ENCODERS[self.codec]
        options = dict(encoder.options)
        if self.crf is not None:
            options["crf"] = str(self.crf)
        if self.siting in _SITES and self.layout.step == (2, 2):
            options["chroma_sample_location"] = _SITES[self.siting]
        if self.codec == "hevc":
            options["x265-params"] = ":".join(
                ("log-level=error", "open-gop=0", *_inside_memory(self.width), *self._hdr_of_x265())
            )
        elif self.codec == "h264":
            options["x264-params"] = ":".join(("open-gop=0", *_same_every_time(), *self._hdr_of_x264()))
        elif self.codec == "av1" and self._hdr_of_svt():
            options["svtav1-params"] = ":".join(self._hdr_of_svt())
        elif self.codec == "prores":
            options["profile"] = "4444" if self.layout.step == (1, 1) else "hq"
        return options

    def _display(self) -> str:
        """The mastering display as x265 and x264 take it."""
        if not (self.hdr.primaries and self.hdr.luminance):
            return ""
        numbers = [round(value * _PRIMARY_UNIT) for value in self.hdr.primaries]
        least, most = (round(value * _LUMINANCE_UNIT) for value in self.hdr.luminance)
        red, green, blue, white = (f"({numbers[i]},{numbers[i + 1]})" for i in range(0, 8, 2))
        return f"G{green}B{blue}R{red}WP{white}L({most},{least})"

    def _hdr_of_x265(self) -> list[str]:
        display, light = self._display(), self.hdr.light
        parts = [f"master-display={display}"] if display else []
        return parts + ([f"max-cll={light[0]},{light[1]}"] if light else []) + (["hdr10=1"] if parts or light else [])

    def _hdr_of_x264(self) -> list[str]:
        display, light = self._display(), self.hdr.light
        return ([f"mastering-display={display}"] if display else []) + ([f"cll={light[0]},{light[1]}"] if light else [])

    def _hdr_of_svt(self) -> list[str]:
        parts: list[str] = []
        if self.hdr.primaries and self.hdr.luminance:
            pairs = [
                f"({float(self.hdr.primaries[i]):.5f},{float(self.hdr.primaries[i + 1]):.5f})" for i in range(0, 8, 2)
            ]
            least, most = (float(value) for value in self.hdr.luminance)
            parts.append(f"mastering-display=G{pairs[1]}B{pairs[2]}R{pairs[0]}WP{pairs[3]}L({most:.4f},{least:.4f})")
        return parts + ([f"content-light={self.hdr.light[0]},{self.hdr.light[1]}"] if self.hdr.light else [])

    def set(self, context: VideoCodecContext) -> None:
        """Set a context that is not open yet."""
        context.width, context.height, context.pix_fmt = self.width, self.height, self.layout.name
        context.time_base, context.framerate = self.time_base, self.rate
        context.color_primaries, context.color_trc, context.colorspace, context.color_range = self.tags
        if self.aspect is not None:
            context.sample_aspect_ratio = self.aspect
        context.gop_size = 1 if self.codec == "ffv1" else self.gop  # ffv1 gains little by more
        context.thread_count = self.threads
        context.flags |= Flags.closed_gop | Flags.global_header
        context.options = self.options()

    def open(self) -> VideoCodecContext:
        """An encoder for one segment."""
        context = av.CodecContext.create(ENCODERS[self.codec].name, "w")
        assert isinstance(context, VideoCodecContext)
        self.set(context)
        try:
            with no_real_time():
                context.open()
        except FFmpegError as error:
            raise OutputError(
                f"the encoder {self.codec} refuses {self.width} x {self.height} in {self.layout.name}: "
                f"{error.strerror or error}; choose another `codec` or `pix_fmt`"
            ) from error
        return context

    def add_to(self, container: OutputContainer) -> VideoStream:
        """The track of a file for packets of these settings."""
        stream = container.add_stream(ENCODERS[self.codec].name, rate=self.rate)
        assert isinstance(stream, VideoStream)
        self.set(stream.codec_context)
        stream.time_base = self.time_base
        return stream


@cache
def _same_every_time() -> tuple[str, ...]:
    """Parameters without which x264 encodes the same frames differently from run to run on processors with AVX-512: its
    code for them reads memory that nothing has written (docs/decisions/0020).
    """
    if platform.machine().lower() not in ("x86_64", "amd64"):
        return ()
    core: Any = getattr(np, "_core", None) or getattr(np, "core", None)  # private: there is no public way to ask
    features: dict[str, bool] | None = getattr(getattr(core, "_multiarray_umath", None), "__cpu_features__", None)
    if features is None:
        return ("mbtree=0",)
    return ("asm=avx2",) if features.get("AVX512F") else ()


def _inside_memory(width: int) -> tuple[str, ...]:
    """Parameters without which x265 writes beyond its memory for narrow pictures (40 and 48 wide), which ends the
    process: its code for vectors is left out there (docs/decisions/0020).
    """
    return ("no-asm=1",) if width < _NARROW_PX else ()


def fitting_size(height: int, width: int, layout: Layout) -> tuple[int, int]:
    """(h, w) rounded up to whole chroma samples: encoders refuse others."""
    down, across = layout.step
    return -(-height // down) * down, -(-width // across) * across


def formats_of(codec: str) -> list[str]:
    """Planar formats of pixels that an encoder takes."""
    found = av.Codec(ENCODERS[codec].name, "w").video_formats or []
    return [form.name for form in found if _is_layout(form.name)]


def _is_layout(name: str) -> bool:
    try:
        return layout_of(name).name == name and layout_of(name).depth != 9  # which players refuse
    except (ValueError, InputError):
        return False


def best_layout(wanted: Layout, names: Iterable[str]) -> Layout | None:
    """The layout among `names` that loses least of `wanted`: first no depth, then no chroma, then no alpha."""

    def loss(layout: Layout) -> tuple[object, ...]:
        coarser = sum(max(0, own - asked) for own, asked in zip(layout.step, wanted.step, strict=True))
        return (
            (layout.kind == "gray") > (wanted.kind == "gray"),
            max(0, wanted.depth - layout.depth),
            wanted.alpha and not layout.alpha,
            0 if wanted.kind == "gray" else coarser,
            layout.kind != wanted.kind,
            layout.depth,
            layout.alpha and not wanted.alpha,
            -layout.step[0] * layout.step[1] if wanted.kind == "gray" else layout.step != wanted.step,
        )

    return min((layout_of(name) for name in names), key=loss, default=None)


def encoder_name(text: str) -> str:
    """The key of `ENCODERS` for a name that users know. Raises `UsageError`."""
    name = text.lower()
    name = ALIASES.get(name, name)
    if name not in ENCODERS:
        known = ", ".join(ENCODERS)
        raise UsageError(f"`codec={text!r}` is unknown{nearest(name, [*ENCODERS, *ALIASES])}; choose one of {known}")
    return name
