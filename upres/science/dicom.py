"""DICOM: stored values through the network frame by frame, and an object that says that it is derived.

pydicom reads and writes. Values stay stored values: rescale and window keep their meaning. Source: DICOM PS3.3
(C.7.6.3) and PS3.5 (section 8).
"""

from __future__ import annotations

import warnings
from collections.abc import Generator
from collections.abc import Mapping as Map
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from upres.errors import InputError, OutputError
from upres.images.io import Header
from upres.science import dicom_out
from upres.science.enlarge import Enlarger
from upres.science.values import Statistics
from upres.science.work import Progress, Share, Windows, as_record, plan_windows, result_ending
from upres.system.files import commit_partial, output_error, partial_path
from upres.system.packages import install_command
from upres.system.text import first_line, parse_json, shown
from upres.upscaling.plan import Plan
from upres.upscaling.upscaler import Upscaler

if TYPE_CHECKING:
    from pydicom.dataset import FileDataset

_GRAY = ("MONOCHROME1", "MONOCHROME2")
_COLORS = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_RCT", "YBR_ICT")
_SAMPLES = 4_000_000  # for the quantiles


class Dicom:
    """A DICOM file. Raises `InputError` for one without pixels that can be decoded, by its transfer syntax's name."""

    kind = "dicom"

    def __init__(self, path: Path) -> None:
        self.path, self.name = path, shown(path)
        self.ending = result_ending(self.kind, path)
        with _our_errors(self.name):
            data = _read(path, pixels=False)
            self._check(data)
            self.frames = int(data.get("NumberOfFrames", 1) or 1)
            colors = str(data.PhotometricInterpretation)
            self._colors = colors in _COLORS
            self._repeated = colors == "PALETTE COLOR"
            self._has_gaps = "PixelPaddingValue" in data
            channels = 3 if self._colors else 1
            self.header = Header(int(data.Rows), int(data.Columns), channels, False, 16, "dicom")

    def _check(self, data: FileDataset) -> None:
        from pydicom.pixels.decoders.base import get_decoder

        if "Rows" not in data or "Columns" not in data or "BitsAllocated" not in data:
            kind = getattr(data.get("SOPClassUID"), "name", "") or "no image"
            raise InputError(f"{self.name} is a DICOM file without pixels ({kind}), expected an image")
        if "FloatPixelData" in data or "DoubleFloatPixelData" in data:
            raise InputError(f"{self.name} stores pixels as real numbers, expected integers; convert it to NIfTI")
        syntax = data.file_meta.TransferSyntaxUID
        try:
            decoder: Any = get_decoder(syntax)
        except NotImplementedError as error:
            raise InputError(f"{self.name} is compressed as {syntax.name}, which is not read; decompress it") from error
        if syntax.is_encapsulated and not decoder.is_available:
            raise InputError(
                f"{self.name} is compressed as {syntax.name}, for which no decoder is installed; install python-gdcm "
                f"({install_command('medical')}), or decompress it with dcmdjpeg"
            )
        colors = str(data.get("PhotometricInterpretation", ""))
        if colors not in (*_GRAY, *_COLORS, "PALETTE COLOR"):
            raise InputError(f"{self.name} has the photometric interpretation {colors or 'none'}, which is not read")
        if int(data.BitsAllocated) not in (8, 16, 32):
            raise InputError(f"{self.name} allocates {data.BitsAllocated} bits, expected 8, 16 or 32")

    def plan(self, upscaler: Upscaler, size: tuple[int, int]) -> Plan:
        """As `MeasuredFile`. Raises `UsageError` for a size that is smaller than the source."""
        enlarger, windows = self._parts(upscaler, size)
        if self._repeated:
            return replace(plan_windows(enlarger, windows, [1]), macs=0.0, passes=())
        return plan_windows(enlarger, windows, [self.header.channels] * self.frames)

    def _parts(self, upscaler: Upscaler, size: tuple[int, int]) -> tuple[Enlarger, Windows]:
        enlarger = Enlarger(upscaler, self.header.height, self.header.width, size, has_gaps=self._has_gaps)
        return enlarger, Windows(enlarger, 256, self.header.channels)

    def run(
        self, upscaler: Upscaler, size: tuple[int, int], target: Path, made: Map[str, str], progress: Progress
    ) -> tuple[str, ...]:
        """As `MeasuredFile`."""
        enlarger, windows = self._parts(upscaler, size)
        with _our_errors(self.name):
            data = _read(self.path)
            frames = _frames(data, self.frames, colors=self._colors)
        notes = dicom_out.notes_on(data)
        valid = _valid(data, frames)
        statistics = Statistics(frames.dtype, frames.size // _SAMPLES + 1)
        for place in range(len(frames)):
            statistics.add(frames[place], valid[place])
        mappings = [statistics.mapping()] * frames.shape[3]
        result = np.empty((len(frames), *size, frames.shape[3]), frames.dtype)
        share = Share(progress, size[0] * size[1], len(frames) * len(windows))
        forbidden = float(cast(Any, data).PixelPaddingValue) if self._has_gaps else None
        for place, box in ((place, box) for place in range(len(frames)) for box in windows):
            at = enlarger.source_box(box)
            values = frames[place, at.top : at.bottom, at.left : at.right]
            if self._repeated:
                made_values = enlarger.nearest(values, box)
            else:
                known = valid[place, at.top : at.bottom, at.left : at.right]
                made_values, _ = enlarger.enlarge(
                    values, known, mappings, box, forbidden=forbidden, progress=share.part
                )
            result[place, box.top : box.bottom, box.left : box.right] = made_values
            share.next()
        dicom_out.describe(data, result, (enlarger.rows.factor, enlarger.columns.factor), mappings[0].words, made)
        _write(data, target)
        return (*notes, *upscaler.notes)


@contextmanager
def _our_errors(name: str) -> Generator[None]:
    """pydicom's errors, which are of every kind, as `InputError`; its warnings about odd values are left out."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except (InputError, MemoryError):
        raise
    except Exception as error:  # pydicom raises KeyError, AttributeError, struct.error and more for damaged files
        why = first_line(str(error)) or type(error).__name__
        raise InputError(f"{name} is a damaged or unsupported DICOM file ({why}); export it again") from error


def _read(path: Path, *, pixels: bool = True) -> FileDataset:
    from pydicom import dcmread  # pyright: ignore[reportUnknownVariableType]

    return dcmread(path, stop_before_pixels=not pixels)  # pyright: ignore[reportUnknownVariableType]


def _frames(data: FileDataset, count: int, *, colors: bool) -> NDArray[Any]:
    """Stored values, frames h w c: bits beyond those stored are cut off, and colors are RGB."""
    from pydicom.pixels.utils import pixel_array

    found: NDArray[Any] = pixel_array(data, raw=not colors)
    height, width = int(cast(Any, data).Rows), int(cast(Any, data).Columns)
    frames = found.reshape(count, height, width, 3 if colors else 1)
    allocated, stored = int(cast(Any, data).BitsAllocated), int(cast(Any, data).BitsStored)
    if stored < allocated and not colors:
        shift = allocated - stored
        frames = np.right_shift(np.left_shift(frames, shift), shift)  # of signed values too: the sign is extended
    return frames


def _valid(data: FileDataset, frames: NDArray[Any]) -> NDArray[np.bool_]:
    """Where values are no padding (PixelPaddingValue, up to its limit)."""
    if "PixelPaddingValue" not in data:
        return np.ones(frames.shape, np.bool_)
    first = int(cast(Any, data).PixelPaddingValue)
    last = int(data.get("PixelPaddingRangeLimit", first))
    return (frames < min(first, last)) | (frames > max(first, last))


def _write(data: FileDataset, target: Path) -> None:
    """Write atomically. Raises `OutputError`."""
    partial = partial_path(target)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            data.save_as(partial, enforce_file_format=True)
        with partial.open("rb+") as file:
            import os

            os.fsync(file.fileno())
        commit_partial(partial, target)
    except OSError as error:
        raise output_error(target, error) from error
    except (ValueError, TypeError, AttributeError, KeyError, NotImplementedError) as error:  # an element of the source
        raise OutputError(f"cannot write {target}: {first_line(str(error))}; mend the element in the source") from error
    finally:
        partial.unlink(missing_ok=True)


def read_made(path: Path) -> dict[str, str] | None:
    """The record of a result; None if it has none."""
    try:
        with _our_errors(shown(path)):
            text = dicom_out.made_text(_read(path, pixels=False))
            found: Any = parse_json(text) if text else None
    except (InputError, ValueError):
        return None
    return as_record(found)
