"""Open a video file and find out what it holds, from its header and its first frame."""

from __future__ import annotations

import re
import struct
import threading
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import av.logging
from av.container import InputContainer
from av.error import FFmpegError
from av.filter import Graph
from av.sidedata.sidedata import Type as SideData
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from upres.errors import InputError
from upres.images.sniff import HEAD_BYTES, sniff
from upres.system.text import shown
from upres.video.frames import CODES, UNSPECIFIED, Layout, coding_of, layout_of
from upres.video.yuv import Coding

# Demuxers that open other files or URLs named in their input (playlists, lists of parts) are left out.
_FORMATS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,mpegvideo,asf,flv,ogg,mxf,yuv4mpegpipe,nut,h264,hevc,ivf,obu,"
    "dv,rm,gif,apng"
)
_SAFE = {"protocol_whitelist": "file", "format_whitelist": _FORMATS}
_ISO_BOXES = (b"ftyp", b"mdat", b"free", b"skip", b"wide", b"moof", b"styp")
_FIRST_FRAME_PACKETS = 500  # without a frame in so many packets, the video counts as having none
UPRIGHT = struct.pack("=9i", 1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)  # the display matrix of no turn
_logs = threading.Lock()  # PyAV's level is one for the process


@dataclass(frozen=True, slots=True)
class Hdr:
    """Static metadata of HDR10 (SMPTE ST 2086 and CTA-861.3).

    primaries: x and y of red, green, blue and white; empty if unknown.
    luminance: Least and greatest of the mastering display, in cd/m²; empty if unknown.
    light: MaxCLL and MaxFALL, in cd/m²; empty if unknown.
    """

    primaries: tuple[Fraction, ...] = ()
    luminance: tuple[Fraction, ...] = ()
    light: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Video:
    """The video stream of a file.

    path: The file; "-" is standard input.
    index: Of the stream in the file.
    height, width: In pixels, as coded: not turned by the display matrix.
    layout: Of its pixels.
    coding: Of its colors.
    tags: Codes of H.273 as the file says them: primaries, transfer, matrix, range.
    time_base: Unit of its time stamps, in seconds.
    rate: Frames a second, on average.
    frames: How many there are, as the file says or by duration and rate; 0 if unknown.
    start: Time stamp of the first frame, in units of `time_base`.
    seconds: Duration; 0.0 if unknown.
    aspect: Width / height of a pixel; None if not said.
    matrix: The display matrix (36 bytes), or None.
    interlaced: Whether the first frame is.
    hdr: Metadata of HDR10.
    bytes: Size of the file.
    notes: For the user.
    alone: There are no other tracks to copy: standard input, or pictures.
    """

    path: str
    index: int
    height: int
    width: int
    layout: Layout
    coding: Coding
    tags: tuple[int, int, int, int]
    time_base: Fraction
    rate: Fraction
    frames: int
    start: int
    seconds: float
    aspect: Fraction | None
    matrix: bytes | None
    interlaced: bool
    hdr: Hdr
    bytes: int
    notes: tuple[str, ...] = ()
    alone: bool = False


def open_container(path: str) -> InputContainer:
    """A container that reads `path` ("-": standard input). Raises `InputError`, which says what the file is instead."""
    if path == "-":
        import sys

        return _open(sys.stdin.buffer, "standard input", b"", {"format_whitelist": _FORMATS})
    name = shown(path)
    try:
        with Path(path).open("rb") as file:
            head = file.read(HEAD_BYTES)
    except OSError as error:
        raise InputError(f"{name} cannot be read: {error.strerror or error}") from error
    if not head:
        raise InputError(f"{name} is empty")
    return _open(f"file:{Path(path).absolute()}", name, head, _SAFE)


def _open(source: object, name: str, head: bytes, options: dict[str, str]) -> InputContainer:
    words: list[str] = []
    try:
        with logged(words):
            return av.open(source, "r", options=options, metadata_errors="replace")
    except (FFmpegError, OSError) as error:
        told = " ".join(words)
        if "moov atom not found" in told and head[4:8] in _ISO_BOXES:
            reason = "has no index (its moov box is missing): the recording was cut off before it was closed"
            raise InputError(f"{name} {reason}; a tool that repairs MP4 files may save it") from error
        kind, predicate = sniff(head)
        if kind is not None:
            raise InputError(f"{name} is a picture ({kind}); use upres upscale") from error
        known = head and "video" not in predicate and "unknown" not in predicate  # of a pipe, no head is kept
        raise InputError(f"{name} {predicate if known else 'is no video that upres reads, or is damaged'}") from error


@contextmanager
def logged(words: list[str]) -> Generator[None]:
    """Collect in `words` what FFmpeg logs as an error within it."""
    with _logs:
        before, skips = av.logging.get_level(), av.logging.get_skip_repeated()
        av.logging.set_level(av.logging.INFO)
        av.logging.set_skip_repeated(False)
        try:
            with av.logging.Capture(False) as lines:
                try:
                    yield
                finally:
                    words += [line[2] for line in lines]
        finally:
            av.logging.set_level(before)
            av.logging.set_skip_repeated(skips)


