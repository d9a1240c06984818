"""Steps on the whole output picture, after its tiles are pasted: final resize, blend, color lock.

None of them knows about tiles, so none can show their borders. All work plane by plane and in place, because memory
cannot hold a second picture of a hundred megapixels. With `wrap` the picture continues at its opposite side.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from upres.images.resize import imresize

Array = NDArray[np.float32]
LOCK_SIGMA_PX = 4.0  # input pixels: wavelengths below about 12 come from the network, above 50 from the input
_KERNEL_REACH = 2.0  # of the cubic kernel, in samples of the coarser grid


def resize(picture: Array, size: tuple[int, int], *, wrap: bool = False) -> Array:
    """Resize `picture` h w c to `size` (h, w) with the antialiased cubic kernel. Returns the same array if it has that
    size.
    """
    if picture.shape[:2] == size:
        return picture
    if not wrap:
        return imresize(picture, size=size)
    result = np.empty((*size, picture.shape[2]), np.float32)
    for channel in range(picture.shape[2]):
        result[:, :, channel] = resize_plane(picture[:, :, channel], size, wrap=True)
    return result


def resize_plane(plane: Array, size: tuple[int, int], *, wrap: bool = False) -> Array:
    """Resize one plane h w to `size` (h, w) with the antialiased cubic kernel."""
    if not wrap:
        return imresize(np.ascontiguousarray(plane), size=size)
    for axis in sorted((0, 1), key=lambda a: size[a] / plane.shape[a]):
        plane = _resize_round(plane, axis, size[axis])
    return plane


def _resize_round(plane: Array, axis: int, length: int) -> Array:
    """Resize one axis of a wrapping plane.

    It is padded by a whole number of samples both before and after the resize.
    """
    here = plane.shape[axis]
    if here == length:
        return plane
    unit = here // math.gcd(here, length)
    reach = _KERNEL_REACH * max(1.0, here / length) + 1.0
    around = unit * math.ceil(reach / unit)
    before = around * length // here
    frame = [(0, 0), (0, 0)]
    frame[axis] = (around, around)
    size = list(plane.shape)
    size[axis] = length + 2 * before
    longer = imresize(np.pad(plane, frame, mode="wrap"), size=(size[0], size[1]))
    return longer[before : before + length] if axis == 0 else longer[:, before : before + length]


def mix_plain(sr: Array, lr: Array, strength: float, *, wrap: bool = False) -> None:
    """In place: sr = strength * sr + (1 - strength) * (`lr` resized to it); both h w c. Strength 1 changes no bit."""
    if strength == 1.0:
        return
    for channel in range(sr.shape[2]):
        plain = resize_plane(lr[:, :, channel], (sr.shape[0], sr.shape[1]), wrap=wrap)
        plain *= np.float32(1.0 - strength)
        sr[:, :, channel] *= np.float32(strength)
        sr[:, :, channel] += plain


def lock_colors(sr: Array, lr: Array, *, sigma_px: float = LOCK_SIGMA_PX, wrap: bool = False) -> None:
    """In place: take low frequencies from the input, sr = sr + enlarge(lowpass(lr - reduce(sr))); both h w c.

    GAN models shift colors over whole areas; this removes the shift and keeps the detail. `reduce` and `enlarge` are
    the antialiased cubic resize.

    sr: The network's result.
    lr: The input.
    sigma_px: Of the Gaussian `lowpass`, in pixels of `lr`.
    wrap: The picture is seamless.
    """
    height, width = lr.shape[:2]
    for channel in range(sr.shape[2]):
        plane = sr[:, :, channel]
        shift = lr[:, :, channel] - resize_plane(plane, (height, width), wrap=wrap)
        plane += resize_plane(lowpass(shift, sigma_px, wrap=wrap), (sr.shape[0], sr.shape[1]), wrap=wrap)


def lowpass(plane: Array, sigma_px: float, *, wrap: bool = False) -> Array:
    """Gaussian filter of an h w plane, cut at 4 sigma; borders are mirrored, or wrap around, so the mean is kept."""
    radius = math.ceil(4.0 * sigma_px)
    weights = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma_px) ** 2)
    weights = (weights / weights.sum()).astype(np.float32)
    for axis in (0, 1):
        frame = [(0, 0), (0, 0)]
        frame[axis] = (radius, radius)
        longer = np.pad(plane, frame, mode="wrap" if wrap else "symmetric")
        length = plane.shape[axis]
        plane = np.zeros_like(plane)
        for start, weight in enumerate(weights):
            plane += weight * (longer[start : start + length] if axis == 0 else longer[:, start : start + length])
    return plane
