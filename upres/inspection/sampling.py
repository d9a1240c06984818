"""Which pixels are looked at: a fixed number at places that depend on the picture alone, so that a large picture costs
what a small one does.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]

WINDOW_PX = 512
BLOCK_PX = 8
MOST_BLOCKS = 2048
MOST_ROWS, MOST_ROW_PX = 64, 2048
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # BT.601, full range: JPEG's (JFIF 1.02)
_PLACES = 3  # along a side, from which the window is chosen
_EVERY = 8  # row of a place that is looked at to choose


def to_luma(pixels: Array) -> Array:
    """`... c` in [0,1] -> luma `...` in levels of 255; that of one channel is itself."""
    if pixels.shape[-1] == 1:
        return pixels[..., 0] * np.float32(255.0)
    return (pixels @ (_LUMA * np.float32(255.0))).astype(np.float32, copy=False)


def busiest_window(pixels: Array) -> tuple[slice, slice]:
    """The window of at most `WINDOW_PX` a side, on multiples of 8, with the largest mean square of differences along
    rows.

    Resolution shows where there is detail, and an unsharp background shows none. Of nine places, evenly spread.
    """
    channel = pixels[..., pixels.shape[-1] // 2]  # green, or gray
    places = window_places(*pixels.shape[:2])
    details = [detail(channel[top : top + WINDOW_PX, left : left + WINDOW_PX]) for top, left in places]
    top, left = places[int(np.argmax(details))]
    return slice(top, top + WINDOW_PX), slice(left, left + WINDOW_PX)


def window_places(height: int, width: int) -> list[tuple[int, int]]:
    """(top, left) of the windows that `busiest_window` chooses from."""
    return [(top, left) for top in _starts(height) for left in _starts(width)]


def detail(channel: Array) -> float:
    """The mean square of differences along rows of a window `h w`, of which every eighth is looked at."""
    rows = channel[::_EVERY]
    return float(np.square(np.diff(rows, axis=1)).mean()) if rows.shape[1] > 1 else 0.0


def _starts(side: int) -> list[int]:
    """Multiples of 8 at which a window begins, from the first to the last that fits."""
    room = max(0, side - WINDOW_PX) // BLOCK_PX
    return sorted({BLOCK_PX * (room * place // (_PLACES - 1)) for place in range(_PLACES)})


def spread_blocks(pixels: Array, grid: tuple[int, int], most: int = MOST_BLOCKS, step_px: int = BLOCK_PX) -> Array:
    """`n 8 8 c`: at most `most` blocks, `step_px` apart, that begin at (row, column) `grid`, evenly spread over the
    picture. `n` may be 0.
    """
    tops, lefts = block_places((pixels.shape[0], pixels.shape[1]), grid, most, step_px)
    inside = np.arange(BLOCK_PX)
    return pixels[tops[:, None, None] + inside[:, None], lefts[:, None, None] + inside]


def block_places(
    size: tuple[int, int], grid: tuple[int, int], most: int = MOST_BLOCKS, step_px: int = BLOCK_PX
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The tops and lefts of the blocks of `spread_blocks`."""
    rows, columns = ((side - start - BLOCK_PX) // step_px + 1 for side, start in zip(size, grid, strict=True))
    if rows < 1 or columns < 1:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    count = int(rows * columns)
    chosen: NDArray[np.int64] = np.linspace(0, count - 1, min(count, most), dtype=np.int64)
    return grid[0] + step_px * (chosen // columns), grid[1] + step_px * (chosen % columns)


def dense_blocks(pixels: Array) -> Array:
    """As `spread_blocks`, from (0, 0); where there are less than `MOST_BLOCKS`, blocks overlap by 4 or 6 px, so that a
    small picture has enough to choose flat ones from.
    """
    for step_px in (BLOCK_PX, BLOCK_PX // 2, BLOCK_PX // 4):
        blocks = spread_blocks(pixels, (0, 0), step_px=step_px)
        if len(blocks) >= MOST_BLOCKS:
            break
    return blocks


def spread_rows(pixels: Array) -> Array:
    """Luma `n w` in levels of at most 64 rows, evenly spread over the picture, cut to 2,048 px in the middle."""
    rows, left = row_places(*pixels.shape[:2])
    return to_luma(np.clip(pixels[rows, left : left + MOST_ROW_PX], 0.0, 1.0))


def row_places(height: int, width: int) -> tuple[NDArray[np.int64], int]:
    """The rows of `spread_rows`, and where they begin."""
    return np.unique(np.arange(MOST_ROWS) * height // MOST_ROWS), max(0, width - MOST_ROW_PX) // 2


def _dct_matrix() -> Array:
    """The orthonormal DCT-II of 8 samples (T.81, A.3.3): row u is the u-th cosine."""
    u, x = np.arange(8.0)[:, None], np.arange(8.0)
    matrix = 0.5 * np.cos((2.0 * x + 1.0) * u * np.pi / 16.0)
    matrix[0] /= np.sqrt(2.0)
    return matrix.astype(np.float32)


DCT = _dct_matrix()


def block_dct(blocks: Array) -> Array:
    """`n 8 8` samples -> `n 8 8` coefficients [vertical, horizontal frequency], orthonormal."""
    across = (blocks.reshape(-1, 8) @ DCT.T).reshape(-1, 8, 8)
    both = (across.transpose(0, 2, 1).reshape(-1, 8) @ DCT.T).reshape(-1, 8, 8)
    return np.ascontiguousarray(both.transpose(0, 2, 1), np.float32)
