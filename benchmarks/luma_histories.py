"""The histories of `made_histories.py` in luma alone, three times as fast, for `fit_true_scale.py`.

Noise of the channels is told from its share in luma; what rounding red, green and blue after decoding does to luma is
added as noise. A seventh of the pictures is gray from the beginning.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from made_histories import BASE_PX, LEAST_REDUCTION, History, blur, cut, enlarge, is_sharp, levels
from numpy.typing import NDArray
from PIL import Image

from upres.images.resize import imresize
from upres.inspection.sampling import to_luma

Luma = NDArray[np.float32]  # h w, in [0,1]
LUMA_SHARE = math.sqrt(0.299**2 + 0.587**2 + 0.114**2)  # of noise that is independent and alike in all channels
_ROUNDED = math.sqrt((0.299**2 + 0.587**2 + 0.114**2) / 12.0)  # of rounded red, green and blue, in levels of luma
GRAY = 0.15  # of the pictures, for the caller to draw
PLACES = 4  # that are cut out of a large picture


def read_lumas(path: Path, rng: np.random.Generator) -> Iterator[Luma]:
    """Of a picture up to 900 px itself, reduced by 1.5 and by a drawn factor of 1.4 to 2; of a larger one its middle
    and three drawn places, reduced to 700 px, by 4 at most.
    """
    with Image.open(path) as image:
        pixels = np.asarray(image.convert("RGB"))
    height, width = pixels.shape[:2]
    if min(height, width) <= 900:
        luma = to_luma(pixels.astype(np.float32) / np.float32(255.0)) / np.float32(255.0)
        for factor in (LEAST_REDUCTION, float(rng.uniform(1.4, 2.0))):
            yield imresize(luma[:, :, None], 1.0 / factor)[..., 0]
        return
    factor = min(4.0, min(height, width) / BASE_PX)
    side = int(BASE_PX * factor)
    for place in range(PLACES):
        top, left = max(0, height - side) // 2, max(0, width - side) // 2
        if place:
            top, left = (int(rng.integers(0, max(1, size - side + 1))) for size in (height, width))
        part = pixels[top : top + side, left : left + side].astype(np.float32) / np.float32(255.0)
        yield imresize(to_luma(part)[:, :, None] / np.float32(255.0), 1.0 / factor)[..., 0]


def turned(base: Luma, rng: np.random.Generator) -> Luma:
    """The picture or its mirror image, upright or not."""
    base = base[:, ::-1] if rng.random() < 0.5 else base
    return np.ascontiguousarray(base.T if rng.random() < 0.5 else base)


def make_luma(base: Luma, history: History, rng: np.random.Generator, *, gray: bool) -> Luma | None:
    """The luma in levels of 255 that `history` makes of `base`; None where nothing sharp can be cut out."""
    side = history.side_px
    pixels = cut(base[:, :, None].repeat(2, axis=2), math.ceil(side / history.scale) + 8, rng)
    if not is_sharp(pixels):
        return None
    luma = np.ascontiguousarray(pixels[..., 1])
    share = 1.0 if gray else LUMA_SHARE
    if history.earlier_noise:
        luma = _noisy(luma, history.earlier_noise * share, rng)
    if history.earlier_quality:
        luma = _compressed(luma, history.earlier_quality) / np.float32(255.0)
    if history.kernel == "pillow-cubic":
        size = round(luma.shape[1] * history.scale), round(luma.shape[0] * history.scale)
        large = Image.fromarray(levels(luma)).resize(size, Image.Resampling.BICUBIC)
        luma = np.asarray(large, np.float32) / np.float32(255.0)
    elif history.scale != 1.0:
        luma = enlarge(luma[:, :, None], history.scale, history.kernel)[..., 0]
    if history.blur_px:
        luma = blur(luma[:, :, None], history.blur_px)[..., 0]
    at = 4 if min(luma.shape) >= side + 4 else 0
    luma = luma[at : at + side, at : at + side]
    if history.noise:
        luma = _noisy(luma, history.noise * share, rng)
    if history.quality:
        result = _compressed(luma, history.quality)
    else:
        result = np.clip(luma, 0.0, 1.0) * np.float32(255.0)
        result = np.rint(result) if gray else result
    return result if gray else result + rng.standard_normal(result.shape, dtype=np.float32) * np.float32(_ROUNDED)


def _noisy(luma: Luma, sigma_255: float, rng: np.random.Generator) -> Luma:
    return luma + rng.standard_normal(luma.shape, dtype=np.float32) * np.float32(sigma_255 / 255.0)


def _compressed(luma: Luma, quality: int) -> Luma:
    target = io.BytesIO()
    Image.fromarray(levels(luma)).save(target, "JPEG", quality=quality)
    with Image.open(target) as image:
        return np.asarray(image, np.float32)
