"""From what names a model to its networks, each opened in its engine: one, or several that run one after the other."""

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


def open_chain(model: Model, options: UpscaleOptions, runner: Runner | None, reference: Runner | None) -> tuple[CheckedNetwork, ...]:
    """`runner` and `reference` replace the engine and the one that has the last word on bad tiles (tests). Raises as `Upscaler` does."""
    asked = options.engine_options
    opened: list[CheckedNetwork] = []
    area = 1  # what a network of the chain sees is that much larger
    for network in _load(model, options):
        loaded = runner or engines.load(network, _over(asked, area))
        area *= network.scale**2
        opened.append(CheckedNetwork(network, loaded, partial(_reference, network, asked.threads, reference), exact=asked.exact))
    return tuple(opened)


def _load(model: Model, options: UpscaleOptions) -> tuple[Network, ...]:
    """The networks of the chain, each mapping 3 channels to 3, or 1 to 1."""
    if isinstance(model, str | os.PathLike):
        chain = _load_named(model, options)
    elif options.denoise is not None:
        raise UsageError("`denoise` blends models that have a name or a file; a Graph is one network already")
    elif isinstance(model, LoadedModel):
        chain = model.networks
    else:
        chain = tuple(model) if isinstance(model, Sequence) else (model,)
    if not chain:
        raise UsageError("`model` is a chain of no networks; expected one network or more")
    for network in chain:
        if network.in_channels != network.out_channels or network.in_channels not in (1, 3):
            raise ModelError(
                f"the network takes {network.in_channels} channels and gives {network.out_channels}; "
                "a picture needs 3 and 3, or 1 and 1 (gray)"
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
    """The same for pictures of `area` times the pixels."""
    expected, picture = options.expected_px, options.picture_px
    return options.replace(
        expected_px=None if expected is None else expected * area, picture_px=None if picture is None else picture * area
    )


def _reference(network: Network, threads: int, given: Runner | None) -> Runner:
    """What has the last word on a tile: ncnn without Winograd, on the CPU in float32; an unknown architecture has one engine only."""
    if given is not None:
        return given
    engine = "auto" if isinstance(network, OpaqueModel) else "ncnn"
    return engines.load(network, EngineOptions(engine, "cpu", "fp32", threads, exact=True))
