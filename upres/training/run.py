"""What a run needs beside its steps: its folder, the files it begins with, the networks that judge it, the words when it cannot go on."""

from __future__ import annotations

# pyright: reportUnknownMemberType=false
import hashlib
import json
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from safetensors.numpy import save as save_tensors
from torch import Tensor, nn

from upres.errors import DataError, EngineError, ModelError
from upres.files import write_atomic
from upres.niqe import NiqeParameters, fetch_parameters
from upres.training import lpips
from upres.training.checkpoint import Checkpoint, latest_checkpoint, list_checkpoints
from upres.training.config import FREE_FIELDS, TrainConfig, parse_layers
from upres.training.data import Pair
from upres.training.features import FEATURES, FeatureNetwork, fetch_features
from upres.training.generators import AnyGenerator, build_generator
from upres.training.ranks import Ranks
from upres.training.sweep import sweep
from upres.training.team import Team, averaged_net, begin_with
from upres.training.terms import Features
from upres.training.validation import Quality
from upres.training.winograd import load_kernel
from upres.weights import read_weights, write_safetensors

Say = Callable[[str], None]
_NIQE_FILE = "niqe_pris_params.npz"


def refuse_present_run(out: Path) -> None:
    """Raises `DataError` where `out` holds a run."""
    if list_checkpoints(out / "checkpoints"):
        raise DataError(f"{out} holds a run already: add --resume to continue it, or choose another --out")


def check_folder(out: Path, resume: bool, say: Say) -> Checkpoint | None:
    """The checkpoint to continue from, or None for a new run. Raises `DataError` where a run would be overwritten."""
    if not resume:
        refuse_present_run(out)
    start = latest_checkpoint(out / "checkpoints") if resume else None
    if start is None and resume:
        say(f"{out} holds no checkpoint to resume from: the run begins at step 0")
    out.mkdir(parents=True, exist_ok=True)
    return start


def check_same_run(start: Checkpoint, facts: Mapping[str, object], out: Path) -> None:
    """Raises `DataError` where the run to resume had another configuration, other pictures, other files or another number of processes."""
    before = cast("dict[str, Any]", start.facts["config"])
    now: dict[str, Any] = json.loads(json.dumps(facts["config"]))  # tuples become lists, as in the file
    changed = sorted(key for key in now if key not in FREE_FIELDS and before.get(key) != now[key])
    if changed:
        words = ", ".join(f"{key} was {before.get(key)!r} and is {now[key]!r}" for key in changed)
        raise DataError(f"{out} was begun with another configuration ({words}): resume with the same, or choose another --out")
    if start.facts["data"] != facts["data"]:
        raise DataError(f"{out} was begun with other pictures than --data holds now: a resumed run must see the same files")
    for key, option in (("features", "--features"), ("init", "--init"), ("processes", "--processes"), ("winograd", "convolution")):
        if start.facts.get(key) != facts[key]:
            raise DataError(
                f"{out} was begun with another {option} ({start.facts.get(key) or 'none'}, now {facts[key] or 'none'}): "
                "resume with the same, or choose another --out"
            )


def open_features(config: TrainConfig, source: Path | None, ranks: Ranks, say: Say) -> Features:
    """The recipe's feature network, or the one it names in case the first cannot be had: the log says which. Raises `ModelError`."""
    if not config.feature_weight:
        return Features(None, {}, "")
    try:
        network = _fetch_in_turn(config.features, source, ranks)
    except ModelError as error:
        if not config.features_otherwise:
            raise
        say(f"{error}. The recipe's other feature network is used: {config.features_otherwise}")
        network = _fetch_in_turn(config.features_otherwise, source, ranks)
    layers = features_layers(config, network.name)
    listed = ", ".join(f"{layer} x {weight:g}" for layer, weight in layers.items())
    say(f"features of the loss: {network.name} ({listed}), sha256 {network.sha256[:16]}")
    return Features(network.to(ranks.device), layers, f"{network.name} {network.sha256} {listed}")


