"""Write the result of a job: its record, its sidecar, its signature."""

from __future__ import annotations

from upres.batch.c2pa_signing import signed
from upres.batch.job import Encoding, Job
from upres.batch.provenance import write_sidecar
from upres.images.io import Picture, encode_picture, write_picture
from upres.system.files import write_atomic


def write_result(picture: Picture, job: Job, encoding: Encoding) -> None:
    """Write a result to its target or its sink, whole or not at all. Raises `OutputError`."""
    options = {"quality": encoding.quality, "png_level": encoding.png_level, "target_kb": encoding.target_kb}
    write_sidecar(job, encoding)
    if job.target is not None and encoding.c2pa is None:
        write_picture(picture, job.target, format=job.format, **options)
        return
    data = encode_picture(picture, job.format, **options)
    if encoding.c2pa is not None:
        data = signed(data, job, encoding.c2pa)
    if job.target is not None:
        write_atomic(job.target, data)
    else:
        assert encoding.sink is not None
        encoding.sink(data)
