"""GeoTIFF, and TIFF with samples that pictures do not have: any number of bands, read and written by windows.

rasterio (GDAL) reads and writes. Bands run by themselves; red, green and blue run together. Palettes and masks are
repeated, not interpolated. Source: GDAL's GTiff driver; RPC00B counts lines and samples from the middle of a pixel.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportMissingTypeStubs=false
# pyright: reportUnknownArgumentType=false, reportMissingModuleSource=false
# rasterio is untyped; this module annotates what it returns.

from __future__ import annotations

from collections.abc import Mapping as Map
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from upres.errors import InputError
from upres.images.io import Header
from upres.science import geotiff_out, rasterio_errors
from upres.science.enlarge import Box, Enlarger
from upres.science.values import Mapping, Statistics
from upres.science.work import Progress, Share, Windows, as_record, plan_windows, result_ending
from upres.system.text import parse_json, shown
from upres.upscaling.plan import Plan
from upres.upscaling.upscaler import Upscaler

_SAMPLES = 4_000_000  # of a band, for its quantiles
_DTYPES = frozenset({"uint8", "int8", "uint16", "int16", "uint32", "int32", "float32", "float64"})


@dataclass(frozen=True, slots=True)
class _Group:
    """Bands (from 1) that are made together: through the network, or each sample repeated."""

    bands: tuple[int, ...]
    repeated: bool = False


class GeoTiff:
    """A TIFF that rasterio opened. Raises `InputError` for complex samples, and for what GDAL cannot read."""

    kind = "geotiff"

    def __init__(self, path: Path) -> None:
        self.path, self.name = path, shown(path)
        self.ending = result_ending(self.kind, path)
        with rasterio_errors.opened(path) as source:
            wrong = sorted(set(source.dtypes) - _DTYPES)
            if wrong:
                raise InputError(f"{self.name} stores samples as {', '.join(wrong)}, expected integers or real numbers")
            self.groups = _groups(source)
            self.header = Header(source.height, source.width, 1, False, 16, "tiff", source.count - 1)
            self._has_gaps = _has_gaps(source)
            self._step_px = max(256, *source.block_shapes[0]) if source.profile.get("tiled") else 256
        self._step_px = -(-self._step_px // 16) * 16

    def plan(self, upscaler: Upscaler, size: tuple[int, int]) -> Plan:
        """As `MeasuredFile`. Raises `UsageError` for a size that is smaller than the source."""
        enlarger, windows = self._parts(upscaler, size)
        return plan_windows(enlarger, windows, [len(group.bands) for group in self.groups if not group.repeated] or [1])

    def _parts(self, upscaler: Upscaler, size: tuple[int, int]) -> tuple[Enlarger, Windows]:
        height, width = self.header.height, self.header.width
        enlarger = Enlarger(upscaler, height, width, size, has_gaps=self._has_gaps)
        return enlarger, Windows(enlarger, self._step_px, self.header.bands + 1)

    def run(
        self, upscaler: Upscaler, size: tuple[int, int], target: Path, made: Map[str, str], progress: Progress
    ) -> tuple[str, ...]:
        """As `MeasuredFile`."""
        enlarger, windows = self._parts(upscaler, size)
        networks = [group for group in self.groups if not group.repeated]
        share = Share(progress, size[0] * size[1], len(windows) * len(networks))
        with rasterio_errors.opened(self.path) as source:
            mappings = {band: _mapping(source, band) for group in networks for band in group.bands}
            repeated = [band for group in self.groups if group.repeated for band in group.bands]
            notes = geotiff_out.notes_on(source, repeated)
            with geotiff_out.created(source, target, size) as result:
                masked = geotiff_out.has_own_mask(source)
                for box in windows:
                    values, mask = self._window(source, enlarger, box, mappings, share)
                    result.write(values, rasterio_errors.window(box))
                    if masked:
                        result.file.write_mask(mask, window=rasterio_errors.window(box))
                said = {band: mapping.words for band, mapping in mappings.items()}
                geotiff_out.describe(result.file, source, (enlarger.rows.factor, enlarger.columns.factor), said, made)
        return (*notes, *upscaler.notes)

    def _window(
        self, source: Any, enlarger: Enlarger, box: Box, mappings: dict[int, Mapping], share: Share
    ) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """All bands of a window, c h w, and the mask of the file."""
        from_box = enlarger.source_box(box)
        where = rasterio_errors.window(from_box)
        out = np.empty((source.count, *box.shape), source.dtypes[0])
        mask = np.ones(box.shape, np.bool_)
        for group in self.groups:
            bands = list(group.bands)
            values = np.moveaxis(source.read(bands, window=where), 0, 2)
            if group.repeated:
                made = enlarger.nearest(values, box)
            else:
                valid = np.moveaxis(source.read_masks(bands, window=where), 0, 2) != 0
                valid &= np.isfinite(values)
                mapped = [mappings[band] for band in bands]
                gap = source.nodatavals[bands[0] - 1]
                made, known = enlarger.enlarge(values, valid, mapped, box, forbidden=gap, progress=share.part)
                share.next()
                mask &= known.any(axis=2)
            out[[band - 1 for band in bands]] = np.moveaxis(made, 2, 0)
        if geotiff_out.has_own_mask(source):
            stored = source.dataset_mask(window=where)[:, :, None] != 0
            mask = enlarger.nearest(stored, box)[:, :, 0]
        return out, mask


def _groups(source: Any) -> list[_Group]:
    """Red, green and blue together; palettes and masks repeated; all others alone."""
    kinds = [kind.name for kind in source.colorinterp]
    colors = [kinds.index(color) + 1 for color in ("red", "green", "blue") if kinds.count(color) == 1]
    groups = [_Group(tuple(colors))] if len(colors) == 3 else []
    together = set(groups[0].bands) if groups else set[int]()
    for band, kind in enumerate(kinds, start=1):
        if band not in together:
            groups.append(_Group((band,), repeated=kind in ("palette", "alpha")))
    return groups


def _has_gaps(source: Any) -> bool:
    flags = {flag.name for of_band in source.mask_flag_enums for flag in of_band}
    return flags != {"all_valid"} or any(dtype.startswith("float") for dtype in source.dtypes)


def _mapping(source: Any, band: int) -> Mapping:
    """The mapping of a band's values, from one pass over its blocks."""
    statistics = Statistics(np.dtype(source.dtypes[band - 1]), source.height * source.width // _SAMPLES + 1)
    rows = max(1, (64 << 20) // (source.width * 8))
    for top in range(0, source.height, rows):
        where = rasterio_errors.window(Box(top, min(source.height, top + rows), 0, source.width))
        values = source.read(band, window=where)
        statistics.add(values, (source.read_masks(band, window=where) != 0) & np.isfinite(values))
    return statistics.mapping()


def read_made(path: Path) -> dict[str, str] | None:
    """The record of a result; None if it has none."""
    try:
        with rasterio_errors.opened(path) as source:
            text = source.tags(ns=geotiff_out.NAMESPACE).get("MADE")
            found: Any = parse_json(text) if text else None
    except (InputError, ValueError):
        return None
    return as_record(found)
