"""Several videos as columns of one, frame by frame at the times of the first: what a page shows side by side."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import numpy as np

from upres.errors import InputError
from upres.system.text import shown
from upres.upscaling.postprocess import resize
from upres.video.encoder import Encoding, fitting_size
from upres.video.frames import CODES, frame_of, layout_of
from upres.video.mux import Window, write_result
from upres.video.opened import OpenedSource, open_source
from upres.video.preview import GAP_PX, total_width
from upres.video.reader import SourceFrame
from upres.video.segments import SegmentWriter
from upres.video.source import UPRIGHT, Hdr, open_container, video_stream
from upres.video.yuv import Array, Coding, from_rgb, to_rgb

PAGE_CRF = 12  # of H.264: what a page shows
_LIMITED = 1


@dataclass(frozen=True, slots=True)
class Columns:
    """A video of columns.

    height, width: Of one column.
    whole: (h, w) of the video.
    times: When each frame is shown, in seconds from the first.
    notes: For the user.
    """

    height: int
    width: int
    whole: tuple[int, int]
    times: tuple[float, ...]
    notes: tuple[str, ...] = ()


def join_columns(
    sources: Sequence[str], target: Path, progress: Callable[[float], None], *, crf: int = PAGE_CRF
) -> Columns:
    """Write `target`, MP4 with H.264 in 8 bits, that has each of `sources` as a column, as large as the largest.

    progress: Called with the number of frames done.

    Raises `InputError` for a source that cannot be read, `OutputError` for a file that cannot be written.
    """
    opened = [open_source(source, None) for source in sources]
    first = opened[0].video
    height = max(one.video.height for one in opened)
    width = max(one.video.width for one in opened)
    layout = layout_of("yuv420p")
    whole = fitting_size(height, total_width(width, len(opened) - 1), layout)
    coding = Coding("bt709", False, 8, layout.step, "left")
    tags = (*first.tags[:2], CODES["bt709"], _LIMITED)
    encoding = Encoding("h264", layout, *whole, crf, first.time_base, first.rate, tags, "left", first.aspect, Hdr(), 48)
    readers = [one.reader() for one in opened]
    with tempfile.TemporaryDirectory(prefix=".columns-", dir=target.parent) as folder:
        part = Path(folder) / "columns.upres"
        start = 0
        with SegmentWriter(part, encoding) as writer:
            for count, frames in enumerate(_together(opened, [iter(reader) for reader in readers])):
                start = frames[0].pts if count == 0 else start
                picture = _beside([_rgb(one) for one in frames], height, width, whole)
                planes = from_rgb(picture, None, coding)
                writer.add(frame_of(planes, layout), frames[0].pts - start, frames[0].duration)
                progress(float(count + 1))
            writer.close()
        write_result(target, [part], encoding, replace(first, alone=True, matrix=None), Window())
    notes = [
        f"{shown(one.video.path)}: {note}" for one, reader in zip(opened, readers, strict=True)
        for note in (*one.video.notes, *reader.counts.notes)
    ]  # fmt: skip
    notes += [
        f"{shown(one.video.path)} is turned when it is played; the page shows it as it is stored"
        for one in opened
        if one.video.matrix is not None and one.video.matrix != UPRIGHT
    ]
    return Columns(height, width, whole, frame_times(target), tuple(notes))


def _together(opened: Sequence[OpenedSource], readers: Sequence[Iterator[SourceFrame]]) -> Iterator[list[SourceFrame]]:
    """For each frame of the first, the frames of all that are shown at its time. One that ends keeps its last frame."""
    bases = [one.video.time_base for one in opened]
    starts = [one.video.start for one in opened]

    def time(place: int, frame: SourceFrame) -> Fraction:
        return (frame.pts - starts[place]) * bases[place]

    others: list[tuple[SourceFrame | None, SourceFrame | None]] = [
        (None, next(reader, None)) for reader in readers[1:]
    ]  # (shown, next)
    late = Fraction(1, 2) / opened[0].video.rate  # times of other files are rounded
    for frame in readers[0]:
        now = time(0, frame) + late
        for place, (shown_now, coming) in enumerate(others):
            while coming is not None and (shown_now is None or time(place + 1, coming) < now):
                shown_now, coming = coming, next(readers[place + 1], None)
            others[place] = (shown_now, coming)
        found = [one for one, _ in others]
        if any(one is None for one in found):
            raise InputError(f"{shown(opened[1 + found.index(None)].video.path)} has no frames")
        yield [frame, *(one for one in found if one is not None)]


def _rgb(frame: SourceFrame) -> Array:
    pixels, _ = to_rgb(frame.planes, frame.coding)
    return np.repeat(pixels, 3, axis=2) if pixels.shape[2] == 1 else pixels


def _beside(columns: Sequence[Array], height: int, width: int, size: tuple[int, int]) -> Array:
    whole = np.zeros((*size, 3), np.float32)
    for place, column in enumerate(columns):
        left = place * (width + GAP_PX)
        whole[:height, left : left + width] = resize(column, (height, width))
    return whole


def frame_times(path: Path) -> tuple[float, ...]:
    """When each frame of a video is shown, in seconds from the first, in order. Raises `InputError`."""
    with open_container(str(path)) as container:
        stream = video_stream(container, shown(path))
        stamps = sorted(packet.pts for packet in container.demux(stream) if packet.pts is not None and packet.size)
        base = stream.time_base or Fraction(1)
    return tuple(round(float((pts - stamps[0]) * base), 6) for pts in stamps)
