"""What `-n` may say: one model, a blend of models of one shape (`a:0.7,b:0.3`), a chain of them (`a>b`), or a chain of blends.

A blend is made of weights, not of pictures: one network comes out, which costs what one of them costs and whose tiles are exact as theirs
are. Networks of a chain run one after the other. `--denoise` is a blend too, of a model and its twin that was trained to keep noise.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from upres.errors import ModelError, UsageError
from upres.graph.architectures import graph_from_state_dict
from upres.graph.graph import Graph
from upres.graph.interpolate import interpolate
from upres.graph.opaque import Network
from upres.models import catalog
from upres.models.load import load_network
from upres.weights.read import read_weights

# A model that removes noise, and its twin that keeps noise, for --denoise. The second pair are Upscayl's files of the same two.
NOISE_TWINS = {
    "realesr-general-x4v3": "realesr-general-wdn-x4v3",
    "RealESRGAN_General_x4_v3": "RealESRGAN_General_WDN_x4_v3",
}
_SUM_TOLERANCE = 1e-3  # weights such as 0.33,0.33,0.33 are told; 0.333,0.333,0.333 are not


@dataclass(frozen=True, slots=True)
class Part:
    """One model of a blend, a name or a path as `catalog.resolve` takes it, and its share: from 0 to 1, of all parts together 1."""

    model: str
    share: float


@dataclass(frozen=True, slots=True)
class Composition:
    """The stages of a chain in the order in which they run, each a blend of one part or more. `notes` are for the user."""

    stages: tuple[tuple[Part, ...], ...]
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        """The same in the words of `-n`, shares normalized: two texts that mean one thing become equal."""
        return ">".join(
            ",".join(part.model if len(stage) == 1 else f"{part.model}:{part.share:.6g}" for part in stage) for stage in self.stages
        )


def parse(text: str) -> Composition:
    """`a`, `a:0.7,b:0.3`, `a>b` or `a:1,b:1>c`. Weights that do not sum to 1 are normalized, with a note; without any all are equal.

    A text that is the path of a file is that file, whatever characters its name has. Reads no model. Raises `UsageError` for an empty
    place, a weight that is no number, below 0 or given to some parts only, and for weights that are all 0.
    """
    if _is_file(text):
        return Composition(((Part(text, 1.0),),))
    notes: list[str] = []
    stages: list[tuple[Part, ...]] = []
    for stage in text.split(">"):
        if not stage.strip():
            raise UsageError(f"-n {text!r}: a model is missing before or after '>'; expected a chain such as 'a>b'")
        stages.append(_parse_blend(stage.strip(), text, notes))
    return Composition(tuple(stages), tuple(notes))


def _parse_blend(stage: str, text: str, notes: list[str]) -> tuple[Part, ...]:
    if _is_file(stage):
        return (Part(stage, 1.0),)
    named = [_split_weight(part.strip(), text) for part in stage.split(",")]
    given = [weight for _, weight in named if weight is not None]
    if len(named) == 1:
        if given:
            raise UsageError(f"-n {text!r}: a weight is for a blend of two models or more; expected for example a:0.7,b:0.3")
        return (Part(named[0][0], 1.0),)
    if given and len(given) < len(named):
        raise UsageError(f"-n {text!r}: give a weight to each model of a blend, or to none; expected for example a:0.7,b:0.3")
    weights = given or [1.0 / len(named)] * len(named)
    total = math.fsum(weights)
    if total <= 0.0:
        raise UsageError(f"-n {text!r}: all weights are 0; expected at least one above it")
    shares = [weight / total for weight in weights]
    if abs(total - 1.0) > _SUM_TOLERANCE:
        words = ", ".join(f"{name} {share:.3g}" for (name, _), share in zip(named, shares, strict=True))
        notes.append(f"the weights of {stage} sum to {total:g}, not to 1: taken as {words}")
    return tuple(Part(name, share) for (name, _), share in zip(named, shares, strict=True))


def _split_weight(part: str, text: str) -> tuple[str, float | None]:
    """`name:0.7` -> (name, 0.7). What follows a colon and is no number belongs to the name where it can (a drive, an id)."""
    name, colon, number = part.rpartition(":")
    if not part or (colon and not name):
        raise UsageError(f"-n {text!r}: a model's name is missing; expected for example a:0.7,b:0.3")
    if not colon or _is_file(part) or number[:1] in ("/", "\\"):
        return part, None
    try:
        weight = float(number)
    except ValueError:
        if not number or "," in text:
            raise UsageError(f"-n {text!r}: {number!r} is no weight of {name}; expected a number, for example a:0.7,b:0.3") from None
        return part, None
    if not math.isfinite(weight) or weight < 0.0:
        raise UsageError(f"-n {text!r}: the weight of {name} is {number}; expected a number from 0")
    return name, weight


def _is_file(text: str) -> bool:
    try:
        return catalog.find(text) is None and Path(text).expanduser().is_file()
    except (OSError, ValueError):  # a name that is too long, or with a zero byte in it
        return False


def with_denoise(composition: Composition, strength: float, twin: str | None = None) -> Composition:
    """The model with `strength` of its noise removal: strength of it, 1 - strength of its twin that keeps noise.

    1 is the model alone, 0 the twin alone, as Real-ESRGAN's `-dn` has it (weights [dn, 1 - dn] of the two, inference_realesrgan.py). `twin`
    (a name or a path) is needed for all models but those of `NOISE_TWINS`; of a file of such a name it may lie beside it. Raises
    `UsageError`.
    """
    if not 0.0 <= strength <= 1.0:  # a nan fails every comparison
        raise UsageError(f"--denoise must be from 0 (noise stays) to 1 (the model as it is), got {strength:g}")
    if len(composition.stages) != 1 or len(composition.stages[0]) != 1:
        raise UsageError(f"--denoise is for one model, and -n is {composition}: give weights in -n instead, such as a:0.7,b:0.3")
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
            raise UsageError(f"--denoise blends {model} with {beside.name}, and there is none beside it: name it with --denoise-with FILE")
    pairs = next(iter(NOISE_TWINS))
    raise UsageError(f"--denoise knows the twin of {pairs}, none of {model}: name one that keeps noise with --denoise-with FILE")


def load(composition: Composition) -> tuple[Network, ...]:
    """The networks, one a stage, ready for `Upscaler`. Raises `ModelError` naming the first difference of two that are to be blended."""
    return tuple(load_network(stage[0].model) if len(stage) == 1 else _blended(stage) for stage in composition.stages)


def blend(parts: tuple[Part, ...]) -> Mapping[str, NDArray[np.generic]]:
    """The weights of one network of shares of several: each is mixed into the mean of those before it. Raises `ModelError`."""
    mixed: Mapping[str, NDArray[np.generic]] | None = None
    total = 0.0
    for part in parts:
        state = read_weights(catalog.resolve(part.model))
        total += part.share
        if mixed is None:
            mixed = state
            continue
        alpha = part.share / total if total else 0.0
        mixed = interpolate(mixed, state, alpha, names=(parts[0].model, part.model))
    assert mixed is not None  # a stage has a part
    return mixed


def _blended(parts: tuple[Part, ...]) -> Graph:
    try:
        return graph_from_state_dict(blend(parts))
    except ModelError as error:
        raise ModelError(f"the blend of {', '.join(part.model for part in parts)}: {error}") from error
