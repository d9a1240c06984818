"""Documents and files of cameras, made here byte by byte or by tifffile: flat Photoshop documents and DNG."""

from __future__ import annotations

import io
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from upres.errors import InputError
from upres.images.io import read_header, read_picture
from upres.images.levels import levels_to_write
from upres.images.said_colors import adobe_rgb

XMP = b"<x:xmpmeta xmlns:x='adobe:ns:meta/'><r:RDF xmlns:r='http://www.w3.org/1999/02/22-rdf-syntax-ns#'/></x:xmpmeta>"
RGB = np.random.default_rng(11).integers(0, 256, (10, 14, 3)).astype(np.uint8)


def psd(pixels: NDArray[np.uint8], mode: int, resources: dict[int, bytes]) -> bytes:
    """A Photoshop document without layers: Adobe's "Photoshop File Formats Specification" of 2019."""
    height, width, channels = pixels.shape
    parts = [struct.pack(">4sH6xHIIHH", b"8BPS", 1, channels, height, width, 8, mode), struct.pack(">I", 0)]
    blocks = [
        struct.pack(">4sHHI", b"8BIM", name, 0, len(body)) + body + bytes(len(body) % 2)
        for name, body in resources.items()
    ]
    parts += [struct.pack(">I", sum(map(len, blocks))), *blocks, struct.pack(">IH", 0, 0)]
    return b"".join(parts) + pixels.transpose(2, 0, 1).tobytes()


def test_a_flat_document_of_photoshop() -> None:
    pytest.importorskip("PIL")
    picture = read_picture(psd(RGB, 3, {1039: adobe_rgb(), 1060: XMP}))
    np.testing.assert_array_equal(levels_to_write(picture, "png"), RGB)
    assert picture.icc == adobe_rgb() and picture.xmp == XMP and picture.depth == 8
    assert picture.notes == ("the flat picture of the document was read, not its layers",)
    gray = read_picture(psd(RGB[:, :, :1], 1, {}))
    assert gray.pixels.shape == (10, 14, 1) and gray.icc is None
    np.testing.assert_array_equal(np.rint(gray.pixels * 255), RGB[:, :, :1])
    with pytest.raises(InputError, match="colors as CMYK, expected gray or RGB"):
        read_picture(psd(np.dstack((RGB, RGB[:, :, :1])), 4, {}))
    with pytest.raises(InputError, match="a Photoshop document that is damaged"):
        read_picture(psd(RGB, 3, {})[:-200])


def dng(scene: NDArray[np.float64]) -> bytes:
    """A sensor with a Bayer pattern (RGGB) whose linear light 0..1 is `scene`, h w 3, in the colors of sRGB."""
    tifffile: Any = pytest.importorskip("tifffile")
    sensor = np.empty(scene.shape[:2], np.uint16)
    for (y, x), color in {(0, 0): 0, (0, 1): 1, (1, 0): 1, (1, 1): 2}.items():
        sensor[y::2, x::2] = np.rint(scene[y::2, x::2, color] * 65535)
    # From XYZ to linear sRGB with white D65 (IEC 61966-2-1): the "camera" sees the primaries of sRGB.
    matrix = (3.2406, -1.5372, -0.4986, -0.9689, 1.8758, 0.0415, 0.0557, -0.2040, 1.0570)
    fractions = tuple(part for value in matrix for part in (round(value * 10000), 10000))
    tags = [
        (50706, 1, 4, (1, 4, 0, 0), True),  # DNGVersion
        (33421, 3, 2, (2, 2), True),  # the repeated pattern, and its colors
        (33422, 1, 4, (0, 1, 1, 2), True),
        (50717, 4, 1, 65535, True),  # WhiteLevel
        (50721, 10, 9, fractions, True),  # ColorMatrix1
        (50728, 5, 3, (1, 1, 1, 1, 1, 1), True),  # AsShotNeutral
        (50778, 3, 1, 21, True),  # its light: D65
        (271, 2, None, "Acme", True),
        (272, 2, None, "Box", True),
    ]
    file = io.BytesIO()
    tifffile.imwrite(file, sensor, photometric=32803, extratags=tags, subfiletype=0)
    return file.getvalue()


def test_a_raw_file_is_developed_as_dcraw_does(tmp_path: Path) -> None:
    """Against the curve of BT.709, dcraw's default, of the light in each half of the picture."""
    pytest.importorskip("rawpy")
    light = np.array([[0.55, 0.18, 0.09], [0.09, 0.27, 0.46]])
    scene = light.repeat(64, axis=0)[None].repeat(96, axis=0)
    path = tmp_path / "a.dng"
    path.write_bytes(dng(scene))
    header = read_header(path)
    assert (header.height, header.width, header.channels, header.depth) == (96, 128, 3, 16)
    picture = read_picture(path)
    expected = np.where(light < 0.018, 4.5 * light, 1.099 * light**0.45 - 0.099)
    np.testing.assert_allclose(picture.pixels[48, 32], expected[0], atol=0.004)
    np.testing.assert_allclose(picture.pixels[48, 96], expected[1], atol=0.004)
    assert picture.notes[0].startswith("developed as dcraw does: the camera's white balance")
    (tmp_path / "cut.dng").write_bytes(path.read_bytes()[:300])
    with pytest.raises(InputError, match=r"camera raw|cut\.dng"):
        read_picture(tmp_path / "cut.dng")
