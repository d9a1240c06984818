"""A picture in, a larger picture out: passes, gray, alpha, and the last resize to the exact size asked for.

What is decided here, and why:

- Gray runs through a network of three channels as three equal ones; the answer is their BT.601 luma, so gray stays gray.
- Alpha is run through the network as a gray picture, because its edges must be as sharp as those of the color; then every value is held
  between the least and the greatest of its 3 x 3 neighbors in the LR alpha, so that opaque and transparent areas stay exactly that.
  The color under transparent pixels is bled from the visible ones first, so no halo shows.
- Colors outside sRGB (a saturated red of Display P3) lie outside [0,1], where no network was trained: it gets them clipped, and what was
  cut off is enlarged by linear interpolation and added again.
- A factor that the network does not have is reached by running it (twice at most) and then one antialiased cubic resize.
- Networks in a chain run one after the other, nothing rounded between; beyond their factor the chain runs again, without what only repairs.
- Blend and color lock are computed on the whole picture after its tiles are one, so tiles leave no trace in them either.
- A seamless picture (`wrap`) goes on at its other side for every step: networks, resizes, color lock, alpha.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from upres.images.io import Picture
from upres.upscaling import postprocess
from upres.upscaling.alpha import bleed, hold_between_neighbors, is_constant
from upres.upscaling.checked_network import CheckedNetwork
from upres.upscaling.options import UpscaleOptions
from upres.upscaling.plan import Plan
from upres.upscaling.tiled_run import Meter, run_pass

Array = NDArray[np.float32]


def is_translucent(picture: Picture) -> bool:
    """Whether its alpha must run through the network: one value everywhere need not."""
    return picture.alpha is not None and not is_constant(picture.alpha)


def enlarge_picture(
    picture: Picture, networks: Sequence[CheckedNetwork], plan: Plan, options: UpscaleOptions, meter: Meter
) -> Picture:
    """`picture` with its pixels and its alpha enlarged as `plan` says; everything else stays."""
    pixels, alpha = picture.pixels, picture.alpha
    translucent = is_translucent(picture)
    if alpha is not None and translucent:
        pixels = bleed(pixels, alpha, wrap=options.wrap)
    pixels = _enlarge(pixels, networks, plan, options, meter, lock=options.color_lock)
    if alpha is not None:
        if translucent:
            alpha = _enlarge_alpha(alpha, networks, plan, options, meter)
        else:
            alpha = np.full((plan.height, plan.width), alpha.flat[0], np.float32)
    return replace(picture, pixels=pixels, alpha=alpha)


def run_passes(
    lr: Array, networks: Sequence[CheckedNetwork], plan: Plan, options: UpscaleOptions, meter: Meter
) -> Array:
    """The networks alone, in the order of the plan: h w c -> h' w' c."""
    sr = lr
    for step in plan.passes:
        sr = run_pass(networks[step.place], sr, step, meter, tta=options.tta)
    return sr


def _enlarge(
    lr: Array, networks: Sequence[CheckedNetwork], plan: Plan, options: UpscaleOptions, meter: Meter, *, lock: bool = False
) -> Array:
    """All passes, the last resize, and what is mixed in of the input: h w c -> plan.height plan.width c."""
    sr = run_passes(lr, networks, plan, options, meter)
    sr = postprocess.resize(sr, (plan.height, plan.width), wrap=options.wrap)
    if plan.passes:  # otherwise no network was used: there is nothing to hold back
        if lock:
            postprocess.lock_colors(sr, lr, wrap=options.wrap)
        postprocess.mix_plain(sr, lr, options.blend, wrap=options.wrap)
    return sr


def _enlarge_alpha(
    alpha: Array, networks: Sequence[CheckedNetwork], plan: Plan, options: UpscaleOptions, meter: Meter
) -> Array:
    result = _enlarge(alpha[:, :, None], networks, plan, options, meter)[:, :, 0]
    if plan.height < alpha.shape[0]:  # made smaller: an output pixel is the mean of more than 3 x 3
        return np.clip(result, 0.0, 1.0)
    hold_between_neighbors(result, alpha, wrap=options.wrap)
    return result
