"""NIfTI: every slice of the first two axes through the network, the affine on the finer grid.

nibabel reads and writes. Stored values go through, so that slope and intercept keep their meaning.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportMissingTypeStubs=false
# pyright: reportUnknownArgumentType=false, reportAttributeAccessIssue=false, reportPrivateImportUsage=false

from __future__ import annotations

import gzip
from collections.abc import Mapping as Map
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from upres.errors import InputError
from upres.images.io import Header
from upres.science.enlarge import Enlarger
from upres.science.values import Statistics
from upres.science.work import Progress, Share, Windows, as_record, plan_windows, result_ending
from upres.system.files import write_atomic
from upres.system.text import first_line, json_text, parse_json, shown
from upres.upscaling.plan import Plan
from upres.upscaling.upscaler import Upscaler

_DTYPES = frozenset({"uint8", "int8", "uint16", "int16", "uint32", "int32", "float32", "float64"})
_SAMPLES = 4_000_000
_COMMENT = "upres:made="
_COMMENT_CODE = 6  # of an extension: text


class Nifti:
    """A NIfTI volume, of which the first two axes are enlarged. Raises `InputError` for what nibabel cannot read, for
    colors and for complex numbers.
    """

    kind = "nifti"

    def __init__(self, path: Path) -> None:
        self.path, self.name = path, shown(path)
        self.ending = result_ending(self.kind, path)
        image = self._load()
        shape, dtype = image.shape, np.dtype(image.get_data_dtype())
        if len(shape) < 2 or 0 in shape:
            raise InputError(f"{self.name} has the shape {shape}, expected at least two axes")
        if dtype.name not in _DTYPES:
            raise InputError(f"{self.name} stores {dtype}, expected integers or real numbers")
        self.slices = int(np.prod(shape[2:], dtype=np.int64))
        self.header = Header(shape[0], shape[1], 1, False, 16, "nifti")
        self._has_gaps = dtype.kind == "f"

    def _load(self) -> Any:
        import nibabel
        from nibabel.filebasedimages import ImageFileError

        try:
            image = nibabel.load(self.path)
        except (ImageFileError, OSError, ValueError, EOFError, OverflowError, TypeError) as error:
            raise self._damaged(error) from error
        if not isinstance(image, nibabel.Nifti1Image):
            raise InputError(f"{self.name} is {type(image).__name__}, expected NIfTI in one file")
        return image

    def _damaged(self, error: Exception) -> InputError:
        why = first_line(str(error)) or type(error).__name__
        return InputError(f"{self.name} is a damaged or unsupported NIfTI file ({why}); copy or download it again")

    def plan(self, upscaler: Upscaler, size: tuple[int, int]) -> Plan:
        """As `MeasuredFile`. Raises `UsageError` for a size that is smaller than the source."""
        return plan_windows(*self._parts(upscaler, size), [1] * self.slices)

    def _parts(self, upscaler: Upscaler, size: tuple[int, int]) -> tuple[Enlarger, Windows]:
        enlarger = Enlarger(upscaler, self.header.height, self.header.width, size, has_gaps=self._has_gaps)
        return enlarger, Windows(enlarger, 256, 1)

    def run(
        self, upscaler: Upscaler, size: tuple[int, int], target: Path, made: Map[str, str], progress: Progress
    ) -> tuple[str, ...]:
        """As `MeasuredFile`."""
        enlarger, windows = self._parts(upscaler, size)
        image = self._load()
        try:
            values: NDArray[Any] = np.asarray(image.dataobj.get_unscaled())
        except (OSError, ValueError, EOFError) as error:
            raise self._damaged(error) from error
        native = values.astype(values.dtype.newbyteorder("="), copy=False).reshape(*values.shape[:2], -1)
        statistics = Statistics(native.dtype, native.size // _SAMPLES + 1)
        for place in range(self.slices):
            statistics.add(native[:, :, place], np.isfinite(native[:, :, place]))
        mapping = statistics.mapping()
        result = np.empty((*size, self.slices), native.dtype)
        share = Share(progress, size[0] * size[1], self.slices * len(windows))
        for place, box in ((place, box) for place in range(self.slices) for box in windows):
            at = enlarger.source_box(box)
            part = native[at.top : at.bottom, at.left : at.right, place : place + 1]
            made_values, _ = enlarger.enlarge(part, np.isfinite(part), [mapping], box, progress=share.part)
            result[box.top : box.bottom, box.left : box.right, place] = made_values[:, :, 0]
            share.next()
        factors = enlarger.rows.factor, enlarger.columns.factor
        record = dict(made) | {"values": mapping.words}
        _write(image, result.reshape(*size, *values.shape[2:]), factors, record, target)
        return ("slices of the first two axes were enlarged; the others are as they were", *upscaler.notes)


def _write(image: Any, values: NDArray[Any], factors: tuple[float, float], made: Map[str, str], target: Path) -> None:
    """The volume with its header, stored as the source is. Raises `OutputError`."""
    from nibabel.nifti1 import Nifti1Extension

    slope, inter = float(image.dataobj.slope), float(image.dataobj.inter)
    header = image.header.copy()
    header.set_data_shape(values.shape)
    zooms = list(image.header.get_zooms())
    header.set_zooms([zooms[0] / factors[0], zooms[1] / factors[1], *zooms[2:]])
    step = np.diag([1.0 / factors[0], 1.0 / factors[1], 1.0, 1.0])
    step[:2, 3] = 0.5 / np.array(factors) - 0.5  # the middle of the first voxel moves, the corner of the volume stays
    for name in ("sform", "qform"):
        affine, code = getattr(image.header, f"get_{name}")(coded=True)
        if affine is not None and code:
            getattr(header, f"set_{name}")(affine @ step, int(code))
    header.extensions[:] = [found for found in header.extensions if not _is_record(found)]
    header.extensions.append(Nifti1Extension(_COMMENT_CODE, (_COMMENT + json_text(dict(made))).encode()))
    affine = image.affine @ step
    result = type(image)(values, affine, header)
    # Values are stored ones: without a slope nibabel writes them as they are, and the slope is set behind it.
    result.header.set_slope_inter(1.0, 0.0)
    data = bytearray(result.to_bytes())
    for name, value in (("scl_slope", slope), ("scl_inter", inter)):
        kind, start = image.header.structarr.dtype.fields[name]
        data[start : start + kind.itemsize] = np.array(value, kind).tobytes()
    packed = target.name.lower().endswith(".gz")
    write_atomic(target, gzip.compress(bytes(data), 6, mtime=0) if packed else memoryview(data))


def _is_record(extension: Any) -> bool:
    return extension.get_code() == _COMMENT_CODE and _text(extension).startswith(_COMMENT)


def _text(extension: Any) -> str:
    content = extension.get_content()
    return content.decode("utf-8", "replace").rstrip("\0") if isinstance(content, bytes) else str(content)


def read_made(path: Path) -> dict[str, str] | None:
    """The record of a result; None if it has none."""
    try:
        image = Nifti(path)._load()  # pyright: ignore[reportPrivateUsage]
        texts = [_text(found) for found in image.header.extensions if _is_record(found)]
        found: Any = parse_json(texts[0].removeprefix(_COMMENT)) if texts else None
    except (InputError, ValueError):
        return None
    return as_record(found)
