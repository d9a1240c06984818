"""Everything a run loads from elsewhere: feature networks, NIQE's parameters, initial weights, the compiled Winograd
kernel.

A file that one rank cannot load is used by none.
"""

from __future__ import annotations

# pyright: reportUnknownMemberType=false
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from upres.errors import DataError, EngineError, ModelError
from upres.graph.architectures import without_counters
from upres.metrics.niqe import PARAMETERS, fetch_parameters
from upres.models.load import load_model
from upres.system.files import sha256_of
from upres.training.config import TrainConfig
from upres.training.config_changes import parse_layers
from upres.training.distributed.ranks import Ranks
from upres.training.losses import lpips
from upres.training.losses.feature_files import FEATURES, Features, card_of, fetch_features
from upres.training.losses.measures import check_measure, open_measure
from upres.training.monitoring.validation import PerceptualMetric
from upres.training.networks.own import OwnGenerator
from upres.training.run import Say
from upres.training.state import TrainState, begin_with
from upres.training.winograd.build import load_kernel
from upres.weights.read import read_weights

T = TypeVar("T")


def check_names(config: TrainConfig) -> None:
    """Raises `UsageError` for an unknown feature network, before anything is read."""
    for name in (config.features, *filter(None, (config.features_otherwise, config.judge))):
        card_of(name)
    if config.feature_distance != "l1":
        for name in filter(None, (config.features, config.features_otherwise)):
            check_measure(config.feature_distance, name)


def open_features(config: TrainConfig, source: Path | None, ranks: Ranks, say: Say) -> Features:
    """The recipe's feature network, or its fallback if the first is unavailable; `say` reports which. Raises
    `ModelError`.
    """
    if not config.feature_weight:
        return Features(None, {}, "")
    try:
        network = _together(lambda: fetch_features(config.features, source), ranks, config.features)
    except ModelError as error:
        if not config.features_otherwise:
            raise
        say(f"{error}. Using the recipe's fallback, {config.features_otherwise}")
        network = _together(lambda: fetch_features(config.features_otherwise, source), ranks, config.features_otherwise)
    if config.feature_distance != "l1":
        folder = source if source is not None and source.is_dir() else None  # a file is the network alone
        kind = config.feature_distance
        measure, sha256 = _together(lambda: open_measure(kind, network, folder), ranks, kind)
        say(f"features of the loss: {kind} in {network.name}, sha256 {network.sha256[:16]}, its weights {sha256[:16]}")
        return Features(network.to(ranks.device), {}, f"{network.name} {network.sha256} {kind} {sha256}", measure)
    layers = features_layers(config, network.name)
    listed = ", ".join(f"{layer} x {weight:g}" for layer, weight in layers.items())
    say(f"features of the loss: {network.name} ({listed}), sha256 {network.sha256[:16]}")
    return Features(network.to(ranks.device), layers, f"{network.name} {network.sha256} {listed}")


def choose_precision(config: TrainConfig, device: torch.device) -> Literal["float32", "bfloat16"]:
    """The precision of convolutions in training: as configured, or for "auto" bfloat16 where `device` supports it
    natively.

    On CPUs that means AVX512-BF16 or AMX; elsewhere bfloat16 is emulated, many times slower than float32.
    """
    if config.precision != "auto":
        return config.precision
    if config.convolutions == "winograd":
        return "float32"
    if device.type == "cuda":
        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float32"
    able = device.type == "cpu" and (torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())  # pyright: ignore[reportPrivateUsage]
    return "bfloat16" if able else "float32"


def choose_convolutions(config: TrainConfig, ranks: Ranks, say: Say) -> bool:
    """Whether to use Winograd convolutions.

    "auto" uses them where they work and reports where not. Raises `EngineError`.
    """
    possible = ranks.device.type == "cpu" and config.precision == "float32" and not (config.compile or config.sharded)
    if config.convolutions == "torch" or (config.convolutions == "auto" and not possible):
        return False
    try:
        load_kernel()
    except EngineError as error:
        if config.convolutions == "winograd":
            raise
        say(f"using torch's own convolutions, about half as fast: {error}")
        return False
    return True


def features_layers(config: TrainConfig, name: str) -> dict[str, float]:
    """Layers and weights of the feature network `name`: the configured ones for `config.features`, else the network's
    defaults.
    """
    own = parse_layers(config.feature_layers) if name == config.features else {}
    return own or dict(FEATURES[name].default_layers)


