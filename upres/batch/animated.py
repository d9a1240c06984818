"""Animated pictures in a batch, frame by frame; what does not change is not computed again."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from upres.batch.c2pa_signing import signed
from upres.batch.job import Encoding, Job
from upres.batch.provenance import stamped, write_sidecar
from upres.errors import InputError, OutputError
from upres.images.animation import ANIMATED_FORMATS, Animation, AnimationWriter, check_animated, count_frames
from upres.images.io import Header
from upres.system.files import write_atomic
from upres.upscaling.tile_memory import TileMemory

STILL_ONLY = "gif is written for animations only; write png, which holds all colors"


@dataclass(frozen=True, slots=True)
class EncodedAnimation:
    """A result: the bytes of the file, and notes for the user."""

    data: bytes
    notes: tuple[str, ...]


def frames_of(source: Path | bytes, header: Header, format: str) -> int:
    """How many frames the result has: those of the picture, if a file of `format` can hold an animation, else 1.

    Raises `InputError` for a still picture that shall become a GIF.
    """
    if format not in ANIMATED_FORMATS.values():
        return 1
    frames = count_frames(source) if header.format in ANIMATED_FORMATS.values() else 1
    if frames == 1 and format == "gif":
        raise InputError(f"it is a still picture; {STILL_ONLY}")
    return frames


def upscale_animation(
    job: Job, animation: Animation, encoding: Encoding, progress: Callable[[int, int], None]
) -> EncodedAnimation:
    """Upscale all frames, and encode them. Raises as an `Upscaler` does, and `OutputError`."""
    if encoding.target_kb is not None:
        raise OutputError("the size of an animation cannot be chosen; leave `target_kb` out, or write jpeg")
    first = animation.first
    writer = AnimationWriter(job.format, animation.plays, encoding.quality, encoding.png_level)
    count = len(animation.frames)
    notes: dict[str, None] = dict.fromkeys(first.notes)
    memories = [(network, TileMemory()) for network in job.upscaler.networks]
    for network, memory in memories:
        network.memory = memory
    result = None
    try:
        for index in range(count):
            frame = animation.picture(index)
            before = animation.frames[index - 1] if index else None
            if result is None or before is None or before.tobytes() != animation.frames[index].tobytes():

                def part(done: int, total: int, index: int = index) -> None:
                    progress(index * total // count + done // count, total)

                result = job.upscaler(replace(frame, xmp=first.xmp), size=job.size, progress=part)
                check_animated(job.format, *result.pixels.shape[:2])
                notes.update(dict.fromkeys(result.notes))
                result = replace(result, xmp=stamped(first.xmp, job, encoding))
            writer.add(result, animation.delays_ms[index])
    finally:
        for network, _ in memories:
            network.memory = None
    if job.format == "gif":
        notes["gif holds 256 colors a frame, and pixels that are opaque or not; write webp or png to keep more"] = None
        if encoding.provenance and not encoding.sidecar:
            notes["gif has no XMP that says what made it; `sidecar=True` writes that to a file beside it"] = None
    return EncodedAnimation(writer.finish(), tuple(notes))


def write_animation(job: Job, result: EncodedAnimation, encoding: Encoding) -> None:
    """Write the file, or give its bytes to the sink. Raises `OutputError`."""
    data = result.data if encoding.c2pa is None else signed(result.data, job, encoding.c2pa)
    if job.target is None:
        assert encoding.sink is not None
        encoding.sink(data)
        return
    if os.path.lexists(job.target) and not job.target.is_file():
        raise OutputError(f"cannot write {job.target}: it is no file")
    write_sidecar(job, encoding)
    write_atomic(job.target, data)
