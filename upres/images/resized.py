"""A picture of another size: what its metadata says of lengths follows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from upres.images.picture import Picture
from upres.images.tiff import is_calibrated, scaled_tags


def resized(
    picture: Picture,
    pixels: NDArray[np.float32],
    alpha: NDArray[np.float32] | None,
    bands: NDArray[np.float32] | None = None,
) -> Picture:
    """`picture` with other pixels h' w' c, alpha h' w' and bands h' w' k.

    A georeference and a calibration (TIFF's resolution per centimeter, ImageJ's unit) are scaled, so that lengths on
    the ground and under the microscope stay what they are, with a note; a print resolution in dots per inch is kept.
    """
    if not picture.tiff_tags:
        return replace(picture, pixels=pixels, alpha=alpha, bands=bands)
    rows, columns = (pixels.shape[axis] / picture.pixels.shape[axis] for axis in (0, 1))
    tags, dpi, notes = scaled_tags(picture.tiff_tags, rows, columns), picture.dpi, picture.notes
    if is_calibrated(tags):
        dpi = None if dpi is None else (round(dpi[0] * rows, 3), round(dpi[1] * columns, 3))
        notes += ("the resolution was scaled with the picture, so that measured lengths stay the same",)
    return replace(picture, pixels=pixels, alpha=alpha, bands=bands, tiff_tags=tags, dpi=dpi, notes=notes)
