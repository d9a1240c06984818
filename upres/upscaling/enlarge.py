"""Enlarge a picture: network passes, gray, alpha, and the final resize to the exact size.

Design choices:

- A network with three channels gets gray as three equal channels; the BT.601 luma of its result is used, so gray stays
  gray.
- Alpha runs through the network as a gray picture, so its edges are as sharp as those of the color. Then each value is
  clamped to the range of its 3 x 3 neighborhood in the LR alpha, so opaque and transparent areas stay exactly that.
  Visible colors are bled under transparent pixels first, which avoids halos.
- Colors outside sRGB (a saturated red in Display P3) lie outside [0, 1], where no network was trained. The network gets
  them clipped; the clipped part is enlarged by linear interpolation and added back.
- Bands beyond the colors (near infrared) run one by one as gray pictures.
- A factor that the network does not have is reached by running it (at most twice), then one antialiased cubic resize.
- Networks in a chain run one after the other without rounding in between. Beyond its factor the chain runs again,
  without the networks that only repair (scale 1).
- Blend and color lock work on the whole picture after the tiles are pasted, so they cannot show tile borders.
- 16-bit data that use only their lower 8 to 14 bits are stretched for the network and restored afterwards.
- A seamless picture (`wrap`) continues at its opposite side in every step: networks, resizes, color lock, alpha.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from upres.images.io import Picture, resized
from upres.upscaling import postprocess
from upres.upscaling.alpha import bleed, hold_between_neighbors, is_constant
from upres.upscaling.checked_network import CheckedNetwork
from upres.upscaling.levels import bits_in_use, restore, stretched
from upres.upscaling.options import UpscaleOptions
from upres.upscaling.plan import Plan
from upres.upscaling.tiled_run import Meter, run_pass

Array = NDArray[np.float32]


def is_translucent(picture: Picture) -> bool:
    """Whether the alpha of `picture` must run through the network; a constant one need not."""
    return picture.alpha is not None and not is_constant(picture.alpha)


def enlarge_picture(
    picture: Picture, networks: Sequence[CheckedNetwork], plan: Plan, options: UpscaleOptions, meter: Meter
) -> Picture:
    """Enlarge pixels and alpha of `picture` as planned; profile, metadata and depth stay."""
    pixels, alpha = picture.pixels, picture.alpha
    bits = bits_in_use(picture)
    if bits is not None:
        pixels = stretched(pixels, bits)
    translucent = is_translucent(picture)
    if alpha is not None and translucent:
        pixels = bleed(pixels, alpha, wrap=options.wrap)
    pixels = _enlarge(pixels, networks, plan, options, meter, lock=options.color_lock)
    if bits is not None:
        restore(pixels, bits)
    if alpha is not None:
        if translucent:
            alpha = _enlarge_alpha(alpha, networks, plan, options, meter)
        else:
            alpha = np.full((plan.height, plan.width), alpha.flat[0], np.float32)
    bands = None if picture.bands is None else _enlarge_bands(picture, networks, plan, options, meter)
    result = resized(picture, pixels, alpha, bands)
    if bits is None:
        return result
    return replace(result, notes=(*result.notes, bits_note(bits)))


def bits_note(bits: int) -> str:
    """The note on a picture that uses only the lower `bits` of 16."""
    return f"16-bit samples use {bits} bits (levels 0 to {(1 << bits) - 1:,}); that range was enlarged and kept"


def _enlarge_bands(
    picture: Picture, networks: Sequence[CheckedNetwork], plan: Plan, options: UpscaleOptions, meter: Meter
) -> Array:
    """Each band by itself, as a gray picture: bands of different quantities must not mix."""
    assert picture.bands is not None
    results: list[Array] = []
    for place in range(picture.bands.shape[2]):
        band = Picture(np.ascontiguousarray(picture.bands[:, :, place : place + 1]), depth=picture.depth)
        bits = bits_in_use(band)
        lr = band.pixels if bits is None else stretched(band.pixels, bits)
        if picture.alpha is not None and is_translucent(picture):
            lr = bleed(lr, picture.alpha, wrap=options.wrap)
        result = _enlarge(lr, networks, plan, options, meter, lock=options.color_lock)
        if bits is not None:
            restore(result, bits)
        results.append(result)
    return np.concatenate(results, axis=2)


def run_passes(
    lr: Array, networks: Sequence[CheckedNetwork], plan: Plan, options: UpscaleOptions, meter: Meter
) -> Array:
    """Run the networks alone, in the order of the plan: h w c -> h' w' c."""
    sr = lr
    for step in plan.passes:
        sr = run_pass(networks[step.place], sr, step, meter, tta=options.tta)
    return sr


def _enlarge(
    lr: Array,
    networks: Sequence[CheckedNetwork],
    plan: Plan,
    options: UpscaleOptions,
    meter: Meter,
    *,
    lock: bool = False,
) -> Array:
    """All passes, the final resize, color lock and blend: h w c -> plan.height plan.width c."""
    sr = run_passes(lr, networks, plan, options, meter)
    sr = postprocess.resize(sr, (plan.height, plan.width), wrap=options.wrap)
    if plan.passes:  # without a network there is nothing to lock or blend
        if lock:
            postprocess.lock_colors(sr, lr, wrap=options.wrap)
        postprocess.mix_plain(sr, lr, options.blend, wrap=options.wrap)
    return sr


def _enlarge_alpha(
    alpha: Array, networks: Sequence[CheckedNetwork], plan: Plan, options: UpscaleOptions, meter: Meter
) -> Array:
    result = _enlarge(alpha[:, :, None], networks, plan, options, meter)[:, :, 0]
    if plan.height < alpha.shape[0]:  # reduced: an output pixel averages more than 3 x 3
        return np.clip(result, 0.0, 1.0)
    hold_between_neighbors(result, alpha, wrap=options.wrap)
    return result
