"""The GeoTIFF of a result: stored as the source is, with its georeference on the finer grid and all that it says."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportMissingTypeStubs=false
# pyright: reportUnknownArgumentType=false, reportMissingModuleSource=false

from __future__ import annotations

import os
import zlib
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from upres.errors import OutputError
from upres.science.rasterio_errors import quiet
from upres.system.files import commit_partial, output_error, partial_path
from upres.system.text import first_line, json_text

NAMESPACE = "UPRES"
_DERIVED = frozenset({"IMAGE_STRUCTURE", "DERIVED_SUBDATASETS", "SUBDATASETS", "RPC", "xml:XMP", "xml:ESRI", NAMESPACE})
_LOSSY = frozenset({"jpeg", "webp", "jxl"})
_PREDICTED = frozenset({"deflate", "lzw", "zstd"})
_SMALLEST_OVERVIEW_PX = 256


def has_own_mask(source: Any) -> bool:
    """Whether gaps are said by a mask of the file, not by a value or an alpha band."""
    flags = {flag.name for flag in source.mask_flag_enums[0]}
    return "per_dataset" in flags and "alpha" not in flags


def notes_on(source: Any, repeated: list[int]) -> list[str]:
    """What the user should know of a result."""
    notes: list[str] = []
    if repeated:
        bands = ", ".join(map(str, repeated))
        notes.append(f"classes, palettes and alpha are repeated, not interpolated (band {bands})")
    if "xml:XMP" in source.tag_namespaces():
        notes.append("XMP was not kept")
    structure = source.tags(ns="IMAGE_STRUCTURE")
    if structure.get("LAYOUT") == "COG":
        notes.append("the source is cloud-optimized; the result is tiled with overviews, but not in that order")
    if len(set(source.dtypes)) > 1:
        notes.append(f"bands of several types are stored as {source.dtypes[0]}")
    pages = source.subdatasets
    if len(pages) > 1:
        notes.append(f"only the first of {len(pages)} pages was read")
    return notes


class ResultFile:
    """A file open for writing. GDAL does not say when the disk is full while it is closed, so `check` reads it back.

    file: As rasterio opened it.
    """

    def __init__(self, file: Any) -> None:
        self.file = file
        self._lossy = file.tags(ns="IMAGE_STRUCTURE").get("COMPRESSION", "").lower().endswith(tuple(_LOSSY))
        self._half = is_half(file)
        self._windows: list[tuple[Any, int]] = []

    def write(self, values: NDArray[Any], window: Any) -> None:
        """Write all bands of a window, c h w; for a file of half precision they are rounded to it."""
        if self._half:
            values = _rounded_to_half(values)
        self.file.write(values, window=window)
        self._windows.append((window, zlib.crc32(np.ascontiguousarray(values).data)))

    def check(self, path: Path) -> None:
        """Raise RasterioIOError unless the file at `path` has what was written."""
        import rasterio
        from rasterio.errors import RasterioIOError

        with rasterio.open(path) as file:
            for window, wanted in self._windows:
                found = zlib.crc32(np.ascontiguousarray(file.read(window=window)).data)
                if found != wanted and not self._lossy:
                    raise RasterioIOError("it reads back otherwise than it was written; the disk may be full")


def is_half(file: Any) -> bool:
    """Whether a file stores real numbers in half precision, which GDAL gives as float32."""
    return file.dtypes[0] == "float32" and file.tags(1, ns="IMAGE_STRUCTURE").get("NBITS") == "16"


def _rounded_to_half(values: NDArray[Any]) -> NDArray[Any]:
    """Real numbers at half precision, as float32; those beyond its range become its largest, and infinite ones stay."""
    most = np.finfo(np.float16).max
    held = np.where(np.isfinite(values), np.clip(values, -most, most), values)
    return held.astype(np.float16).astype(np.float32)


@contextmanager
def created(source: Any, target: Path, size: tuple[int, int]) -> Generator[ResultFile]:
    """A file open for writing, which becomes `target` when the block ends without an error and it reads back as it was
    written, with overviews if the source has some. Raises `OutputError` if it cannot be written.
    """
    import rasterio
    from rasterio.errors import RasterioError, RasterioIOError

    partial = partial_path(target)
    try:
        with quiet(), rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True, GDAL_NUM_THREADS=1):
            try:
                with rasterio.open(partial, "w", **_profile(source, size)) as result:
                    result.colorinterp = source.colorinterp  # GDAL stores what is alpha before the first pixel
                    written = ResultFile(result)
                    yield written
                _add_overviews(source, partial, size)
                written.check(partial)
            except (RasterioIOError, RasterioError) as error:
                why = first_line(str(error.__cause__ or error))
                words = f"cannot write {target}: {why}. Free some space, or choose a writable folder"
                raise OutputError(words) from error
        with partial.open("rb+") as file:
            os.fsync(file.fileno())
        commit_partial(partial, target)
    except OSError as error:
        raise output_error(target, error) from error
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
            partial.with_name(partial.name + ".aux.xml").unlink(missing_ok=True)


def _profile(source: Any, size: tuple[int, int]) -> dict[str, Any]:
    """How the source is stored, for a file of `size` (h, w)."""
    profile: dict[str, Any] = {
        "driver": "GTiff",
        "height": size[0],
        "width": size[1],
        "count": source.count,
        "dtype": source.dtypes[0],
        "nodata": source.nodata,
        "interleave": source.profile.get("interleave", "pixel"),
        "BIGTIFF": "IF_SAFER",
    }
    if source.crs is not None:
        profile["crs"] = source.crs
    if source.profile.get("tiled"):
        profile |= {"tiled": True, "blockxsize": source.block_shapes[0][1], "blockysize": source.block_shapes[0][0]}
    structure = source.tags(ns="IMAGE_STRUCTURE")
    compression = structure.get("COMPRESSION", "").lower()
    if compression in ("ycbcr jpeg", "jpeg"):
        profile |= {"compress": "jpeg", "JPEG_QUALITY": 95}
        if source.count == 3:
            profile["photometric"] = "ycbcr"
    elif compression:
        profile["compress"] = compression
        if compression in _PREDICTED:
            default = "3" if source.dtypes[0].startswith("float") else "2"
            profile["predictor"] = structure.get("PREDICTOR", default if "PREDICTOR" in structure else "1")
        if compression in _LOSSY:
            profile |= {"WEBP_LOSSLESS": True} if compression == "webp" else {}
    if is_half(source):
        profile["NBITS"] = 16
    kinds = [kind.name for kind in source.colorinterp]
    if kinds[:3] == ["red", "green", "blue"]:
        profile.setdefault("photometric", "rgb")
    else:
        profile.setdefault("photometric", "palette" if kinds == ["palette"] else "minisblack")
    return profile


def describe(
    result: Any, source: Any, factors: tuple[float, float], said: Mapping[int, str], made: Mapping[str, str]
) -> None:
    """Write the georeference, scaled by `factors` (h, w), and all that the source says of its bands.

    said: The mapping of values of each band that ran through the network.
    made: The record of the settings.
    """
    _georeference(result, source, *factors)
    result.descriptions = source.descriptions
    result.units = [unit or "" for unit in source.units]
    result.scales, result.offsets = source.scales, source.offsets
    for name in source.tag_namespaces():
        if name not in _DERIVED:
            result.update_tags(ns=name, **source.tags(ns=name))
    result.update_tags(**_own(source.tags(), *factors))
    for band in source.indexes:
        result.update_tags(band, **_own(source.tags(band), *factors))
        for name in source.tag_namespaces(band):
            if name not in _DERIVED:
                result.update_tags(band, ns=name, **source.tags(band, ns=name))
        with suppress(ValueError):  # most bands have no palette
            result.write_colormap(band, source.colormap(band))
        if band in said:
            result.update_tags(band, ns=NAMESPACE, VALUES=said[band])
    result.update_tags(ns=NAMESPACE, MADE=json_text(dict(made)), GENERATIVE=made.get("generative", "no"))


def _own(tags: dict[str, str], rows: float, columns: float) -> dict[str, str]:
    """The tags that stay true: without statistics, and with a calibrated resolution scaled."""
    kept = {name: value for name, value in tags.items() if not name.startswith("STATISTICS_")}
    described = kept.get("TIFFTAG_IMAGEDESCRIPTION", "").startswith("ImageJ=")
    if kept.get("TIFFTAG_RESOLUTIONUNIT", "").startswith("3") or described:
        for name, factor in (("TIFFTAG_XRESOLUTION", columns), ("TIFFTAG_YRESOLUTION", rows)):
            with suppress(ValueError):
                if name in kept:
                    kept[name] = f"{float(kept[name]) * factor:.9g}"
    return kept


def _georeference(result: Any, source: Any, rows: float, columns: float) -> None:
    from rasterio.control import GroundControlPoint
    from rasterio.rpc import RPC
    from rasterio.transform import Affine

    points, crs = source.gcps
    if points:
        scaled = [
            GroundControlPoint(p.row * rows, p.col * columns, p.x, p.y, p.z, id=p.id, info=p.info) for p in points
        ]
        result.gcps = (scaled, crs)
    elif source.transform != Affine.identity():
        a, b, c, d, e, f = source.transform[:6]
        result.transform = Affine(a / columns, b / rows, c, d / columns, e / rows, f)
    found = source.rpcs
    if found is not None:
        values = found.to_dict()
        for axis, factor in (("line", rows), ("samp", columns)):
            values[f"{axis}_off"] = (values[f"{axis}_off"] + 0.5) * factor - 0.5
            values[f"{axis}_scale"] *= factor
        result.rpcs = RPC(**values)


def _add_overviews(source: Any, path: Path, size: tuple[int, int]) -> None:
    """Overviews as the source has them, and further ones down to the size of its smallest."""
    import rasterio
    from rasterio.enums import Resampling

    if not source.overviews(1):
        return
    least = max(min(source.height, source.width) // max(source.overviews(1)), _SMALLEST_OVERVIEW_PX // 4)
    levels, factor = list[int](), 2
    while min(size) // factor >= least:
        levels.append(factor)
        factor *= 2
    kinds = {kind.name for kind in source.colorinterp}
    with rasterio.open(path, "r+") as result:
        result.build_overviews(levels or [2], Resampling.nearest if "palette" in kinds else Resampling.average)
        result.update_tags(ns="rio_overview", resampling="nearest" if "palette" in kinds else "average")
