"""NIQE, a no-reference metric: distance of a picture's statistics from those of good photographs; lower is better.

Source: A. Mittal, R. Soundararajan, A. C. Bovik, "Making a 'completely blind' image quality analyzer", IEEE Signal
Processing Letters 2013. Details follow the authors' MATLAB release, against which the tests compare: Y (BT.601 studio
range) rounded to integers, non-overlapping 96x96 blocks from the top left (a remainder at the right and bottom is
ignored), the second scale by MATLAB's antialiased cubic `imresize`.

One deviation: in flat regions that release computes statistics of rounding errors, which are not reproducible; here
these values are 0.
"""

from __future__ import annotations

import hashlib
import io
import math
import zipfile
import zlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from upres.errors import InputError, ModelError
from upres.images.color import rgb_to_y
from upres.images.resize import imresize
from upres.system.download import Source, fetch

BLOCK = 96
FEATURES = 36  # 18 at each of two scales
PARAMETERS = Source(
    name="niqe_pris_params.npz",
    urls=("https://raw.githubusercontent.com/XPixelGroup/BasicSR/master/basicsr/metrics/niqe_pris_params.npz",),
    sha256="2a7c182a68c9e7f1b2e2e5ec723279d6f65d912b6fcaf37eb2bf03d7367c4296",
    bytes=11850,
    license="Apache-2.0",
)
_MAX_BYTES = 1 << 20  # the published file has 12 kB
_FLAT = 1e-9  # below any normalized difference between two integer levels
_SHIFTS = ((0, 1), (1, 0), (1, 1), (1, -1))  # section II-A: horizontal, vertical, both diagonals

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class NiqeParameters:
    """The multivariate Gaussian model of good photographs.

    Args:
        mean: Of the 36 features.
        covariance: 36 x 36.
        window: Local Gaussian window, 7 x 7, summing to 1.
        sha256: Of the file, for reports.
    """

    mean: Array
    covariance: Array
    window: Array
    sha256: str = "no file"


def load_parameters(path: Path) -> NiqeParameters:
    """Read a `.npz` with mu_pris_param, cov_pris_param and gaussian_window, without unpickling. Raises `ModelError`."""
    wrong = f"{path} is not a NIQE parameter file"
    remedy = f"use a copy of {PARAMETERS.name} (SHA-256 {PARAMETERS.sha256}), or omit it to download it"
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_BYTES + 1)
    except OSError as error:
        raise ModelError(f"cannot read NIQE parameters {path}: {error.strerror or error}; {remedy}") from error
    if len(data) > _MAX_BYTES:
        raise ModelError(f"{wrong}: expected {PARAMETERS.bytes} bytes, got more than {_MAX_BYTES}; {remedy}")
    shapes = {"mu_pris_param": (FEATURES,), "cov_pris_param": (FEATURES, FEATURES), "gaussian_window": (7, 7)}
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:  # guard against zip bombs
            if any(entry.file_size > _MAX_BYTES for entry in archive.infolist()):
                raise ModelError(f"{wrong}: it decompresses to more than {_MAX_BYTES} bytes; {remedy}")
        with np.load(io.BytesIO(data), allow_pickle=False) as stored:
            arrays = {name: np.asarray(stored[name], np.float64) for name in shapes}
    except KeyError as error:
        raise ModelError(f"{wrong}: expected arrays {', '.join(shapes)} ({error.args[0]}); {remedy}") from error
    except ModelError:
        raise
    except (
        *(OSError, EOFError, ValueError, TypeError, OverflowError, MemoryError, RuntimeError),
        *(zipfile.BadZipFile, zlib.error),
    ) as error:
        raise ModelError(f"{wrong}: {error}; {remedy}") from error
    arrays["mu_pris_param"] = arrays["mu_pris_param"].reshape(-1)  # stored as one row
    for name, shape in shapes.items():
        if arrays[name].shape != shape or not np.isfinite(arrays[name]).all():
            raise ModelError(f"{wrong}: {name} must be finite, of shape {shape}; got {arrays[name].shape}; {remedy}")
    mean, covariance, window = arrays.values()
    return NiqeParameters(mean, covariance, window, hashlib.sha256(data).hexdigest())


