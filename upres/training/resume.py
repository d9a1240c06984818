"""Continuing a run: bit for bit with the same settings and number of processes, or as a branch with others.

What may change on resuming is what leaves every step so far as it was, so that the run is still the one that would have
been trained from the beginning. Everything else is a branch: a run of its own, which records what was before it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from upres.errors import DataError
from upres.system.structs import convert
from upres.training.checkpoint import Checkpoint, latest_checkpoint, save_checkpoint
from upres.training.config import FREE_FIELDS, TrainConfig, plain_config
from upres.training.config_changes import check_share
from upres.training.distributed.ranks import Ranks
from upres.training.references import is_own, without_folder
from upres.training.state import build_state, schedule_factor, unpack
from upres.training.teacher import share_at

# Settings that decide the steps to come, and those of the past only through the functions that `_same_past` compares.
SCHEDULE_FIELDS = (
    "steps", "schedule", "cycles", "milestones", "decay_fraction", "final_learning_rate", "warmup_steps",
    "final_fraction", "teacher_ramp_steps",
)  # fmt: skip
_OPTIONS = {
    "features": "`features`", "init": "`init`", "degradation": "degradation recipe",
    "winograd": "convolution algorithm", "guard": "`guard`", "teacher": "`teacher`", "code": "code of its own",
}  # fmt: skip
_NORMALIZED = "; batch normalization of srresnet is that of each process, so its statistics change"
_REMEDY = "resume with the same, or choose another `out`; with `branch=True` a new run goes on from its checkpoint"


def check_same_run(start: Checkpoint, facts: Mapping[str, object], out: Path) -> None:
    """Raises `DataError` if the run to resume has another past: settings, pictures or files.

    A checkpoint that `branch` made may continue with any of these, once.
    """
    if start.facts.get("fork") == start.step:
        return
    before = cast("dict[str, Any]", start.facts["config"])
    now = cast("dict[str, Any]", facts["config"])
    # settings that are newer than the run had their defaults
    before = plain_config(TrainConfig(recipe="", scale=1)) | before
    newer = sorted(before.keys() - now.keys())
    if newer:
        raise DataError(
            f"{out} was started by a newer version of upres, which had the setting {newer[0]}: upgrade upres to "
            "continue the run"
        )
    # runs of versions that did not resolve these from the data
    undecided = [key for key in ("channels", "bits") if not before[key]]
    # the content of the degradation recipe, and of one's own code, is compared below
    free = (*FREE_FIELDS, *undecided, "degradation")
    free += ("sharded",)  # where weights are held; equal up to rounding
    free += () if batch_wide(now) else ("accumulate",)  # it changes the order of sums alone
    changed = sorted(key for key in now if key not in free and _same_code(before[key]) != _same_code(now[key]))
    if changed and not (set(changed) <= set(SCHEDULE_FIELDS) and _same_past(before, now, start.step)):
        words = ", ".join(f"{key} was {before[key]!r} and is {now[key]!r}" for key in changed)
        raise DataError(f"{out} was started with another configuration ({words}): {_REMEDY}")
    if start.facts["data"] != facts["data"]:
        raise DataError(
            f"{out} was started with other pictures than `data` holds now: resume with the same files, or with "
            "`branch=True` as a new run from its checkpoint"
        )
    for key, option in _OPTIONS.items():
        if (start.facts.get(key) or None) != (facts.get(key) or None):
            raise DataError(
                f"{out} was started with another {option} ({start.facts.get(key) or 'none'}, now "
                f"{facts.get(key) or 'none'}): {_REMEDY}"
            )


def batch_wide(config: Mapping[str, Any]) -> bool:
    """Whether samples of one micro-batch meet in a statistic or a mean, so that its size and samples matter."""
    meet = config["gan_loss"] == "relativistic" or config["discriminator"] not in ("unet", "attention", "patch")
    return config["network"] == "srresnet" or is_own(config["network"]) or (config["gan_weight"] > 0.0 and meet)


def fit_accumulate(
    config: TrainConfig, start: Checkpoint | None, processes: int, say: Callable[[str], None]
) -> tuple[TrainConfig, int]:
    """`config` for this number of processes, and the most samples of a micro-batch of one process.

    The batch of a step is the same whatever their number. A run that goes on with fewer processes gets more
    micro-batches, so that none is larger than before, unless its samples meet (`batch_wide`): then the micro-batches of
    all processes together stay as they were. Raises `UsageError` where the batch cannot be divided.
    """
    facts: Mapping[str, object] = {}
    if start is not None and start.facts.get("fork") != start.step:
        facts = start.facts
    before = cast("dict[str, Any]", facts.get("config") or {})
    if not facts or before.get("accumulate", 1) != config.accumulate:
        check_share(config, processes)
        return config, config.batch // (processes * config.accumulate)
    then = cast("int", facts.get("processes") or 1)
    most = cast("int", facts.get("micro") or config.batch // (then * config.accumulate))
    fitted = config
    if batch_wide(plain_config(config)):
        check_share(config, processes)
    else:
        check_share(replace(config, accumulate=1), processes)
        share = config.batch // processes
        fitted = replace(
            config, accumulate=next(n for n in range(1, share + 1) if share % n == 0 and share // n <= most)
        )
    if then != processes:
        parts = f" in {fitted.accumulate} micro-batches each" if fitted.accumulate > 1 else ""
        say(
            f"saved by {then} process{'es' if then > 1 else ''}, goes on with {processes}{parts}: the same samples in "
            "the same batches, summed in another order, so equal up to rounding, not to the bit"
            + _NORMALIZED
            * (config.network == "srresnet")
        )
    return fitted, most


def _same_code(value: object) -> object:
    """Code of one's own may lie in another folder: its content is compared."""
    if isinstance(value, list):
        return [_same_code(item) for item in cast("list[object]", value)]
    return without_folder(value) if isinstance(value, str) else value


