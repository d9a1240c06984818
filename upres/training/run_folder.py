"""The folder of a run: checking that it can be started or resumed, and everything written there besides checkpoints."""

from __future__ import annotations

# pyright: reportUnknownMemberType=false
import json
import math
import time
from collections.abc import Collection, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from safetensors.numpy import save as save_tensors
from torch import Tensor

from upres.errors import DataError, EngineError
from upres.system.files import output_error, write_atomic
from upres.training.checkpoint import (
    Checkpoint,
    checkpoint_path,
    drop_after,
    latest_checkpoint,
    list_checkpoints,
    read_checkpoint,
    save_checkpoint,
)
from upres.training.config import TrainConfig, plain_config
from upres.training.distributed.ranks import Ranks
from upres.training.monitoring.curves import CURVE, read_validations
from upres.training.monitoring.stability import StabilityGuard, Verdict
from upres.training.monitoring.sweep import sweep
from upres.training.monitoring.validation import Quality
from upres.training.networks.generators import AnyGenerator
from upres.training.networks.own import OwnGenerator
from upres.training.plan import RunPlan
from upres.training.pretrained import Parent
from upres.training.resume import halves_of
from upres.training.run import Run
from upres.training.run_file import RUN_FILE, file_of
from upres.training.run_file_text import run_text
from upres.training.state import TrainState, averaged_net, pack, unpack
from upres.weights.read import write_safetensors

STEP_MODELS = "models"  # where `upres.evaluation.open_models` looks for the networks of steps


def refuse_present_run(out: Path) -> None:
    """Raises `DataError` if `out` holds a run."""
    if list_checkpoints(out / "checkpoints"):
        raise DataError(f"{out} already holds a run: use `resume=True` to continue it, or choose another `out`")


def check_folder(out: Path, resume: bool) -> Checkpoint | None:
    """The checkpoint to continue from, None for a new run. Raises `DataError` if a run would be overwritten."""
    if not resume:
        refuse_present_run(out)
    return latest_checkpoint(out / "checkpoints") if resume else None


def make_folder(plan: RunPlan, facts: Mapping[str, object]) -> None:
    """Create the run's folder, `config.json` and `run.toml`, and remove partial files of a killed writer.

    Raises `OutputError`.
    """
    out, config = plan.out, plan.config
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise output_error(out, error) from error
    for half in (*out.glob(".*.partial"), *(out / "checkpoints").glob(".*.partial")):
        half.unlink(missing_ok=True)
    write_atomic(out / "config.json", json.dumps(plain_config(config), indent=2).encode())
    head = ["What this folder was trained with: all that is needed to continue the run, or to repeat it."]
    head += [f"Until step {half['until']}: {half['run']}, with other settings or data." for half in halves_of(facts)]
    write_atomic(out / RUN_FILE, run_text(file_of(plan), config, comments=False, head=head).encode())


def check_same_on_all(facts: Mapping[str, object], ranks: Ranks) -> None:
    """Raises `DataError` on every rank if the ranks' pictures, files or settings differ: they would train different
    networks.
    """
    others = ranks.gather(dict(facts))
    for key in facts:
        if any(other[key] != others[0][key] for other in others):
            listed = "; ".join(f"process {rank}: {other[key]}" for rank, other in enumerate(others))
            raise DataError(f"the processes disagree on {key} ({listed}): give all of them the same files")


def check_finite(run: Run, told: Mapping[str, Tensor], step: int, lr: Tensor, hr: Tensor) -> dict[str, float]:
    """The values of a step, averaged over the ranks, checked before any weight changes.

    If one is not finite, saves the batch as `not_finite_step_N.safetensors` (lr, hr) and raises `EngineError`, on every
    rank.
    """
    config, ranks, out = run.config, run.ranks, run.folder
    stacked = ranks.mean_over_ranks(torch.stack([value.detach().float() for value in told.values()]))
    values = dict(zip(told, cast("list[float]", stacked.tolist()), strict=True))
    bad = [name for name, value in values.items() if not math.isfinite(value)]
    if not bad:
        return values
    suffix = f"_rank_{ranks.rank}" if ranks.count > 1 else ""
    path = out / f"not_finite_step_{step + 1}{suffix}.safetensors"
    arrays = {
        name: np.ascontiguousarray(batch.detach().float().cpu().numpy()) for name, batch in (("lr", lr), ("hr", hr))
    }
    write_atomic(path, save_tensors(arrays, metadata={"step": str(step + 1), "not finite": ", ".join(bad)}))
    saved = list_checkpoints(out / "checkpoints")
    kept = f"The newest checkpoint is {saved[-1].name}" if saved else "No checkpoint was written yet"
    clip = "" if math.isinf(config.clip_norm) else f" or clip_norm (now {config.clip_norm:g})"
    raise EngineError(
        f"step {step + 1}: {bad[0]} is {values[bad[0]]}; the weights are unchanged. {kept}, the batch is in {path}: "
        f"start again with a lower learning_rate (now {config.learning_rate:g}){clip}, or in float32"
    )


def score(config: TrainConfig, quality: Mapping[str, Any]) -> float | None:
    """What selects `best.safetensors`, higher is better: PSNR, or in stage two minus the perceptual distance; None if
    not measured.
    """
    if not config.adversarial:
        return cast("float | None", quality.get("psnr_y"))
    distance = quality.get("feature_distance")
    return None if distance is None else -cast(float, distance)


