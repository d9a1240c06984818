"""The result: video from its segments, and every other track of the source copied packet by packet."""

# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false
# The stubs of PyAV leave the type of packets open.

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import av
from av.container import InputContainer
from av.error import FFmpegError
from av.packet import Packet
from av.stream import Stream

from upres.errors import OutputError
from upres.system.files import commit_partial, output_error, partial_path
from upres.system.priority import no_real_time
from upres.video.encoder import CONTAINERS, Encoding
from upres.video.segments import Coded, Segment, read_index, read_packets
from upres.video.source import Video, open_container
from upres.video.tracks import copy_tracks, is_picture, tags_of

if TYPE_CHECKING:
    from av.container.core import Chapter

_LAST = 2**62
_MICROSECONDS = 1_000_000  # FFmpeg's unit of time for whole files


@dataclass(frozen=True, slots=True)
class Window:
    """The part of the source that the result has: start_s <= time < end_s; None is no limit."""

    start_s: Fraction | None = None
    end_s: Fraction | None = None


def write_result(
    target: Path,
    paths: Sequence[Path],
    encoding: Encoding,
    video: Video,
    window: Window,
    tracks: Sequence[int] = (),
) -> None:
    """Write `target`, or leave it unchanged. Raises `OutputError`, `InputError`.

    paths: Of the segments, in order.
    tracks: Of the source, to copy.
    """
    partial = partial_path(target)
    try:
        with partial.open("x+b") as file:
            _write(file, target, paths, encoding, video, window, tracks)
            file.flush()
            os.fsync(file.fileno())
        commit_partial(partial, target)
    except FFmpegError as error:
        failed = _os_error(error)
        if failed is not None:
            raise output_error(target, failed) from error
        raise OutputError(f"cannot write {target}: {error.strerror or error}; try `out=NAME.mkv`") from error
    except OSError as error:
        raise output_error(target, error) from error
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)


def _write(
    file: BinaryIO,
    target: Path,
    paths: Sequence[Path],
    encoding: Encoding,
    video: Video,
    window: Window,
    tracks: Sequence[int],
) -> None:
    suffix = target.suffix.lower()
    segments = [read_index(path) for path in paths]
    source = None if video.alone else open_container(video.path)
    try:
        pictures = source is not None and any(is_picture(source.streams[index]) for index in tracks)
        with av.open(file, "w", format=CONTAINERS[suffix], options=_options(suffix, pictures)) as result:
            track = encoding.add_to(result)
            copies: dict[int, Stream] = {}
            if source is not None:
                original = source.streams[video.index]
                track.metadata.update(tags_of(original.metadata))
                track.disposition = original.disposition
                result.metadata.update(tags_of(source.metadata))
                copies = copy_tracks(result, source, video, suffix, tracks)
                result.set_chapters(_chapters(source, window))
            if video.matrix is not None:
                track.set_display_matrix(memoryview(video.matrix).cast("i").tolist())
            with no_real_time():
                result.start_encoding()
            shift = _shift(window)
            ours = _video_packets(segments, paths, track, encoding, shift)
            theirs = _other_packets(source, copies, window, shift) if source is not None and copies else iter(())
            for packet in _merged(ours, theirs):
                result.mux_one(packet)
    finally:
        if source is not None:
            source.close()


def _os_error(error: BaseException) -> OSError | None:
    """What the file object raised inside FFmpeg, which gives it back as the context of its own error."""
    link: BaseException | None = error
    while link is not None:
        if isinstance(link, OSError):
            return link
        link = link.__cause__ or link.__context__
    return None


def _options(suffix: str, pictures: bool) -> dict[str, str]:
    """Of the muxer. In MP4 either all tags of the source are written, or attached pictures and the usual tags."""
    if suffix not in (".mp4", ".m4v", ".mov"):
        return {}
    return {"movflags": "write_colr" if pictures else "use_metadata_tags+write_colr"}


def _chapters(source: InputContainer, window: Window) -> list[Chapter]:
    """Those of the source inside the window, moved with it."""
    found: list[Chapter] = []
    for chapter in source.chapters():
        base = chapter["time_base"] or Fraction(1, 1000)
        start, end = chapter["start"] * base, chapter["end"] * base
        low = max(start, window.start_s) if window.start_s is not None else start
        high = min(end, window.end_s) if window.end_s is not None else end
        if low < high:
            moved = window.start_s or Fraction(0)
            chapter["start"], chapter["end"] = round((low - moved) / base), round((high - moved) / base)
            found.append(chapter)
    return found


