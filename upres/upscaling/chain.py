"""Open a model: load its network, or the networks of its chain, each in its engine."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from upres import engines
from upres.engines.options import EngineOptions
from upres.engines.runner import Runner
from upres.errors import ModelError, UsageError
from upres.graph.opaque import Network, OpaqueModel
from upres.models import expression
from upres.models.load import LoadedModel, load_model
from upres.upscaling.checked_network import CheckedNetwork
from upres.upscaling.options import UpscaleOptions

Model = str | os.PathLike[str] | LoadedModel | Network | Sequence[Network]
_log = logging.getLogger(__name__)


def open_chain(
    model: Model, options: UpscaleOptions, runner: Runner | None, reference: Runner | None
) -> tuple[CheckedNetwork, ...]:
    """Load `model` and open an engine for each of its networks, in the order they run. Raises as `Upscaler` does.

    model: A name, a file, an expression, or what `load_model` returned.
    options: How to run it.
    runner: For tests: replaces the engine.
    reference: For tests: replaces the float32 CPU engine that decides about rejected tiles.
    """
    asked = options.engine_options
    opened: list[CheckedNetwork] = []
    area = 1  # pixels that the next network gets for each pixel of the picture
    for network in _load(model, options):
        loaded = runner or engines.load(network, _over(asked, area))
        area *= network.scale**2
        opened.append(
            CheckedNetwork(network, loaded, partial(_reference, network, asked.threads, reference), exact=asked.exact)
        )
    return tuple(opened)


def _load(model: Model, options: UpscaleOptions) -> tuple[Network, ...]:
    """The networks of the chain; each maps 3 channels to 3, or 1 to 1."""
    if isinstance(model, str | os.PathLike):
        chain = _load_named(model, options)
    elif options.denoise is not None:
        raise UsageError("`denoise` needs a model with a name or a file; a Graph cannot be blended")
    elif isinstance(model, LoadedModel):
        chain = model.networks
    else:
        chain = tuple(model) if isinstance(model, Sequence) else (model,)
    if not chain:
        raise UsageError("`model` is an empty chain; expected at least one network")
    for network in chain:
        if network.in_channels != network.out_channels or network.in_channels not in (1, 3):
            raise ModelError(
                f"the network has {network.in_channels} input and {network.out_channels} output channels; "
                "pictures need 3 and 3, or 1 and 1 (gray)"
            )
    return chain


def _load_named(model: str | os.PathLike[str], options: UpscaleOptions) -> tuple[Network, ...]:
    if isinstance(model, str):
        composition = expression.parse(model)
    else:
        composition = expression.Composition(((expression.Part(str(Path(model).absolute()), 1.0),),))
    if options.denoise is not None:
        composition = expression.with_denoise(composition, options.denoise, options.denoise_with)
    for note in composition.notes:
        _log.warning("%s", note)
    return load_model(composition).networks


def _over(options: EngineOptions, area: int) -> EngineOptions:
    """The same options for pictures with `area` times the pixels."""
    expected, picture = options.expected_px, options.picture_px
    return options.replace(
        expected_px=None if expected is None else expected * area,
        picture_px=None if picture is None else picture * area,
    )


def _reference(network: Network, threads: int, given: Runner | None) -> Runner:
    """The engine that decides about rejected tiles: ncnn on the CPU in float32, without Winograd. A file of unknown
    architecture has one engine only.
    """
    if given is not None:
        return given
    engine = "auto" if isinstance(network, OpaqueModel) else "ncnn"
    return engines.load(network, EngineOptions(engine, "cpu", "fp32", threads, exact=True))
