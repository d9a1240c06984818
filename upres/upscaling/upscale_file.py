"""Upscale a file into a file, without a picture that is whole in memory if it is large."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from upres.errors import InputError, OutputError, UsageError
from upres.images.formats import FOREIGN_FORMATS
from upres.images.io import WRITABLE_FORMATS, Header, Picture, read_header, read_picture, write_picture, writing_notes
from upres.images.target_size import check_target_kb
from upres.upscaling.options import UpscaleOptions
from upres.upscaling.output_size import OutputSize
from upres.upscaling.plan import Plan
from upres.upscaling.plans import whole_option
from upres.upscaling.tiled_run import Progress, watched
from upres.upscaling.upscaler import Upscaler

if TYPE_CHECKING:
    from upres.images.icc import Levels

WHOLE_BYTES = 128 << 20  # of arrays: smaller pictures are whole in memory, and the next one is read meanwhile


def plan_file(upscaler: Upscaler, header: Header, size: OutputSize, format: str) -> Plan:
    """The plan for a file with this header: whole if its arrays are small, else by rows.

    Raises `InputError` if it does not fit in memory.
    """
    refusal: InputError | None = None
    plan: Plan | None = None
    try:
        plan = plan_in_memory(upscaler, header, size)
    except InputError as error:
        refusal = error
    if plan is not None and plan.array_bytes <= WHOLE_BYTES:
        return plan
    option = whole_option(upscaler.options) or ("a TIFF with further bands" if header.bands else "")
    if not option and format in FOREIGN_FORMATS:
        option = f"the format {format}"
    if option:
        if plan is None:
            raise InputError(f"{refusal}. {option} needs the whole picture in memory") from refusal
        return plan
    from upres.upscaling.row_plan import RowJob

    job = RowJob(
        header.height,
        header.width,
        header.channels,
        header.has_alpha,
        header.depth,
        size,
        format,
        streamed=header.by_rows,
        codec_bytes=header.held_bytes,
    )
    return upscaler.plan_rows(job)


def plan_in_memory(upscaler: Upscaler, header: Header, size: OutputSize) -> Plan:
    """The plan for a picture with this header that is whole in memory. Raises as `Upscaler.plan` does."""
    return upscaler.plan(
        header.height,
        header.width,
        channels=header.channels,
        has_alpha=header.has_alpha,
        bands=header.bands,
        depth=header.depth,
        size=size,
    )


def run_file_by_rows(
    upscaler: Upscaler,
    source: Path | bytes,
    header: Header,
    plan: Plan,
    target: Path,
    format: str,
    *,
    quality: int | None = None,
    png_level: int | None = None,
    target_kb: int | None = None,
    max_pixels: int = 1_000_000_000,
    described: Callable[[Picture], Picture] = lambda picture: picture,
    progress: Progress | None = None,
) -> tuple[str, ...]:
    """Upscale a file as planned by rows; returns the notes.

    source, header, plan: The input.
    target, format, quality, png_level, target_kb: As for `write_picture`.
    max_pixels: Of the input.
    described: Adds metadata to the result, which it gets without pixels.
    progress: As for `Upscaler`.

    Raises as `read_picture`, `Upscaler` and `write_picture` do.
    """
    from upres.images.read_rows import open_rows
    from upres.images.write_rows import write_rows

    picture = (
        open_rows(source, max_pixels=max_pixels) if header.by_rows else read_picture(source, max_pixels=max_pixels)
    )
    lost: tuple[str, ...] = ()

    def write(frame: Picture, bands: Iterator[Levels]) -> None:
        nonlocal lost
        lost = writing_notes(frame, format, quality if target_kb is None else 1)
        frame = described(replace(frame, format=format))
        write_rows(frame, bands, target, format, quality=quality, png_level=png_level, target_kb=target_kb)

    notes = upscaler.run_rows(picture, plan, format, write, progress)
    return (*notes, *lost)


def upscale_file(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    model: str | os.PathLike[str] | Upscaler = "compact-x4",
    *,
    scale: float | None = None,
    size: OutputSize | None = None,
    options: UpscaleOptions | None = None,
    format: str | None = None,
    quality: int | None = None,
    png_level: int | None = None,
    target_kb: int | None = None,
    max_pixels: int = 1_000_000_000,
    progress: Progress | None = None,
    cancel: Callable[[], bool] | None = None,
) -> tuple[str, ...]:
    """Upscale a picture file into another file. A large one is read, computed and written from the top, so that its
    memory does not grow with its height: `upres.upscale_file("scan.tif", "large.tif", "photo-x4")`.

    source: A PNG, JPEG, WebP, TIFF, AVIF or GIF.
    target: The file to write, replaced when the result is complete.
    model: A name or a file, or an `Upscaler`.
    scale, size: As for a call of `Upscaler`.
    options: An `UpscaleOptions`, unless `model` is an `Upscaler`. `tta`, `wrap`, `color_lock` and `blend` need the
        whole picture in memory.
    format, quality, png_level, target_kb: As for `write_picture`.
    max_pixels: Of the input.
    progress, cancel: As for a call of `Upscaler`.

    Returns the notes for the user. Raises as `read_picture`, `Upscaler` and `write_picture` do.
    """
    if scale is not None and size is not None:
        raise UsageError("`scale` and `size` exclude each other; set one of them")
    wanted = OutputSize(factor=scale) if scale is not None else size or OutputSize()
    source, target = Path(source), Path(target)
    format = format or WRITABLE_FORMATS.get(target.suffix.lower())
    if format is None:
        expected = ", ".join(WRITABLE_FORMATS)
        raise OutputError(f"cannot write {target}: expected a suffix of {expected}; got {target.suffix or 'none'}")
    if target_kb is not None:
        check_target_kb(target_kb, format)
    header = read_header(source)
    watch = watched(progress, cancel)
    if isinstance(model, Upscaler):
        if options is not None:
            raise UsageError("an Upscaler has its options: give them to it, or name a model")
        return _run(model, source, header, wanted, target, format, quality, png_level, target_kb, max_pixels, watch)
    with Upscaler(model, options) as upscaler:
        return _run(upscaler, source, header, wanted, target, format, quality, png_level, target_kb, max_pixels, watch)


def _run(
    upscaler: Upscaler,
    source: Path,
    header: Header,
    size: OutputSize,
    target: Path,
    format: str,
    quality: int | None,
    png_level: int | None,
    target_kb: int | None,
    max_pixels: int,
    progress: Progress | None,
) -> tuple[str, ...]:
    plan = None if upscaler.chooses else plan_file(upscaler, header, size, format)
    if plan is not None and plan.by_rows:
        return run_file_by_rows(
            upscaler,
            source,
            header,
            plan,
            target,
            format,
            quality=quality,
            png_level=png_level,
            target_kb=target_kb,
            max_pixels=max_pixels,
            progress=progress,
        )
    result = upscaler(read_picture(source, max_pixels=max_pixels), size=size, progress=progress)
    write_picture(result, target, format=format, quality=quality, png_level=png_level, target_kb=target_kb)
    return (*result.notes, *writing_notes(result, format, quality if target_kb is None else 1))
