"""Encoded parts of a video on disk: written once, closed with a hash, put together at the end.

A segment is encoded by an encoder of its own and begins with a frame that stands alone, so segments do not depend on
each other. Its file has the packets one after the other, then an index as JSON, then the length of the index and a
magic number.
"""

# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false
# The stubs of PyAV leave the type of packets open.

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from av.packet import Packet
from av.video.frame import VideoFrame

from upres.errors import OutputError
from upres.system.files import commit_partial, output_error, partial_path
from upres.system.text import parse_json
from upres.video.encoder import Encoding

_MAGIC = b"UPRSEG1\n"
_TAIL = struct.Struct(">Q8s")


@dataclass(frozen=True, slots=True)
class Coded:
    """An encoded frame: time stamp, duration (in units of the time base), whether it stands alone, and its bytes."""

    pts: int
    duration: int
    key: bool
    size: int


@dataclass(frozen=True, slots=True)
class Segment:
    """What the index of a segment says.

    frames: In the order they are decoded.
    extradata: Of its encoder; equal in all segments.
    sha256: Of the packets.
    """

    frames: tuple[Coded, ...]
    extradata: bytes
    sha256: str


class SegmentWriter:
    """Encodes frames into the segment `path`. Use it in a `with` statement, and `close` it when all frames are added.

    Raises:
        OutputError: The file cannot be written, or the encoder fails.
    """

    def __init__(self, path: Path, encoding: Encoding) -> None:
        self._path, self._partial = path, partial_path(path)
        self._encoder = encoding.open()
        self._time_base, self._tags = encoding.time_base, encoding.tags
        self._durations: dict[int, int] = {}
        self._frames: list[Coded] = []
        self._digest = hashlib.sha256()
        self._file: BinaryIO | None = None
        try:
            self._file = self._partial.open("xb")
        except OSError as error:
            raise output_error(path, error) from error

    def __enter__(self) -> SegmentWriter:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            with contextlib.suppress(OSError):  # flushes to a full disk
                self._file.close()
        self._partial.unlink(missing_ok=True)

    def add(self, frame: VideoFrame, pts: int, duration: int) -> None:
        """Encode a frame with this time stamp, which is after that of the one before."""
        frame.pts, frame.time_base = pts, self._time_base
        # Some encoders take the tags of color from the frame.
        frame.color_primaries, frame.color_trc, frame.colorspace, frame.color_range = self._tags
        self._durations[pts] = duration
        self._write(self._encoder.encode(frame))

    def close(self) -> str:
        """Finish the file and give it its name. Returns the SHA-256 of the packets."""
        self._write(self._encoder.encode(None))
        sha256 = self._digest.hexdigest()
        index = {
            "frames": [(one.pts, one.duration, int(one.key), one.size) for one in self._frames],
            "extradata": (self._encoder.extradata or b"").hex(),
            "sha256": sha256,
        }
        text = json.dumps(index, separators=(",", ":")).encode()
        assert self._file is not None
        try:
            self._file.write(text + _TAIL.pack(len(text), _MAGIC))
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
            commit_partial(self._partial, self._path)
        except OSError as error:
            raise output_error(self._path, error) from error
        return sha256

    def _write(self, packets: list[Packet[Any]]) -> None:
        assert self._file is not None
        for packet in packets:
            assert packet.pts is not None
            data = bytes(packet)
            duration = self._durations.pop(packet.pts, 0)
            self._frames.append(Coded(packet.pts, duration, packet.is_keyframe, len(data)))
            self._digest.update(data)
            try:
                self._file.write(data)
            except OSError as error:
                raise output_error(self._path, error) from error


def read_index(path: Path) -> Segment:
    """The index of a segment. Raises `OutputError` for a file that is damaged."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - _TAIL.size))
            length, magic = _TAIL.unpack(file.read(_TAIL.size))
            if magic != _MAGIC:
                raise ValueError("no magic number")
            file.seek(size - _TAIL.size - length)
            index = parse_json(file.read(length))
        frames = tuple(Coded(pts, duration, bool(key), data) for pts, duration, key, data in index["frames"])
        if sum(one.size for one in frames) != size - _TAIL.size - length:
            raise ValueError("packets are missing")
        return Segment(frames, bytes.fromhex(index["extradata"]), index["sha256"])
    except (OSError, ValueError, KeyError, TypeError, struct.error) as error:
        raise _damaged(path) from error


def read_packets(path: Path, segment: Segment) -> Iterator[tuple[Coded, bytes]]:
    """The packets of a segment in their order. Raises `OutputError` where they are not those that were written."""
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            for one in segment.frames:
                data = file.read(one.size)
                digest.update(data)
                yield one, data
    except OSError as error:
        raise _damaged(path) from error
    if digest.hexdigest() != segment.sha256:
        raise _damaged(path)


def is_whole(path: Path, sha256: str) -> bool:
    """Whether the segment is there with these packets."""
    try:
        segment = read_index(path)
        return segment.sha256 == sha256 and sum(1 for _ in read_packets(path, segment)) == len(segment.frames)
    except OutputError:
        return False


def _damaged(path: Path) -> OutputError:
    return OutputError(f"{path} is damaged; remove it and run the same command again: that part is made anew")
