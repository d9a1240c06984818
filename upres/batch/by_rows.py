"""A job whose picture is read, computed and written from the top, because it is large."""

from __future__ import annotations

from dataclasses import replace

from upres.batch.c2pa_signing import signed
from upres.batch.job import Encoding, Job
from upres.batch.provenance import stamped, write_sidecar
from upres.images.io import Picture, with_chroma
from upres.system.files import partial_path, write_atomic
from upres.upscaling.tiled_run import Progress
from upres.upscaling.upscale_file import run_file_by_rows


def run_by_rows(job: Job, encoding: Encoding, progress: Progress) -> tuple[str, ...]:
    """Upscale and write the picture of a job that is planned by rows; returns its notes."""
    assert job.target is not None  # only files are planned so

    write_sidecar(job, encoding)

    def described(picture: Picture) -> Picture:
        return with_chroma(replace(picture, xmp=stamped(picture.xmp, job, encoding)), encoding.chroma)

    place = job.target if encoding.c2pa is None else partial_path(job.target)
    notes = run_file_by_rows(
        job.upscaler,
        job.source,
        job.header,
        job.plan,
        place,
        job.format,
        quality=encoding.quality,
        png_level=encoding.png_level,
        target_kb=encoding.target_kb,
        max_pixels=encoding.max_pixels_in,
        described=described,
        progress=progress,
    )
    if encoding.c2pa is not None:
        try:
            write_atomic(job.target, signed(place.read_bytes(), job, encoding.c2pa))
        finally:
            place.unlink(missing_ok=True)
    return notes
