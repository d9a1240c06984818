"""How pictures are upscaled, as one value: the command line builds it, `batch` and `Upscaler` take it whole."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import Any

from upres.engines.options import ENGINE_FIELDS, EngineOptions, check_names
from upres.errors import UsageError


@dataclass(frozen=True, slots=True)
class UpscaleOptions:
    """What `Upscaler` works with, beside the model. Raises `UsageError`, naming the field, for a value out of range."""

    tta: bool = False  # mean over the eight turns and flips of the picture, in eight times the time
    blend: float = 1.0  # in [0, 1]: 1 is the network alone, 0 the input's plain cubic resize
    color_lock: bool = False  # large areas keep the input's colors, which GAN models shift
    wrap: bool = False  # the picture is a seamless texture, and stays one
    denoise: float | None = None  # in [0, 1]: share of the model in a blend with its twin that keeps noise; None: no blend
    denoise_with: str | None = None  # name or file of that twin; None: the one that is known, or lies beside the model
    tile_px: int | None = None  # side of a tile in LR pixels, at least 1; None: the largest that fits
    memory_bytes: int | None = None  # for a picture's arrays and the network's activations; None: most of what is free
    engine_options: EngineOptions = field(default_factory=EngineOptions)  # what runs the network

    def __post_init__(self) -> None:
        if not 0.0 <= self.blend <= 1.0:  # a nan fails every comparison
            raise UsageError(f"`blend` must be in [0, 1] (0 is a plain resize, 1 the network alone), got {self.blend:g}")
        if self.denoise is not None and not 0.0 <= self.denoise <= 1.0:
            raise UsageError(f"`denoise` must be in [0, 1] (0 keeps the noise, 1 is the model alone), got {self.denoise:g}")
        if self.denoise_with is not None and self.denoise is None:
            raise UsageError("`denoise_with` names the twin for `denoise`, which is not given: give both")
        if self.tile_px is not None and self.tile_px < 1:
            raise UsageError(f"`tile_px` must be at least 1, got {self.tile_px}")
        if self.memory_bytes is not None and self.memory_bytes < 1:
            raise UsageError(f"`memory_bytes` must be at least 1, got {self.memory_bytes}")

    def replace(self, **keywords: Any) -> UpscaleOptions:
        """The same with other values in some fields, those of `engine_options` too: `replace(tta=True, engine="onnx")`.

        Raises `TypeError` for a name that is no field, with the nearest one.
        """
        check_names(keywords, OPTION_FIELDS)
        own = {name: value for name, value in keywords.items() if name not in ENGINE_FIELDS}
        inner = {name: value for name, value in keywords.items() if name in ENGINE_FIELDS}
        if inner:
            own["engine_options"] = own.get("engine_options", self.engine_options).replace(**inner)
        return replace(self, **own)


OPTION_FIELDS = (*(field.name for field in fields(UpscaleOptions)), *ENGINE_FIELDS)
