"""Make the pictures of geotiff.md and medical.md: `python docs/make_science_pictures.py`. All data are generated here.

Needs upres[geo,medical] and scikit-image.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import nibabel
import numpy as np
import rasterio
from numpy.typing import NDArray
from skimage.data import shepp_logan_phantom
from skimage.transform import resize

from upres.images.io import Picture, write_picture
from upres.science.geotiff import GeoTiff
from upres.science.nifti import Nifti
from upres.upscaling.upscaler import Upscaler

PICTURES = Path(__file__).parent / "pictures"
GAP = -9999.0
FACTOR = 4


def terrain(size: int) -> NDArray[np.float32]:
    """Heights in meters: noise whose amplitude falls with the frequency, with an incised valley."""
    rng = np.random.default_rng(7)
    row, column = np.meshgrid(np.fft.fftfreq(size), np.fft.fftfreq(size), indexing="ij")
    frequency = np.maximum(np.hypot(row, column), 1.0 / size)
    field = np.fft.ifft2(np.fft.fft2(rng.standard_normal((size, size))) / frequency**1.9).real
    field = (field - field.min()) / np.ptp(field)
    return (300 + 900 * field + 120 * np.abs(np.sin(6 * np.pi * field))).astype(np.float32)


def shaded(heights: NDArray[np.float32], gap: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Relief lit from the upper left, gaps in magenta: h w 3."""
    down, across = np.gradient(np.where(gap, np.nan, heights))
    light = np.clip(0.55 - 0.5 * (across + down) / np.nanpercentile(np.hypot(down, across), 97), 0.0, 1.0)
    picture = np.repeat(np.nan_to_num(light, nan=0.5)[:, :, None], 3, axis=2).astype(np.float32)
    picture[gap] = (0.8, 0.1, 0.6)
    return picture


def beside(*pictures: NDArray[np.float32]) -> NDArray[np.float32]:
    """Pictures of one height side by side, with white between them."""
    space = np.ones((len(pictures[0]), 6, 3), np.float32)
    parts = [part for picture in pictures for part in (space, picture)][1:]
    return np.ascontiguousarray(np.concatenate(parts, axis=1))


def save(name: str, pixels: NDArray[np.float32]) -> None:
    write_picture(Picture(np.clip(pixels, 0.0, 1.0)), PICTURES / name, png_level=9)


def ground(folder: Path, upscaler: Upscaler) -> None:
    heights = resize(terrain(320), (80, 80), anti_aliasing=True).astype(np.float32)
    rows, columns = np.mgrid[:80, :80]
    gap = (rows - 44) ** 2 + (columns - 50) ** 2 < 13**2
    values = np.where(gap, np.float32(GAP), heights)[None]
    settings = {"driver": "GTiff", "height": 80, "width": 80, "count": 1, "dtype": "float32", "crs": "EPSG:32633"}
    place = rasterio.Affine(30, 0, 5e5, 0, -30, 4e6)
    with rasterio.open(folder / "dem.tif", "w", nodata=GAP, transform=place, **settings) as file:
        file.write(values)
    GeoTiff(folder / "dem.tif").run(upscaler, (320, 320), folder / "out.tif", {}, lambda done, total: None)
    with rasterio.open(folder / "out.tif") as file:
        result = file.read(1)
    fine = gap.repeat(FACTOR, 0).repeat(FACTOR, 1)
    naive = resize(values[0], (320, 320), order=3, anti_aliasing=False).astype(np.float32)
    crop = (slice(96, 256), slice(120, 280))
    naive_gap = naive < -9000
    save("geotiff_gap.png", beside(shaded(naive, naive_gap)[crop], shaded(result, fine)[crop]))
    wrong = ((naive < heights.min() - 1) & ~naive_gap).sum()
    print(f"naive: {wrong} pixels lower than every height; upres: {(result[~fine] < heights.min()).sum()}")


def scan(folder: Path, upscaler: Upscaler) -> None:
    phantom = resize(shepp_logan_phantom(), (384, 384), anti_aliasing=True)
    small = (resize(phantom, (96, 96), anti_aliasing=True) * 2000).astype(np.int16)
    nibabel.save(nibabel.Nifti1Image(small[:, :, None], np.diag([2.0, 2.0, 3.0, 1.0])), folder / "head.nii")
    Nifti(folder / "head.nii").run(upscaler, (384, 384), folder / "out.nii", {}, lambda done, total: None)
    result = np.asarray(nibabel.load(folder / "out.nii").dataobj)[:, :, 0].astype(np.float64)
    cubic = resize(small.astype(np.float64), (384, 384), order=3)
    crop = (slice(96, 288), slice(100, 292))
    gray = [
        np.repeat((picture[crop] / 900).astype(np.float32)[:, :, None], 3, axis=2)
        for picture in (small.repeat(FACTOR, 0).repeat(FACTOR, 1), cubic, result, phantom * 2000)
    ]
    save("medical_phantom.png", beside(*gray))
    for name, picture in (("cubic", cubic), ("upres", result)):
        means = picture.reshape(12, 32, 12, 32).mean(axis=(1, 3))
        wanted = small.reshape(12, 8, 12, 8).mean(axis=(1, 3))
        worst = np.abs(means - wanted)[wanted > 50] / wanted[wanted > 50]
        error = np.sqrt(np.mean((picture - phantom * 2000) ** 2))
        print(f"{name}: means of 8 x 8 samples differ by at most {worst.max():.3%}; error {error:.1f} of 2000")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name, Upscaler("compact-x4") as upscaler:
        ground(Path(name), upscaler)
        scan(Path(name), upscaler)
