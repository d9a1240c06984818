"""What a TIFF says of itself, against tifffile and Pillow, which wrote the files and read the results."""

from __future__ import annotations

import io
import struct
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from tests.tiny import FakeRunner, compact
from upres.errors import InputError
from upres.images.io import encode_picture, read_header, read_picture, resized, writing_notes
from upres.images.tiff import read_tiff
from upres.upscaling.upscaler import Upscaler

tifffile = pytest.importorskip("tifffile")

NOISE = np.random.default_rng(4).integers(0, 256, (12, 16, 5)).astype(np.uint8)
RGB = np.ascontiguousarray(NOISE[:, :, :3])
GRAY = np.ascontiguousarray(NOISE[:, :, 0])


def written(pixels: NDArray[Any], **settings: Any) -> bytes:
    stream = io.BytesIO()
    settings.setdefault("metadata", None)
    tifffile.imwrite(stream, pixels, **settings)
    return stream.getvalue()


def patched(data: bytes, tag: int, value: int) -> bytes:
    """`data`, a little-endian TIFF, with another first value in a field of type SHORT."""
    page = tifffile.TiffFile(io.BytesIO(data)).pages[0]
    at = page.tags[tag].offset + 8
    count = page.tags[tag].count
    if count > 2:
        (at,) = struct.unpack_from("<I", data, at)
    return data[:at] + struct.pack(f"<{count}H", *[value] * count) + data[at + 2 * count :]