def _same_past(before: Mapping[str, Any], now: Mapping[str, Any], step: int) -> bool:
    """Whether the first `step` steps are the same under both: rates, loss, the teacher's share."""
    one, two = (
        convert(dict(values) | {"clip_norm": 1.0, "discriminator_clip_norm": 1.0}, TrainConfig, "checkpoint")
        for values in (before, now)
    )

    def at(config: TrainConfig, number: int) -> tuple[float, bool, float]:
        final = number >= (1.0 - config.final_fraction) * config.steps
        return schedule_factor(config, number), final and config.final_loss != config.loss, share_at(config, number)

    return all(at(one, number) == at(two, number) for number in range(step))


def halves_of(facts: Mapping[str, object]) -> list[dict[str, Any]]:
    """What was before a branch, oldest first: `run`, `until` (its step) and the facts it was trained with."""
    return list(cast("list[dict[str, Any]]", facts.get("halves") or ()))


def branch(run: Path, out: Path, config: TrainConfig) -> int:
    """Begin a run in `out` from the newest checkpoint of `run`, which stays as it is; returns the step.

    The new run may have other settings and data. Its checkpoints and `run.toml` tell what was before. Raises
    `DataError` if there is no checkpoint, or one of other networks than `config` has; then nothing is written.
    """
    start = latest_checkpoint(run / "checkpoints")
    if start is None:
        raise DataError(f"{run} holds no checkpoint to branch from")
    unpack(start.tensors, build_state(config, Ranks()))
    own = {key: value for key, value in start.facts.items() if key not in ("halves", "fork")}
    halves = [*halves_of(start.facts), {"run": str(run.absolute()), "until": start.step, **own}]
    facts = {**own, "halves": halves, "fork": start.step}
    save_checkpoint(out / "checkpoints", Checkpoint(start.step, start.tensors, facts), keep=1)
    return start.step
