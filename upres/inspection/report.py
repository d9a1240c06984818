"""What `inspect_picture` found, as one frozen value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class PictureReport:
    """What a picture is before anything is done to it. None means that it cannot be told, never a default.

    Attributes:
        format: "png", "jpeg", "webp", "tiff", "avif" or "gif".
        height, width: Of the upright picture, in pixels.
        channels: 1 (gray) or 3 (RGB), without alpha.
        alpha: Whether it has transparency.
        depth: Bits a sample, 8 or 16.
        profile: Kind of its color profile: None (none, taken for sRGB), "sRGB", or another's name.
        true_scale: How many times wider and higher the picture is than what it shows needs: 1.0 where it carries all
            that its pixels can, 2.0
            where a picture of half the width and height would show as much. At least 1.
        true_scale_confidence: The probability that the true scale lies within 10 % of the likeliest one, by the
            method's own account;
            None where the picture is too small to be looked at.
        jpeg_quality: Of the last compression, 1 to 100 in the numbers of libjpeg.
        jpeg_quality_source: "tables" (read from the file), "nearest" (the file has tables of its own, and this quality
            has the nearest) or
            "pixels" (estimated from what decoding left, in a file that is no JPEG).
        jpeg_grid_offset: (rows, columns) above and left of the first border of its blocks, 0 to 7.
        earlier_jpeg_quality, earlier_jpeg_grid_offset: Of an earlier compression: on another grid, or, in a JPEG, a
            coarser one on the same grid.
        noise_sigma_255: Standard deviation of the noise of each channel, in levels of 255. None in compressed pictures,
        whose colors were
            smoothed, and where no flat place shows it.
        noise_luma_sigma_255: The same for luma (BT.601, full range); in compressed pictures that of the noise before
        compression.
        blur_sigma_px: The Gaussian blur, in pixels of this picture, that leaves as much as its true scale does; 0.0 at
            scale 1.
        banding: The share of the looked-at lines that lies in steps of a banded gradient, 0 to 1.
        gray: Whether its colors are gray.
        drawn: Whether it is a drawing, a chart or text, and no photograph.
    """

    format: str
    height: int
    width: int
    channels: int
    alpha: bool
    depth: int
    profile: str | None
    true_scale: float | None
    true_scale_confidence: float | None
    jpeg_quality: int | None
    jpeg_quality_source: Literal["tables", "nearest", "pixels"] | None
    jpeg_grid_offset: tuple[int, int] | None
    earlier_jpeg_quality: int | None
    earlier_jpeg_grid_offset: tuple[int, int] | None
    noise_sigma_255: tuple[float, ...] | None
    noise_luma_sigma_255: float | None
    blur_sigma_px: float | None
    banding: float | None
    gray: bool | None
    drawn: bool | None

    @property
    def banded(self) -> bool | None:
        """Whether the banding is so much that it shows once the picture is enlarged."""
        return None if self.banding is None else self.banding >= BANDED


BANDED = 0.02
