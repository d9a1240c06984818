"""NIfTI in and out, against nibabel's own reading of the results."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.science.made import RECORD, field, quiet, repeating
from upres.errors import InputError

nibabel: Any = pytest.importorskip("nibabel")

from upres.science.nifti import Nifti, read_made  # noqa: E402

AFFINE = np.array([[0, -2, 0, 10], [1.5, 0, 0, -7], [0, 0.2, 3, 1], [0, 0, 0, 1.0]])
VALUES = (np.stack([field(20, 26, seed) for seed in range(6)], axis=2) * 2000).reshape(20, 26, 3, 2)


def written(path: Path, values: Any, affine: Any = AFFINE, scaling: tuple[float, float] | None = None) -> Path:
    image = nibabel.Nifti1Image(values, affine)
    image.header.set_xyzt_units("mm", "sec")
    image.set_sform(affine, 1)
    image.set_qform(affine, 2)
    if scaling is None:
        nibabel.save(image, path)
        return path
    image.header.set_slope_inter(*scaling)
    proxy = nibabel.Nifti1Image(values * scaling[0] + scaling[1], affine, image.header)
    proxy.header.set_data_dtype(values.dtype)
    nibabel.save(proxy, path)
    return path


def enlarged(path: Path) -> Any:
    source = Nifti(path)
    target = path.with_name(f"result{source.ending}")
    source.run(repeating(), (source.header.height * 2, source.header.width * 2), target, RECORD, quiet)
    return nibabel.load(target)


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "int32", "float32", "float64"])
@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
def test_every_slice_of_every_kind_of_number(tmp_path: Path, dtype: str, ending: str) -> None:
    values = (VALUES / (10 if dtype == "uint8" else 1)).astype(dtype)
    result = enlarged(written(tmp_path / f"a{ending}", values))
    assert result.shape == (40, 52, 3, 2) and result.get_data_dtype() == np.dtype(dtype)
    found = result.dataobj.get_unscaled()
    np.testing.assert_allclose(found, values.repeat(2, axis=0).repeat(2, axis=1), rtol=1e-6, atol=1e-3)


def test_the_volume_covers_the_same_space(tmp_path: Path) -> None:
    result = enlarged(written(tmp_path / "a.nii", VALUES.astype(np.float32)))
    for corner in ((-0.5, -0.5, 0), (19.5, 25.5, 2), (-0.5, 25.5, 1)):
        before = AFFINE @ [*corner, 1]
        after = result.affine @ [corner[0] * 2 + 0.5, corner[1] * 2 + 0.5, corner[2], 1]
        np.testing.assert_allclose(after, before, atol=1e-9)
    header = result.header
    np.testing.assert_allclose(header.get_zooms(), [0.75, np.hypot(2, 0.2) / 2, 3, 1], rtol=1e-6)
    assert (int(header["sform_code"]), int(header["qform_code"])) == (1, 2)
    assert header.get_xyzt_units() == ("mm", "sec")


def test_slope_and_intercept_keep_their_meaning(tmp_path: Path) -> None:
    path = written(tmp_path / "a.nii.gz", VALUES.astype(np.int16), scaling=(2.0, -5.0))
    before, result = nibabel.load(path), enlarged(path)
    np.testing.assert_allclose(result.get_fdata()[::2, ::2], before.get_fdata(), atol=2)
    assert (result.dataobj.slope, result.dataobj.inter) == (before.dataobj.slope, before.dataobj.inter)


def test_the_record_is_read_back_and_is_not_there_twice(tmp_path: Path) -> None:
    path = written(tmp_path / "a.nii.gz", VALUES.astype(np.int16))
    assert read_made(path) is None
    enlarged(path)
    found = read_made(tmp_path / "result.nii.gz")
    assert found is not None and {name: found[name] for name in RECORD} == RECORD
    assert found["values"].startswith("x = (value - ")
    again = enlarged((tmp_path / "result.nii.gz").rename(tmp_path / "b.nii.gz"))
    assert len(again.header.extensions) == 1


def test_values_that_are_not_finite_stay_where_they_are(tmp_path: Path) -> None:
    values = VALUES.astype(np.float32)
    values[3:6, 4:9] = np.nan
    found = enlarged(written(tmp_path / "a.nii", values)).get_fdata()
    np.testing.assert_array_equal(np.isnan(found), np.isnan(values).repeat(2, axis=0).repeat(2, axis=1))


def test_what_cannot_be_read_is_told(tmp_path: Path) -> None:
    good = written(tmp_path / "a.nii", VALUES.astype(np.int16))
    (tmp_path / "torn.nii").write_bytes(good.read_bytes()[:2000])
    with pytest.raises(InputError, match="is a damaged or unsupported NIfTI file"):
        enlarged(tmp_path / "torn.nii")
    nibabel.save(nibabel.Nifti1Image(np.ones((4, 4, 2), np.complex64), np.eye(4)), tmp_path / "c.nii")
    with pytest.raises(InputError, match="stores complex64, expected integers or real numbers"):
        Nifti(tmp_path / "c.nii")
    nibabel.save(nibabel.Nifti1Image(np.ones((7,), np.int16), np.eye(4)), tmp_path / "line.nii")
    with pytest.raises(InputError, match="expected at least two axes"):
        Nifti(tmp_path / "line.nii")
    assert not [one for one in tmp_path.iterdir() if one.name.startswith(".")]