def fetch_parameters(path: Path | None) -> NiqeParameters:
    """Load parameters from the file `path`, or from the folder `path` by their published name.

    None loads the published ones, which are downloaded once. Raises `ModelError`.
    """
    if path is None:
        return load_parameters(fetch(PARAMETERS))
    return load_parameters(path / PARAMETERS.name if path.is_dir() else path)


def niqe(image: NDArray[np.generic], parameters: NiqeParameters, border: int = 0) -> float:
    """NIQE, equation 10.

    Args:
        image: `h w`, `h w 1` or `h w 3`; uint8, or float in [0, 1], which is clipped and rounded to 8 bits.
        parameters: The model to compare with.
        border: Pixels to crop on every side.

    Raises:
        InputError: `image` is of another kind, or has fewer than two whole 96x96 blocks that are not flat: the
            covariance needs two.
    """
    y = _luma(image)
    height, width = y.shape[0] - 2 * border, y.shape[1] - 2 * border
    rows, columns = height // BLOCK, width // BLOCK
    if border < 0 or rows < 1 or columns < 1:
        raise InputError(
            f"NIQE needs at least one {BLOCK}x{BLOCK} block inside a border of {border}, "
            f"got a picture of {y.shape[0]}x{y.shape[1]} (h x w)"
        )
    features = block_features(y[border : border + rows * BLOCK, border : border + columns * BLOCK], parameters.window)
    whole = features[~np.isnan(features).any(axis=1)]
    if len(whole) < 2:
        raise InputError(
            f"NIQE needs at least 2 {BLOCK}x{BLOCK} blocks that are not flat, got {len(whole)} of {rows * columns} "
            f"in a picture of {y.shape[0]}x{y.shape[1]} (h x w)"
        )
    distance = parameters.mean - np.nanmean(features, axis=0)
    covariance = (parameters.covariance + np.cov(whole, rowvar=False)) / 2.0
    return math.sqrt(max(0.0, float(distance @ np.linalg.pinv(covariance) @ distance)))


