"""Open the models that are measured or compared, each with the engine that makes its figures comparable."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass

from upres.engines.options import EngineOptions
from upres.evaluation.costs import ModelFacts, facts_of
from upres.graph.opaque import OpaqueModel
from upres.models.load import load_model
from upres.system.files import sha256_of
from upres.upscaling.upscaler import Upscaler


@dataclass(frozen=True, slots=True)
class OpenedModel:
    """A model with its engine, and what is told of it."""

    upscaler: Upscaler
    facts: ModelFacts


def open_models(
    names: Iterable[str], options: EngineOptions, stack: ExitStack, *, choose_engine: bool
) -> dict[str, OpenedModel]:
    """Open models by name, without repetitions; `stack` closes them.

    choose_engine: Use ncnn, so that results do not depend on the machine. A file of an unknown architecture has one
        engine only, and keeps it.

    Raises what `load_model` and `Upscaler` raise.
    """
    models: dict[str, OpenedModel] = {}
    for name in dict.fromkeys(names):
        loaded = load_model(name)
        opaque = any(isinstance(network, OpaqueModel) for network in loaded.networks)
        own = options.replace(engine="ncnn") if choose_engine and not opaque else options
        upscaler = Upscaler(loaded.networks, engine_options=own)
        stack.callback(upscaler.close)
        models[name] = OpenedModel(upscaler, facts_of(upscaler, tuple(sha256_of(file.path) for file in loaded.files)))
    return models
