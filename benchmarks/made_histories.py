"""Pictures with a known history, for `bench_inspect.py` and `fit_true_scale.py`: reduced, enlarged or blurred, noised,
compressed.

A history begins with a picture that carries all its pixels say: one of more than 900 px is reduced until it does, one
of less by `LEAST_REDUCTION`, since pictures of the web are often softer than their size. Then, in this order, all drawn
from a seed: noise and compression of the small picture (seldom), enlarging by a factor and a kernel, or blur, noise,
compression.
"""

from __future__ import annotations

import io
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from upres.images.resize import Kernel, imresize, weighted

# Times sigma: 1/(2 f) where a Gaussian lets a tenth of the amplitude through.
SOFT_SCALE = math.pi * math.sqrt(1 / (2 * math.log(10)))
COMMON = (1.25, 1.5, 2.0, 2.0, 3.0, 4.0)
KERNELS = {"linear": 0.23, "cubic": 0.24, "pillow-cubic": 0.2, "lanczos": 0.25, "area": 0.08}  # and their shares
# B and C of cubics (D. P. Mitchell, A. N. Netravali, "Reconstruction filters in computer graphics", SIGGRAPH 1988,
# equation 8) that other programs enlarge with: OpenCV's and torch's, ImageMagick's, GIMP's; "stiff" is Keys' a = -1.
CUBICS = {"opencv-cubic": (0.0, 0.75), "mitchell": (1 / 3, 1 / 3), "hermite": (0.0, 0.0), "stiff": (0.0, 1.0)}
FITTED = {name: 0.8 * share for name, share in KERNELS.items()} | {"opencv-cubic": 0.1, "mitchell": 0.1}
NEVER_FITTED = {"hermite": 0.5, "stiff": 0.5}
BASE_PX = 700
LEAST_REDUCTION = 1.5
_TRIES = 8  # places, of which the one with the most detail is cut out
_LEAST_SHARPNESS = -1.75  # of what is cut out: about one place in ten is less sharp, as backgrounds out of focus are


@dataclass(frozen=True)
class History:
    """`scale` 1 is not enlarged; `quality` 0 is not compressed; `earlier_*` happened to the small picture."""

    name: str
    scale: float = 1.0
    kernel: str = "none"
    blur_px: float = 0.0
    noise: float = 0.0
    quality: int = 0
    subsampled: bool = False
    earlier_noise: float = 0.0
    earlier_quality: int = 0
    side_px: int = 512

    @property
    def true_scale(self) -> float:
        return max(1.0, SOFT_SCALE * self.blur_px) if self.blur_px else self.scale


def draw_history(
    name: str,
    rng: np.random.Generator,
    *,
    earlier: float = 0.15,
    soft: float = 0.08,
    small: float = 0.25,
    kernels: Mapping[str, float] = KERNELS,
) -> History:
    """`earlier`, `soft` and `small` are the shares with a past of the small picture, of blurred ones, and of sides
    below 512; `kernels` those of the kernels.
    """
    kind = rng.random()
    any_scale = float(np.exp(rng.uniform(np.log(1.12), np.log(5.0)))) if kind >= 0.62 else 1.0
    scale = 1.0 if kind < 0.27 else float(rng.choice(COMMON)) if kind < 0.62 else any_scale
    kernel = "none" if scale == 1.0 else str(rng.choice(list(kernels), p=list(kernels.values())))
    blur = float(rng.uniform(0.7, 3.0)) if rng.random() < soft else 0.0
    if blur:
        scale, kernel = 1.0, "none"
    past = rng.random() < earlier
    return History(
        name,
        scale,
        kernel,
        blur,
        noise=0.0 if rng.random() < 0.4 else float(np.exp(rng.uniform(np.log(1.0), np.log(20.0)))),
        quality=0 if rng.random() < 0.4 else int(rng.integers(30, 99)),
        subsampled=bool(rng.random() < 0.6),
        earlier_noise=float(rng.uniform(1.0, 8.0)) if past else 0.0,
        earlier_quality=int(rng.integers(60, 97)) if past and rng.random() < 0.5 else 0,
        side_px=int(rng.integers(200, 512)) if rng.random() < small else 512,
    )


def read_base(path: Path) -> NDArray[np.float32]:
    """float32 `h w 3` in [0,1]; what has more than 900 px on its shorter side is cut to a square in its middle and
    reduced to 700.
    """
    with Image.open(path) as image:
        pixels = np.asarray(image.convert("RGB"))
    height, width = pixels.shape[:2]
    if min(height, width) <= 900:
        return pixels.astype(np.float32) / np.float32(255.0)
    factor = min(4.0, min(height, width) / BASE_PX)
    side = int(BASE_PX * factor)
    top, left = max(0, height - side) // 2, max(0, width - side) // 2
    return imresize(pixels[top : top + side, left : left + side].astype(np.float32) / np.float32(255.0), 1.0 / factor)


def read_sharp(path: Path) -> NDArray[np.float32]:
    """`read_base`, reduced where that has left a picture as it was."""
    base = read_base(path)
    with Image.open(path) as image:
        whole = min(image.size) > 900
    return base if whole else np.clip(imresize(base, 1.0 / LEAST_REDUCTION), 0.0, 1.0).astype(np.float32)


