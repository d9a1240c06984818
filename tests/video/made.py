"""Small videos for tests, made with PyAV: frames whose content is known, time stamps as given, tracks beside them."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from upres.video.frames import Layout, frame_of, layout_of
from upres.video.yuv import Coding, chroma_size

BASE = Fraction(1, 12800)


def sizes_of(layout: Layout, height: int, width: int) -> list[tuple[int, int]]:
    """(h, w) of each plane of a frame of (height, width)."""
    chroma = chroma_size(height, width, Coding("bt601", step=layout.step))
    return [(height, width), *([chroma] * 2 if layout.kind != "gray" else []), *([(height, width)] * layout.alpha)]


def moving_planes(number: int, height: int, width: int, pix_fmt: str) -> list[np.ndarray]:
    """Smooth content that moves with `number`, in the planes of a format."""
    layout = layout_of(pix_fmt)
    top = (1 << layout.depth) - 1
    planes = []
    for index, (tall, wide) in enumerate(sizes_of(layout, height, width)):
        rows, columns = np.mgrid[0:tall, 0:wide]
        wave = 0.25 * np.sin(0.3 * (rows + number) + index) + 0.15 * np.cos(0.2 * (columns - 2 * number))
        wave = 0.5 + wave * (0.15 if index and layout.kind == "yuv" else 0.75)  # no color beyond RGB
        planes.append(np.rint(wave * top).astype(np.uint8 if layout.depth == 8 else np.uint16))
    return planes


def make_video(
    path: Path,
    times: Sequence[int] | int = 12,
    *,
    size: tuple[int, int] = (32, 48),
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    options: dict[str, str] | None = None,
    tags: tuple[int, int, int, int] = (1, 1, 1, 1),
    planes: Any = moving_planes,
    sound: bool = False,
    rotation: int | None = None,
    aspect: Fraction | None = None,
    base: Fraction = BASE,
    subtitle: bool = False,
    extras: bool = False,
    format: str | None = None,
    sound_s: float | None = None,
) -> Path:
    """A video of frames at `times` (or so many, 25 a second) in units of `base`. Color tags as in `Video.tags`."""
    stamps = [round(number / 25 / base) for number in range(times)] if isinstance(times, int) else list(times)
    layout = layout_of(pix_fmt)
    with av.open(str(path), "w", format=format) as file:
        track = file.add_stream(codec, rate=25, options={"crf": "10", **(options or {})} if "x26" in codec else options)
        context = track.codec_context
        track.height, track.width = size
        track.pix_fmt = pix_fmt
        context.time_base = base
        track.time_base = base
        context.color_primaries, context.color_trc, context.colorspace, context.color_range = tags
        if aspect is not None:
            context.sample_aspect_ratio = aspect
        if rotation is not None:
            track.set_display_rotation(rotation)
        tones = file.add_stream("aac", rate=44100) if sound else None
        if tones is not None:
            tones.metadata["language"] = "deu"
            tones.metadata["title"] = "commentary"
        words = file.add_mux_stream("subrip", time_base=Fraction(1, 1000)) if subtitle else None
        if extras:
            file.metadata["title"] = "a title"
            track.metadata["language"] = "jpn"
            file.set_chapters(
                [
                    {"id": 1, "start": 0, "end": 200, "time_base": Fraction(1, 1000), "metadata": {"title": "one"}},
                    {"id": 2, "start": 200, "end": 480, "time_base": Fraction(1, 1000), "metadata": {"title": "two"}},
                ]
            )
            if str(path).endswith(".mkv"):
                file.add_attachment("font.ttf", "font/ttf", b"a font")
        for number, stamp in enumerate(stamps):
            frame = frame_of(planes(number, *size, pix_fmt), layout)
            frame.pts, frame.time_base = stamp, base
            frame.color_primaries, frame.color_trc, frame.colorspace, frame.color_range = tags
            file.mux(track.encode(frame))
        file.mux(track.encode())
        if tones is not None:
            seconds = float((stamps[-1] - stamps[0]) * base) if sound_s is None else sound_s
            for start in range(0, round(seconds * 44100), 1024):
                wave = 0.2 * np.sin(0.05 * np.arange(start, start + 1024))
                sound_frame = av.AudioFrame.from_ndarray(wave[None].astype(np.float32), "fltp", "mono")
                sound_frame.sample_rate, sound_frame.pts = 44100, start
                file.mux(tones.encode(sound_frame))
            file.mux(tones.encode())
        if words is not None:
            packet = av.Packet(b"hello")
            packet.stream, packet.time_base = words, Fraction(1, 1000)
            packet.pts = packet.dts = 100
            packet.duration = 200
            file.mux(packet)
    return path


def times_of(path: Path) -> list[Fraction]:
    """When each frame is shown, in seconds."""
    with av.open(str(path)) as file:
        return [frame.pts * frame.time_base for frame in file.decode(video=0)]


def hashes_of(path: Path) -> list[str]:
    """A hash of the pixels of each frame."""
    with av.open(str(path)) as file:
        return [hashlib.md5(frame.to_ndarray().tobytes()).hexdigest() for frame in file.decode(video=0)]


def packets_of(path: Path, kind: str) -> dict[int, list[tuple[str, Fraction]]]:
    """(MD5, time) of each packet of the tracks of a kind, by the place of the track among them."""
    found = defaultdict(list)
    with av.open(str(path)) as file:
        tracks = [stream for stream in file.streams if stream.type == kind]
        for packet in file.demux(*tracks) if tracks else ():
            if packet.size:
                place = tracks.index(packet.stream)
                found[place].append((hashlib.md5(bytes(packet)).hexdigest(), packet.pts * packet.time_base))
    return dict(found)
