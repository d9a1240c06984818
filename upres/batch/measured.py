"""Measured data among the pictures of a request: which files are, their model, the name of the result, and the work."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from upres.batch.paths import Destination, InputFile
from upres.batch.request import Request
from upres.errors import InputError, UsageError
from upres.images import isolation
from upres.images.animation import ANIMATED_FORMATS
from upres.images.io import WRITABLE_FORMATS, Header
from upres.models.expression import parse
from upres.models.generative import generative_parts
from upres.science.open import ENDINGS, ending_of, open_measured
from upres.science.work import MeasuredFile
from upres.system.text import shown
from upres.upscaling.choose_model import DEFAULT_FACTOR, MODELS_BY_ROLE, ModelChoice
from upres.upscaling.plan import Plan
from upres.upscaling.upscaler import Upscaler

_FORMATS = {"geotiff": "tiff", "dicom": "dicom", "nifti": "nifti"}  # the only format of a result, by the kind


@dataclass(frozen=True, slots=True)
class MeasuredJob:
    """The measured data of a job, and the record that its result gets."""

    file: MeasuredFile
    made: Mapping[str, str]

    def plan(self, upscaler: Upscaler, size: tuple[int, int]) -> Plan:
        """What the result takes; raises as `MeasuredFile.plan` does."""
        return self.file.plan(upscaler, size)

    def work(
        self, upscaler: Upscaler, size: tuple[int, int], place: Path, progress: Callable[[int, int], None]
    ) -> tuple[tuple[str, ...], float]:
        """Make the result: notes for the user, and the seconds that it took."""
        start = time.perf_counter()
        notes = self.file.run(upscaler, size, place, self.made, progress)
        return notes, time.perf_counter() - start


def open_file(request: Request, destination: Destination, source: Path | bytes) -> MeasuredFile | None:
    """The measured data in `source`; None for a picture. Raises `InputError` as `open_measured` does, and `UsageError`
    for a result of a format that cannot hold it.
    """
    if isinstance(source, bytes):  # of standard input: only pictures come through a pipe
        return None
    asked = destination.format if request.format is not None or destination.file is not None else None
    if isolation.current() is not None and ending_of(source) is not None:
        raise InputError(
            f"{shown(source)} is measured data, whose readers cannot be isolated; name the file itself, not an archive "
            "that holds it, and leave `isolate` out"
        )
    found = open_measured(source, as_picture=asked is not None and asked != "tiff")
    if found is None:
        return None
    if destination.stdout:
        raise UsageError(f"{shown(source)} is measured data, whose result is a file; name one with `out`")
    if asked is not None and asked != _FORMATS[found.kind]:
        raise UsageError(
            f"{shown(source)} is measured data ({found.kind}), which {asked} cannot hold; name a result that ends in "
            f"{found.ending}, or a folder"
        )
    return found


def choose(request: Request, header: Header) -> ModelChoice:
    """The bundled model for measured data: a faithful one, by the factor alone."""
    factor = request.size.factor_for(header.height, header.width)
    scale = 2 if factor is not None and factor <= 2 else round(DEFAULT_FACTOR)
    return ModelChoice(MODELS_BY_ROLE["standard"][scale], "measured data: a model that invents nothing")


def name_of(path: Path, request: Request, destination: Destination) -> str:
    """The name of the result in a folder, of a picture or of measured data, from the beginning of the file."""
    ending = ending_of(path, as_picture=request.format not in (None, "tiff")) or destination.ending
    named = target(Destination(destination.format, folder=Path()), InputFile(path), "", ending)
    assert named is not None
    return named.name


def target(destination: Destination, found: InputFile, suffix: str, ending: str) -> Path | None:
    """The file for the result, with the ending of the source; ".nii.gz" is one ending."""
    named = destination.target(found, suffix, ending)
    if named is None or destination.file is not None or not ending.endswith(".nii.gz"):
        return named
    middle = suffix if destination.folder is None else ""
    return named.with_name(named.name.removesuffix(f".nii{middle}{ending}") + middle + ending)


def make_job(request: Request, file: MeasuredFile, model: str, record: Mapping[str, str]) -> MeasuredJob:
    """The job with its record, in which models that invent detail are named. Raises `InputError` if there are some that
    were not allowed.
    """
    names = ", ".join(generative_parts(request.composition() if request.model is not None else parse(model)))
    if names and not request.allow_generative:
        raise InputError(
            f"{file.name} is measured data, and {names} may invent detail (trained against a discriminator, or not "
            "known); use `model=compact-x4`, or allow it with `allow_generative=True`"
        )
    return MeasuredJob(file, {**record, "generative": names or "no"})


def formats(request: Request) -> dict[str, str]:
    """Formats by the ending of a file, with those of measured data, which only a name asks for."""
    pictures = WRITABLE_FORMATS | ANIMATED_FORMATS
    return pictures if request.format is not None else pictures | ENDINGS
