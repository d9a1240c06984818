"""Measured data made for tests: smooth fields, GeoTIFF, DICOM and NIfTI files, written by the libraries themselves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.tiny import FakeRunner, compact
from upres.images.resize import imresize
from upres.upscaling.upscaler import Upscaler

RECORD = {"model": "m", "size": "1 x 1", "input": "0", "generative": "no"}


def field(height: int, width: int, seed: int = 0) -> NDArray[np.float64]:
    """Smooth values in [0, 1]."""
    coarse = np.random.default_rng(seed).random((height // 6 + 2, width // 6 + 2))
    return np.clip(imresize(coarse, size=(height, width)), 0.0, 1.0)


def repeating(scale: int = 2) -> Upscaler:
    """An upscaler that repeats each sample: its answer is known."""
    return Upscaler(compact(scale), runner=FakeRunner(scale))


def quiet(done: int, total: int) -> None:
    """Progress that nobody watches."""
    assert 0 <= done <= total


def dicom(path: Path, frames: NDArray[Any], syntax: str = "1.2.840.10008.1.2.1", **fields: Any) -> Path:
    """A CT image of `frames` (n h w, or n h w 3)."""
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID = CTImageStorage
    for name in ("SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID", "FrameOfReferenceUID"):
        setattr(data, name, generate_uid(entropy_srcs=[name]))
    data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID
    data.PatientName, data.PatientID, data.Modality = "Doe^Jane", "17", "CT"
    data.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    data.Rows, data.Columns = frames.shape[1:3]
    data.NumberOfFrames = len(frames)
    data.SamplesPerPixel = frames.shape[3] if frames.ndim == 4 else 1
    data.PhotometricInterpretation = "RGB" if frames.ndim == 4 else "MONOCHROME2"
    if frames.ndim == 4:
        data.PlanarConfiguration = 0
    data.BitsAllocated = data.BitsStored = 8 * frames.dtype.itemsize
    data.HighBit = data.BitsStored - 1
    data.PixelRepresentation = int(frames.dtype.kind == "i")
    data.PixelSpacing, data.ImagerPixelSpacing = [0.5, 0.75], [0.6, 0.9]
    data.ImagePositionPatient, data.ImageOrientationPatient = [-100, -50, 20], [1, 0, 0, 0, 1, 0]
    data.RescaleSlope, data.RescaleIntercept, data.WindowCenter, data.WindowWidth = 1, -1024, 40, 400
    for name, value in fields.items():
        setattr(data, name, value)
    data.HighBit = data.BitsStored - 1
    data.PixelData = frames.tobytes() + bytes(frames.nbytes % 2)
    data["PixelData"].VR = "OB" if data.BitsAllocated == 8 else "OW"
    if syntax != ExplicitVRLittleEndian:
        from pydicom.uid import UID

        data.compress(UID(syntax))
    data.save_as(path, enforce_file_format=True)
    return path