def best_so_far(run: Run, first: int) -> float:
    """The best score up to step `first` by the same metric; removes the lines of later validations, which will be
    repeated.
    """
    curve = run.folder / CURVE
    if not curve.is_file():
        return -math.inf
    rows = [row for row in read_validations(run.folder, may_be_empty=True) if row["step"] <= first]
    write_atomic(curve, "".join(json.dumps(row) + "\n" for row in rows).encode())
    name = run.metric.name
    comparable = [row for row in rows if not run.config.adversarial or row.get("judge", name) == name]
    return max((value for row in comparable if (value := score(run.config, row)) is not None), default=-math.inf)


def keep_model(run: Run, net: AnyGenerator, step: int, quality: Quality | None, best: float) -> float:
    """Write `model.safetensors`, and `best.safetensors` if this is the best yet; returns the best score."""
    write_model(run.folder / "model.safetensors", net, run.config, step)
    value = score(run.config, asdict(quality)) if quality is not None else None
    if value is None or value <= best:
        return best
    write_model(run.folder / "best.safetensors", net, run.config, step)
    return value


def save_step(run: Run, state: TrainState, step: int, facts: Mapping[str, object], pinned: Collection[int]) -> None:
    """Save the checkpoint of `step` and the network beside it. All ranks call it: what is divided must be gathered."""
    if run.ranks.rank > 0 and state.whole_net is None:
        return
    tensors, net = pack(state), averaged_net(state)
    if run.ranks.rank == 0:
        now = Checkpoint(step, tensors, facts)
        save_checkpoint(run.folder / "checkpoints", now, keep=run.config.keep_checkpoints, pinned=pinned)
        keep_step_model(run, net, step)


def keep_step_model(run: Run, net: AnyGenerator, step: int) -> None:
    """Write the averaged network beside the checkpoint of `step`, and remove those whose checkpoint is gone: they are
    the points of a curve, `upres evaluate -n 'RUN@*'`.
    """
    folder = run.folder / STEP_MODELS
    folder.mkdir(exist_ok=True)
    write_model(folder / checkpoint_path(folder, step).name, net, run.config, step)
    kept = {path.name for path in list_checkpoints(run.folder / "checkpoints")}
    for path in list_checkpoints(folder):
        if path.name not in kept:
            path.unlink(missing_ok=True)


def write_model(path: Path, net: AnyGenerator, config: TrainConfig, step: int) -> None:
    """Write the plain network, float32, under its customary key names; recipe, step and scale go into the metadata."""
    state = {name: tensor.detach().cpu().contiguous().numpy() for name, tensor in net.merged_state_dict().items()}
    write_safetensors(path, state, {"recipe": config.recipe, "step": str(step), "scale": str(config.scale)})


def append_validation(
    run: Run,
    step: int,
    quality: Quality | None,
    terms: Mapping[str, float],
    verdict: Verdict,
    stability: StabilityGuard,
) -> None:
    """Append one line to `validation.jsonl`: step, scores, losses, the guard's verdict and the time."""
    if quality is None:
        return
    # JSON has no infinity
    figures = {key: None if value == math.inf else value for key, value in asdict(quality).items()}
    row = {
        "step": step,
        **figures,
        "judge": run.metric.name,
        "loss": terms["total"],
        "losses": dict(terms),
        "time": time.time(),
    }
    row |= {"guard": verdict.words, "means": verdict.means, "went_back": stability.memory.went_back}
    with (run.folder / CURVE).open("a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")


def go_back(run: Run, state: TrainState, stability: StabilityGuard, step: int, to: int) -> float | None:
    """Return from step `step` to the checkpoint of step `to`; returns the best score up to there.

    Deletes later checkpoints and validations; the caller then saves checkpoint `to` again with the guard's new state. A
    run killed before that reaches the same validation and goes back again. Returns None, and says so, if the checkpoint
    cannot be read.
    """
    folder = run.folder / "checkpoints"
    path = checkpoint_path(folder, to)
    good, reason = None, ""
    try:
        good = read_checkpoint(path)
    except (DataError, OSError) as error:
        reason = str(error)
    if run.ranks.any(good is None):
        run.say(
            f"guard: the good checkpoint {path} cannot be read{f' ({reason})' if reason else ''}: training continues "
            f"at step {step}"
        )
        return None
    assert good is not None
    for optimizer in filter(None, (state.optimizer, state.discriminator_optimizer)):
        optimizer.state.clear()
    unpack(good.tensors, state)
    stability.goes_back(good.facts, step, to)
    if run.ranks.rank > 0:
        return -math.inf
    drop_after(folder, to)
    return best_so_far(run, to)


def sweep_from_parent(run: Run, parent: Parent, state: TrainState) -> None:
    """After a GAN run with a parent: measure and plot interpolations between the parent and the result."""
    if parent.state is None or not run.config.adversarial or run.metric.distance is None or not run.held_out:
        return
    if isinstance(state.net, OwnGenerator) and state.net.description is None:
        return  # a network that no graph expresses cannot be blended
    run.say("measuring interpolations between the parent and the result")
    sweep(run, parent.state, averaged_net(state).merged_state_dict())


def generator_of(device: torch.device, *numbers: int) -> torch.Generator:
    """A generator seeded by `numbers` alone, so that its state need not be saved."""
    return torch.Generator(device).manual_seed(
        int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> 1)
    )