@pytest.mark.parametrize(
    ("bands", "settings", "words"),
    [
        (5, {"photometric": "separated", "extrasamples": [0]}, "1 more than the samples of CMYK"),
        (5, {"photometric": "rgb", "extrasamples": [2, 2]}, "several bands as transparency"),
        (
            5,
            {"photometric": "rgb", "extrasamples": [1, 0]},
            "bands beside transparency that the colors are multiplied by",
        ),
    ],
)
def test_bands_that_no_picture_has_are_refused(bands: int, settings: dict[str, Any], words: str) -> None:
    data = written(np.ascontiguousarray(NOISE[:, :, :bands]), planarconfig="contig", **settings)
    for read in (read_picture, read_header):
        with pytest.raises(InputError, match=words + ".*; save "):
            read(data)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize(
    ("count", "photometric", "extra", "planes"),
    [
        (2, "minisblack", [0], "contig"),
        (3, "minisblack", [0, 0], "contig"),  # what GDAL writes for three bands, unless told that they are RGB
        (4, "rgb", [0], "contig"),
        (5, "rgb", [0, 2], "separate"),
        (5, "rgb", [2, 0], "contig"),
        (5, "minisblack", [0, 0, 2, 0], "contig"),
    ],
)
def test_a_band_that_nobody_declared_is_a_band(
    count: int, photometric: str, extra: list[int], planes: str, dtype: type
) -> None:
    """Read, enlarged by a network that repeats each pixel, and written, every band is where it was, and transparency
    what was declared.
    """
    pixels = NOISE.astype(dtype)[:, :, :count] * (np.iinfo(dtype).max // 255)
    stored = np.moveaxis(pixels, 2, 0) if planes == "separate" else pixels
    data = written(
        np.ascontiguousarray(stored),
        photometric=photometric,
        extrasamples=extra,
        planarconfig=planes,
        compression="lzw",
    )
    picture = read_picture(data)
    assert read_header(data).bands == picture.band_count == extra.count(0)
    assert (picture.alpha is not None) == (2 in extra)
    assert picture.pixels.shape[2] == (3 if photometric == "rgb" else 1)
    result = Upscaler(compact(2), runner=FakeRunner())(picture)
    page = tifffile.TiffFile(io.BytesIO(encode_picture(result, "tiff"))).pages[0]
    assert page.photometric.name.lower() == photometric
    assert [int(kind) for kind in page.extrasamples] == extra
    (alpha,) = [count - len(extra) + place for place, kind in enumerate(extra) if kind == 2] or [-1]
    wanted = pixels.repeat(2, axis=0).repeat(2, axis=1)
    for band in range(count):
        if alpha in (-1, band) or band >= count - len(extra):  # colors under full transparency are filled in
            shown = slice(None) if alpha in (-1, band) else wanted[:, :, alpha] > 0
            np.testing.assert_array_equal(page.asarray()[:, :, band][shown], wanted[:, :, band][shown])
    told = [note for note in writing_notes(result, "png") if "bands beyond the colors" in note]
    assert told == [f"bands beyond the colors ({extra.count(0)}) are not written to png; write tiff to keep them"]


@pytest.mark.parametrize("declared", ["unassalpha", "assocalpha"])
def test_declared_transparency_is_transparency(declared: str) -> None:
    opaque = np.concatenate((RGB, np.full((12, 16, 1), 255, np.uint8)), axis=2)
    picture = read_picture(written(opaque, photometric="rgb", extrasamples=[declared]))
    assert picture.alpha is not None and picture.alpha.min() == 1.0
    np.testing.assert_array_equal(np.rint(picture.pixels * 255), RGB)


@pytest.mark.parametrize(
    ("compression", "name"),
    [
        (34925, "LZMA"),
        (50000, "Zstandard"),
        (34887, "LERC"),
        (34712, "JPEG 2000"),
        (50002, "JPEG XL"),
        (777, "method 777"),
    ],
)
def test_a_compression_that_is_not_read_is_named(compression: int, name: str) -> None:
    data = patched(written(RGB, photometric="rgb"), 259, compression)
    with pytest.raises(InputError, match=rf"is compressed with {name}, which is not read; save it again with LZW"):
        read_picture(data)


def test_an_old_style_jpeg_is_refused_and_not_black() -> None:
    with pytest.raises(InputError, match="is compressed as an old-style JPEG"):
        read_header(patched(written(RGB, photometric="rgb"), 259, 6))


@pytest.mark.parametrize(
    ("pixels", "words"),
    [
        (RGB.astype(np.float64), "64-bit floating point"),
        (RGB.astype(np.float16), "16-bit floating point"),
        (GRAY.astype(np.complex64), "complex numbers"),
    ],
)
def test_samples_that_are_no_integers_are_named(pixels: NDArray[Any], words: str) -> None:
    with pytest.raises(InputError, match=f"stores samples as {words}, expected 8- or 16-bit integers; convert"):
        read_picture(written(pixels, photometric="minisblack" if pixels.ndim == 2 else "rgb"))


@pytest.mark.parametrize("bits", [10, 12, 14])
def test_samples_of_a_width_between_are_named(bits: int) -> None:
    data = patched(written(GRAY.astype(np.uint16), photometric="minisblack"), 258, bits)
    with pytest.raises(InputError, match=f"stores samples of {bits} bits, expected 8- or 16-bit integers"):
        read_picture(data)


def test_an_orientation_of_zero_is_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 0
    stream = io.BytesIO()
    Image.fromarray(RGB).save(stream, "TIFF", exif=exif)
    (tmp_path / "a.tif").write_bytes(stream.getvalue())
    for source in (stream.getvalue(), tmp_path / "a.tif"):
        np.testing.assert_array_equal(np.rint(read_picture(source).pixels * 255), RGB)
        assert read_header(source).height == 12


def test_uncompressed_ycbcr_is_converted() -> None:
    stream = io.BytesIO()
    image = Image.fromarray(RGB)
    image.convert("YCbCr").save(stream, "TIFF")
    expected = np.asarray(image.convert("YCbCr").convert("RGB")).astype(int)
    found = np.rint(read_picture(stream.getvalue()).pixels * 255)
    assert np.abs(found - expected).max() <= 1


def test_gray_and_transparency_in_planes_are_refused() -> None:
    planes = np.ascontiguousarray(NOISE[:, :, :2].transpose(2, 0, 1))
    data = written(planes, photometric="minisblack", planarconfig="separate", extrasamples=[2])
    with pytest.raises(InputError, match="stores gray and transparency in separate planes"):
        read_picture(data)


def test_what_is_stored_otherwise_is_told() -> None:
    inverted = read_picture(written(GRAY, photometric="miniswhite"))
    assert inverted.notes == ("gray is stored inverted (0 is white); the result has 0 for black",)
    np.testing.assert_array_equal(np.rint(inverted.pixels[:, :, 0] * 255), 255 - GRAY)
    palette = np.random.default_rng(0).integers(0, 65536, (3, 256)).astype(np.uint16)
    mapped = read_picture(written(GRAY, photometric="palette", colormap=palette))
    assert mapped.notes == ("the palette was converted to RGB",)


GEO = [
    (33550, 12, 3, (0.5, 0.25, 0.0), True),
    (33922, 12, 6, (2.0, 4.0, 0.0, 440_000.0, 5_000_000.0, 0.0), True),
    (34735, 3, 8, (1, 1, 0, 1, 1024, 0, 1, 1), True),
    (42113, 2, 3, "-1", True),
]


def ground(tags: Any, column: float, row: float) -> tuple[float, float]:
    """The place of a point in pixels, by the tags of a north-up GeoTIFF."""
    (sx, sy, _), tie = tags[33550].value, tags[33922].value
    return tie[3] + (column - tie[0]) * sx, tie[4] - (row - tie[1]) * sy


@pytest.mark.parametrize("big", [False, True])
def test_a_georeference_is_kept_and_scaled(big: bool) -> None:
    data = written(RGB, photometric="rgb", extratags=GEO, description="a field", bigtiff=big)
    picture = read_picture(data)
    assert picture.notes == ("pixels without data (value -1) were treated as a color; mask them afterwards",)
    larger = resized(picture, picture.pixels.repeat(3, axis=0).repeat(2, axis=1), None)
    before = tifffile.TiffFile(io.BytesIO(data)).pages[0].tags
    after = tifffile.TiffFile(io.BytesIO(encode_picture(larger, "tiff"))).pages[0]
    for row, column in ((0, 0), (12, 16), (5, 3)):
        assert ground(after.tags, 2 * column, 3 * row) == pytest.approx(ground(before, column, row), rel=1e-9)
    assert after.tags[34735].value == (1, 1, 0, 1, 1024, 0, 1, 1)
    assert after.tags[42113].value == "-1" and after.description == "a field"
    np.testing.assert_array_equal(after.asarray()[::3, ::2], RGB)
    assert writing_notes(picture, "png") == ("the georeference is not written to png; write tiff to keep it",)


def test_rational_polynomials_are_told() -> None:
    data = written(RGB, photometric="rgb", extratags=[(50844, 12, 92, tuple(range(92)), True)])
    assert read_picture(data).notes == ("the rational polynomial coefficients (RPC) of the georeference were not kept",)


def test_a_calibration_is_scaled_and_a_print_resolution_is_not() -> None:
    calibrated = read_picture(written(RGB, photometric="rgb", resolution=(1000, 500), resolutionunit=3))
    assert calibrated.dpi == (1270.0, 2540.0)
    larger = resized(calibrated, calibrated.pixels.repeat(4, axis=0).repeat(4, axis=1), None)
    assert larger.dpi == (5080.0, 10160.0)
    assert larger.notes == ("the resolution was scaled with the picture, so that measured lengths stay the same",)
    tags = tifffile.TiffFile(io.BytesIO(encode_picture(larger, "tiff"))).pages[0].tags
    assert tags[296].value == 3
    assert [tags[tag].value[0] / tags[tag].value[1] for tag in (282, 283)] == [4000.0, 2000.0]
    printed = read_picture(written(RGB, photometric="rgb", resolution=(300, 300), resolutionunit=2))
    assert resized(printed, printed.pixels.repeat(4, axis=0), None).dpi == (300.0, 300.0)


def test_imagej_keeps_its_unit() -> None:
    data = written(GRAY, imagej=True, resolution=(10, 10), metadata={"unit": "um"})
    picture = read_picture(data)
    assert picture.dpi is None
    result = encode_picture(resized(picture, picture.pixels.repeat(2, axis=0).repeat(2, axis=1), None), "tiff")
    page = tifffile.TiffFile(io.BytesIO(result))
    assert page.imagej_metadata is not None and page.imagej_metadata["unit"] == "um"
    above, below = page.pages[0].tags[282].value
    assert above / below == 20.0


def test_no_resolution_is_invented() -> None:
    picture = read_picture(written(RGB, photometric="rgb", resolution=(1, 1), resolutionunit=1))
    assert picture.dpi is None
    tags = tifffile.TiffFile(io.BytesIO(encode_picture(picture, "tiff"))).pages[0].tags
    assert tags[296].value == 1 and tags[282].value == (10_000, 10_000)


def test_descriptions_with_the_old_size_are_dropped() -> None:
    shaped = read_picture(written(RGB, photometric="rgb", metadata={"axes": "YXS"}))
    assert shaped.texts == () and 270 not in shaped.tiff_tags and shaped.notes == ()
    ome = read_picture(written(RGB, photometric="rgb", description="<?xml?><OME><Image/></OME>"))
    assert ome.notes == ("the OME-XML description was not kept",) and 270 not in ome.tiff_tags


def test_exif_goes_from_tiff_to_png_and_back() -> None:
    exif = Image.Exif()
    exif[271], exif[306], exif[33432] = "ACME", "2020:01:01 00:00:00", "(c) someone"
    exif[34665], exif[34853] = {33434: 0.004}, {1: "N", 2: (47.0, 30.0, 12.5)}
    stream = io.BytesIO()
    loaded = Image.Exif()
    loaded.load(exif.tobytes())
    Image.fromarray(RGB).save(stream, "TIFF", exif=loaded)
    picture = read_picture(stream.getvalue())
    assert picture.notes == ()
    for format in ("png", "jpeg", "webp", "avif", "tiff"):
        found = Image.open(io.BytesIO(encode_picture(picture, format))).getexif()
        assert (found[271], found[306], found[33432]) == ("ACME", "2020:01:01 00:00:00", "(c) someone"), format
        assert float(found.get_ifd(34665)[33434]) == 0.004, format
        assert found.get_ifd(34853)[1] == "N" and found.get_ifd(34853)[2] == (47.0, 30.0, 12.5), format
    assert writing_notes(replace(picture, exif=bytes(10)), "tiff") == (
        "damaged EXIF is not written to tiff; write png or jpeg to keep it",
    )


def test_a_program_name_alone_is_no_exif() -> None:
    assert read_picture(written(RGB, photometric="rgb", software="program")).exif is None


def test_a_torn_directory_gives_no_facts() -> None:
    data = written(RGB, photometric="rgb", extratags=GEO)
    for length in range(0, len(data), 7):
        assert isinstance(read_tiff(io.BytesIO(data[:length])).notes, tuple)