def make(
    base: NDArray[np.float32], history: History, rng: np.random.Generator
) -> tuple[NDArray[np.uint8], bytes | None] | None:
    """(levels `h w 3`, and the JPEG file that they came from, or None); None where `base` shows nothing sharp to cut
    out.
    """
    side = history.side_px
    pixels = cut(base, math.ceil(side / history.scale) + 8, rng)
    if not is_sharp(pixels):
        return None
    if history.earlier_noise:
        pixels = add_noise(pixels, history.earlier_noise, rng)
    if history.earlier_quality:
        data = compress(levels(pixels), history.earlier_quality, history.subsampled)
        pixels = decode(data).astype(np.float32) / np.float32(255.0)
    if history.kernel == "pillow-cubic":
        size = round(pixels.shape[1] * history.scale), round(pixels.shape[0] * history.scale)
        pixels = np.asarray(Image.fromarray(levels(pixels)).resize(size, Image.Resampling.BICUBIC), np.float32) / 255.0
    elif history.scale != 1.0:
        pixels = enlarge(pixels.astype(np.float32), history.scale, history.kernel)
    if history.blur_px:
        pixels = blur(pixels, history.blur_px)
    at = 4 if min(pixels.shape[:2]) >= side + 4 else 0
    pixels = pixels[at : at + side, at : at + side]
    result = levels(add_noise(pixels, history.noise, rng) if history.noise else pixels)
    if not history.quality:
        return result, None
    data = compress(result, history.quality, history.subsampled)
    return decode(data), data


def enlarge(pixels: NDArray[np.float32], scale: float, kernel: str) -> NDArray[np.float32]:
    """`h w c` times `scale`, with a kernel of `imresize` or of `CUBICS`."""
    if kernel not in CUBICS:
        return imresize(pixels, scale, kernel=cast("Kernel", kernel), antialias=False)
    for axis in (0, 1):
        size = pixels.shape[axis]
        center = (np.arange(math.ceil(size * scale)) + 0.5) / scale - 0.5
        taps = np.floor(center)[:, None] + np.arange(-1, 3)
        weights = _cubic(np.abs(center[:, None] - taps), *CUBICS[kernel])
        pixels = weighted(pixels, axis, np.clip(taps, 0, size - 1).astype(np.intp), weights)
    return pixels


def _cubic(x: NDArray[np.float64], b: float, c: float) -> NDArray[np.float64]:
    near = (12 - 9 * b - 6 * c) * x**3 + (-18 + 12 * b + 6 * c) * x**2 + (6 - 2 * b)
    far = (-b - 6 * c) * x**3 + (6 * b + 30 * c) * x**2 + (-12 * b - 48 * c) * x + (8 * b + 24 * c)
    return np.where(x < 1.0, near, np.where(x < 2.0, far, 0.0)) / 6.0


def cut(base: NDArray[np.float32], side: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Of some random places the one with the most detail, since what is out of focus has a true resolution that nobody
    knows.
    """
    height, width = base.shape[:2]
    places: list[NDArray[np.float32]] = []
    for _ in range(_TRIES if side < max(height, width) else 1):
        top, left = (int(rng.integers(0, max(1, size - side + 1))) for size in (height, width))
        places.append(base[top : top + side, left : left + side])
    return max(places, key=lambda place: float(np.abs(np.diff(place[::3, :, 1], n=2)).mean()))


def is_sharp(pixels: NDArray[np.float32]) -> bool:
    return sharpness(pixels) >= _LEAST_SHARPNESS


def sharpness(pixels: NDArray[np.float32]) -> float:
    """Log of the energy of differences to the next pixel over that to the fourth: 0 for white noise, -2.8 for a slope,
    less for blur.
    """
    green = pixels[..., 1]

    def energy(lag: int) -> float:
        return float(np.square(green[:, lag:] - green[:, :-lag]).mean() + np.square(green[lag:] - green[:-lag]).mean())

    return math.log((energy(1) + 1e-9) / (energy(4) + 1e-9))


def levels(pixels: NDArray[np.float32]) -> NDArray[np.uint8]:
    return np.rint(np.clip(pixels, 0.0, 1.0) * 255.0).astype(np.uint8)


def add_noise(pixels: NDArray[np.float32], sigma_255: float, rng: np.random.Generator) -> NDArray[np.float32]:
    return pixels + rng.standard_normal(pixels.shape, dtype=np.float32) * np.float32(sigma_255 / 255.0)


def compress(pixels: NDArray[np.uint8], quality: int, subsampled: bool) -> bytes:
    target = io.BytesIO()
    Image.fromarray(pixels).save(target, "JPEG", quality=quality, subsampling=2 if subsampled else 0)
    return target.getvalue()


def decode(data: bytes) -> NDArray[np.uint8]:
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image.convert("RGB"))


def blur(pixels: NDArray[np.float32], sigma_px: float) -> NDArray[np.float32]:
    reach = math.ceil(4 * sigma_px)
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma_px) ** 2)
    kernel /= kernel.sum()
    for axis in (0, 1):
        padded = np.pad(pixels, [(reach, reach) if axis == one else (0, 0) for one in range(3)], mode="reflect")
        size = pixels.shape[axis]
        parts = (float(weight) * np.take(padded, range(k, k + size), axis) for k, weight in enumerate(kernel))
        pixels = np.asarray(sum(parts), np.float32)
    return pixels


def held_out(number: int) -> bool:
    """Whether the picture of this place, in the order of names, is only for measuring: every fourth."""
    return number % 4 == 3