def _together(fetch: Callable[[], T], ranks: Ranks, what: str) -> T:
    """The result of `fetch`, called on rank 0 first, so that only one process downloads.

    Raises `ModelError` on every rank if it fails on any.
    """
    had: list[T] = []
    problem: ModelError | None = None
    for first in (True, False):
        if (ranks.rank == 0) == first:
            try:
                had.append(fetch())
            except ModelError as error:
                problem = error
        ranks.barrier()
    if ranks.any(problem is not None):
        raise problem or ModelError(
            f"another process of this run could not load {what}: give all processes the same files"
        )
    return had[0]


def open_perceptual_metric(config: TrainConfig, source: Path | None, ranks: Ranks, say: Say) -> PerceptualMetric:
    """The measures `config` asks for.

    Validation goes on without those that are unavailable, and says so: no weight depends on them.
    """
    distance = parameters = None
    title = ""
    if config.judge:
        try:
            folder = source if source is not None and source.is_dir() else None  # a file is that of the loss
            network = _together(lambda: fetch_features(config.judge, folder), ranks, config.judge).to(ranks.device)
            distance = partial(lpips.distance, network, linear=None)
            title = f"{lpips.distance_name(network)}, sha256 {network.sha256[:16]}"
            say(f"judge: {title}")
        except ModelError as error:
            say(f"validating without a feature distance: {error}")
    if config.niqe:
        beside = (
            source / PARAMETERS.name
            if source is not None and source.is_dir() and (source / PARAMETERS.name).is_file()
            else None
        )
        try:
            parameters = _together(lambda: fetch_parameters(beside), ranks, PARAMETERS.name)
        except ModelError as error:
            say(f"validating without NIQE: {error}")
    return PerceptualMetric(distance, parameters, title)


@dataclass(frozen=True)
class Parent:
    """The network a run starts from: its plain state and the SHA-256 of its file; None and "" for random weights."""

    state: Mapping[str, Tensor] | None
    sha256: str


def load_parent(
    init: str | Path | None,
    init_discriminator: Path | None,
    state: TrainState,
    first_lr: Callable[[], Tensor],
    say: Say,
) -> Parent:
    """Load the initial weights; `first_lr` draws the same batch on every rank. Raises `DataError` or `ModelError`."""
    if init_discriminator is not None:
        if state.discriminator is None:
            raise DataError("`init_discriminator` needs a recipe with a discriminator: this one has gan_weight 0")
        _load_discriminator(state.discriminator, init_discriminator)
        say(f"the discriminator starts from {init_discriminator}")
    if init is None:
        return Parent(None, "")
    if isinstance(state.net, OwnGenerator) and state.net.description is None:
        arrays, files = read_weights(Path(init)), [Path(init)]  # of no family: only its own code knows the network
    else:
        loaded = load_model(init)
        arrays, files = loaded.state_dict(), [file.path for file in loaded.files]
    plain = {name: torch.from_numpy(np.array(array)) for name, array in arrays.items()}
    begin_with(state, plain, first_lr)
    say(f"the generator starts from {init}")
    return Parent(plain, "+".join(sha256_of(path) for path in files))


_OUTER = re.compile(r"^(module|_orig_mod|net_?D|net_d|discriminator|model)\.")


def _plain_names(state: Mapping[str, T]) -> dict[str, T]:
    """The tensors under BasicSR's names: without wrappers, and with those of torch's older spectral norm."""
    state = without_counters(state)
    while state and all(_OUTER.match(name) for name in state):
        state = {_OUTER.sub("", name): tensor for name, tensor in state.items()}
    newer = {"parametrizations.weight.original": "weight_orig"}
    newer |= {f"parametrizations.weight.0._{part}": f"weight_{part}" for part in "uv"}
    for long, short in newer.items():
        state = {name.replace(long, short): tensor for name, tensor in state.items()}
    return state


def _load_discriminator(discriminator: nn.Module, path: Path) -> None:
    """Match tensors by name and shape: matching by order would load wrong tensors unnoticed."""
    state = _plain_names(read_weights(path, discriminator=True))
    own = discriminator.state_dict()
    for name, tensor in own.items():
        if name not in state and name.endswith("num_batches_tracked"):
            continue
        if name not in state or tuple(state[name].shape) != tuple(tensor.shape):
            found = f"shape {tuple(state[name].shape)}" if name in state else "no such tensor"
            raise DataError(
                f"{path} is not this recipe's discriminator: {name} should have shape {tuple(tensor.shape)}, found "
                f"{found}"
            )
    more = sorted(state.keys() - own.keys())
    if more:
        raise DataError(
            f"{path} is not this recipe's discriminator: unexpected tensor {more[0]} and {len(more) - 1} more"
        )
    with torch.no_grad():
        for name in own.keys() & state.keys():
            own[name].copy_(torch.from_numpy(np.array(state[name])))
