"""Open the models that are measured or compared, each with the engine that makes its figures comparable."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack

from upres.engines.options import EngineOptions
from upres.graph.opaque import OpaqueModel
from upres.models.load import load_model
from upres.upscaling.upscaler import Upscaler


def open_upscalers(
    names: Iterable[str], options: EngineOptions, stack: ExitStack, *, choose_engine: bool
) -> dict[str, Upscaler]:
    """Upscalers by name, without repetitions; `stack` closes them.

    choose_engine: Use ncnn, so that results do not depend on the machine. A file of an unknown architecture has one
        engine only, and keeps it.

    Raises what `load_model` and `Upscaler` raise.
    """
    upscalers: dict[str, Upscaler] = {}
    for name in dict.fromkeys(names):
        networks = load_model(name).networks
        opaque = any(isinstance(network, OpaqueModel) for network in networks)
        own = options.replace(engine="ncnn") if choose_engine and not opaque else options
        upscalers[name] = Upscaler(networks, engine_options=own)
        stack.callback(upscalers[name].close)
    return upscalers
