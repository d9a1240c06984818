"""A picture in, a larger picture out: passes, tiles, gray, alpha, and the last resize to the exact size asked for.

What is decided here, and why:

- Gray runs through a network of three channels as three equal ones; the answer is their BT.601 luma, so gray stays gray.
- Alpha is run through the network as a gray picture, because its edges must be as sharp as those of the color; then every value is held
  between the least and the greatest of its 3 x 3 neighbors in the LR alpha, so that opaque and transparent areas stay exactly that.
  The color under transparent pixels is bled from the visible ones first, so no halo shows.
- Colors outside sRGB (a saturated red of Display P3) lie outside [0,1], where no network was trained: it gets them clipped, and what was
  cut off is enlarged by linear interpolation and added again.
- A factor that the network does not have is reached by running it (twice at most) and then one antialiased cubic resize.
- Networks in a chain run one after the other, nothing rounded between; beyond their factor the chain runs again, without what only repairs.
- Strength and color lock are computed on the whole picture after its tiles are one, so tiles leave no trace in them either.
- A seamless picture (`wrap`) goes on at its other side for every step: networks, resizes, color lock, alpha.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from upres import engines
from upres.engines.runner import Runner
from upres.errors import ModelError, UsageError
from upres.graph.opaque import Network, OpaqueModel
from upres.images.io import Picture
from upres.system.memory import available_bytes
from upres.upscaling import postprocess
from upres.upscaling.alpha import bleed, hold_between_neighbors, is_constant
from upres.upscaling.checked_network import CheckedNetwork
from upres.upscaling.output_size import OutputSize
from upres.upscaling.plan import Extras, Plan, make_plan
from upres.upscaling.tiled_run import TURNS, Meter, Progress, run_pass

Array = NDArray[np.float32]
_log = logging.getLogger(__name__)
_FREE_SHARE = 0.8  # of the free memory; the rest is for the codecs and for what other programs take meanwhile
_CALIBRATION_MACS = 8e9
_GLANCE_MACS = 1e9


class Upscaler:
    """Runs a network, or several in a chain, over pictures of any size within a memory budget.

    `memory_bytes` bounds the picture's arrays and the network's activations together; None measures the free memory at each picture.
    `tile_px` is the side of a tile in LR pixels; None chooses the largest that fits. `runner` replaces the engine, and `reference` the one
    in float32 on the CPU that has the last word on bad tiles (tests).
    `engine`, `device` and `precision` are those of `engines.load`, as are `expected_px` (LR pixels of all pictures to come) and
    `picture_px` (of a typical one): they tell "auto" whether measuring engines is worth its seconds; without them nothing is measured.
    `tta`: each network's answer is the mean over eight turns and flips, in eight times the time. `blend`: 1 is the network alone, 0 the
    input's plain cubic enlargement. `color_lock`: low frequencies follow the input. `wrap`: the picture is a seamless texture.
    `notes` is what the user should know of how the last picture went; a call adds it to the picture's own.
    Raises `UsageError` for a tile below 1 and a blend outside [0, 1], `ModelError` for a network that does not map 3 channels to 3, or 1
    to 1.
    """

    def __init__(
        self,
        graph: Network | Sequence[Network],
        *,
        engine: str = "auto",
        threads: int = 0,
        exact: bool = False,
        device: str = "auto",
        precision: str = "auto",
        expected_px: int | None = None,
        picture_px: int | None = None,
        tile_px: int | None = None,
        memory_bytes: int | None = None,
        runner: Runner | None = None,
        reference: Runner | None = None,
        tta: bool = False,
        blend: float = 1.0,
        color_lock: bool = False,
        wrap: bool = False,
    ) -> None:
        if tile_px is not None and tile_px < 1:
            raise UsageError(f"a tile must be at least 1 pixel wide, got {tile_px}")
        if not 0.0 <= blend <= 1.0:  # a nan fails every comparison
            raise UsageError(f"--blend must be from 0 (plain resize) to 1 (the network alone), got {blend:g}")
        chain = tuple(graph) if isinstance(graph, Sequence) else (graph,)
        if not chain:
            raise UsageError("a chain of no networks was given; expected one network or more")
        for network in chain:
            if network.in_channels != network.out_channels or network.in_channels not in (1, 3):
                raise ModelError(
                    f"the network takes {network.in_channels} channels and gives {network.out_channels}; "
                    "a picture needs 3 and 3, or 1 and 1 (gray)"
                )
        self.exact = exact
        self.tile_px = tile_px
        self.memory_bytes = memory_bytes
        self.tta, self.blend, self.color_lock, self.wrap = tta, blend, color_lock, wrap
        self._speed: float | None = None
        self._glance: float | None = None
        self.notes: tuple[str, ...] = ()
        self._told_engines = False  # what engines say of themselves stands in the notes of the first picture
        networks: list[CheckedNetwork] = []
        area = 1  # what a network of the chain sees is that much larger
        for network in chain:
            loaded = runner or engines.load(
                network,
                engine=engine,
                threads=threads,
                exact=exact,
                device=device,
                precision=precision,
                expected_px=None if expected_px is None else expected_px * area,
                picture_px=None if picture_px is None else picture_px * area,
            )
            area *= network.scale**2
            networks.append(CheckedNetwork(network, loaded, partial(_reference, network, threads, reference), exact=exact))
        self.networks = tuple(networks)

    @property
    def graph(self) -> Network:
        """The network, or the first of the chain."""
        return self.networks[0].graph

    @property
    def runner(self) -> Runner:
        """What runs it."""
        return self.networks[0].runner

    @property
    def scale(self) -> int:
        """The factor of the network, or of the whole chain."""
        return math.prod(network.graph.scale for network in self.networks)

    def close(self) -> None:
        """Free the engine's memory; the upscaler cannot be used afterwards."""
        for network in self.networks:
            network.close()

    def budget_bytes(self) -> int:
        """Memory that one picture may take now, in all."""
        return self.memory_bytes if self.memory_bytes is not None else int(_FREE_SHARE * available_bytes())

    def plan(
        self, height: int, width: int, *, channels: int = 3, has_alpha: bool = False, depth: int = 8, size: OutputSize | None = None
    ) -> Plan:
        """What a picture of (height, width) will take. Raises `InputError` where it does not fit into the memory."""
        first, *then = (network.cost for network in self.networks)
        return make_plan(
            first.graph,
            height,
            width,
            channels=channels,
            has_alpha=has_alpha,
            depth=depth,
            size=size or OutputSize(),
            budget_bytes=self.budget_bytes(),
            workspace_factor=first.workspace_factor,
            tile_px=self.tile_px,
            exact=self.exact,
            grid_px=first.grid_px,
            device_bytes=first.device_bytes,
            max_tile_px=first.max_tile_px,
            then=tuple(then),
            extras=Extras(TURNS if self.tta else 1, self.wrap, self.color_lock or self.blend < 1.0),
        )

    def macs_per_second(self, calibration_macs: float = _CALIBRATION_MACS) -> float:
        """Speed of the loaded engine, measured on the first call with a gray tile of about that many multiply-adds; remembered."""
        if self._speed is None:
            # The first run also allocates, and another program may disturb any of them: the fastest tells most.
            self._speed = max(self._measure_speed(calibration_macs) for _ in range(3))
        return self._speed

    def glance_macs_per_second(self) -> float:
        """A lower bound of that speed in a tenth of the time: one run of a small tile. What was measured better already is returned."""
        if self._speed is not None:
            return self._speed
        if self._glance is None:
            self._glance = self._measure_speed(_GLANCE_MACS)
        return self._glance

    def _measure_speed(self, macs: float) -> float:
        """Multiply-adds a second over the chain: the time of each network counts by its share of the work on a picture."""
        seconds = total = 0.0
        pixels = 1.0
        for network in self.networks:
            work = pixels * network.graph.macs_per_pixel
            seconds += work / network.macs_per_second(macs)
            total += work
            pixels *= network.graph.scale**2
        return total / seconds

    def upscale_array(self, lr: Array, progress: Progress | None = None) -> Array:
        """One pass of the network (or of each in the chain): `lr` h w c in [0,1], c 1 or 3 -> h*scale w*scale c, not clipped, without
        strength and color lock. `progress(done, total)` counts output pixels. What happened to tiles is logged. Raises as a call does."""
        height, width, channels = lr.shape
        plan = self.plan(height, width, channels=channels, size=OutputSize(factor=float(self.scale)))
        meter = self._begin(plan, progress)
        sr = np.ascontiguousarray(lr, np.float32)
        for step in plan.passes:
            sr = run_pass(self.networks[step.place], sr, step, meter, tta=self.tta)
        meter.finish()
        self._end()
        return sr

    def _begin(self, plan: Plan, progress: Progress | None) -> Meter:
        for network in self.networks:
            network.begin()
        self.notes = ()
        return Meter(plan, progress)

    def _end(self) -> None:
        """Set `notes`, and log how tiles went: a caller with arrays sees no notes."""
        count = len(self.networks)
        names = [f"network {place} of {count}: " if count > 1 else "" for place in range(1, count + 1)]
        notes = tuple(name + note for name, network in zip(names, self.networks, strict=True) for note in network.notes())
        for note in notes:
            _log.warning("%s", note)
        if not self._told_engines:
            self._told_engines = True
            notes = tuple(dict.fromkeys(note for network in self.networks for note in network.runner.notes)) + notes
        self.notes = notes

    def __call__(self, picture: Picture, *, size: OutputSize | None = None, progress: Progress | None = None) -> Picture:
        """Upscale a picture to `size` (default: the model's scale). Keeps gray, depth, profile, metadata and DPI; adds to `notes`.

        Raises `InputError` where the memory cannot hold it (before any work); `EngineError` naming the tile where an engine fails or the
        model itself gives a value that is not finite; `OutOfMemoryError` where memory is short for the smallest tile.
        """
        height, width, channels = picture.pixels.shape
        alpha = picture.alpha
        translucent = alpha is not None and not is_constant(alpha)
        plan = self.plan(height, width, channels=channels, has_alpha=translucent, depth=picture.depth, size=size)
        meter = self._begin(plan, progress)
        pixels = picture.pixels
        if alpha is not None and translucent:
            pixels = bleed(pixels, alpha, wrap=self.wrap)
        pixels = self._enlarge(pixels, plan, meter, lock=self.color_lock)
        if alpha is not None:
            if translucent:
                alpha = self._enlarge_alpha(alpha, plan, meter)
            else:
                alpha = np.full((plan.height, plan.width), alpha.flat[0], np.float32)
        meter.finish()
        self._end()
        return replace(picture, pixels=pixels, alpha=alpha, notes=picture.notes + plan.notes + self.notes)

    def _enlarge(self, lr: Array, plan: Plan, meter: Meter, *, lock: bool = False) -> Array:
        """All passes, the last resize, and what is mixed in of the input: h w c -> plan.height plan.width c."""
        sr = lr
        for step in plan.passes:
            sr = run_pass(self.networks[step.place], sr, step, meter, tta=self.tta)
        sr = postprocess.resize(sr, (plan.height, plan.width), wrap=self.wrap)
        if plan.passes:  # otherwise no network was used: there is nothing to hold back
            if lock:
                postprocess.lock_colors(sr, lr, wrap=self.wrap)
            postprocess.mix_plain(sr, lr, self.blend, wrap=self.wrap)
        return sr

    def _enlarge_alpha(self, alpha: Array, plan: Plan, meter: Meter) -> Array:
        result = self._enlarge(alpha[:, :, None], plan, meter)[:, :, 0]
        if plan.height < alpha.shape[0]:  # made smaller: an output pixel is the mean of more than 3 x 3
            return np.clip(result, 0.0, 1.0)
        hold_between_neighbors(result, alpha, wrap=self.wrap)
        return result


def _reference(network: Network, threads: int, given: Runner | None) -> Runner:
    """What has the last word on a tile: ncnn without Winograd, on the CPU in float32; a file of unknown make has one engine only."""
    if given is not None:
        return given
    engine = "auto" if isinstance(network, OpaqueModel) else "ncnn"
    return engines.load(network, engine=engine, threads=threads, exact=True, device="cpu", precision="fp32")
