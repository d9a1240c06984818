"""`Upscaler`: a model that is ready to run over pictures of any size, within a memory budget."""

from __future__ import annotations

import logging
import math
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar, final

import numpy as np
from numpy.typing import NDArray

from upres.engines.fork import begin_engine
from upres.engines.runner import Runner
from upres.errors import InputError, UsageError
from upres.graph.opaque import Network
from upres.images import convert
from upres.images.io import Picture
from upres.system.memory import available_bytes
from upres.upscaling.chain import Model, open_chain
from upres.upscaling.checked_network import CheckedNetwork
from upres.upscaling.enlarge import enlarge_picture, is_translucent, run_passes
from upres.upscaling.options import UpscaleOptions
from upres.upscaling.output_size import OutputSize
from upres.upscaling.plan import Extras, Plan, make_plan
from upres.upscaling.tiled_run import TURNS, Meter, Progress

if TYPE_CHECKING:
    from PIL.Image import Image

Array = NDArray[np.float32]
Kind = TypeVar("Kind", Picture, NDArray[Any], "Image")  # what goes in comes out
_log = logging.getLogger(__name__)
_FREE_SHARE = 0.8  # of the free memory; the rest is for the codecs and for what other programs take meanwhile
_CALIBRATION_MACS = 8e9
_GLANCE_MACS = 1e9


class Cancelled(Exception):
    """Raised out of an `Upscaler` whose `cancel` said so; the picture that it worked on is lost, the upscaler can be used again."""


