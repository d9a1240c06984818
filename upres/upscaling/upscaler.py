"""`Upscaler`: a model ready to run on pictures of any size within a memory budget."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, final

import numpy as np
from numpy.typing import NDArray

from upres.engines.fork import begin_engine
from upres.engines.runner import Runner
from upres.errors import EngineError, UsageError
from upres.graph.opaque import Network
from upres.images import convert
from upres.images.convert import Kind
from upres.images.io import Picture
from upres.system.memory import usable_bytes
from upres.upscaling.auto import AutoModel
from upres.upscaling.chain import Model, open_chain
from upres.upscaling.checked_network import CheckedNetwork, chain_notes
from upres.upscaling.choose_model import AUTO
from upres.upscaling.enlarge import enlarge_picture, is_translucent, run_passes
from upres.upscaling.options import UpscaleOptions
from upres.upscaling.output_size import OutputSize
from upres.upscaling.plan import Plan
from upres.upscaling.plans import PictureSize, plan_rows, plan_whole
from upres.upscaling.speeds import CALIBRATION_MACS, MOST_PX, Speeds
from upres.upscaling.tiled_run import Meter, Progress, watched
from upres.upscaling.true_size import at_true_size

if TYPE_CHECKING:  # what works by rows is imported when a picture needs it
    from upres.images.read_rows import PictureRows
    from upres.images.write import Levels
    from upres.upscaling.row_plan import RowJob

Array = NDArray[np.float32]


@final
class Upscaler:
    """Upscales pictures with a model: `upres.Upscaler("compact-x4")(picture)`.

    model: A name, a model file, or an expression as for `upres upscale -n` ("a:0.7,b:0.3", "a>b"); "auto": the bundled
        model that fits each picture, told in the notes of its result; a model from `upres.load_model`; or a `Graph`, or
        a sequence of them that run one after the other.
    options: An `UpscaleOptions`.
    runner: For tests: replaces the engine.
    reference: For tests: replaces the float32 CPU engine that decides about rejected tiles.
    keywords: Replace single fields of `options` and of the `EngineOptions` in it: `tta=True`, `engine="onnx"`.

    Calls from several threads wait for each other. An upscaler can be pickled; its first call then opens the model and
    the engine again. A process forked after an engine was opened gets a `ForkedError`. A `with` statement closes it.
    `notes` holds notes for the user about the last picture; a call also adds them to the notes of its result.

    Raises `ModelError` for a model that cannot be loaded, or does not map 3 channels to 3 or 1 to 1; `UsageError` for a
    value out of range; `TypeError` for an unknown keyword; `EngineError` if the engine is missing.
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
        # A given runner cannot be opened again after pickling.
        own = model if runner is None and reference is None else None
        self.__setstate__((own, (options or UpscaleOptions()).replace(**keywords)))
        if model == AUTO:
            self._auto = AutoModel(self.options, runner, reference)
        else:
            self._networks = open_chain(model, self.options, runner, reference)

    def __getstate__(self) -> tuple[Model, UpscaleOptions]:
        """Model and options; engines are opened again."""
        if self._model is None:
            raise TypeError("an Upscaler with a given `runner` or `reference` cannot be pickled")
        return self._model, self.options

    def __setstate__(self, state: tuple[Model | None, UpscaleOptions]) -> None:
        """Open nothing yet: errors belong to the first call, not to a worker pool that unpickles its tasks."""
        self._model, self.options = state
        self.chooses = self._model == AUTO  # a model for each picture
        self._networks: tuple[CheckedNetwork, ...] | None = None
        self._auto = AutoModel(self.options) if self._model == AUTO else None
        self.notes: tuple[str, ...] = ()
        self._speeds = Speeds()
        self._told_engines = False  # notes of the engines are added to the first picture only
        self._closed = False
        self._lock = threading.RLock()

    @property
    def networks(self) -> tuple[CheckedNetwork, ...]:
        """The network, or the networks of the chain, each with its engine; with "auto" those of the last picture."""
        if self._networks is None and self._auto is not None:
            raise UsageError('Upscaler("auto") has no network before its first picture; name a model, or call it first')
        if self._networks is None:
            begin_engine()
            with self._lock:
                if self._networks is None:
                    assert self._model is not None  # `__getstate__` refuses others
                    self._networks = open_chain(self._model, self.options, None, None)
        return self._networks

    def __enter__(self) -> Upscaler:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Free the memory of the engines, once calls in other threads have ended. Later calls raise `EngineError`."""
        with self._lock:
            self._closed = True
            for network in self._networks or ():
                network.close()
        if self._auto is not None:
            self._auto.close()

    @property
    def graph(self) -> Network:
        """The network, or the first of the chain."""
        return self.networks[0].graph

    @property
    def runner(self) -> Runner:
        """Its engine."""
        return self.networks[0].runner

    @property
    def scale(self) -> int:
        """Scale of the network, or of the whole chain."""
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
        """Enlarge one picture, by default by the model's own scale. The result is of the same kind.

        picture: A `Picture`, of which gray, depth, profile, metadata and DPI are kept. Or a numpy array: h w (gray),
            h w 1, h w 2 (gray and alpha), h w 3 (RGB) or h w 4 (RGBA); uint8 and uint16 results are rounded and
            clipped, floats are in [0, 1] and not clipped, so edges may overshoot a little. Or a PIL image of mode L,
            LA, RGB, RGBA, 1, P or I;16, of which ICC profile, DPI, EXIF and XMP are kept.
        size: The output size.
        progress: Called as `progress(done, total)` in output pixels after each tile. Its exceptions propagate.
        scale: Factor of the sides, instead of `size`.
        cancel: Called before the first tile and after each one; if it returns true, `Cancelled` is raised.

        Raises `InputError` for any other array or image, and for an output that does not fit in memory (before any
        work); `UsageError` for both `scale` and `size`; `EngineError`, naming the tile, if an engine fails or the model
        itself returns NaN or infinity; `OutOfMemoryError` if the smallest tile does not fit in memory.
        """
        if scale is not None and size is not None:
            raise UsageError("`scale` and `size` exclude each other; set one of them")
        target, watch = OutputSize(factor=scale) if scale is not None else size, watched(progress, cancel)
        return convert.keep_kind(picture, lambda given: self._run(given, target, watch))

    def map(
        self,
        pictures: Iterable[Kind],
        *,
        size: OutputSize | None = None,
        progress: Progress | None = None,
        scale: float | None = None,
        cancel: Callable[[], bool] | None = None,
    ) -> Iterator[Kind]:
        """Enlarge the pictures of an iterable lazily, one at a time and in order. Their sizes may differ.

        The arguments are those of a call; `progress` starts at 0 for each picture.
        """
        for picture in pictures:
            yield self(picture, size=size, progress=progress, scale=scale, cancel=cancel)

    def upscale_array(self, lr: Array, progress: Progress | None = None) -> Array:
        """Run the network (or the chain) once, without resize, blend and color lock. Raises as a call does.

        lr: h w c in [0, 1], c 1 or 3. progress: As for a call.
        Returns h*scale w*scale c, not clipped. Notes about tiles are logged.
        """
        begin_engine()
        with self._open():
            self._choose(Picture(lr), None)
            plan = self.plan(*lr.shape[:2], channels=lr.shape[2], size=OutputSize(factor=float(self.scale)))
            meter = self._begin(plan, progress)
            sr = run_passes(np.ascontiguousarray(lr, np.float32), self.networks, plan, self.options, meter)
            meter.finish()
            self._end()
        return sr

    def _run(self, picture: Picture, size: OutputSize | None, watch: Progress | None) -> Picture:
        begin_engine()  # before the lock: another thread may have held it when this process was forked
        with self._open():  # an engine runs one picture at a time
            chosen = self._choose(picture, size)
            picture, size, reduced = at_true_size(picture, size, self.options, self.scale)
            chosen = self._choose(picture, size) if reduced else chosen
            (height, width, channels), bands, depth = picture.pixels.shape, picture.band_count, picture.depth
            veil = is_translucent(picture)
            plan = self.plan(height, width, channels=channels, has_alpha=veil, bands=bands, depth=depth, size=size)
            meter = self._begin(plan, watch)
            result = enlarge_picture(picture, self.networks, plan, self.options, meter)
            meter.finish()
            self._end()
            return replace(result, notes=result.notes + reduced + chosen + plan.notes + self.notes)

    def run_rows(
        self,
        source: Picture | PictureRows,
        plan: Plan,
        format: str,
        write: Callable[[Picture, Iterator[Levels]], None],
        progress: Progress | None = None,
    ) -> tuple[str, ...]:
        """Enlarge a picture; `write` gets the result without pixels, and its bands from the top. Returns the notes."""
        from upres.upscaling.by_rows import enlarge_rows

        begin_engine()
        with self._open():
            meter = self._begin(plan, progress)
            frame, bands = enlarge_rows(source, self.networks, plan, format, meter)
            write(frame, bands)
            meter.finish()
            self._end()
            return frame.notes + plan.notes + self.notes

    def plan_rows(self, job: RowJob) -> Plan:
        """Plan a picture by rows. Raises `InputError` if it does not fit in memory."""
        return plan_rows(self.networks, self.options, job, self.budget_bytes())

    def _choose(self, picture: Picture, size: OutputSize | None) -> tuple[str, ...]:
        """With "auto", take the networks that fit, and return the note on them."""
        if self._auto is None:
            return ()
        self._networks, note = self._auto.open_for(picture, size)
        self._speeds = Speeds()
        return (note,)

    def plan(
        self,
        height: int,
        width: int,
        *,
        channels: int = 3,
        has_alpha: bool = False,
        bands: int = 0,
        depth: int = 8,
        size: OutputSize | None = None,
    ) -> Plan:
        """Plan a picture without running it. Raises `InputError` if it does not fit in memory.

        height, width: Of the input, with `channels` of color (1 or 3) of `depth` bits (8 or 16).
        has_alpha: Its alpha varies, and runs through the network too, as each of `bands` more planes does.
        size: The output size; None: the model's own scale.
        """
        given = PictureSize(height, width, channels, has_alpha, depth, bands)
        return plan_whole(self.networks, self.options, given, size or OutputSize(), self.budget_bytes())

    def budget_bytes(self) -> int:
        """Memory that one picture may take in all, as of now."""
        return self.options.memory_bytes or usable_bytes()

    def macs_per_second(self, macs: float = CALIBRATION_MACS, workers: int = 1, most_px: int = MOST_PX) -> float:
        """Speed with `workers` tiles at once, measured once with gray ones of `most_px` a side, about `macs` in all."""
        return self._speeds.macs_per_second(self.networks, macs, workers, most_px)

    def glance_macs_per_second(self, workers: int = 1, most_px: int = MOST_PX) -> float:
        """A lower bound of that speed, from small tiles in a tenth of the time; the better figure if measured."""
        return self._speeds.glance(self.networks, workers, most_px)

    @contextmanager
    def _open(self) -> Generator[None]:
        """Hold the lock; refuse a call after `close`."""
        with self._lock:
            if self._closed:
                raise EngineError("the Upscaler was closed; make a new one")
            yield

    def _begin(self, plan: Plan, progress: Progress | None) -> Meter:
        for network in self.networks:
            network.begin()
        self.notes = ()
        return Meter(plan, progress)

    def _end(self) -> None:
        """Set `notes`, and log them: callers that pass arrays do not see notes."""
        self.notes = chain_notes(self.networks, engines=not self._told_engines)
        self._told_engines = True
