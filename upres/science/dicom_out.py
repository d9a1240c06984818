"""The DICOM object of a result: derived, with its own identity, and every length and place on the finer grid.

Source: DICOM PS3.3: C.7.6.1 (image type, derivation), C.7.6.2 (plane), C.7.6.3 (pixels), C.8.5.5 (ultrasound regions),
C.7.6.11 (shutters), C.9 (overlays); PS3.5 9 (unique identifiers).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from upres.science.grid import Axis
from upres.system.text import json_text

_PRIVATE_GROUP, _CREATOR, _MADE = 0x0075, "UPRES", 0x01
_SPACINGS = ("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing")
_OVERLAYS = range(0x6000, 0x6020, 2)
_ROWS_OF_SHUTTER = ("ShutterUpperHorizontalEdge", "ShutterLowerHorizontalEdge")
_COLUMNS_OF_SHUTTER = ("ShutterLeftVerticalEdge", "ShutterRightVerticalEdge")
_IN_ROWS = ("RegionLocationMinY0", "RegionLocationMaxY1", "ReferencePixelY0")
_IN_COLUMNS = ("RegionLocationMinX0", "RegionLocationMaxX1", "ReferencePixelX0")
_STALE = (  # what would no longer be true of the pixels
    "SmallestImagePixelValue",
    "LargestImagePixelValue",
    "IconImageSequence",
    "DigitalSignaturesSequence",
    "MACParametersSequence",
    "ExtendedOffsetTable",
    "ExtendedOffsetTableLengths",
)


def notes_on(data: Any) -> list[str]:
    """What the user should know of a result: named before anything is changed."""
    notes: list[str] = []
    if str(data.get("BurnedInAnnotation", "")).upper() == "YES":
        notes.append("annotations are burnt into the pixels: read them from the source, the network redraws them")
    for group in _OVERLAYS:
        if (group, 0x3000) in data:
            label = str(data.get((group, 0x1500)).value) if (group, 0x1500) in data else f"{group:04X}"
            notes.append(f"the overlay {label} was enlarged with the image, sample by sample")
        elif (group, 0x0010) in data:
            notes.append(f"the overlay {group:04X} in unused bits of the pixels was not kept")
    if data.get("DigitalSignaturesSequence"):
        notes.append("digital signatures were not kept, since the pixels are others")
    if "CenterOfCircularShutter" in data or "VerticesOfThePolygonalShutter" in data:
        notes.append("a circular or polygonal shutter was scaled with the image")
    if str(data.PhotometricInterpretation) == "PALETTE COLOR":
        notes.append("palette colors are repeated, not interpolated")
    return notes


def describe(
    data: Any, frames: NDArray[Any], factors: tuple[float, float], words: str, made: Mapping[str, str]
) -> None:
    """Make `data`, the source, the object of the result.

    frames: Stored values, frames h w c.
    factors: Of rows and columns.
    words: The mapping of values.
    made: The record of the settings.
    """
    _set_pixels(data, frames)
    _scale_geometry(data, *factors)
    _scale_regions(data, *factors)
    _scale_shutters(data, *factors)
    _scale_overlays(data, *factors)
    for name in _STALE:
        if name in data:
            del data[name]
    _derive(data, factors, words, made)


def _set_pixels(data: Any, frames: NDArray[Any]) -> None:
    from pydicom.uid import ExplicitVRLittleEndian

    lossy = data.file_meta.TransferSyntaxUID.name
    colors = frames.shape[3] == 3
    if colors:
        data.PhotometricInterpretation, data.PlanarConfiguration = "RGB", 0
        data.BitsStored = data.BitsAllocated = 8 * frames.dtype.itemsize
        data.HighBit = data.BitsStored - 1
    data.HighBit = data.BitsStored - 1
    data.Rows, data.Columns = frames.shape[1], frames.shape[2]
    if data.file_meta.TransferSyntaxUID.is_compressed and "Lossy" in lossy and "Lossless" not in lossy:
        data.LossyImageCompression = "01"
    raw = np.ascontiguousarray(frames)
    if not colors and int(data.get("PixelRepresentation", 0)) and int(data.BitsStored) < int(data.BitsAllocated):
        raw = raw & raw.dtype.type((1 << int(data.BitsStored)) - 1)  # as most writers leave the unused bits
    stored = raw.astype(raw.dtype.newbyteorder("<")).tobytes()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.PixelData = stored + bytes(len(stored) % 2)
    data["PixelData"].VR = "OB" if int(data.BitsAllocated) == 8 else "OW"
    data["PixelData"].is_undefined_length = False


def _scale_geometry(data: Any, rows: float, columns: float) -> None:
    """Spacings are [between rows, between columns]; the position is that of the middle of the first pixel. Enhanced
    objects have both in the groups of all frames, or of each.
    """
    shared = (data.get("SharedFunctionalGroupsSequence") or [data])[0]
    frames = list(data.get("PerFrameFunctionalGroupsSequence") or ())
    spacing, turned = _plane(shared, [], [])
    parts = [*((data,) if shared is not data else ()), shared, *frames]
    planes = [_plane(part, spacing, turned) for part in parts]
    for part, (of_part, along) in zip(parts, planes, strict=True):
        measures = (part.get("PixelMeasuresSequence") or [part])[0]
        for name in _SPACINGS:
            found = measures.get(name)
            if found is not None and len(found) == 2:
                setattr(measures, name, [_decimal(float(found[0]) / rows), _decimal(float(found[1]) / columns)])
        place = (part.get("PlanePositionSequence") or [part])[0]
        if "ImagePositionPatient" in place and len(along) == 6 and len(of_part) == 2:
            # half a pixel of the source back, half a pixel of the result forth: along a row, and down a column
            across, down = (1.0 / columns - 1.0) / 2.0 * of_part[1], (1.0 / rows - 1.0) / 2.0 * of_part[0]
            before = [float(number) for number in place.ImagePositionPatient]
            place.ImagePositionPatient = [
                _decimal(before[axis] + across * along[axis] + down * along[axis + 3]) for axis in range(3)
            ]
    aspect = data.get("PixelAspectRatio")
    if aspect is not None and rows != columns:
        high, wide = float(aspect[0]) / rows, float(aspect[1]) / columns
        data.PixelAspectRatio = [round(high / min(high, wide) * 1000), round(wide / min(high, wide) * 1000)]


def _plane(part: Any, spacing: list[float], turned: list[float]) -> tuple[list[float], list[float]]:
    """Spacing and orientation of a part, where it has its own."""
    own = (part.get("PixelMeasuresSequence") or [part])[0].get("PixelSpacing")
    along = (part.get("PlaneOrientationSequence") or [part])[0].get("ImageOrientationPatient")
    return [float(number) for number in own or spacing], [float(number) for number in along or turned]


def _decimal(number: float) -> str:
    """A decimal string of at most 16 characters."""
    for digits in range(15, 0, -1):
        text = f"{number:.{digits}g}"
        if len(text) <= 16:
            return text
    return f"{number:.1e}"


def _scale_regions(data: Any, rows: float, columns: float) -> None:
    """Calibrated regions of ultrasound: where they lie, and the lengths of their pixels."""
    for region in data.get("SequenceOfUltrasoundRegions") or ():
        for names, factor in ((_IN_ROWS, rows), (_IN_COLUMNS, columns)):
            for name in names:
                if name in region:
                    end = 1 if "Max" in name else 0  # the last pixel that is in it
                    setattr(region, name, round((int(region.get(name)) + end) * factor) - end)
        for name, factor in (("PhysicalDeltaX", columns), ("PhysicalDeltaY", rows)):
            if name in region:
                setattr(region, name, float(region.get(name)) / factor)


def _scale_shutters(data: Any, rows: float, columns: float) -> None:
    for names, factor in ((_ROWS_OF_SHUTTER, rows), (_COLUMNS_OF_SHUTTER, columns)):
        for name in names:
            if name in data:
                setattr(data, name, round(int(data.get(name)) * factor))
    for name in ("CenterOfCircularShutter", "VerticesOfThePolygonalShutter"):  # pairs of row and column
        if name in data:
            numbers = [int(number) for number in data.get(name)]
            scaled = [round(number * (columns if place % 2 else rows)) for place, number in enumerate(numbers)]
            setattr(data, name, scaled)
    if "RadiusOfCircularShutter" in data:
        data.RadiusOfCircularShutter = round(int(data.RadiusOfCircularShutter) * (rows * columns) ** 0.5)


def _scale_overlays(data: Any, rows: float, columns: float) -> None:
    for group in _OVERLAYS:
        if (group, 0x3000) not in data:
            for element in [element.tag for element in data if element.tag.group == group]:
                del data[element]
            continue
        high, wide = int(data[group, 0x0010].value), int(data[group, 0x0011].value)
        count = int(data[group, 0x0015].value) if (group, 0x0015) in data else 1
        bits = np.unpackbits(np.frombuffer(data[group, 0x3000].value, np.uint8), bitorder="little")
        if bits.size < count * high * wide:
            continue
        planes = bits[: count * high * wide].reshape(count, high, wide)
        down, across = Axis(high, round(high * rows)), Axis(wide, round(wide * columns))
        larger = planes[:, down.nearest(0, down.out)][:, :, across.nearest(0, across.out)]
        packed = np.packbits(larger, bitorder="little").tobytes()
        data[group, 0x0010].value, data[group, 0x0011].value = down.out, across.out
        data[group, 0x3000].value = packed + bytes(len(packed) % 2)
        if (group, 0x0050) in data:  # the first pixel has the number 1
            first = [int(number) for number in data[group, 0x0050].value]
            data[group, 0x0050].value = [round((first[0] - 1) * rows) + 1, round((first[1] - 1) * columns) + 1]


def _derive(data: Any, factors: tuple[float, float], words: str, made: Mapping[str, str]) -> None:
    """Its own identity, in a series of its own, with a reference to the source."""
    from pydicom.dataset import Dataset
    from pydicom.sequence import Sequence
    from pydicom.uid import generate_uid

    record = json_text(dict(sorted(made.items())))
    source = Dataset()
    source.ReferencedSOPClassUID, source.ReferencedSOPInstanceUID = data.SOPClassUID, data.SOPInstanceUID
    purpose = Dataset()
    purpose.CodeValue, purpose.CodingSchemeDesignator = "121322", "DCM"
    purpose.CodeMeaning = "Source Image for Image Processing Operation"
    source.PurposeOfReferenceCodeSequence = Sequence([purpose])
    data.SourceImageSequence = Sequence([*(data.get("SourceImageSequence") or ()), source])
    # From what went in, so that the same job gives the same object, and another one never does.
    data.SOPInstanceUID = generate_uid(entropy_srcs=[str(data.SOPInstanceUID), record])
    data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID
    if "SeriesInstanceUID" in data:
        settings = json_text({name: value for name, value in sorted(made.items()) if name not in ("input", "size")})
        data.SeriesInstanceUID = generate_uid(entropy_srcs=[str(data.SeriesInstanceUID), settings])
    kept = list(cast("list[str]", data.get("ImageType") or []))[2:]
    data.ImageType = ["DERIVED", "SECONDARY", *kept]
    generative = made.get("generative", "no") != "no"
    said = f"Enlarged by upres x{factors[0]:.6g} x{factors[1]:.6g} (rows, columns), model {made.get('model', '')}; "
    said += f"{words}. "
    said += (
        "The model is generative: it adds detail that was not measured." if generative else "Means are the source's."
    )
    before = str(data.get("DerivationDescription", "") or "")
    data.DerivationDescription = f"{before + '; ' if before else ''}{said}"[-1024:]
    block = data.private_block(_PRIVATE_GROUP, _CREATOR, create=True)
    if _MADE in block:
        del block[_MADE]
    block.add_new(_MADE, "UT", record)


def made_text(data: Any) -> str:
    """The record of a result, as JSON; "" if there is none."""
    try:
        return str(data.private_block(_PRIVATE_GROUP, _CREATOR)[_MADE].value)
    except KeyError:
        return ""
