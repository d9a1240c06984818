"""Self-ensemble x8 (Timofte et al., "Seven ways to improve example-based single image super resolution", CVPR 2016, section 3.6).

The mean of what a network gives for a picture turned and mirrored in all eight ways, each answer turned back. All of it is views: the
network's answer for a turned picture is added to the equally turned view of the result, so no second array of the result's size is needed.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
TURNS = 8


def turned(picture: Array, turn: int) -> Array:
    """A view of `picture` (h w c) in one of the eight ways, 0 (as it is) to 7: bit 0 flips rows, bit 1 columns, bit 2 swaps the axes.

    What is written into the view of a result lies turned back in the result.
    """
    if turn & 4:
        picture = picture.transpose(1, 0, 2)
    return picture[:: -1 if turn & 1 else 1, :: -1 if turn & 2 else 1]
