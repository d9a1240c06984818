"""Beside each result, the map of what its picture does not vouch for: `upres upscale --invented`."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from upres.batch.books import is_book
from upres.batch.job import Job
from upres.batch.paths import STDIO, make_folder
from upres.batch.request import Request
from upres.errors import UsageError
from upres.images.io import Picture, quantize, write_picture
from upres.system.folders import is_folder
from upres.system.storage import is_url
from upres.system.text import shown
from upres.upscaling.invented import BYTES_PER_PIXEL, draw_map, measured_words

_ENDING = "_invented.png"


def check_maps(place: str, request: Request) -> None:
    """Refuse a request that has no maps, or no room for them, before anything is loaded.

    place: A file that ends in .png, for one picture; otherwise a folder.

    Raises `UsageError`.
    """
    several = len(request.inputs) > 1 or any(text != STDIO and is_folder(text) for text in request.inputs)
    if request.size.factor is not None and request.size.factor <= 1.0:
        raise UsageError("`invented` needs an enlargement: a picture holds all that its result of the same size can")
    if request.options.blend == 0.0:
        raise UsageError("`invented` has nothing to show of a cubic resize (`blend=0`)")
    books = [text for text in request.inputs if text != STDIO and not is_url(text) and is_book(text)]
    if books:
        raise UsageError(f"pictures in {books[0]} have no files of their own for maps; leave `invented` out")
    if request.out is not None and is_url(request.out):
        raise UsageError("maps are written on this machine only; name a folder here by `out`, or leave `invented` out")
    if _is_file(place):
        if several:
            raise UsageError(
                f"`invented={place}` names one file for the maps of several pictures; name a folder "
                f"(`invented={Path(place).stem}/`)"
            )
        if request.out is not None and request.out != STDIO and _gathers(request.out):
            raise UsageError(f"`invented={place}` is a file, but results go to a folder; name a folder for maps too")
        taken = [*request.inputs, *([] if request.out is None else [request.out])]
        if any(os.path.realpath(place) == os.path.realpath(text) for text in taken if text != STDIO):
            raise UsageError(f"`invented={place}` is the picture or its result; choose another file for the map")
        return
    if Path(place).suffix and not place.endswith(("/", os.sep)) and not is_folder(place):
        raise UsageError(f"`invented={place}` must end in .png, or be a folder ({place}/)")
    folders = [text for text in request.inputs if text != STDIO and not is_url(text) and is_folder(text)]
    if request.out is not None and request.out != STDIO and _gathers(request.out):
        folders.append(request.out)
    for folder in folders:
        if Path(os.path.realpath(place)).is_relative_to(os.path.realpath(folder)):
            raise UsageError(
                f"`invented={place}` lies in {shown(folder)}, where maps would be taken for pictures; "
                "choose a folder beside it"
            )


def _is_file(place: str) -> bool:
    return place.lower().endswith(".png") and not is_folder(place)


def _gathers(out: str) -> bool:
    return is_folder(out) or out.endswith(("/", os.sep)) or not Path(out).suffix


def check_files(place: str, jobs: Iterable[Job], overwrite: bool) -> None:
    """Refuse maps that would replace each other, a picture, a result or, without `overwrite`, the named file.

    Raises `UsageError`.
    """
    taken = dict[str, Job]()
    for job in jobs:
        if why_none(job) is not None:
            continue
        path = map_file(place, job)
        key = os.path.realpath(path).casefold()
        if key in taken:
            raise UsageError(
                f"{shown(job.found.name)} and {shown(taken[key].found.name)} have the same map, {shown(str(path))}; "
                "upscale them one after the other, with a folder each"
            )
        taken[key] = job
        if job.target is not None and os.path.realpath(job.target).casefold() == key:
            raise UsageError(f"{shown(str(path))} is the result itself; choose another file for the map")
        if _is_file(place) and path.exists() and not overwrite:
            raise UsageError(f"{shown(str(path))} exists; `overwrite=True` replaces the map and its result")


def map_file(place: str, job: Job) -> Path:
    """The file for the map of a job: `place` itself, or in that folder, in the tree of the inputs, the name of the
    result with `_invented.png`.
    """
    if _is_file(place):
        return Path(place)
    name = "stdin" if job.target is None else job.target.stem
    return Path(place) / job.found.folder / f"{name}{_ENDING}"


def why_none(job: Job) -> str | None:
    """Why a job has no map; None if it has one."""
    if job.measured is not None:
        return "no map of measured data, whose values are no brightness"
    if job.frames > 1:
        return "no map of an animation"
    if job.plan.height < job.header.height or job.plan.width < job.header.width:
        return "no map, for it is not enlarged"
    if job.plan.pixels <= job.header.height * job.header.width:
        return "no map, for it keeps its size"
    if job.plan.by_rows or job.plan.array_bytes + BYTES_PER_PIXEL * job.plan.pixels > job.upscaler.budget_bytes():
        return "no map, for it is too large for the memory that may be used"
    return None


def map_note(job: Job) -> str:
    """What the user should know of the map of a job."""
    return f"map of what the picture does not vouch for: {measured_words(job.record.get('model', ''))}"


def write_map(picture: Picture, place: str, job: Job) -> None:
    """Write the map of a result. Raises `OutputError`."""
    path = map_file(place, job)
    make_folder(path.parent)
    drawn = draw_map(quantize(picture.pixels, 8), (job.header.height, job.header.width))
    write_picture(Picture(drawn.astype(np.float32) / np.float32(255.0)), path, format="png")
