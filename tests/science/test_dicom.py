"""DICOM in and out, against pydicom's own reading of the results."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.science.made import RECORD, dicom, field, quiet, repeating
from upres.errors import InputError
from upres.upscaling.output_size import OutputSize

pydicom = pytest.importorskip("pydicom")

from pydicom.dataset import Dataset  # noqa: E402
from pydicom.pixels import pixel_array  # noqa: E402
from pydicom.sequence import Sequence  # noqa: E402
from pydicom.uid import JPEGLossless  # noqa: E402

from upres.science.dicom import Dicom, read_made  # noqa: E402

CT = (np.stack([field(24, 32, seed) for seed in range(2)]) * 3000 - 1000).astype(np.int16)
RLE, JPEG_LS, JPEG_2000 = "1.2.840.10008.1.2.5", "1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.90"


def enlarged(path: Path, factor: int = 2, **record: str) -> tuple[Any, tuple[str, ...]]:
    source, target = Dicom(path), path.with_name("result.dcm")
    size = source.header.height * factor, source.header.width * factor
    notes = source.run(repeating(factor), size, target, {**RECORD, **record}, quiet)
    return pydicom.dcmread(target), notes


def stored(data: Any) -> NDArray[Any]:
    return pixel_array(data, raw=True)


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize(
    ("dtype", "bits"), [("int16", 16), ("uint16", 16), ("int16", 12), ("uint16", 12), ("uint8", 8), ("uint32", 32)]
)
def test_stored_values_of_every_kind(tmp_path: Path, dtype: str, bits: int, photometric: str) -> None:
    values = (field(24, 32) * 200).astype(dtype)[None] - (np.dtype(dtype).kind == "i") * 100
    written = values & np.array((1 << bits) - 1).astype(dtype) if bits == 12 else values
    path = dicom(tmp_path / "a.dcm", written, BitsStored=bits, PhotometricInterpretation=photometric)
    data, _ = enlarged(path)
    assert (data.Rows, data.Columns, data.BitsStored, data.PhotometricInterpretation) == (48, 64, bits, photometric)
    assert (data.RescaleSlope, data.RescaleIntercept, data.WindowCenter, data.WindowWidth) == (1, -1024, 40, 400)
    found = stored(data).astype(np.int64)
    if bits == 12 and values.min() < 0:
        found = (found << 52) >> 52  # the sign of 12 bits
    np.testing.assert_array_equal(found, values[0].astype(np.int64).repeat(2, axis=0).repeat(2, axis=1))


def test_lengths_and_places_are_on_the_finer_grid(tmp_path: Path) -> None:
    path = dicom(tmp_path / "a.dcm", CT[:1, :, :30])
    source, target = Dicom(path), tmp_path / "b.dcm"
    source.run(repeating(2), (48, 90), target, RECORD, quiet)  # twice as high, three times as wide
    data = pydicom.dcmread(target)
    assert [float(x) for x in data.PixelSpacing] == [0.25, 0.25]
    assert [float(x) for x in data.ImagerPixelSpacing] == pytest.approx([0.3, 0.3])
    # The corner of the image, half a pixel before the middle of the first one, stays where it was.
    assert np.array(data.ImagePositionPatient) - [0.125, 0.125, 0] == pytest.approx([-100 - 0.375, -50 - 0.25, 20])
    assert list(data.ImageOrientationPatient) == [1, 0, 0, 0, 1, 0]


def test_frames_and_places_of_an_enhanced_object(tmp_path: Path) -> None:
    def item(**fields: Any) -> Dataset:
        made = Dataset()
        for name, value in fields.items():
            setattr(made, name, value)
        return made

    shared = item(
        PixelMeasuresSequence=Sequence([item(PixelSpacing=[0.5, 0.5])]),
        PlaneOrientationSequence=Sequence([item(ImageOrientationPatient=[0, 1, 0, 0, 0, -1])]),
    )
    frames = [item(PlanePositionSequence=Sequence([item(ImagePositionPatient=[x, 0, 0])])) for x in (5, 7)]
    path = dicom(
        tmp_path / "a.dcm", CT, SharedFunctionalGroupsSequence=Sequence([shared]),
        PerFrameFunctionalGroupsSequence=Sequence(frames),
    )  # fmt: skip
    data, _ = enlarged(path)
    measures = data.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
    assert list(measures.PixelSpacing) == [0.25, 0.25] and data.NumberOfFrames == 2
    for frame, x in zip(data.PerFrameFunctionalGroupsSequence, (5, 7), strict=True):
        assert list(frame.PlanePositionSequence[0].ImagePositionPatient) == [x, -0.125, 0.125]
    np.testing.assert_array_equal(stored(data), CT.repeat(2, axis=1).repeat(2, axis=2))


def test_a_result_says_that_it_is_derived(tmp_path: Path) -> None:
    path = dicom(tmp_path / "a.dcm", CT[:1], SmallestImagePixelValue=-1000, BurnedInAnnotation="YES")
    before = pydicom.dcmread(path)
    data, notes = enlarged(path, 2, model="compact-x4", generative="no")
    assert list(data.ImageType) == ["DERIVED", "SECONDARY", "AXIAL"]
    assert data.SOPInstanceUID != before.SOPInstanceUID and data.SeriesInstanceUID != before.SeriesInstanceUID
    assert data.file_meta.MediaStorageSOPInstanceUID == data.SOPInstanceUID
    assert data.SourceImageSequence[-1].ReferencedSOPInstanceUID == before.SOPInstanceUID
    for name in ("StudyInstanceUID", "FrameOfReferenceUID", "PatientName", "PatientID", "SOPClassUID"):
        assert data[name].value == before[name].value
    assert "SmallestImagePixelValue" not in data
    assert "model compact-x4" in data.DerivationDescription and "Means are the source's" in data.DerivationDescription
    assert read_made(tmp_path / "result.dcm") == {**RECORD, "model": "compact-x4"}
    assert notes[0].startswith("annotations are burnt into the pixels")
    again, _ = enlarged(path, 2, model="compact-x4", generative="no")
    assert again.SOPInstanceUID == data.SOPInstanceUID  # the same job, the same object
    other, _ = enlarged(path, 2, model="gan", generative="gan")
    assert other.SOPInstanceUID != data.SOPInstanceUID
    assert "generative: it adds detail that was not measured" in other.DerivationDescription


@pytest.mark.parametrize("syntax", [RLE, JPEG_LS, JPEG_2000])
def test_compressed_pixels_are_decoded(tmp_path: Path, syntax: str) -> None:
    values = (field(64, 64) * 4000).astype(np.uint16)[None]
    data, _ = enlarged(dicom(tmp_path / "a.dcm", values, syntax))
    assert data.file_meta.TransferSyntaxUID.name == "Explicit VR Little Endian"
    np.testing.assert_array_equal(stored(data), values[0].repeat(2, axis=0).repeat(2, axis=1))


def encapsulated(path: Path, syntax: str, frame: bytes) -> None:
    """Give the object at `path` one frame of compressed pixels."""
    data = pydicom.dcmread(path)
    data.file_meta.TransferSyntaxUID = syntax
    data.PixelData = pydicom.encaps.encapsulate([frame])
    data["PixelData"].is_undefined_length = True
    data.save_as(path)


def test_jpeg_lossless_is_decoded(tmp_path: Path) -> None:
    """Encoded by imagecodecs, which is another library than the decoder (GDCM)."""
    pytest.importorskip("gdcm")
    encode: Any = pytest.importorskip("imagecodecs").ljpeg_encode
    values = (field(64, 64) * 4000).astype(np.uint16)[None]
    path = dicom(tmp_path / "a.dcm", values)
    encapsulated(path, JPEGLossless, encode(values[0], bitspersample=16))
    data, _ = enlarged(path)
    np.testing.assert_array_equal(stored(data), values[0].repeat(2, axis=0).repeat(2, axis=1))


def test_what_is_not_decoded_is_refused_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = dicom(tmp_path / "a.dcm", CT[:1])
    encapsulated(path, JPEGLossless, b"\xff\xd8\xff\xd9")
    data = pydicom.dcmread(path)
    monkeypatch.setattr("pydicom.pixels.decoders.base.Decoder.is_available", False)  # as without its packages
    with pytest.raises(InputError, match=r"is compressed as JPEG Lossless, Non-Hierarchical .*python-gdcm"):
        Dicom(path)
    data.file_meta.TransferSyntaxUID = pydicom.uid.MPEG2MPML
    data.save_as(path)
    with pytest.raises(InputError, match=r"is compressed as MPEG2 .*, which is not read"):
        Dicom(path)


def test_colors_run_together(tmp_path: Path) -> None:
    values = np.stack([(field(20, 24, seed) * 255).astype(np.uint8) for seed in range(3)], axis=2)[None]
    data, _ = enlarged(dicom(tmp_path / "a.dcm", values))
    assert data.PhotometricInterpretation == "RGB" and data.PlanarConfiguration == 0
    np.testing.assert_array_equal(data.pixel_array, values[0].repeat(2, axis=0).repeat(2, axis=1))


def test_padding_stays_padding(tmp_path: Path) -> None:
    values = CT[:1].copy()
    values[0, :6, :9] = -2000
    data, _ = enlarged(dicom(tmp_path / "a.dcm", values, PixelPaddingValue=-2000))
    hole = np.zeros((24, 32), bool)
    hole[:6, :9] = True
    np.testing.assert_array_equal(stored(data) == -2000, hole.repeat(2, axis=0).repeat(2, axis=1))


def test_overlays_and_regions_are_enlarged(tmp_path: Path) -> None:
    path = dicom(tmp_path / "a.dcm", CT[:1])
    plane = np.zeros((24, 32), np.uint8)
    plane[3, 5] = 1
    data = pydicom.dcmread(path)
    for element, kind, value in (
        (0x0010, "US", 24), (0x0011, "US", 32), (0x0050, "SS", [1, 1]), (0x1500, "LO", "ROI"),
        (0x3000, "OW", np.packbits(plane, bitorder="little").tobytes()),
    ):  # fmt: skip
        data.add_new((0x6000, element), kind, value)
    data.add_new((0x6002, 0x0010), "US", 24)  # in unused bits
    region = Dataset()
    region.RegionLocationMinX0, region.RegionLocationMaxX1, region.PhysicalDeltaX = 4, 9, 0.02
    data.SequenceOfUltrasoundRegions = Sequence([region])
    data.save_as(path)
    result, notes = enlarged(path, 4)
    bits = np.unpackbits(np.frombuffer(result[0x6000, 0x3000].value, np.uint8), bitorder="little")
    np.testing.assert_array_equal(bits[: 96 * 128].reshape(96, 128), plane.repeat(4, axis=0).repeat(4, axis=1))
    assert (0x6002, 0x0010) not in result
    assert notes == (
        "the overlay ROI was enlarged with the image, sample by sample",
        "the overlay 6002 in unused bits of the pixels was not kept",
    )
    (found,) = result.SequenceOfUltrasoundRegions
    assert (found.RegionLocationMinX0, found.RegionLocationMaxX1, found.PhysicalDeltaX) == (16, 39, 0.005)


def test_files_that_are_no_images_are_refused(tmp_path: Path) -> None:
    path = dicom(tmp_path / "a.dcm", CT[:1])
    data = pydicom.dcmread(path)
    del data.Rows
    data.save_as(tmp_path / "report.dcm")
    with pytest.raises(InputError, match="is a DICOM file without pixels"):
        Dicom(tmp_path / "report.dcm")
    (tmp_path / "torn.dcm").write_bytes(path.read_bytes()[:-500])
    with pytest.raises(InputError, match="is a damaged or unsupported DICOM file"):
        enlarged(tmp_path / "torn.dcm")
    (tmp_path / "noise.dcm").write_bytes(bytes(128) + b"DICM" + bytes(range(256)))
    with pytest.raises(InputError, match="DICOM file"):
        Dicom(tmp_path / "noise.dcm")
    assert read_made(tmp_path / "noise.dcm") is None and read_made(path) is None


def test_a_plan_counts_all_frames(tmp_path: Path) -> None:
    source, upscaler = Dicom(dicom(tmp_path / "a.dcm", CT)), repeating(2)
    plan = source.plan(upscaler, (48, 64))
    one = upscaler.plan(24, 32, channels=1, size=OutputSize(factor=2.0))
    assert (plan.height, plan.width, plan.macs) == (48, 64, 2 * one.macs)
