"""Fine-tuning that proves itself: trains a model further on pictures of one's own, sets some of them aside, and
compares the result with its parent on these, picture by picture.

The comparison is fair: the pictures set aside are never trained on and choose nothing, neither the length of the run
nor one of its checkpoints.
"""

from __future__ import annotations

# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false, reportUnknownVariableType=false
import math
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np

from upres.errors import DataError, InputError, ModelError, UsageError
from upres.graph.architectures import canonical
from upres.images.io import Picture, read_header, write_picture
from upres.models.load import LoadedModel
from upres.system.files import output_error
from upres.training.config import TrainConfig
from upres.training.config_changes import check_config
from upres.training.data.align import align
from upres.training.data.images import Levels, Pair, center, find_pictures, make_pair, read_levels
from upres.training.data.pairs import center_pair, find_partners
from upres.training.data.roots import Root
from upres.training.distributed.ranks import Ranks
from upres.training.plan import Launch, PretrainedFiles, RunPlan
from upres.training.recipes import compact_gan_x4

MOST_HELD_OUT, LEAST_HELD_OUT = 20, 3
_LEAST_PICTURES = 6
_JUDGED_PX = 1024  # most HR pixels a side of a picture that is set aside: its center
_SHARE = 0.85  # of the time that is trained for; the rest is for validation and what is misjudged
_LEAST_STEPS, _MOST_STEPS = 20, 200_000
_ADVERSARIAL = (
    "pixel_weight", "feature_weight", "features", "gan_weight", "gan_loss", "consistency_weight", "lattice_weight",
    "discriminator", "discriminator_width", "judge",
)  # fmt: skip
Say = Callable[[str], None]


def shape_of(model: LoadedModel) -> dict[str, object]:
    """The settings of the trainable network that this model is. Raises `ModelError` for one that is not trainable."""
    state, graph = canonical(model.state_dict()), model.graph
    shape: dict[str, object] = {"scale": graph.scale, "channels": graph.in_channels}
    if graph.family == "compact":
        convolutions = sum(array.ndim == 4 for array in state.values())
        return shape | {"network": "compact", "width": state["body.0.weight"].shape[0], "depth": convolutions - 2}
    if graph.family == "residual":
        inner = sum(name.startswith("groups.") and name.endswith(".weight") for name in state)
        return shape | {"network": "residual", "width": state["head.weight"].shape[0], "depth": inner}
    if graph.family == "rrdb":
        blocks = {name.split(".")[1] for name in state if name.startswith("body.")}
        width, growth = state["conv_first.weight"].shape[0], state["body.0.rdb1.conv1.weight"].shape[0]
        return shape | {"network": "rrdb", "width": width, "growth": growth, "depth": len(blocks)}
    raise ModelError(
        f"model {model.name} is of the family {graph.family}, expected compact, residual or rrdb: upres cannot train it"
    )


def config_for(model: LoadedModel, patch_px: int, *, gan: bool = False) -> TrainConfig:
    """The defaults: L1, plain convolutions, a rate that decays from the first step on.

    gan: the losses and the discriminator of compact-gan-x4 instead of L1, at half the rates, and its judge.
    """
    shape = shape_of(model)
    rate = 1e-4 if shape["network"] == "rrdb" else 2e-4
    values: dict[str, object] = {
        "recipe": "finetune", "source": "docs/finetune.md", "branched": False, "batch": 8, "patch_px": patch_px,
        "hr_scales": (1.0,), "learning_rate": rate, "final_learning_rate": 1e-6, "warmup_steps": 10, "schedule": "wsd",
        "decay_fraction": 1.0, "ema_decay": 0.99, "clip_norm": 0.1, "precision": "auto",
    }  # fmt: skip
    if gan:
        values |= {key: getattr(compact_gan_x4(), key) for key in _ADVERSARIAL}
        rates = {"learning_rate": rate / 2, "discriminator_learning_rate": 2.5e-4}
        values |= {**rates, "warmup_steps": 20, "clip_norm": 1.0}
    config = TrainConfig(**(values | shape))  # pyright: ignore[reportArgumentType]
    check_config(config)
    return config