def choose_convolutions(config: TrainConfig, ranks: Ranks, say: Say) -> bool:
    """Whether convolutions are Winograd's. "auto" takes them where they can be had, with a word where not. Raises `EngineError`."""
    possible = ranks.device.type == "cpu" and config.precision == "float32" and not config.compile
    if config.convolutions == "torch" or (config.convolutions == "auto" and not possible):
        return False
    try:
        load_kernel()
    except EngineError as error:
        if config.convolutions == "winograd":
            raise
        say(f"training goes on with torch's own convolutions, at about half the speed: {error}")
        return False
    return True


def features_layers(config: TrainConfig, name: str) -> dict[str, float]:
    """Layers and weights of the feature network `name`: those of the configuration are for its first choice, others have their own."""
    own = parse_layers(config.feature_layers) if name == config.features else {}
    return own or dict(FEATURES[name].default_layers)


def _fetch_in_turn(name: str, source: Path | None, ranks: Ranks) -> FeatureNetwork:
    """Rank 0 goes first, so that one process downloads and the others find the file."""
    if ranks.rank == 0:
        network = fetch_features(name, source)
        ranks.barrier()
        return network
    ranks.barrier()
    return fetch_features(name, source)


@dataclass(frozen=True)
class Judge:
    """What measures beside PSNR, as far as it could be had: `distance` of a network that is not the loss, and NIQE's parameters."""

    distance: Callable[[Tensor, Tensor], Tensor] | None = None
    niqe: NiqeParameters | None = None


def open_judge(config: TrainConfig, source: Path | None, ranks: Ranks, say: Say) -> Judge:
    """What `config` asks for; what cannot be had is named, and validation goes on without it: it decides no weight."""
    distance = parameters = None
    if config.judge:
        try:
            network = _fetch_in_turn(config.judge, source if source is not None and source.is_dir() else None, ranks).to(ranks.device)
            distance = partial(lpips.distance, network, linear=None)
            say(f"judge: {lpips.distance_name(network)}, sha256 {network.sha256[:16]}")
        except ModelError as error:
            say(f"validation goes without a feature distance: {error}")
    if config.niqe:
        beside = source / _NIQE_FILE if source is not None and source.is_dir() and (source / _NIQE_FILE).is_file() else None
        try:
            parameters = fetch_parameters(beside)
        except ModelError as error:
            say(f"validation goes without NIQE: {error}")
    return Judge(distance, parameters)


@dataclass(frozen=True)
class Parent:
    """The network that a run began with: its plain state and the SHA-256 of its file (empty: random weights)."""

    state: Mapping[str, Tensor] | None
    sha256: str


def load_parent(init: Path | None, init_discriminator: Path | None, team: Team, lr: Tensor, say: Say) -> Parent:
    """Put the weights of the files into the networks; `lr` is the first batch of rank 0. Raises `DataError` or `ModelError`."""
    if init_discriminator is not None:
        if team.discriminator is None:
            raise DataError("--init-discriminator needs a recipe with a discriminator: this one has gan_weight 0")
        _load_discriminator(team.discriminator, init_discriminator)
        say(f"the discriminator begins with {init_discriminator}")
    if init is None:
        return Parent(None, "")
    state = {name: torch.from_numpy(np.array(array)) for name, array in read_weights(init).items()}
    begin_with(team, state, lr)
    say(f"the generator begins with {init}")
    return Parent(state, hashlib.sha256(init.read_bytes()).hexdigest())


def _load_discriminator(discriminator: nn.Module, path: Path) -> None:
    """By name and shape only: the loader that zips by order loads wrong tensors without a word."""
    state = read_weights(path)
    own = discriminator.state_dict()
    for name, tensor in own.items():
        if name not in state and name.endswith("num_batches_tracked"):
            continue
        if name not in state or tuple(state[name].shape) != tuple(tensor.shape):
            found = f"shape {tuple(state[name].shape)}" if name in state else "no such tensor"
            raise DataError(f"{path} is no discriminator of this recipe: {name} should have shape {tuple(tensor.shape)}, found {found}")
    with torch.no_grad():
        for name in own.keys() & state.keys():
            own[name].copy_(torch.from_numpy(np.array(state[name])))


