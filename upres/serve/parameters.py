"""What a client may ask for one picture, read from a query string or a form, and what the library makes of it."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from upres.errors import UpresError, UsageError
from upres.images.formats import CORE_SUFFIXES
from upres.models.expression import parse, with_denoise
from upres.serve.problems import Problem, plain
from upres.system.structs import convert
from upres.upscaling.choose_model import AUTO
from upres.upscaling.options import UpscaleOptions
from upres.upscaling.output_size import OutputSize

FORMATS = (*dict.fromkeys(CORE_SUFFIXES.values()), "gif")  # GIF for animations only
TYPES = {name: f"image/{name}" for name in FORMATS}
_FORMAT_NAMES = {"jpg": "jpeg", "tif": "tiff"}
_ID = re.compile(r"[A-Za-z0-9_-]{8,64}")
_LONGEST_MODEL = 300

_Text = Annotated[str, Meta(max_length=200)]


class Parameters(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True, frozen=True):
    """The parameters of one upscale, by the names of the library. Defaults are left out of `given`."""

    model: Annotated[str, Meta(max_length=_LONGEST_MODEL)] | None = None
    scale: float | None = None
    width: int | None = None
    height: int | None = None
    long_side: int | None = None
    megapixels: float | None = None
    format: str = "png"
    quality: Annotated[int, Meta(ge=1, le=100)] | None = None
    png_level: Annotated[int, Meta(ge=0, le=9)] | None = None
    denoise: float | None = None
    tta: bool = False
    blend: float = 1.0
    color_lock: bool = False
    wrap: bool = False
    name: _Text = ""
    group: Annotated[str, Meta(max_length=64)] = ""

    @property
    def size(self) -> OutputSize:
        return OutputSize(self.scale, self.width, self.height, self.long_side, self.megapixels)

    @property
    def options(self) -> UpscaleOptions:
        return UpscaleOptions(
            tta=self.tta, blend=self.blend, color_lock=self.color_lock, wrap=self.wrap, denoise=self.denoise
        )

    @property
    def given(self) -> dict[str, Any]:
        """What was asked, without defaults and without what does not change pixels."""
        return {key: value for key, value in msgspec.to_builtins(self).items() if key not in ("name", "group")}


class Call(msgspec.Struct, frozen=True):
    """A request: the parameters, where the picture comes from, and how long the client waits."""

    parameters: Parameters
    source: str | None = None
    url: str | None = None
    max_wait_s: float | None = None


_CALL_FIELDS = ("source", "url", "max_wait_s")


def read_call(given: Mapping[str, str]) -> Call:
    """The call of a query string or form, whose values are text. Raises `Problem`."""
    own = {name: value for name, value in given.items() if name not in _CALL_FIELDS}
    parameters = read_parameters(own, strict=False)
    wait = given.get("max_wait_s")
    try:
        max_wait_s = None if wait is None else float(wait)
    except ValueError:
        max_wait_s = -1.0
    if max_wait_s is not None and not (math.isfinite(max_wait_s) and max_wait_s >= 0):
        raise Problem("bad_request", f"max_wait_s must be a number of seconds, got {wait!r}", parameter="max_wait_s")
    source = given.get("source")
    if source is not None:
        check_id(source, "source")
    if source is not None and given.get("url") is not None:
        raise Problem("bad_request", "source and url exclude each other; give one of them")
    return Call(parameters, source, given.get("url"), max_wait_s)


def read_parameters(given: Mapping[str, Any], *, strict: bool = True) -> Parameters:
    """The parameters of a mapping. `strict=False` reads numbers from text. Raises `Problem`."""
    try:
        parameters = convert(dict(given), Parameters, "the request", strict=strict)
        form = parameters.format.lower()
        parameters = msgspec.structs.replace(parameters, format=_FORMAT_NAMES.get(form, form))
        if parameters.format not in FORMATS:
            raise UsageError(f"format must be one of {', '.join(FORMATS)}, got {parameters.format!r}")
        if not all(text.isprintable() for text in (parameters.name, parameters.group)):
            raise UsageError("name and group must be printable text")
        _ = (parameters.size, parameters.options)  # they raise
    except UsageError as error:
        raise Problem("bad_request", plain(error).removeprefix("the request: ")) from error
    return parameters if parameters.model != AUTO else msgspec.structs.replace(parameters, model=None)


def check_id(text: str, parameter: str = "id") -> str:
    """An id that a client chose. Raises `Problem`."""
    if _ID.fullmatch(text) is None:
        raise Problem(
            "bad_request",
            "an id has 8 to 64 letters, digits, hyphens or underscores; a UUID is one",
            parameter=parameter,
        )
    return text


def check_model(parameters: Parameters, allowed: Mapping[str, str]) -> None:
    """Refuse models that are not in `allowed` (names by their lower case). Raises `Problem`.

    Only names: a path would let clients read files of the server.
    """
    model = parameters.model
    if model is None:
        if parameters.denoise is not None:
            raise Problem("bad_request", "denoise needs a model that has a twin; name one", parameter="denoise")
        return
    refusal = f"the model {model!r} is not one of this server; GET /v1/models lists them"
    names = [name.strip().casefold() for name in re.split(r"[>,]", model)]
    if any(name not in allowed and name.rpartition(":")[0].strip() not in allowed for name in names):
        raise Problem("model", refusal, parameter="model")
    try:
        composition = parse(model)
        if parameters.denoise is not None:
            composition = with_denoise(composition, parameters.denoise, None)
    except UpresError as error:
        raise Problem("model", plain(error), parameter="model") from error
    if any(part.model.casefold() not in allowed for part in composition.parts):
        raise Problem("model", refusal, parameter="model")
