"""How pictures are upscaled, as one value: the command line builds it; `batch` and `Upscaler` pass it on."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import Any

from upres.engines.options import ENGINE_FIELDS, EngineOptions, check_names
from upres.errors import UsageError


@dataclass(frozen=True, slots=True)
class UpscaleOptions:
    """How an `Upscaler` runs its model. Raises `UsageError`, naming the field, for a value out of range."""

    tta: bool = False  # average over the eight rotations and flips of the picture; takes 8 times as long
    blend: float = 1.0  # in [0, 1]: 1 is the network alone, 0 a cubic resize of the input
    color_lock: bool = False  # keep the input's colors over large areas; GAN models shift them
    wrap: bool = False  # treat the picture as a seamless texture
    true_size: bool = False  # first reduce a picture that holds less detail than its pixels say
    denoise: float | None = (
        None  # in [0, 1]: share of the model in a blend with its twin that keeps noise; None: no blend
    )
    denoise_with: str | None = None  # name or file of that twin; None: the known one, or the one beside the model file
    tile_px: int | None = None  # side of a tile in LR pixels, at least 1; None: the largest that fits
    memory_bytes: int | None = None  # limit for pictures and activations; None: 80 % of the free memory
    engine_options: EngineOptions = field(default_factory=EngineOptions)  # engine, device, precision, threads

    def __post_init__(self) -> None:
        if not 0.0 <= self.blend <= 1.0:  # a nan fails every comparison
            raise UsageError(
                f"`blend` must be in [0, 1] (0 is a cubic resize, 1 the network alone), got {self.blend:g}"
            )
        if self.denoise is not None and not 0.0 <= self.denoise <= 1.0:
            raise UsageError(
                f"`denoise` must be in [0, 1] (0 keeps the noise, 1 is the model alone), got {self.denoise:g}"
            )
        if self.denoise_with is not None and self.denoise is None:
            raise UsageError("`denoise_with` has no effect without `denoise`; set both")
        if self.tile_px is not None and self.tile_px < 1:
            raise UsageError(f"`tile_px` must be at least 1, got {self.tile_px}")
        if self.memory_bytes is not None and self.memory_bytes < 1:
            raise UsageError(f"`memory_bytes` must be at least 1, got {self.memory_bytes}")

    def replace(self, **keywords: Any) -> UpscaleOptions:
        """A copy with some fields replaced, including those of `engine_options`: `replace(tta=True, engine="onnx")`.

        Raises `TypeError` for an unknown name, with the nearest known one.
        """
        check_names(keywords, OPTION_FIELDS)
        own = {name: value for name, value in keywords.items() if name not in ENGINE_FIELDS}
        inner = {name: value for name, value in keywords.items() if name in ENGINE_FIELDS}
        if inner:
            own["engine_options"] = own.get("engine_options", self.engine_options).replace(**inner)
        return replace(self, **own)


OPTION_FIELDS = (*(field.name for field in fields(UpscaleOptions)), *ENGINE_FIELDS)
