"""Which files are measured data, and what is told where a package is missing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.science.made import dicom
from upres.errors import InputError
from upres.science import open as opening
from upres.science.open import open_measured, read_made

tifffile = pytest.importorskip("tifffile")
RGB = np.full((8, 8, 3), 9, np.uint8)


def tiff(path: Path, pixels: NDArray[Any], **settings: Any) -> Path:
    tifffile.imwrite(path, pixels, metadata=None, **settings)
    return path


def grounded(path: Path) -> Path:
    """RGB with a georeference (ModelPixelScale, ModelTiepoint)."""
    tags = [(33550, "d", 3, (10.0, 10.0, 0.0), True), (33922, "d", 6, (0.0, 0.0, 0.0, 5e5, 4e6, 0.0), True)]
    return tiff(path, RGB, photometric="rgb", extratags=tags)


def test_kinds_are_told_by_content(tmp_path: Path) -> None:
    for module in ("rasterio", "pydicom", "nibabel"):
        pytest.importorskip(module)
    import nibabel

    picture = tiff(tmp_path / "rgb.tif", RGB, photometric="rgb")
    assert open_measured(picture) is None and read_made(picture) is None
    kinds = {
        grounded(tmp_path / "ground.tif"): "geotiff",
        tiff(tmp_path / "real.tif", np.ones((8, 8), np.float32)): "geotiff",
        tiff(tmp_path / "signed.tif", np.ones((8, 8), np.int16)): "geotiff",
        tiff(
            tmp_path / "bands.tif", np.ones((8, 8, 5), np.uint8), photometric="minisblack", planarconfig="contig"
        ): "geotiff",
        dicom(tmp_path / "image", np.ones((1, 8, 8), np.int16)): "dicom",
    }
    for name in ("v.nii", "v.nii.gz"):
        nibabel.save(nibabel.Nifti1Image(np.ones((8, 8, 2), np.int16), np.eye(4)), tmp_path / name)
        kinds[tmp_path / name] = "nifti"
    for path, kind in kinds.items():
        found = open_measured(path)
        assert found is not None and found.kind == kind, path


def test_a_geotiff_may_be_read_as_a_picture(tmp_path: Path) -> None:
    pytest.importorskip("rasterio")
    assert open_measured(grounded(tmp_path / "a.tif"), as_picture=True) is None
    real = tiff(tmp_path / "real.tif", np.ones((8, 8), np.float32))
    assert open_measured(real, as_picture=True) is not None  # no picture could be read of it


@pytest.mark.parametrize("content", [b"", b"II*\0", b"\x1f\x8b\x08", b"text" * 100, bytes(400)])
def test_other_files_are_left_to_those_who_read_pictures(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.tif"
    path.write_bytes(content)
    assert open_measured(path) is None and read_made(path) is None
    assert open_measured(tmp_path / "none.tif") is None and open_measured(tmp_path) is None


def test_without_its_package_a_file_is_refused_with_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opening, "has_module", lambda _: False)
    (tmp_path / "a.dcm").write_bytes(bytes(128) + b"DICM")
    with pytest.raises(
        InputError, match=r"is a DICOM file, which needs another package: pip install 'upres\[medical\]'"
    ):
        open_measured(tmp_path / "a.dcm")
    (tmp_path / "a.nii").write_bytes((348).to_bytes(4, "little") + bytes(340) + b"n+1\0" + bytes(8))
    with pytest.raises(InputError, match=r"is a NIfTI volume, which needs .*: pip install 'upres\[medical\]'"):
        open_measured(tmp_path / "a.nii")
    real = tiff(tmp_path / "real.tif", np.ones((8, 8), np.float32))
    with pytest.raises(InputError, match=r"32-bit floating point, .*or install .*: pip install 'upres\[geo\]'"):
        open_measured(real)
    assert open_measured(grounded(tmp_path / "ground.tif")) is None  # a picture, whose georeference `images` keeps
    assert read_made(real) is None
