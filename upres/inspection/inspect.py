"""A picture -> `PictureReport`: which pixels are looked at, and in which order the estimates build on each other."""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO, Literal

import numpy as np
from numpy.typing import NDArray

from upres.images.icc import color_space, is_srgb
from upres.images.io import Picture, read_header, read_picture
from upres.images.jpeg_tables import (
    JpegTables,
    Table,
    quality_of,
    read_tables,
    standard_table,
    upright_grid,
    upright_table,
)
from upres.images.read_rows import open_rows
from upres.inspection.content import banding, is_drawn, is_gray
from upres.inspection.jpeg_noise import jpeg_noise
from upres.inspection.jpeg_traces import Trace, find_traces
from upres.inspection.noise import pixel_noise
from upres.inspection.profile import profile_name
from upres.inspection.report import PictureReport
from upres.inspection.samples import RowSamples, Samples, WholeSamples
from upres.inspection.sampling import to_luma
from upres.inspection.true_scale import BLUR_PER_SCALE, CONFIDENT, ScaleEstimate, estimate_scale

Array = NDArray[np.float32]
_WHOLE_PIXELS, _LEAST_PX = 24_000_000, 1024  # above them, rows are decoded one after the other, three times
_COARSER = 5  # by how much lower a quality must be than that of the file to be taken for that of an earlier compression


def inspect_picture(source: str | os.PathLike[str] | bytes | BinaryIO) -> PictureReport:
    """Decode a picture and look at it.

    Args:
        source: The path of a file, the bytes of one, or a file open for reading in binary mode.

    Raises:
        InputError: It is not a whole picture; the message names what is wrong.
    """
    if not isinstance(source, str | os.PathLike | bytes):
        source = source.read()
    samples: Samples
    header = read_header(source)
    if header.by_rows and header.height * header.width > _WHOLE_PIXELS and min(header.height, header.width) > _LEAST_PX:
        samples = RowSamples(open_rows(source))
    else:
        samples = WholeSamples(read_picture(source))
    tables = None
    if header.format == "jpeg":
        tables = read_tables(source if isinstance(source, bytes) else Path(source).read_bytes())
    return _look(samples, tables)


def inspect_decoded(picture: Picture, tables: JpegTables | None = None) -> PictureReport:
    """Look at a picture that was decoded before. `tables` are those of its file (`read_tables`), where it is a JPEG.

    A fixed number of pixels is looked at, whatever its size: a window of 512 x 512 where it has most detail, 2,048
    blocks of 8 x 8, which overlap in a small one, and 64 rows that are spread over it.
    """
    return _look(WholeSamples(picture), tables)


def _look(samples: Samples, tables: JpegTables | None) -> PictureReport:
    picture = samples.picture
    pixels = picture.pixels
    luma = to_luma(np.clip(samples.window(), 0.0, 1.0))
    last, earlier = find_traces(luma, None if tables is None else upright_grid(tables))
    quality, quality_source, grid, steps = _last_compression(tables, last)
    if quality_source == "tables" and quality is not None and last is not None and last.quality < quality - _COARSER:
        earlier = last  # on the same grid: finer steps afterwards leave coefficients near the multiples of coarser ones
    chosen = samples.blocks(None if steps is None else grid or (0, 0))
    blocks = np.clip(chosen, 0.0, 1.0) * np.float32(255.0)
    noise, luma_noise = _noise(blocks, picture.depth, steps)
    estimate = estimate_scale(luma)
    scale = _told(estimate)
    return PictureReport(
        format=picture.format,
        height=pixels.shape[0],
        width=pixels.shape[1],
        channels=pixels.shape[2],
        alpha=picture.alpha is not None,
        depth=picture.depth,
        profile=_profile(picture.icc),
        true_scale=scale,
        true_scale_confidence=None if estimate is None else round(estimate.confidence, 3),
        jpeg_quality=quality,
        jpeg_quality_source=quality_source,
        jpeg_grid_offset=grid,
        earlier_jpeg_quality=None if earlier is None else earlier.quality,
        earlier_jpeg_grid_offset=None if earlier is None else earlier.grid,
        noise_sigma_255=noise,
        noise_luma_sigma_255=luma_noise,
        blur_sigma_px=None if scale is None else round(BLUR_PER_SCALE * scale, 2) if scale > 1.0 else 0.0,
        banding=round(banding(samples.rows()), 4),
        gray=is_gray(blocks, luma_noise or 0.0) if len(blocks) or pixels.shape[2] == 1 else None,
        drawn=is_drawn(luma, luma_noise or 0.0, float(steps[0, 1]) if steps is not None else 0.0),
    )


def _last_compression(
    tables: JpegTables | None, trace: Trace | None
) -> tuple[int | None, Literal["tables", "nearest", "pixels"] | None, tuple[int, int] | None, Table | None]:
    """(quality, where it is from, grid, luma steps): what the file says goes before what its pixels show."""
    if tables is not None:
        quality, exact = quality_of(tables.luma)
        return quality, "tables" if exact else "nearest", upright_grid(tables), upright_table(tables)
    if trace is not None:
        return trace.quality, "pixels", trace.grid, standard_table(trace.quality)
    return None, None, None, None


def _noise(blocks: Array, depth: int, steps: Table | None) -> tuple[tuple[float, ...] | None, float | None]:
    """(of each channel, of luma), rounded to hundredths of a level."""
    if steps is not None:
        sigma = jpeg_noise(blocks, steps)
        return None, None if sigma is None else round(sigma, 2)
    sigmas = pixel_noise(blocks, depth)
    if sigmas is None:
        return None, None
    channels = tuple(round(sigma, 2) for sigma in sigmas[:-1])
    return channels, round(sigmas[-1], 2)


def _told(estimate: ScaleEstimate | None) -> float | None:
    """The scale, where the estimate is sure of it. Within the tolerance of 1 it is 1: nothing is enlarged by 5 %."""
    if estimate is None or estimate.confidence < CONFIDENT:
        return None
    return 1.0 if estimate.scale < 1.04 else round(estimate.scale, 2)


def _profile(icc: bytes | None) -> str | None:
    if icc is None:
        return None
    return "sRGB" if color_space(icc) == "RGB" and is_srgb(icc) else profile_name(icc) or "without a name"