def check_finite(
    told: Mapping[str, Tensor], step: int, lr: Tensor, hr: Tensor, out: Path, config: TrainConfig, ranks: Ranks
) -> dict[str, float]:
    """The figures of a step as floats, before any weight is changed by it.

    Where one is not finite the batch is saved as `not_finite_step_N.safetensors` (lr, hr) and `EngineError` raised.
    """
    figures = cast("list[float]", torch.stack([value.detach().float() for value in told.values()]).tolist())
    values = dict(zip(told, figures, strict=True))
    bad = [name for name, value in values.items() if not math.isfinite(value)]
    if not bad:
        return values
    suffix = f"_rank_{ranks.rank}" if ranks.count > 1 else ""
    path = out / f"not_finite_step_{step + 1}{suffix}.safetensors"
    arrays = {name: np.ascontiguousarray(batch.detach().float().cpu().numpy()) for name, batch in (("lr", lr), ("hr", hr))}
    write_atomic(path, save_tensors(arrays, metadata={"step": str(step + 1), "not finite": ", ".join(bad)}))
    raise EngineError(
        f"step {step + 1}: {bad[0]} is {values[bad[0]]}. The weights before it are in the newest checkpoint, the batch is in {path}: "
        f"begin again with a lower learning_rate (now {config.learning_rate:g}) or clip_norm (now {config.clip_norm:g}), or in float32"
    )


def score(config: TrainConfig, quality: Mapping[str, Any]) -> float | None:
    """What `best.safetensors` is chosen by, larger is better: PSNR, or in stage two the judge's distance; None where not measured."""
    if not config.adversarial:
        return cast("float | None", quality.get("psnr_y"))
    distance = quality.get("feature_distance")
    return None if distance is None else -cast(float, distance)


def best_so_far(out: Path, config: TrainConfig, first: int, rank: int) -> float:
    """The best score of the validations up to step `first`; those after it will be made again, so their lines are taken out."""
    curve = out / "validation.jsonl"
    if rank or not curve.exists():
        return -math.inf
    rows = [row for row in map(json.loads, curve.read_text(encoding="utf-8").splitlines()) if row["step"] <= first]
    write_atomic(curve, "".join(json.dumps(row) + "\n" for row in rows).encode())
    return max((value for row in rows if (value := score(config, row)) is not None), default=-math.inf)


def keep_model(out: Path, net: AnyGenerator, config: TrainConfig, step: int, quality: Quality | None, best: float) -> float:
    """Write `model.safetensors`, and `best.safetensors` where this is the best yet; returns the best score."""
    write_model(out / "model.safetensors", net, config, step)
    value = score(config, asdict(quality)) if quality is not None else None
    if value is None or value <= best:
        return best
    write_model(out / "best.safetensors", net, config, step)
    return value


def write_model(path: Path, net: AnyGenerator, config: TrainConfig, step: int) -> None:
    """The plain network under the field's key names, float32, with its recipe and step in the metadata."""
    state = {name: tensor.detach().cpu().contiguous().numpy() for name, tensor in net.merged_state_dict().items()}
    write_safetensors(path, state, {"recipe": config.recipe, "step": str(step), "scale": str(config.scale)})


def append_validation(out: Path, step: int, quality: Quality | None, terms: Mapping[str, float]) -> None:
    """One line of `validation.jsonl`: the step, all figures, the loss and the time."""
    if quality is None:
        return
    row = {"step": step, **asdict(quality), "loss": terms["total"], "losses": dict(terms), "time": time.time()}
    with (out / "validation.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")


def sweep_from_parent(
    out: Path, config: TrainConfig, parent: Parent, team: Team, pairs: list[Pair], judge: Judge, ranks: Ranks, say: Say
) -> None:
    """After a GAN run that had a parent: the networks between the two, measured and drawn."""
    if parent.state is None or not config.adversarial or judge.distance is None or not pairs:
        return
    say("measuring the networks between the parent and the result")
    merged = averaged_net(team.net, team.ema).merged_state_dict()
    sweep(
        lambda: build_generator(config), parent.state, merged, pairs, judge.distance,
        out=out, scale=config.scale, niqe=judge.niqe, ranks=ranks,
    )  # fmt: skip


def generator_of(device: torch.device, *numbers: int) -> torch.Generator:
    """A generator whose draws are a function of `numbers` alone: nothing of it has to be saved."""
    return torch.Generator(device).manual_seed(int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> 1))
