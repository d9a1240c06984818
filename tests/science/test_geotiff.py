"""GeoTIFF in and out, against rasterio's own reading of the results."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.science.made import RECORD, field, quiet, repeating
from upres.errors import InputError, OutputError
from upres.images.io import Header

rasterio = pytest.importorskip("rasterio")

from rasterio.control import GroundControlPoint  # noqa: E402
from rasterio.crs import CRS  # noqa: E402
from rasterio.enums import ColorInterp  # noqa: E402
from rasterio.errors import NotGeoreferencedWarning  # noqa: E402
from rasterio.rpc import RPC  # noqa: E402
from rasterio.transform import Affine  # noqa: E402

from upres.science import geotiff_out  # noqa: E402
from upres.science.geotiff import GeoTiff, read_made  # noqa: E402
from upres.science.work import Windows  # noqa: E402

pytestmark = pytest.mark.filterwarnings(f"ignore::{NotGeoreferencedWarning.__module__}.NotGeoreferencedWarning")
UTM, TURNED = "EPSG:32633", Affine(9.7, 1.3, 500_000.25, 1.1, -10.2, 4_600_000.75)


def written(path: Path, values: NDArray[Any], **settings: Any) -> Path:
    """A GeoTIFF of c h w."""
    shape = {"count": values.shape[0], "height": values.shape[1], "width": values.shape[2], "dtype": values.dtype}
    with rasterio.open(path, "w", driver="GTiff", **{"crs": UTM, "transform": TURNED, **shape, **settings}) as file:
        file.write(values)
    return path


def placed(file: Any, column: float, row: float) -> NDArray[Any]:
    """Where a corner of pixels lies on the ground."""
    a, b, c, d, e, f = file.transform[:6]
    return np.array((a * column + b * row + c, d * column + e * row + f))


def enlarged(path: Path, factor: int = 2, **record: str) -> tuple[Path, tuple[str, ...]]:
    source, target = GeoTiff(path), path.with_name("result.tif")
    size = source.header.height * factor, source.header.width * factor
    notes = source.run(repeating(factor), size, target, {**RECORD, **record}, quiet)
    return target, notes


@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "int16", "uint32", "int32", "float32", "float64"])
@pytest.mark.parametrize("count", [1, 5])
def test_all_bands_of_every_kind_of_number(tmp_path: Path, dtype: str, count: int) -> None:
    values = np.stack([field(20, 28, seed) * 100 for seed in range(count)]).astype(dtype)
    target, _ = enlarged(written(tmp_path / "a.tif", values))
    with rasterio.open(target) as result:
        assert result.dtypes == (dtype,) * count and (result.height, result.width) == (40, 56)
        np.testing.assert_allclose(result.read(), values.repeat(2, axis=1).repeat(2, axis=2), rtol=1e-6, atol=2e-5)


@pytest.mark.parametrize("compress", [None, "deflate"])
def test_half_precision_stays_half(tmp_path: Path, compress: str | None) -> None:
    values = np.stack([field(20, 28, seed) * 3 for seed in range(3)]).astype(np.float16).astype(np.float32)
    settings = {} if compress is None else {"compress": compress, "predictor": 3}
    target, _ = enlarged(written(tmp_path / "a.tif", values, nbits=16, **settings))
    with rasterio.open(target) as result:
        assert result.tags(1, ns="IMAGE_STRUCTURE")["NBITS"] == "16"
        np.testing.assert_allclose(result.read(), values.repeat(2, axis=1).repeat(2, axis=2), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("factor", [2, 3])
def test_corners_stay_where_they_are(tmp_path: Path, factor: int) -> None:
    path = written(tmp_path / "a.tif", np.ones((1, 12, 16), np.uint8))
    target, _ = enlarged(path, factor)
    with rasterio.open(path) as source, rasterio.open(target) as result:
        assert result.crs == source.crs == CRS.from_string(UTM)
        for row, column in ((0, 0), (0, 16), (12, 0), (12, 16), (5, 7)):
            place = placed(source, column, row)
            found = placed(result, column * factor, row * factor)
            np.testing.assert_allclose(found, place, rtol=1e-9)


def test_a_georeference_of_points_and_area_or_point(tmp_path: Path) -> None:
    points = [GroundControlPoint(row, column, 10 + column, 50 - row, 3) for row, column in ((0, 0), (0, 16), (12, 16))]
    path = written(tmp_path / "a.tif", np.ones((1, 12, 16), np.uint8), crs=None, transform=None)
    with rasterio.open(path, "r+") as file:
        file.gcps = (points, CRS.from_epsg(4326))
    target, _ = enlarged(path)
    with rasterio.open(target) as result:
        found, crs = result.gcps
        assert crs == CRS.from_epsg(4326)
        assert [(p.row, p.col, p.x, p.y, p.z) for p in found] == [(p.row * 2, p.col * 2, p.x, p.y, p.z) for p in points]
    dem = written(tmp_path / "b.tif", np.ones((1, 12, 16), np.int16))
    with rasterio.open(dem, "r+") as file:
        file.update_tags(AREA_OR_POINT="Point")
    target, _ = enlarged(dem)
    with rasterio.open(dem) as source, rasterio.open(target) as result:
        assert result.tags()["AREA_OR_POINT"] == "Point"
        np.testing.assert_allclose(placed(result, 32, 24), placed(source, 16, 12), rtol=1e-12)


def test_rational_polynomials_say_the_same_places(tmp_path: Path) -> None:
    rpc = RPC(
        height_off=100, height_scale=500, lat_off=45.0, lat_scale=0.1, line_off=5.5, line_scale=6, long_off=7.0,
        long_scale=0.2, samp_off=7.5, samp_scale=8,
        line_den_coeff=[1.0] + [0.0] * 19, samp_den_coeff=[1.0] + [0.0] * 19,
        line_num_coeff=[0.0, 0.01, -1.0] + [0.0] * 17, samp_num_coeff=[0.0, 1.0, 0.02] + [0.0] * 17,
    )  # fmt: skip
    path = written(tmp_path / "a.tif", np.ones((1, 12, 16), np.uint8), crs=None, transform=None)
    with rasterio.open(path, "r+") as file:
        file.rpcs = rpc
    target, _ = enlarged(path, 4)
    from rasterio.transform import RPCTransformer

    with rasterio.open(target) as result:
        assert result.rpcs is not None
        before, after = RPCTransformer(rpc), RPCTransformer(result.rpcs)
        with before, after:
            for row, column in ((2, 3), (9, 14)):
                wanted = before.xy([row], [column], zs=[100], offset="ul")
                found = after.xy([row * 4], [column * 4], zs=[100], offset="ul")
                np.testing.assert_allclose(np.ravel(found), np.ravel(wanted), rtol=1e-9)


@pytest.mark.parametrize(
    ("gap", "dtype"), [(-9999, "int16"), (0, "uint8"), (float("nan"), "float32"), (-3.4e38, "float32")]
)
def test_gaps_stay_gaps_and_nothing_else_becomes_one(tmp_path: Path, gap: float, dtype: str) -> None:
    values = (field(40, 44) * 200).astype(dtype)[None]
    hole = np.zeros((40, 44), bool)
    hole[8:20, 30:44] = True
    values[0][hole] = gap
    if gap == 0:
        hole = values[0] == 0
    target, _ = enlarged(written(tmp_path / "a.tif", values, nodata=gap))
    with rasterio.open(target) as result:
        assert result.nodata == gap or np.isnan(result.nodata) == np.isnan(gap)
        np.testing.assert_array_equal(result.read_masks(1) == 0, hole.repeat(2, axis=0).repeat(2, axis=1))
        inside = result.read(1)[result.read_masks(1) != 0]
        assert inside.min() >= 0 and inside.max() <= 200


def test_a_mask_of_the_file_is_kept_and_does_not_bleed(tmp_path: Path) -> None:
    values, mask = np.full((3, 24, 32), 90, np.uint8), np.full((24, 32), 255, np.uint8)
    values[:, :9, :11], mask[:9, :11] = 255, 0
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True):
        path = written(tmp_path / "a.tif", values, photometric="rgb")
        with rasterio.open(path, "r+") as file:
            file.write_mask(mask)
    target, _ = enlarged(path)
    with rasterio.open(target) as result:
        np.testing.assert_array_equal(result.dataset_mask(), mask.repeat(2, axis=0).repeat(2, axis=1))
        assert [flag.name for flag in result.mask_flag_enums[0]] == ["per_dataset"]
        assert set(result.read(1)[result.dataset_mask() != 0]) == {90}


def test_all_that_a_file_says_is_kept(tmp_path: Path) -> None:
    values = np.stack([field(300, 320, seed) * 3000 for seed in range(4)]).astype(np.uint16)
    stored = {"tiled": True, "blockxsize": 64, "blockysize": 64, "compress": "zstd", "predictor": 2}
    path = written(tmp_path / "a.tif", values, nodata=0, interleave="band", **stored)
    with rasterio.open(path, "r+") as file:
        file.descriptions = ("red", "green", "blue", "nir")
        file.units, file.scales, file.offsets = ["DN"] * 4, (0.1,) * 4, (-5.0,) * 4
        file.colorinterp = [ColorInterp.red, ColorInterp.green, ColorInterp.blue, ColorInterp.undefined]
        file.update_tags(TIFFTAG_DATETIME="2026:11:30 12:00:00", SENSOR="MSI")
        file.update_tags(ns="IMAGERY", CLOUDCOVER="7")
        file.update_tags(4, WAVELENGTH="842", STATISTICS_MAXIMUM="3000")
    with rasterio.open(path, "r+") as file:
        file.build_overviews([2, 4])
    source = GeoTiff(path)
    assert [group.bands for group in source.groups] == [(1, 2, 3), (4,)]
    assert source.header == Header(300, 320, 1, False, 16, "tiff", 3)
    target, _ = enlarged(path)
    with rasterio.open(target) as result, rasterio.open(path) as before:
        for name in ("nodata", "descriptions", "units", "scales", "offsets", "colorinterp", "block_shapes"):
            assert getattr(result, name) == getattr(before, name), name
        assert result.profile["compress"] == "zstd" and result.profile["interleave"] == "band"
        assert result.tags(ns="IMAGE_STRUCTURE")["PREDICTOR"] == "2"
        assert result.overviews(1) == [2, 4, 8] and result.overviews(4) == [2, 4, 8]
        assert result.tags()["SENSOR"] == "MSI" and result.tags()["TIFFTAG_DATETIME"] == "2026:11:30 12:00:00"
        assert result.tags(ns="IMAGERY") == {"CLOUDCOVER": "7"} and result.tags(4) == {"WAVELENGTH": "842"}
        assert result.tags(4, ns="UPRES")["VALUES"].startswith("x = (value - ")
        assert result.tags(ns="UPRES")["GENERATIVE"] == "no"
    assert read_made(target) == RECORD
    assert sorted(one.name for one in tmp_path.iterdir()) == ["a.tif", "result.tif"]


def test_palettes_and_alpha_are_repeated(tmp_path: Path) -> None:
    classes = np.random.default_rng(0).integers(0, 5, (1, 20, 20)).astype(np.uint8)
    path = written(tmp_path / "a.tif", classes, photometric="palette")
    colors = {index: (index * 50, 0, 9, 255) for index in range(5)}
    with rasterio.open(path, "r+") as file:
        file.write_colormap(1, colors)
    target, notes = enlarged(path, 4)
    with rasterio.open(target) as result:
        np.testing.assert_array_equal(result.read(), classes.repeat(4, axis=1).repeat(4, axis=2))
        assert {index: result.colormap(1)[index] for index in range(5)} == colors
    assert notes == ("classes, palettes and alpha are repeated, not interpolated (band 1)",)
    rgba = np.full((4, 12, 12), 70, np.uint8)
    rgba[:, 3:6] = 0
    target, _ = enlarged(written(tmp_path / "b.tif", rgba, photometric="rgb", alpha="yes"))
    with rasterio.open(target) as result:
        np.testing.assert_array_equal(result.read(), rgba.repeat(2, axis=1).repeat(2, axis=2))
        assert result.colorinterp[3] == ColorInterp.alpha


def test_windows_make_the_same_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    values = (field(300, 280) * 60_000).astype(np.uint16)[None]
    values[0, 130:170, 20:200] = 0
    path = written(tmp_path / "a.tif", values, nodata=0, tiled=True, blockxsize=64, blockysize=64)
    whole = rasterio.open(enlarged(path)[0]).read()
    counted: list[int] = []
    init = Windows.__init__

    def small(self: Windows, *arguments: Any) -> None:
        init(self, *arguments)
        self.side_px = 256
        counted.append(len(self))

    monkeypatch.setattr(Windows, "__init__", small)
    np.testing.assert_array_equal(rasterio.open(enlarged(path)[0]).read(), whole)
    assert counted == [9]


def test_a_calibration_is_scaled(tmp_path: Path) -> None:
    path = written(tmp_path / "a.tif", np.ones((1, 8, 8), np.float32), crs=None, transform=None)
    with rasterio.open(path, "r+") as file:
        file.update_tags(TIFFTAG_XRESOLUTION="100", TIFFTAG_YRESOLUTION="50", TIFFTAG_RESOLUTIONUNIT="3")
    target, _ = enlarged(path, 2)
    with rasterio.open(target) as result:
        tags = result.tags()
        assert (float(tags["TIFFTAG_XRESOLUTION"]), float(tags["TIFFTAG_YRESOLUTION"])) == (200, 100)


def test_what_cannot_be_read_or_written_is_told(tmp_path: Path) -> None:
    waves = written(tmp_path / "c.tif", np.ones((1, 8, 8), np.complex64))
    with pytest.raises(InputError, match="stores samples as complex64, expected integers or real numbers"):
        GeoTiff(waves)
    good = written(tmp_path / "a.tif", (field(64, 64) * 255).astype(np.uint8)[None], compress="deflate")
    torn = tmp_path / "torn.tif"
    torn.write_bytes(good.read_bytes()[:1000])
    with pytest.raises(InputError, match=r"damaged or unsupported TIFF|cannot be read by GDAL"):
        enlarged(torn)
    with pytest.raises(OutputError, match=r"cannot write .*: No such file"):
        GeoTiff(good).run(repeating(2), (128, 128), tmp_path / "none" / "x.tif", RECORD, quiet)
    assert not [one for one in tmp_path.iterdir() if "partial" in one.name]


def test_no_record_where_none_is(tmp_path: Path) -> None:
    assert read_made(written(tmp_path / "a.tif", np.ones((1, 8, 8), np.uint8))) is None
    (tmp_path / "text.tif").write_text("II*")
    assert read_made(tmp_path / "text.tif") is None


@pytest.mark.parametrize("damage", ["cut", "emptied"])
def test_a_file_that_reads_back_otherwise_is_no_result(
    tmp_path: Path, damage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """GDAL does not raise where the disk fills up while a file is closed."""
    path = written(tmp_path / "a.tif", (field(200, 200) * 60_000).astype(np.uint16)[None])
    check = geotiff_out.ResultFile.check

    def damaged(self: geotiff_out.ResultFile, partial: Path) -> None:
        with partial.open("r+b") as file:
            if damage == "cut":
                file.truncate(partial.stat().st_size - 5000)
            else:
                file.seek(partial.stat().st_size // 2)
                file.write(bytes(500))
        check(self, partial)

    monkeypatch.setattr(geotiff_out.ResultFile, "check", damaged)
    with pytest.raises(OutputError, match=r"cannot write .*result\.tif"):
        enlarged(path)
    assert [one.name for one in tmp_path.iterdir()] == ["a.tif"]
