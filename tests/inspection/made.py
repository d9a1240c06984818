"""Small pictures whose history is known, shared by the tests of this folder."""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from upres.images.io import Picture

Array = NDArray[np.float32]


def texture(side_px: int = 320, seed: int = 0) -> Array:
    """Gray `h w` in levels of 255, sharp to the last frequency: shaded rectangles with hard edges, and noise of 1."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:side_px, :side_px].astype(np.float32)
    picture = 110.0 + 40.0 * np.sin(columns / 47.0 + rows / 91.0)
    for _ in range(60):
        row, column = rng.uniform(0, side_px, 2)
        angle, width = rng.uniform(0, np.pi), rng.uniform(3, 40)
        across = (rows - row) * np.cos(angle) + (columns - column) * np.sin(angle)
        along = np.abs((columns - column) * np.cos(angle) - (rows - row) * np.sin(angle))
        picture = np.where((np.abs(across) < width) & (along < 3 * width), picture + rng.uniform(-60, 60), picture)
    picture += rng.standard_normal(picture.shape)
    return np.clip(picture, 5.0, 250.0).astype(np.float32)


def noisy(sigmas: tuple[float, ...], side_px: int = 320, seed: int = 0) -> Array:
    """Levels `h w c`: smooth shading with noise of these standard deviations, not rounded."""
    rows, columns = np.mgrid[:side_px, :side_px].astype(np.float32)
    smooth = 128.0 + 50.0 * np.sin(columns / 60.0) * np.cos(rows / 80.0)
    noise = np.random.default_rng(seed).standard_normal((side_px, side_px, len(sigmas)))
    return (smooth[:, :, None] + noise * np.array(sigmas)).astype(np.float32)


def jpeg(levels: NDArray[np.generic], quality: int, *, subsampling: int = 0) -> bytes:
    """A JPEG by libjpeg (Pillow) of levels `h w` or `h w 3`."""
    target = io.BytesIO()
    image = Image.fromarray(np.rint(np.clip(levels.astype(np.float64), 0, 255)).astype(np.uint8))
    image.save(target, "JPEG", quality=quality, **({"subsampling": subsampling} if image.mode == "RGB" else {}))
    return target.getvalue()


def decoded(data: bytes) -> Array:
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image, np.float32)


def as_picture(levels: Array, depth: int = 8) -> Picture:
    """Levels of 255, `h w` or `h w c`, rounded as a file of that depth holds them."""
    pixels = levels[:, :, None] if levels.ndim == 2 else levels
    top = 255.0 if depth == 8 else 65535.0
    return Picture((np.rint(np.clip(pixels / 255.0, 0.0, 1.0) * top) / top).astype(np.float32), depth=depth)