def _shift(window: Window) -> Fraction:
    """Seconds that time stamps move back."""
    return window.start_s or Fraction(0)


def _video_packets(
    segments: Sequence[Segment], paths: Sequence[Path], track: Any, encoding: Encoding, shift: Fraction
) -> Iterator[tuple[Fraction, Packet[Any]]]:
    """(time of decoding, packet) of all segments.

    Each encoder has made its own times of decoding; these are made anew for the whole: the time stamps in rising order,
    begun so much earlier that no frame is decoded after it is shown.
    """
    base = encoding.time_base
    moved = round(shift / base)
    orders = [frame.pts for segment in segments for frame in sorted(segment.frames, key=lambda one: one.pts)]
    delay = max((_delay(segment.frames) for segment in segments), default=0)
    step = max(1, round(1 / (encoding.rate * base)))
    number = 0
    for segment, path in zip(segments, paths, strict=True):
        for frame, data in read_packets(path, segment):
            dts = orders[number - delay] if number >= delay else orders[0] - (delay - number) * step
            packet: Packet[Any] = Packet(data)
            packet.stream, packet.time_base = track, base
            packet.pts, packet.dts, packet.duration = frame.pts - moved, dts - moved, frame.duration
            packet.is_keyframe = frame.key
            number += 1
            yield (dts - moved) * base, packet


def _delay(frames: Sequence[Coded]) -> int:
    """Frames that a decoder must hold back to show these in order: how far one is decoded after its turn."""
    turn = {pts: place for place, pts in enumerate(sorted(frame.pts for frame in frames))}
    return max((place - turn[frame.pts] for place, frame in enumerate(frames)), default=0)


def _other_packets(
    source: InputContainer, copies: dict[int, Stream], window: Window, shift: Fraction
) -> Iterator[tuple[Fraction, Packet[Any]]]:
    """(time of decoding, packet) of the copied tracks, within the window."""
    if window.start_s is not None:
        with suppress(FFmpegError):  # a file that cannot be searched is read from its beginning
            source.seek(int(window.start_s * _MICROSECONDS), backward=True)
    streams = [source.streams[index] for index in copies if source.streams[index].type != "attachment"]
    if not streams:
        return
    last = Fraction(0)
    done: set[int] = set()
    packets = source.demux(*streams)
    while True:
        try:
            packet = next(packets, None)
        except FFmpegError:  # the file is cut off; the reader of frames has told it
            return
        if packet is None or len(done) == len(streams):
            return
        base = packet.time_base
        picture = is_picture(packet.stream)
        if picture and packet.pts is None:
            packet.pts = packet.dts = 0
        when = packet.pts if packet.pts is not None else packet.dts
        if not packet.size or when is None:
            continue
        index, time = packet.stream_index, when * base
        if not picture and window.end_s is not None and time >= window.end_s:
            done.add(index)
            continue
        if not picture and window.start_s is not None and time + (packet.duration or 0) * base <= window.start_s:
            continue
        if shift:
            moved = round(shift / base)
            packet.pts = None if packet.pts is None else packet.pts - moved
            packet.dts = None if packet.dts is None else packet.dts - moved
        last = packet.dts * base if packet.dts is not None else last
        packet.stream = copies[index]
        yield last, packet


def _merged(
    ours: Iterator[tuple[Fraction, Packet[Any]]], theirs: Iterator[tuple[Fraction, Packet[Any]]]
) -> Iterator[Packet[Any]]:
    """The packets of both in the order of their times; no more than one of each is held."""
    end: tuple[Fraction, Packet[Any] | None] = (Fraction(_LAST), None)
    left, right = next(ours, end), next(theirs, end)
    while left[1] is not None or right[1] is not None:
        if right[1] is None or (left[1] is not None and left[0] <= right[0]):
            assert left[1] is not None
            yield left[1]
            left = next(ours, end)
        else:
            yield right[1]
            right = next(theirs, end)
