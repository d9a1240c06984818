"""Which files are measured data, by their content. The packages of each kind are loaded at first use."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from upres.errors import InputError
from upres.images.bands import count_bands
from upres.images.ifd import read_directory
from upres.images.sniff import HEAD_BYTES, sniff
from upres.images.tiff import TiffFacts, read_tiff
from upres.science.work import MeasuredFile, result_ending
from upres.system.folders import has_no_ending
from upres.system.packages import has_module, install_command
from upres.system.text import shown

ENDINGS = {".dcm": "dicom", ".nii": "nifti", ".gz": "nifti"}  # of results, beside those of pictures
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_HEAD_BYTES = 352
_SUFFIXES = frozenset({".tif", ".tiff", ".dcm", ".dicom", ".ima", ".nii", ".gz"})
_GROUND = frozenset({33550, 33922, 34264, 34735, 42112, 42113, 50844})  # GeoTIFF, GDAL's metadata and nodata, RPC
_BITS, _PHOTOMETRIC, _COMPRESSION, _FORMAT = 258, 262, 259, 339
_OLD_JPEG = 6
_GDAL_COLORS = frozenset({0, 1, 2, 3, 5})  # photometric interpretations whose samples GDAL gives as they are


def open_measured(path: Path, *, as_picture: bool = False) -> MeasuredFile | None:
    """The measured data in a file; None for a picture, which `images` reads.

    as_picture: The result is a format of pictures: a GeoTIFF that is a picture too is read as one.

    Raises `InputError` where a package is missing, with the command that installs it, or the file is damaged.
    """
    try:
        with path.open("rb") as file:
            kind = _kind(file, as_picture)
    except OSError:
        return None  # reading it as a picture tells why
    if kind is None:
        return None
    words, module, extra, opener = _KINDS[kind]
    if not has_module(module):
        if kind == "geotiff":
            return _without_gdal(path, install_command(extra))
        raise InputError(f"{shown(path)} is {words}, which needs another package: {install_command(extra)}")
    return opener(path)


def has_picture(path: Path) -> bool:
    """Whether the beginning of a file is that of a picture or of measured data, whatever its name."""
    try:
        with path.open("rb") as file:
            head = file.read(HEAD_BYTES)
            file.seek(0)
            return sniff(head)[0] is not None or _kind(file, False) is not None
    except OSError:
        return False


def ending_of(path: Path, *, as_picture: bool = False) -> str | None:
    """The ending of the result of measured data; None for a picture, as far as the names of files and of packages and
    the beginning of the file tell.
    """
    suffix = path.suffix.lower()
    if suffix not in _SUFFIXES and not has_no_ending(path.name):
        return None
    try:
        with path.open("rb") as file:
            kind = _kind(file, as_picture)
    except OSError:
        return None
    if kind is None or not has_module(_KINDS[kind][1]):
        return None
    return result_ending(kind, path)


def _without_gdal(path: Path, command: str) -> None:
    """Pictures with a georeference are read as pictures; what cannot be is refused, with the remedy."""
    with path.open("rb") as file:
        found = read_tiff(file)
    if found.refusal:
        raise InputError(f"{shown(path)} {found.refusal}, or install a package that reads it: {command}")


def read_made(path: Path) -> dict[str, str] | None:
    """The record of settings in a result; None if there is none, or the file is no measured data."""
    found = None
    try:
        with path.open("rb") as file:
            kind = _kind(file, False)
    except OSError:
        return None
    if kind == "geotiff" and has_module("rasterio"):
        from upres.science import geotiff

        found = geotiff.read_made(path)
    elif kind == "dicom" and has_module("pydicom"):
        from upres.science import dicom

        found = dicom.read_made(path)
    elif kind == "nifti" and has_module("nibabel"):
        from upres.science import nifti

        found = nifti.read_made(path)
    return found


def _kind(file: BinaryIO, as_picture: bool) -> str | None:
    head = file.read(_HEAD_BYTES)
    if head[128:132] == b"DICM":
        return "dicom"
    if head.startswith(b"\x1f\x8b"):
        head = _unpacked(file)
    if _is_nifti(head):
        return "nifti"
    if not head.startswith(_TIFF):
        return None
    found = read_tiff(file)
    if found.format is None or not (found.refusal or not as_picture):
        return None
    return "geotiff" if _is_measured(file, found) else None


def _is_nifti(head: bytes) -> bool:
    """NIfTI-1 in one file, or NIfTI-2: the size of the header, and the magic."""
    sizes = {order: int.from_bytes(head[:4], order) for order in ("little", "big")}
    return (348 in sizes.values() and head[344:347] == b"n+1") or (540 in sizes.values() and head[4:7] == b"n+2")


def _unpacked(file: BinaryIO) -> bytes:
    """The head of what is packed by gzip; nothing if it is damaged."""
    file.seek(0)
    try:
        with gzip.open(file) as inner:
            return inner.read(_HEAD_BYTES)
    except (OSError, EOFError, zlib.error):
        return b""


def _is_measured(file: BinaryIO, found: TiffFacts) -> bool:
    """Whether a TIFF has a place on the ground, bands, or samples that pictures do not have."""
    try:
        page = read_directory(file)
    except ValueError:
        return False
    if page.entries.keys() & _GROUND or count_bands(found.extra):
        return True
    if page.number(_COMPRESSION, 1) == _OLD_JPEG or page.number(_PHOTOMETRIC, 1) not in _GDAL_COLORS:
        return False
    bits = {int(value) for value in page.numbers(_BITS)}
    signed = any(int(value) in (2, 3) for value in page.numbers(_FORMAT))
    return bool(found.refusal) or signed or bool(bits & {32, 64})


def _geotiff(path: Path) -> MeasuredFile:
    from upres.science.geotiff import GeoTiff

    return GeoTiff(path)


def _dicom(path: Path) -> MeasuredFile:
    from upres.science.dicom import Dicom

    return Dicom(path)


def _nifti(path: Path) -> MeasuredFile:
    from upres.science.nifti import Nifti

    return Nifti(path)


# What a kind is, the package that reads it, the extra that installs it, and its reader.
_KINDS: dict[str, tuple[str, str, str, Callable[[Path], MeasuredFile]]] = {
    "geotiff": ("a GeoTIFF", "rasterio", "geo", _geotiff),
    "dicom": ("a DICOM file", "pydicom", "medical", _dicom),
    "nifti": ("a NIfTI volume", "nibabel", "medical", _nifti),
}
