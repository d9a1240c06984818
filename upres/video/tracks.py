"""The tracks beside the video: which of them a file can hold, and their copies in it."""

# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false
# The stubs of PyAV leave the type of packets open.

from __future__ import annotations

import io
from collections.abc import Sequence

import av
from av.container import InputContainer, OutputContainer
from av.error import FFmpegError
from av.stream import Discard, Disposition, Stream

from upres.errors import OutputError
from upres.system.priority import no_real_time
from upres.system.text import shown
from upres.video.encoder import CONTAINERS, Encoding
from upres.video.source import Video, open_container

_OWN_TAGS = frozenset({"major_brand", "minor_version", "compatible_brands", "encoder", "duration"})  # of each file
_COVERS = {"mjpeg": ("cover.jpg", "image/jpeg"), "png": ("cover.png", "image/png")}


def copied_tracks(video: Video, encoding: Encoding, suffix: str) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """(tracks of the source to copy, notes for the user), found by writing the head of a file that ends in `suffix`.

    Tracks of data (time codes, telemetry) that the file cannot hold are left out, with a note. Raises `OutputError`,
    naming it, for any other track.
    """
    if video.alone:
        return (), ()
    with open_container(video.path) as source:
        streams = [stream for stream in source.streams if _is_copied(stream, video)]
        every = tuple(stream.index for stream in streams)
        told = [_head(video, encoding, suffix, every)]
        if told[0] is None:
            return every, ()
        data = [stream for stream in streams if stream.type in ("data", "unknown")]
        rest = tuple(stream.index for stream in streams if stream not in data)
        if data and _head(video, encoding, suffix, rest) is None:
            names = ", ".join(f"{stream.index} ({shown(getattr(stream, 'name', None) or 'data')})" for stream in data)
            return rest, (f"tracks of data were left out, which a {suffix} file cannot hold: {names}",)
        for stream in streams:
            reason = _head(video, encoding, suffix, (stream.index,))
            if reason is not None and stream not in data:
                kind = f"{stream.type} track {stream.index} ({shown(getattr(stream, 'name', None) or 'unknown')})"
                raise OutputError(
                    f"a {suffix} file cannot hold {kind}: {shown(reason)}; write Matroska, which can: `out=NAME.mkv`"
                )
    raise OutputError(f"a {suffix} file cannot hold the tracks of the source: {shown(told[0])}; try `out=NAME.mkv`")


def _head(video: Video, encoding: Encoding, suffix: str, tracks: tuple[int, ...]) -> str | None:
    """Why the head of a file with these tracks cannot be written; None if it can."""
    with open_container(video.path) as source, av.open(io.BytesIO(), "w", format=CONTAINERS[suffix]) as trial:
        try:
            encoding.add_to(trial)
            copy_tracks(trial, source, video, suffix, tracks)
            with no_real_time():
                trial.start_encoding()
        except ValueError as error:
            return str(error)
        except FFmpegError as error:
            return error.log[1][2].strip() if error.log and error.log[1] else error.strerror or str(error)
    return None


def tags_of(metadata: dict[str, str]) -> dict[str, str]:
    """The tags of a file or a track that belong into the result."""
    tags = {name: value for name, value in metadata.items() if name.lower() not in _OWN_TAGS}
    if "name" in tags:  # FFmpeg reads the title of an MP4's track under this name, and writes it under the other
        tags.setdefault("title", tags["name"])
    return tags


def is_picture(stream: Stream) -> bool:
    """Whether a track is an attached picture, such as a cover."""
    return bool(stream.disposition & Disposition.attached_pic)


def _is_copied(stream: Stream, video: Video) -> bool:
    """Tracks that the demuxer throws away are chapters, which are copied as such."""
    return stream.index != video.index and stream.discard != Discard.all


def copy_tracks(
    result: OutputContainer, source: InputContainer, video: Video, suffix: str, tracks: Sequence[int]
) -> dict[int, Stream]:
    """A track of the result for each of these of the source. Raises as `_add_copy` does.

    Matroska has attached pictures as attachments, which are written with the head.
    """
    pictures = [index for index in tracks if is_picture(source.streams[index])]
    for index in pictures if suffix == ".mkv" else ():
        name, kind = _COVERS.get(
            str(getattr(source.streams[index], "name", None)), ("cover", "application/octet-stream")
        )
        with open_container(video.path) as again:
            packet = next(again.demux(again.streams[index]))
            result.add_attachment(name, kind, bytes(packet))
    rest = [index for index in tracks if suffix != ".mkv" or index not in pictures]
    return {index: _add_copy(result, source.streams[index]) for index in rest}


def _add_copy(result: OutputContainer, stream: Stream) -> Stream:
    """A track of the result for the packets of `stream`. Raises ValueError and FFmpegError where it cannot have one."""
    copy = result.add_stream_from_template(stream, opaque=True)
    copy.metadata.update(tags_of(stream.metadata))
    copy.disposition = stream.disposition
    return copy
