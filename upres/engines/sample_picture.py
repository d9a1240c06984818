"""A bundled photograph on which engines are tested and exports compared if the user gives none.

128 x 128 pixels of examples/astronaut.png (NASA, public domain): skin, cloth, edges, letters, a dark background.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

FILE = Path(__file__).resolve().with_name("sample_picture.npy")
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # BT.601


@cache
def _pixels() -> NDArray[np.float32]:
    pixels: NDArray[np.uint8] = np.load(FILE, allow_pickle=False)
    return (pixels / np.float32(255.0)).astype(np.float32)


def sample(channels: int, height: int, width: int) -> NDArray[np.float32]:
    """The center of the sample, mirrored beyond its border: float32 (1, channels, height, width) in [0, 1].

    `channels` is 3 (RGB) or 1 (BT.601 luma).
    """
    pixels = _pixels()
    if channels == 1:
        pixels = (pixels @ _LUMA)[:, :, None]
    tall, wide = pixels.shape[:2]
    top, left = max(0, (tall - height) // 2), max(0, (wide - width) // 2)
    pixels = pixels[top : top + height, left : left + width]
    beyond = ((0, height - pixels.shape[0]), (0, width - pixels.shape[1]), (0, 0))
    return np.ascontiguousarray(np.pad(pixels, beyond, mode="symmetric").transpose(2, 0, 1))[None]
