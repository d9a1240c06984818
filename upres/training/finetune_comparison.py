"""Whether fine-tuning helped: the trained network against its parent, on the pictures that were set aside."""

from __future__ import annotations

# pyright: reportUnknownMemberType=false
import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from upres.errors import DataError, ModelError, UsageError
from upres.models.load import LoadedModel
from upres.system.files import write_atomic
from upres.training.config import TrainConfig
from upres.training.data.images import Pair, convert, find_pictures, read_levels
from upres.training.distributed.ranks import Ranks
from upres.training.finetune import LEAST_HELD_OUT
from upres.training.monitoring.validation import PerceptualMetric, enlarge, measure
from upres.training.networks.generators import build_generator
from upres.training.pretrained import open_perceptual_metric
from upres.training.verdict import Finding, finding_of
from upres.weights.read import read_weights, write_safetensors

Say = Callable[[str], None]


def open_judge(config: TrainConfig, features: Path | None, ranks: Ranks, say: Say) -> PerceptualMetric:
    """What an adversarial fine-tuning is judged by, before it begins; nothing for one on pixels.

    Raises `ModelError` if the judge is not to be had: without one nothing could be said in the end.
    """
    if not config.adversarial:
        return PerceptualMetric()
    if not config.judge or config.judge == config.features:
        raise UsageError(f"`judge` must be a feature network other than that of the loss, got {config.judge or 'none'}")
    told: list[str] = []
    found = open_perceptual_metric(replace(config, niqe=False), features, ranks, told.append)
    if found.distance is None:
        raise ModelError(f"{'; '.join(told)}: give `features`, the folder with {config.judge}")
    for words in told:
        say(words)
    return found


def compare(
    model: LoadedModel,
    config: TrainConfig,
    out: Path,
    ranks: Ranks,
    judge: PerceptualMetric = PerceptualMetric(),  # noqa: B008  # frozen
) -> list[Finding]:
    """The trained network against its parent on each picture set aside, as they would be saved: what decides first.

    By PSNR (Y); with a judge by its distance, then PSNR.
    """
    states = [
        {name: torch.from_numpy(np.array(array)) for name, array in state.items()}
        for state in (model.state_dict(), read_weights(out / "run" / "model.safetensors"))
    ]
    nets = [_network(config, state, ranks) for state in states]
    differences: dict[str, float] = {}
    nearer: dict[str, float] = {}
    for path in find_pictures(out / "held_out" / "hr"):
        hr, lr = (
            convert(read_levels(one), config.channels or 3, 16 if config.bits == 16 else 8)
            for one in (path, out / "held_out" / "lr" / path.name)
        )
        pair = Pair(path.name, hr, lr)
        before, after = (
            measure(enlarge(net, pair.stored_lr), pair, scale=config.scale, metric=judge, device=ranks.device)
            for net in nets
        )
        if math.isfinite(before.psnr_y) and math.isfinite(after.psnr_y):
            differences[path.name] = after.psnr_y - before.psnr_y
            if before.feature_distance is not None and after.feature_distance is not None:
                nearer[path.name] = before.feature_distance - after.feature_distance
    if len(differences) < LEAST_HELD_OUT:
        raise DataError(f"{len(differences)} pictures in {out / 'held_out'} can be measured, at least 3 are needed")
    title = judge.name.partition(", sha256")[0]
    return ([finding_of(nearer, title)] if nearer else []) + [finding_of(differences)]


def sentence(findings: Sequence[Finding]) -> str:
    """What the comparison says, and where two measures disagree, that."""
    first, *others = findings
    words = "".join(f"; {other.figures}" for other in others)
    if others and first.verdict == "helped" and others[0].verdict == "did not help":
        words += ". Nearer to photographs by that measure, further from the originals by pixels: look at both"
    return f"{first}{words}"


def _network(config: TrainConfig, state: Mapping[str, Tensor], ranks: Ranks) -> torch.nn.Module:
    net = build_generator(config).to(ranks.device)
    net.load_plain({name: tensor.to(ranks.device) for name, tensor in state.items()})
    return net


def keep(model: LoadedModel, findings: Sequence[Finding], out: Path) -> Path:
    """Write `out/model.safetensors`, the trained network if it helped and else the parent, and `out/finetune.json`."""
    finding, pixels = findings[0], findings[-1]
    target = out / "model.safetensors"
    trained = out / "run" / "model.safetensors"
    state = read_weights(trained) if finding.verdict == "helped" else model.state_dict()
    write_safetensors(target, dict(state), {"finetuned_from": model.name, "verdict": finding.verdict})
    report = {
        "parent": model.name, "verdict": finding.verdict, "psnr_y_db": pixels.mean_db,
        "interval_95_db": [pixels.low_db, pixels.high_db], "differences_db": dict(pixels.differences_db),
        "time": time.time(),
    }  # fmt: skip
    if finding is not pixels:  # how far the distance fell
        interval, each = [finding.low_db, finding.high_db], dict(finding.differences_db)
        report |= {"judge": finding.measure, "nearer": finding.mean_db, "interval_95": interval, "nearer_each": each}
    write_atomic(out / "finetune.json", json.dumps(report, indent=2).encode())
    return target