def set_aside(hr: Path, lr: Path | None, out: Path, scale: int, say: Say) -> int:
    """Sort the pictures of `hr` (and `lr`) into `out/train` and `out/held_out`; returns the side of fitting LR patches.

    A run of names in the middle is set aside, a fifth of all and at most 20, since neighbors are often alike. Pairs are
    registered; those that do not fit are left out and named. Raises `DataError` if too few remain.
    """
    files: list[tuple[Path, Path | None]]
    if lr is None:
        files = [(path, None) for path in find_pictures(hr)]
    else:
        found, notes = find_partners(hr, lr, scale)
        files = list(found)
        for note in notes:
            say(note)
    if len(files) < _LEAST_PICTURES:
        raise DataError(
            f"{hr} holds {len(files)} pictures: fine-tuning needs at least {_LEAST_PICTURES}, {LEAST_HELD_OUT} of them "
            "set aside to judge by"
        )
    count = max(LEAST_HELD_OUT, min(MOST_HELD_OUT, len(files) // 5))
    first = (len(files) - count) // 2
    kept, sides, shifts = [0, 0], list[int](), list[float]()
    for number, (high, low) in enumerate(files):
        judged = first <= number < first + count
        folder = out / ("held_out" if judged else "train")
        name = f"{number:05d}_{high.stem}"
        try:
            if low is None and not judged:
                header = read_header(high)
                _link(high, folder / "hr" / f"{name}{high.suffix.lower()}")
                sides.append(min(header.height, header.width) // scale)
            else:
                pair, shift = _pair(high, low, scale)
                shifts.append(shift)
                pair = center_pair(pair, _JUDGED_PX, scale) if judged else pair
                _write(pair.hr, folder / "hr" / f"{name}.png")
                _write(pair.stored_lr, folder / "lr" / f"{name}.png")
                sides.append(min(pair.stored_lr.shape[:2]))
        except InputError as error:
            say(f"left out: {error}")
            continue
        kept[judged] += 1
    if kept[0] < LEAST_HELD_OUT or kept[1] < LEAST_HELD_OUT:
        raise DataError(f"{kept[0]} pictures of {hr} can be trained on and {kept[1]} judged by: at least 3 of each")
    if lr is not None:
        say(f"pairs registered: LR was {np.mean(shifts):.2f} LR pixels off on average, {max(shifts):.2f} at most")
    say(f"{kept[0]} pictures to train on, {kept[1]} set aside in {out / 'held_out'}")
    return int(np.clip(np.median(sides), 8, 48))


def _pair(high: Path, low: Path | None, scale: int) -> tuple[Pair, float]:
    hr = read_levels(high)
    if low is None:
        return make_pair(high.name, center(hr, _JUDGED_PX), scale), 0.0
    lr = read_levels(low)
    height, width = hr.shape[0] // scale, hr.shape[1] // scale
    if hr.shape[2] != lr.shape[2] or hr.dtype != lr.dtype:
        raise InputError(f"{high.name} and its LR have other channels or another bit depth")
    hr, lr = hr[: height * scale, : width * scale], lr[:height, :width]
    found = align(hr, lr, scale, high.name)
    return Pair(high.name, found.hr, found.lr), math.hypot(*found.shift_px)


def _write(levels: Levels, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    depth = 16 if levels.dtype == np.uint16 else 8
    pixels = levels.astype(np.float32) / np.float32(np.iinfo(levels.dtype).max)
    write_picture(Picture(pixels, depth=depth), path)


def _link(source: Path, target: Path) -> None:
    """The same file under another name, copied where the disk does not allow that."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.unlink(missing_ok=True)
        try:
            os.link(source.resolve(), target)
        except OSError:
            shutil.copyfile(source, target)
    except OSError as error:
        raise output_error(target, error) from error


def steps_within(minutes: float, step_s: float) -> int:
    """The steps that fit into `minutes`, with time left for the rest. Raises `UsageError` if hardly any do."""
    steps = int(_SHARE * 60.0 * minutes / step_s)
    if steps < _LEAST_STEPS:
        raise UsageError(
            f"`minutes={minutes:g}` is enough for {steps} steps of {step_s:.1f} s, too few to learn from: give at "
            f"least {math.ceil(_LEAST_STEPS * step_s / 60.0 / _SHARE)}"
        )
    return min(steps, _MOST_STEPS)


def plan_for(
    model: str, config: TrainConfig, out: Path, device: str, *, paired: bool, features: Path | None = None
) -> RunPlan:
    """The run of the fine-tuning, in `out/run`."""
    roots = Root(out / "train" / "hr", out / "train" / "lr" if paired else None)
    shown = Root(out / "held_out" / "hr", out / "held_out" / "lr")
    sources = PretrainedFiles(init=model, features=features)
    return RunPlan(config, (roots,), out / "run", validation=(shown,), sources=sources, launch=Launch(device))


def finish_early(plan: RunPlan, ranks: Ranks) -> None:
    """Write the averaged network of the newest checkpoint as the run's model."""
    from upres.training.checkpoint import latest_checkpoint
    from upres.training.run_folder import write_model
    from upres.training.state import averaged_net, build_state, unpack

    checkpoint = latest_checkpoint(plan.out / "checkpoints")
    if checkpoint is None:
        raise DataError(f"no step was finished in the time given: give more `minutes`, or remove {plan.out}")
    state = build_state(plan.config, ranks)
    unpack(checkpoint.tensors, state)
    net = averaged_net(state)
    write_model(plan.out / "model.safetensors", net, plan.config, checkpoint.step)


def adversarial(model: LoadedModel) -> str:
    """Why a model is taken for one that was trained against a discriminator; "" if nothing says so."""
    from upres.models.catalog import find

    known = find(model.name)
    words = f"{model.name} {known.purpose if known is not None else ''}".lower()
    sign = next((sign for sign in ("gan", "adversarial", "wild") if sign in words), "")
    return f"its name or purpose says {sign!r}" if sign else ""
