"""Interlaced frames become whole ones by FFmpeg's filter bwdif; progressive frames pass through untouched."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

import av.error
from av.filter import Graph
from av.video.frame import VideoFrame

from upres.errors import InputError
from upres.video.frames import is_planar

_MIN_PX = 4  # bwdif works from 3 lines and columns on


class Deinterlacer:
    """Takes frames in order, returns them deinterlaced, one for each."""

    def __init__(self, time_base: Fraction) -> None:
        self._time_base = time_base
        self._graph: Graph | None = None
        self._key: tuple[int, int, str] | None = None
        self._times: list[tuple[int | None, int]] = []  # of the frames inside the graph

    def push(self, frame: VideoFrame) -> Iterator[VideoFrame]:
        """The frames that are ready after this one. Raises `InputError` for an interlaced frame that bwdif refuses."""
        key = (frame.width, frame.height, frame.format.name)
        if min(frame.width, frame.height) < _MIN_PX or not is_planar(frame.format.name) or frame.pts is None:
            if frame.interlaced_frame:
                raise InputError("its frames are interlaced and of a format that upres cannot deinterlace; convert it")
            yield from self.drain()
            yield frame
            return
        if key != self._key:
            yield from self.drain()
            self._key, self._graph = key, self._make(frame)
        assert self._graph is not None
        self._times.append((frame.pts, frame.duration or 0))
        self._graph.push(frame)
        yield from self._pull()

    def drain(self) -> Iterator[VideoFrame]:
        """The frames that are still inside."""
        if self._graph is not None:
            self._graph.push(None)
            yield from self._pull()
        self._graph = self._key = None

    def _make(self, frame: VideoFrame) -> Graph:
        graph = Graph()
        graph.link_nodes(
            graph.add_buffer(width=frame.width, height=frame.height, format=frame.format, time_base=self._time_base),
            graph.add("bwdif", "mode=send_frame:parity=auto:deint=interlaced"),
            graph.add("buffersink"),
        ).configure()
        return graph

    def _pull(self) -> Iterator[VideoFrame]:
        assert self._graph is not None
        while True:
            try:
                frame = self._graph.vpull()
            except (av.error.BlockingIOError, av.error.EOFError):
                return
            pts, duration = self._times.pop(0)
            frame.time_base, frame.pts, frame.duration = self._time_base, pts, duration
            yield frame
