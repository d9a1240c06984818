"""What is asked for: inputs, destination, size, model and options, in one value."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields

from upres.errors import UsageError
from upres.models.expression import NOISE_TWINS, Composition, parse, with_denoise
from upres.upscaling.options import UpscaleOptions
from upres.upscaling.output_size import OutputSize

# Options that change no pixel but by rounding, and those that `settings` tells in another way. Every other one is a setting.
_NO_SETTINGS = ("tile_px", "memory_bytes", "engine_options", "denoise", "denoise_with")


@dataclass(frozen=True, slots=True)
class Request:
    """Everything that `upres upscale` was asked for."""

    inputs: tuple[str, ...]  # paths of pictures and folders; "-" is standard input
    out: str | None = None  # a file, a folder, or "-" for standard output; None: beside each input
    size: OutputSize = field(default_factory=OutputSize)  # of each result
    model: str | None = None  # a name, a file or an expression; None: the bundled model for the factor
    options: UpscaleOptions = field(default_factory=UpscaleOptions)  # how
    format: str | None = None  # "png", "jpeg", ...; None: by the name of `out`, else png
    max_pixels: int = 1_000_000_000  # of a result, at most
    overwrite: bool = False  # replace results that exist
    recursive: bool = False  # go into folders of folders

    def settings(self, model: str | None = None) -> dict[str, str]:
        """What the pixels of a result depend on, beside its picture, by parameter: two jobs may be mixed where these are equal.

        A value is "" for True; what has its default is left out. Which engine runs, and in which tiles, changes rounding alone and is
        left out; half precision changes a little more, and is among them where it was asked for. `model` is the one that is used where
        the request leaves the choice open.
        """
        asked: dict[str, object] = asdict(self.size)
        asked["model"] = str(self.composition()) if self.model is not None else model
        for option in fields(self.options):
            value = getattr(self.options, option.name)
            if option.name not in _NO_SETTINGS and value != option.default:
                asked[option.name] = value
        if self.options.engine_options.precision not in ("auto", "fp32"):
            asked["precision"] = self.options.engine_options.precision
        return {name: "" if value is True else f"{value}" for name, value in asked.items() if value is not None and value is not False}

    def composition(self) -> Composition:
        """The model that was asked for, blended with its twin for `denoise`. Raises `UsageError`, also where no model was named."""
        if self.model is None:
            raise UsageError(
                f"`denoise` needs a model: `model={next(iter(NOISE_TWINS))!r}`, or another one with its twin (`denoise_with`)"
            )
        composition = parse(self.model)
        options = self.options
        return composition if options.denoise is None else with_denoise(composition, options.denoise, options.denoise_with)