def video_stream(container: InputContainer, name: str) -> VideoStream:
    """The stream to upscale: the default one, or the first that is no attached picture. Raises `InputError`."""
    found = [stream for stream in container.streams.video if not stream.disposition & Disposition.attached_pic]
    if not found:
        pictures = len(container.streams.video)
        also = f", only {pictures} attached picture{'s' if pictures > 1 else ''}" if pictures else ""
        raise InputError(f"{name} has no video{also}")
    return next((stream for stream in found if stream.disposition & Disposition.default), found[0])


def examine(path: str, container: InputContainer | None = None) -> tuple[Video, VideoFrame]:
    """The video in `path` and its first frame. Raises `InputError` if there is none.

    container: Of `path`, at its beginning; None opens it. Frames decoded are taken from it.
    """
    name = "standard input" if path == "-" else shown(path)
    own = open_container(path) if container is None else container
    try:
        stream = video_stream(own, name)
        first = _first_frame(own, stream, name)
        return _describe(path, name, own, stream, first), first
    finally:
        if container is None:
            own.close()


def _first_frame(container: InputContainer, stream: VideoStream, name: str) -> VideoFrame:
    count = 0
    try:
        for packet in container.demux(stream):
            try:
                for frame in packet.decode():
                    return frame
            except FFmpegError:
                pass  # a later one may be whole; the reader counts those that fail
            count += 1
            if count > _FIRST_FRAME_PACKETS:
                break
    except FFmpegError as error:
        raise InputError(f"{name} has no frame that can be decoded: {error.strerror or error}") from error
    if not count or (count == 1 and not stream.frames):
        raise InputError(f"{name} has no frames")
    raise InputError(f"{name} has no frame that can be decoded")


def _describe(path: str, name: str, container: InputContainer, stream: VideoStream, frame: VideoFrame) -> Video:
    try:
        layout = layout_of(frame.format.name)
        tags = (frame.color_primaries, frame.color_trc, frame.colorspace, frame.color_range)
        siting = _siting(stream, frame)
        jpeg = frame.format.name.startswith("yuvj")
        coding = coding_of(layout, tags[2], tags[3], siting, frame.height, jpeg=jpeg)
    except InputError as error:
        raise InputError(f"{name}: {error}") from error
    rate = stream.average_rate or stream.guessed_rate or Fraction(25)
    base = stream.time_base or Fraction(1, 90_000)
    if stream.duration is not None:
        seconds = float(stream.duration * base)
    else:
        seconds = float(container.duration / 1_000_000) if container.duration else 0.0
    side = side_data(frame)
    matrix = side.get(SideData.DISPLAYMATRIX)
    return Video(
        path,
        stream.index,
        frame.height,
        frame.width,
        layout,
        coding,
        tags,
        base,
        rate,
        stream.frames or round(seconds * float(rate)),
        frame.pts or 0,
        seconds,
        stream.sample_aspect_ratio,
        matrix,
        frame.interlaced_frame,
        _hdr(side),
        0 if path == "-" else Path(path).stat().st_size,
        alone=path == "-",
    )


def side_data(frame: VideoFrame) -> dict[SideData, bytes]:
    """What a frame carries beside its pixels. (PyAV says that it is a mapping of strings.)"""
    values: list[Any] = list(frame.side_data)
    return {data.type: bytes(data) for data in values}


def _siting(stream: VideoStream, frame: VideoFrame) -> str:
    """Where the frame's chroma samples lie. PyAV does not tell; FFmpeg's filter showinfo does, in its log."""
    words: list[str] = []
    with logged(words):
        graph = Graph()
        graph.link_nodes(
            graph.add_buffer(width=frame.width, height=frame.height, format=frame.format, time_base=stream.time_base),
            graph.add("showinfo", "checksum=0"),
            graph.add("buffersink"),
        ).configure()
        graph.push(frame)
        graph.pull()
    found = re.search(r"\bcl:(\w+)", " ".join(words))
    return found[1] if found else "unspecified"


def _hdr(side: dict[SideData, bytes]) -> Hdr:
    """AVMasteringDisplayMetadata is 10 rationals and two flags, AVContentLightMetadata two numbers."""
    hdr = Hdr()
    display = side.get(SideData.MASTERING_DISPLAY_METADATA, b"")
    if len(display) >= 88:
        numbers = struct.unpack("=22i", display[:88])
        values = tuple(Fraction(numbers[2 * i], numbers[2 * i + 1] or 1) for i in range(10))
        has_primaries, has_luminance = numbers[20:22]
        hdr = Hdr(values[:8] if has_primaries else (), values[8:10] if has_luminance else ())
    light = side.get(SideData.CONTENT_LIGHT_LEVEL, b"")
    if len(light) >= 8:
        hdr = Hdr(hdr.primaries, hdr.luminance, struct.unpack("=2I", light[:8]))
    return hdr


def told_matrix(video: Video, height: int) -> int:
    """The code of the matrix to write for a result of `height` lines.

    A video that names none is read as BT.601 or BT.709 by its size; where the result has crossed that line, it must
    say what it has.
    """
    if video.tags[2] != UNSPECIFIED or video.coding.matrix not in ("bt601", "bt709"):
        return video.tags[2]
    guess = coding_of(video.layout, UNSPECIFIED, 0, "left", height, jpeg=False).matrix
    return UNSPECIFIED if guess == video.coding.matrix else CODES[video.coding.matrix]