@final
class Upscaler:
    """Runs a model over pictures: `upres.Upscaler("compact-x4")(picture)`.

    model: a name, the path of a model file, or an expression as `upres upscale -n` takes it ("a:0.7,b:0.3", "a>b"); what
        `upres.load_model` returned; or a `Graph`, or several that run one after the other.
    options: an `UpscaleOptions`; keywords replace single fields of it and of the `EngineOptions` in it: `tta=True`, `engine="onnx"`.
    runner, reference: for tests; the engine, and the one in float32 on the CPU that has the last word on bad tiles.

    It may be called from several threads, which wait for each other. It may be pickled: the first call opens it again where it arrives. A
    process that was forked after an engine was opened gets a `ForkedError`. In a `with` statement it is closed at the end. `notes` is
    what the user should know of how the last picture went; a call adds it to the picture's own.
    Raises `ModelError` for a model that cannot be had, or that does not map 3 channels to 3 or 1 to 1; `UsageError` for a value out of
    range, `TypeError` for an unknown keyword, `EngineError` where the engine is missing.
    """

    def __init__(
        self,
        model: Model = "compact-x4",
        options: UpscaleOptions | None = None,
        *,
        runner: Runner | None = None,
        reference: Runner | None = None,
        **keywords: Any,
    ) -> None:
        own = model if runner is None and reference is None else None  # a runner from outside cannot be made again
        self.__setstate__((own, (options or UpscaleOptions()).replace(**keywords)))
        self._networks = open_chain(model, self.options, runner, reference)

    def __getstate__(self) -> tuple[Model, UpscaleOptions]:
        """Pickled, it is its model and its options."""
        if self._model is None:
            raise TypeError("an Upscaler with a runner of its own cannot be pickled")
        return self._model, self.options

    def __setstate__(self, state: tuple[Model | None, UpscaleOptions]) -> None:
        """Not opened yet: what is wrong with that is raised by the first call, not while a pool of workers unpickles its tasks."""
        self._model, self.options = state
        self._networks: tuple[CheckedNetwork, ...] | None = None
        self.notes: tuple[str, ...] = ()
        self._speed: float | None = None
        self._glance: float | None = None
        self._told_engines = False  # what engines say of themselves stands in the notes of the first picture
        self._lock = threading.RLock()

    @property
    def networks(self) -> tuple[CheckedNetwork, ...]:
        """The network, or those of the chain, each with its engine."""
        if self._networks is None:
            begin_engine()
            with self._lock:
                if self._networks is None:
                    assert self._model is not None  # only what has a model is pickled
                    self._networks = open_chain(self._model, self.options, None, None)
        return self._networks

    def __enter__(self) -> Upscaler:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Free the engine's memory; the upscaler cannot be used afterwards."""
        for network in self._networks or ():
            network.close()

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

    def __call__(
        self,
        picture: Kind,
        *,
        size: OutputSize | None = None,
        progress: Progress | None = None,
        scale: float | None = None,
        cancel: Callable[[], bool] | None = None,
    ) -> Kind:
        """The picture enlarged by `scale` (a factor), or to `size`, or by the model's own scale; out comes the kind that went in.

        A `Picture` keeps gray, depth, profile, metadata and DPI. A numpy array is h w (gray), h w 1, h w 2 (gray, alpha), h w 3 (RGB)
        or h w 4 (RGBA); uint8 and uint16 come back rounded and clipped; floats are in [0, 1] and come back as they are computed, a
        little beyond it where edges overshoot. A PIL image is L, LA, RGB, RGBA, 1, P or I;16, and its ICC profile, DPI, EXIF and XMP
        stay with it.
        `progress(done, total)` counts output pixels, after each tile. `cancel` is asked as often, and before the first: where it is true,
        `Cancelled` is raised. What `progress` raises comes through as well.
        Raises `InputError` for an array or an image of another kind, and where the memory cannot hold the result (before any work);
        `UsageError` for `scale` and `size` together; `EngineError` naming the tile where an engine fails or the model itself gives a
        value that is not finite; `OutOfMemoryError` where memory is short for the smallest tile.
        """
        if scale is not None and size is not None:
            raise UsageError("`scale` and `size` contradict each other: give one of them")
        target = OutputSize(factor=scale) if scale is not None else size
        watch = _watched(progress, cancel)
        if isinstance(picture, Picture):
            return self._run(picture, target, watch)
        if isinstance(picture, np.ndarray):
            return convert.to_array(self._run(convert.from_array(picture), target, watch), picture)
        if convert.is_pil(picture):
            values = convert.pil_to_array(picture)
            return convert.to_pil(convert.to_array(self._run(convert.from_array(values), target, watch), values), picture)
        kind = f"{type(picture).__module__}.{type(picture).__qualname__}"
        remedy = "upres.read_picture reads a file" if isinstance(picture, str | os.PathLike) else "numpy.asarray may convert it"
        raise InputError(f"a picture is a numpy array, a PIL image or an upres.Picture; found {kind}: {remedy}")

    def map(
        self,
        pictures: Iterable[Kind],
        *,
        size: OutputSize | None = None,
        progress: Progress | None = None,
        scale: float | None = None,
        cancel: Callable[[], bool] | None = None,
    ) -> Iterator[Kind]:
        """Each picture of an iterable enlarged, in its order, when it is asked for: never more than one is held, and sizes may differ.

        The arguments are those of a call; `progress` begins anew with each picture.
        """
        for picture in pictures:
            yield self(picture, size=size, progress=progress, scale=scale, cancel=cancel)

    def upscale_array(self, lr: Array, progress: Progress | None = None) -> Array:
        """One pass of the network (or of each in the chain): `lr` h w c in [0,1], c 1 or 3 -> h*scale w*scale c, not clipped, without
        blend and color lock. `progress(done, total)` counts output pixels. What happened to tiles is logged. Raises as a call does."""
        height, width, channels = lr.shape
        begin_engine()
        with self._lock:
            plan = self.plan(height, width, channels=channels, size=OutputSize(factor=float(self.scale)))
            meter = self._begin(plan, progress)
            sr = run_passes(np.ascontiguousarray(lr, np.float32), self.networks, plan, self.options, meter)
            meter.finish()
            self._end()
        return sr

    def _run(self, picture: Picture, size: OutputSize | None, watch: Progress | None) -> Picture:
        height, width, channels = picture.pixels.shape
        begin_engine()  # before the lock, which another thread may have held when this process was forked
        with self._lock:  # an engine runs one picture at a time
            plan = self.plan(height, width, channels=channels, has_alpha=is_translucent(picture), depth=picture.depth, size=size)
            meter = self._begin(plan, watch)
            result = enlarge_picture(picture, self.networks, plan, self.options, meter)
            meter.finish()
            self._end()
            return replace(result, notes=picture.notes + plan.notes + self.notes)

    def plan(
        self, height: int, width: int, *, channels: int = 3, has_alpha: bool = False, depth: int = 8, size: OutputSize | None = None
    ) -> Plan:
        """What a picture of (height, width) will take. Raises `InputError` where it does not fit into the memory."""
        options = self.options
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
            tile_px=options.tile_px,
            exact=options.engine_options.exact,
            grid_px=first.grid_px,
            device_bytes=first.device_bytes,
            max_tile_px=first.max_tile_px,
            then=tuple(then),
            extras=Extras(TURNS if options.tta else 1, options.wrap, options.color_lock or options.blend < 1.0),
        )

    def budget_bytes(self) -> int:
        """Memory that one picture may take now, in all."""
        given = self.options.memory_bytes
        return given if given is not None else int(_FREE_SHARE * available_bytes())

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


def _watched(progress: Progress | None, cancel: Callable[[], bool] | None) -> Progress | None:
    if cancel is None:
        return progress
    if cancel():
        raise Cancelled("cancelled before the first tile")

    def watch(done: int, total: int) -> None:
        if done < total and cancel():
            raise Cancelled(f"cancelled at {done:,} of {total:,} pixels")
        if progress is not None:
            progress(done, total)

    return watch
