"""Model expressions: one model, a blend of models of one shape (`a:0.7,b:0.3`), a chain of them (`a>b`), or a chain of
blends.

A blend mixes weights, not pictures: the result is one network, which costs what one of them costs. The networks of a
chain run one after the other. Denoising strength is a blend too, of a model and its twin that was trained to keep
noise.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from upres.errors import UsageError
from upres.models import catalog

# A model that removes noise and its twin that keeps noise. The second pair are Upscayl's files of the same two.
NOISE_TWINS = {
    "realesr-general-x4v3": "realesr-general-wdn-x4v3",
    "RealESRGAN_General_x4_v3": "RealESRGAN_General_WDN_x4_v3",
}
_SUM_TOLERANCE = 1e-3  # a note for 0.33,0.33,0.33, none for 0.333,0.333,0.333


@dataclass(frozen=True, slots=True)
class Part:
    """A model of a blend: a name or a path as `catalog.resolve` takes it, and its share in [0, 1]; the shares of a
    blend sum to 1.
    """

    model: str
    share: float


@dataclass(frozen=True, slots=True)
class Composition:
    """A parsed expression: the stages of a chain in the order in which they run, each a blend of one part or more;
    notes for the user.
    """

    stages: tuple[tuple[Part, ...], ...]
    notes: tuple[str, ...] = ()

    @property
    def parts(self) -> tuple[Part, ...]:
        """All models of all stages."""
        return tuple(part for stage in self.stages for part in stage)

    def __str__(self) -> str:
        """The expression again, shares normalized: texts of one meaning become equal."""
        return ">".join(
            ",".join(part.model if len(stage) == 1 else f"{part.model}:{part.share:.6g}" for part in stage)
            for stage in self.stages
        )


def parse(text: str) -> Composition:
    """`a`, `a:0.7,b:0.3`, `a>b` or `a:1,b:1>c`. Shares that do not sum to 1 are normalized, with a note; without any
    all are equal.

    The path of a file that exists is that file, whatever characters its name has. Reads no model. Raises `UsageError`
    for a missing name, a share that is no number, negative or given to some parts only, and for shares that are all 0.
    """
    if _is_file(text):
        return Composition(((Part(text, 1.0),),))
    notes: list[str] = []
    stages: list[tuple[Part, ...]] = []
    for stage in text.split(">"):
        if not stage.strip():
            raise UsageError(f"model {text!r}: a model is missing before or after '>'; expected a chain such as 'a>b'")
        stages.append(_parse_blend(stage.strip(), text, notes))
    return Composition(tuple(stages), tuple(notes))


def _parse_blend(stage: str, text: str, notes: list[str]) -> tuple[Part, ...]:
    if _is_file(stage):
        return (Part(stage, 1.0),)
    named = [_split_share(part.strip(), text) for part in stage.split(",")]
    given = [weight for _, weight in named if weight is not None]
    if len(named) == 1:
        if given:
            raise UsageError(f"model {text!r}: a share needs a blend of two models or more, for example a:0.7,b:0.3")
        return (Part(named[0][0], 1.0),)
    if given and len(given) < len(named):
        raise UsageError(f"model {text!r}: give a share to each model of a blend, or to none, for example a:0.7,b:0.3")
    weights = given or [1.0 / len(named)] * len(named)
    total = math.fsum(weights)
    if total <= 0.0:
        raise UsageError(f"model {text!r}: all shares are 0; expected at least one above 0")
    shares = [weight / total for weight in weights]
    if abs(total - 1.0) > _SUM_TOLERANCE:
        words = ", ".join(f"{name} {share:.3g}" for (name, _), share in zip(named, shares, strict=True))
        notes.append(f"the shares of {stage} sum to {total:g}, not 1: normalized to {words}")
    return tuple(Part(name, share) for (name, _), share in zip(named, shares, strict=True))


def _split_share(part: str, text: str) -> tuple[str, float | None]:
    """`name:0.7` -> (name, 0.7).

    What follows a colon and is no number belongs to the name where it can (a drive, an id).
    """
    name, colon, number = part.rpartition(":")
    if not part or (colon and not name):
        raise UsageError(f"model {text!r}: the name of a model is missing; expected for example a:0.7,b:0.3")
    if not colon or _is_file(part) or number[:1] in ("/", "\\"):
        return part, None
    try:
        weight = float(number)
    except ValueError:
        if not number or "," in text:
            raise UsageError(
                f"model {text!r}: {number!r} is not a share of {name}; expected a number, for example a:0.7,b:0.3"
            ) from None
        return part, None
    if not math.isfinite(weight) or weight < 0.0:
        raise UsageError(f"model {text!r}: the share of {name} is {number}; expected a number of 0 or more")
    return name, weight


def _is_file(text: str) -> bool:
    try:
        return catalog.find(text) is None and Path(text).expanduser().is_file()
    except (OSError, ValueError):  # a name that is too long, or with a zero byte in it
        return False


def with_denoise(composition: Composition, strength: float, twin: str | None = None) -> Composition:
    """The model with `strength` of its noise removal: a blend of `strength` of it and 1 - `strength` of its twin that
    keeps noise.

    strength: 1 is the model alone, 0 the twin alone, as with Real-ESRGAN's `-dn` (inference_realesrgan.py).
    twin: a name or a path; default: the twin in `NOISE_TWINS`, or of a file of such a name the twin beside it.

    Raises `UsageError`.
    """
    if not 0.0 <= strength <= 1.0:  # a nan fails every comparison
        raise UsageError(f"`denoise` must be in [0, 1] (0 keeps the noise, 1 is the model as it is), got {strength:g}")
    if len(composition.stages) != 1 or len(composition.stages[0]) != 1:
        raise UsageError(
            f"`denoise` takes one model, got {composition}: give the shares of a blend instead, such as a:0.7,b:0.3"
        )
    model = composition.stages[0][0].model
    twin = twin or _twin_of(model)
    parts = (Part(model, strength), Part(twin, 1.0 - strength))
    kept = tuple(part for part in parts if part.share > 0.0)
    return Composition((tuple(Part(part.model, 1.0) for part in kept) if len(kept) == 1 else kept,), composition.notes)


def _twin_of(model: str) -> str:
    known = catalog.find(model)
    if known is not None and known.name in NOISE_TWINS:
        return NOISE_TWINS[known.name]
    path = Path(model)
    for name, twin in NOISE_TWINS.items():
        if name in path.name:
            beside = path.with_name(path.name.replace(name, twin))
            if beside.is_file():
                return str(beside)
            raise UsageError(
                f"`denoise` blends {model} with {beside.name}, which is not beside it: set `denoise_with` to its path"
            )
    pairs = next(iter(NOISE_TWINS))
    raise UsageError(
        f"`denoise` knows the twin of {pairs}, but none of {model}: set `denoise_with` to one that keeps noise"
    )