def block_features(y: Array, window: Array) -> Array:
    """Features `n 36` of every block of `y` (`h w` in 0..255, multiples of 96), row by row; NaN marks a flat block."""
    scales: list[Array] = []
    for side in (BLOCK, BLOCK // 2):
        normal = _normalize(y, window)
        strips = [  # one row of blocks at a time, to bound memory
            _features(normal[top : top + side].reshape(side, -1, side).transpose(1, 0, 2))
            for top in range(0, len(normal), side)
        ]
        scales.append(np.concatenate(strips))
        if side == BLOCK:
            y = imresize(y, 0.5)
    return np.concatenate(scales, axis=1)


def fit_aggd(x: Array) -> tuple[Array, Array, Array]:
    """Fit asymmetric generalized Gaussians to `x` (`n h w`): shape alpha, scales beta_left and beta_right, each `n`.

    Moment matching: N. E. Lasmar, Y. Stitou, Y. Berthoumieu, "Multiscale skewed heavy tailed model for texture
    analysis", ICIP 2009, with alpha on a grid from 0.2 to 10 in steps of 0.001. If no value is negative or none is
    positive, a scale is NaN and alpha is 0.2.
    """
    grid, ratios, gammas = _aggd_tables()
    negative, positive = np.minimum(x, 0.0), np.maximum(x, 0.0)
    squares_left, squares_right = (np.einsum("nij,nij->n", half, half) for half in (negative, positive))
    count_left, count_right = np.count_nonzero(x < 0.0, axis=(1, 2)), np.count_nonzero(x > 0.0, axis=(1, 2))
    count = x.shape[1] * x.shape[2]
    with np.errstate(divide="ignore", invalid="ignore"):  # 0 / 0 is the NaN that marks a flat block
        left, right = np.sqrt(squares_left / count_left), np.sqrt(squares_right / count_right)
        skew = left / right
        mean_abs = (positive.sum(axis=(1, 2)) - negative.sum(axis=(1, 2))) / count
        ratio = mean_abs**2 / ((squares_left + squares_right) / count)
        target: Array = ratio * (skew**3 + 1.0) * (skew + 1.0) / (skew**2 + 1.0) ** 2
    # `ratios` increases with alpha: the nearest entry is one of the two around `target`
    above: NDArray[np.intp] = np.minimum(np.maximum(np.searchsorted(ratios, target), 1), len(ratios) - 1)
    index = np.asarray(above - (target - ratios[above - 1] <= ratios[above] - target), np.intp)
    index[np.isnan(target)] = 0
    spread = np.sqrt(gammas[0, index] / gammas[2, index])
    return grid[index], left * spread, right * spread


@lru_cache(maxsize=1)
def _aggd_tables() -> tuple[Array, Array, Array]:
    """alpha, Gamma(2/alpha)^2 / (Gamma(1/alpha) Gamma(3/alpha)), and Gamma(k/alpha) for k = 1, 2, 3."""
    grid: Array = np.linspace(0.2, 10.0, 9801)
    gammas: Array = np.array([[math.gamma(k / alpha) for alpha in grid.tolist()] for k in (1, 2, 3)])
    ratios: Array = gammas[1] ** 2 / (gammas[0] * gammas[2])
    return grid, ratios, gammas


def _features(blocks: Array) -> Array:
    """Normalized blocks `n s s` -> `n 18` (equations 5 to 8): alpha and mean scale; then for each product of neighbors
    alpha, mean and both scales."""
    grid, _, gammas = _aggd_tables()
    alpha, left, right = fit_aggd(blocks)
    columns = [alpha, (left + right) / 2.0]
    for shift in _SHIFTS:
        alpha, left, right = fit_aggd(blocks * np.roll(blocks, shift, axis=(1, 2)))
        index = np.rint((alpha - grid[0]) / 0.001).astype(np.intp)
        columns += [alpha, (right - left) * (gammas[1, index] / gammas[0, index]), left, right]
    return np.stack(columns, axis=1)


def _normalize(y: Array, window: Array) -> Array:
    """(y - mu) / (sigma + 1) with local mean and deviation under the window, edges repeated (equations 1 to 3)."""
    mean = _filter(y, window)
    deviation = np.sqrt(np.abs(_filter(y * y, window) - mean * mean))
    normal = (y - mean) / (deviation + 1.0)
    normal[np.abs(normal) < _FLAT] = 0.0
    return normal


def _filter(y: Array, window: Array) -> Array:
    """Correlation with `window`, edges repeated, as separable filters (by SVD): one for a Gaussian, 14 products."""
    left, sizes, right = np.linalg.svd(window)
    reach = len(window) // 2
    padded = np.pad(y, reach, mode="edge")
    total = np.zeros_like(y)
    for vertical, size, horizontal in zip(left.T, sizes, right, strict=True):
        if size > 1e-12 * sizes[0]:
            rows = np.zeros((y.shape[0], padded.shape[1]))
            for i in range(len(window)):
                rows += size * vertical[i] * padded[i : i + y.shape[0]]
            for i in range(len(window)):
                total += horizontal[i] * rows[:, i : i + y.shape[1]]
    return total


def _luma(image: NDArray[np.generic]) -> Array:
    """Y of any accepted image, `h w`, rounded to levels; gray counts as R = G = B."""
    pixels = image[:, :, None] if image.ndim == 2 else image
    if pixels.ndim != 3 or pixels.shape[2] not in (1, 3) or (pixels.dtype != np.uint8 and pixels.dtype.kind != "f"):
        raise InputError(
            f"image must be h w, h w 1 or h w 3, uint8 or float in [0, 1]; got shape {image.shape}, {image.dtype}"
        )
    wide = pixels.astype(np.float64)
    if pixels.dtype != np.uint8:
        if not np.isfinite(wide).all():
            raise InputError("image must be finite, got NaN or infinity")
        wide = np.floor(np.clip(wide, 0.0, 1.0) * 255.0 + 0.5)
    y = rgb_to_y(np.repeat(wide, 3, axis=2) / 255.0) if wide.shape[2] == 1 else rgb_to_y(wide / 255.0)
    return np.floor(y * 255.0 + 0.5)
