"""A request to upscale, as one value: inputs, destination, size, model and options."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields

from upres.errors import UsageError
from upres.models.expression import NOISE_TWINS, Composition, parse, with_denoise
from upres.upscaling.options import UpscaleOptions
from upres.upscaling.output_size import OutputSize

# Options that change pixels by rounding only, and those that `settings` expresses otherwise. All others are settings.
_NO_SETTINGS = ("tile_px", "memory_bytes", "engine_options", "denoise", "denoise_with")


@dataclass(frozen=True, slots=True)
class Request:
    """What `upres upscale` is asked to do."""

    inputs: tuple[str, ...]  # paths of pictures and folders; "-" is standard input
    out: str | None = None  # a file, a folder, or "-" for standard output; None: beside each input
    size: OutputSize = field(default_factory=OutputSize)  # size of each result
    model: str | None = None  # a name, a file or an expression; None: for each picture the bundled one that fits
    options: UpscaleOptions = field(default_factory=UpscaleOptions)  # how to upscale
    format: str | None = None  # "png", "jpeg", ...; None: by the suffix of `out`, or png
    max_pixels: int = 1_000_000_000  # limit on the pixels of a result
    overwrite: bool = False  # replace results that exist
    recursive: bool = False  # include the pictures in subfolders
    books: bool = False  # include the archives and books in folders
    allow_generative: bool = False  # let models that invent detail run on measured data

    def settings(self, model: str | None = None) -> dict[str, str]:
        """What the pixels of a result depend on besides the input, by parameter. Results with equal settings can share
        a folder.

        model: The model to report if the request does not name one.

        True is ""; defaults are left out. Engine and tiles only change rounding and are left out; half precision
        changes more, and is included if it was requested.
        """
        asked: dict[str, object] = asdict(self.size)
        asked["model"] = str(self.composition()) if self.model is not None else model
        for option in fields(self.options):
            value = getattr(self.options, option.name)
            if option.name not in _NO_SETTINGS and value != option.default:
                asked[option.name] = value
        if self.options.engine_options.precision not in ("auto", "fp32"):
            asked["precision"] = self.options.engine_options.precision
        return {
            name: "" if value is True else f"{value}"
            for name, value in asked.items()
            if value is not None and value is not False
        }

    def composition(self) -> Composition:
        """The requested model, blended with its twin for `denoise`. Raises `UsageError`, also if no model was named."""
        if self.model is None:
            raise UsageError(
                f"`denoise` needs a model: `model={next(iter(NOISE_TWINS))!r}`, "
                "or another model and its twin (`denoise_with`)"
            )
        composition = parse(self.model)
        options = self.options
        return (
            composition if options.denoise is None else with_denoise(composition, options.denoise, options.denoise_with)
        )


@dataclass(frozen=True, slots=True)
class CollectionOptions:
    """How results for a folder are made, which does not change them."""

    shard: str | None = None  # only this part of the pictures: "3/10"
    retry_failed: bool = False  # also try again what failed before and has not changed
    processes: int = 1  # that upscale side by side, each with its share of the cores
    ray: str | None = None  # the address of a Ray cluster whose machines upscale: "auto", "ray://host:10001"
