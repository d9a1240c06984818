"""`upres.Upscaler`, the door for Python programs: a model by name, pictures as numpy arrays, PIL images or `upres.Picture`s.

The network over pictures is `upres.upscaling.enlarge`; here lies only the way from what a program has to a `Picture`, and back to the same
kind.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from upres.engines.runner import Runner
from upres.errors import InputError, UsageError
from upres.graph.opaque import Network
from upres.images import convert
from upres.images.io import Picture
from upres.models import expression
from upres.models.load import LoadedModel, load_model
from upres.upscaling import enlarge
from upres.upscaling.output_size import OutputSize
from upres.upscaling.tiled_run import Progress

if TYPE_CHECKING:
    from PIL.Image import Image

_log = logging.getLogger(__name__)
Kind = TypeVar("Kind", Picture, NDArray[Any], "Image")  # what goes in comes out


class Cancelled(Exception):
    """Raised out of an `Upscaler` whose `cancel` said so; the picture that it worked on is lost, the upscaler can be used again."""


class Upscaler(enlarge.Upscaler):
    """Runs a model over pictures: `upres.Upscaler("compact-x4")(picture)`.

    `model` is a name, the path of a model file, or an expression as `upres upscale -n` takes it ("a:0.7,b:0.3", "a>b"); or a `Graph`, or
    several that run one after the other. `denoise` (0 to 1) blends it with the twin that keeps noise, which `denoise_with` names. `tta`:
    mean over eight turns and flips. `blend`: 1 is the network, 0 a plain resize. `color_lock`: large areas keep the input's colors.
    `wrap`: the picture is a seamless texture. `engine` "auto" takes the engine that was measured to be the fastest for such a model on this
    machine, by `upres upscale` or where `expected_px` (LR pixels of all pictures to come) makes a measurement worth its seconds, else ncnn;
    `device` ("cpu", "cuda:1", "vulkan", ...) and `precision` ("fp32", "fp16", "bf16") as in docs/engines.md. The other arguments are those
    of `upres.upscaling.enlarge.Upscaler`.

    It may be called from several threads; they wait for each other. In a `with` statement it is closed at the end. Raises `ModelError` for
    a model that cannot be had, `UsageError` for an argument out of range, `EngineError` where the engine is missing.
    """

    def __init__(
        self,
        model: str | os.PathLike[str] | LoadedModel | Network | Sequence[Network] = "compact-x4",
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
        denoise: float | None = None,
        denoise_with: str | None = None,
        tta: bool = False,
        blend: float = 1.0,
        color_lock: bool = False,
        wrap: bool = False,
    ) -> None:
        super().__init__(
            _load(model, denoise, denoise_with),
            engine=engine,
            threads=threads,
            exact=exact,
            device=device,
            precision=precision,
            expected_px=expected_px,
            picture_px=picture_px,
            tile_px=tile_px,
            memory_bytes=memory_bytes,
            runner=runner,
            tta=tta,
            blend=blend,
            color_lock=color_lock,
            wrap=wrap,
        )
        self._lock = threading.Lock()

    def __enter__(self) -> Upscaler:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

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

        A numpy array is h w (gray), h w 1, h w 2 (gray, alpha), h w 3 (RGB) or h w 4 (RGBA). uint8 and uint16 come back rounded and
        clipped; floats are in [0, 1] and come back as they are computed, a little beyond it where edges overshoot. A PIL image is L, LA,
        RGB, RGBA, 1, P or I;16, and its ICC profile, DPI, EXIF and XMP stay with it.
        `progress(done, total)` counts output pixels, after each tile. `cancel` is asked as often, and before the first: where it is true,
        `Cancelled` is raised. What `progress` raises comes through as well.
        Raises `InputError` for an array or an image of another kind and where the memory cannot hold the result, `UsageError` for `scale`
        and `size` together.
        """
        if scale is not None and size is not None:
            raise UsageError("scale and size contradict each other: give one of them")
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

    def _run(self, picture: Picture, size: OutputSize | None, watch: Progress | None) -> Picture:
        with self._lock:  # an engine runs one picture at a time
            return super().__call__(picture, size=size, progress=watch)

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


def _load(
    model: str | os.PathLike[str] | LoadedModel | Network | Sequence[Network], denoise: float | None, denoise_with: str | None
) -> Network | Sequence[Network]:
    if isinstance(model, os.PathLike):
        composition = expression.Composition(((expression.Part(str(Path(model).absolute()), 1.0),),))
    elif isinstance(model, str):
        composition = expression.parse(model)
    else:
        if denoise is not None or denoise_with is not None:
            raise UsageError("denoise blends models that have a name or a file; a Graph is one network already")
        return model.networks if isinstance(model, LoadedModel) else model
    if denoise is not None:
        composition = expression.with_denoise(composition, denoise, denoise_with)
    elif denoise_with is not None:
        raise UsageError("denoise_with names the twin for denoise: give denoise (0 to 1) too")
    for note in composition.notes:
        _log.warning("%s", note)
    return load_model(composition).networks


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
