"""Names of results, and copies of them in a folder of the user's choice: complete, and never over another file."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from upres.errors import OutputError
from upres.serve.job import Job
from upres.system.files import output_error, partial_path

_MOST_NAMES = 10_000


def save_copy(result: Path, name: str, folder: Path) -> Path:
    """Copy a result into a folder, which is created if it is missing; returns its path.

    A name that is taken gets a number: "photo_x4 (2).png".

    Raises `OutputError` for a full disk, a folder that cannot be written, and no free name.
    """
    wanted = folder / Path(name).name
    try:
        folder.mkdir(parents=True, exist_ok=True)
        partial = partial_path(wanted)
        try:
            with partial.open("xb") as copy, result.open("rb") as content:
                shutil.copyfileobj(content, copy)
                copy.flush()
                os.fsync(copy.fileno())
            return _named(partial, wanted)
        finally:
            partial.unlink(missing_ok=True)
    except OSError as error:
        raise output_error(wanted, error) from error


def _named(partial: Path, wanted: Path) -> Path:
    """Give a finished file the first name that is free."""
    for number in range(1, _MOST_NAMES):
        target = wanted if number == 1 else wanted.with_stem(f"{wanted.stem} ({number})")
        try:
            os.link(partial, target)  # unlike a rename it never replaces a file
        except FileExistsError:
            continue
        except OSError:  # a file system without links, such as FAT
            if target.exists():
                continue
            partial.rename(target)
        return target
    raise OutputError(f"cannot write {wanted}: {_MOST_NAMES:,} files have that name already. Choose another folder")


def result_name(job: Job) -> str:
    """A name for the result, as `upres upscale` gives it: "photo_x4.png"."""
    stem = Path(job.name).stem if job.name else "picture"
    suffix = {"jpeg": ".jpg", "tiff": ".tif"}.get(form := job.request.get("format", "png"), f".{form}")
    size, picture = job.size or {}, job.picture
    if size and picture.get("width") and size["width"] % picture["width"] == 0:
        factor = size["width"] // picture["width"]
        if size["height"] == factor * picture["height"]:
            return f"{stem}_x{factor}{suffix}"
    return f"{stem}_{size.get('width', 0)}x{size.get('height', 0)}{suffix}"
