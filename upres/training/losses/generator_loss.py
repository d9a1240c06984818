"""The terms of the generator's loss, and the sums of micro-batches."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor, nn

from upres.errors import UsageError
from upres.training.config import TrainConfig
from upres.training.losses import formulas, structure
from upres.training.losses.formulas import LOSSES
from upres.training.own_code import call_own, load_own
from upres.training.references import is_own, parse_term, split_reference
from upres.training.run import Run
from upres.training.state import TrainState


def generator_terms(run: Run, state: TrainState, sr: Tensor, lr: Tensor, hr: Tensor, step: int) -> dict[str, Tensor]:
    """The weighted terms of the generator's loss without the adversarial one; terms of weight 0 are not computed."""
    config = run.config
    terms: dict[str, Tensor] = {}
    if config.pixel_weight:
        name = config.final_loss if step >= (1.0 - config.final_fraction) * config.steps else config.loss
        terms["pixel"] = config.pixel_weight * (own_term(name, sr, hr, lr) if is_own(name) else LOSSES[name](sr, hr))
    if config.feature_weight:
        with run.clock("features"):
            terms["features"] = config.feature_weight * run.features.distance(sr, hr)
    if config.artefact_weight:
        with torch.no_grad(), autocast(config, lr):
            steady = torch.func.functional_call(state.net, state.ema, lr)
        terms["artefact"] = config.artefact_weight * formulas.artifact(sr, hr, widened(steady))
    if config.frequency_weight:
        terms["frequency"] = config.frequency_weight * formulas.frequency(sr, hr)
    if config.consistency_weight:
        terms["consistency"] = config.consistency_weight * formulas.lr_consistency(sr, lr, config.scale)
    if config.lattice_weight:
        terms["lattice"] = config.lattice_weight * formulas.lattice(sr, hr, config.scale)
    if config.structure_weight:
        terms["structure"] = config.structure_weight * structure.ms_ssim_loss(sr, hr)
    if config.wavelet_weight:
        terms["wavelet"] = config.wavelet_weight * structure.wavelet(sr, hr)
    if config.color_weight:
        terms["color"] = config.color_weight * structure.color(sr, hr, config.scale)
    for term in config.own_terms:
        reference, weight = parse_term(term)
        terms[split_reference(reference)[1]] = weight * own_term(reference, sr, hr, lr)
    return terms


def own_term(reference: str, sr: Tensor, hr: Tensor, lr: Tensor) -> Tensor:
    """A loss of one's own, a function of those of `sr`, `hr` and `lr` that it names, or a module without weights.

    Raises `UsageError` if it does not return a scalar that depends on `sr`.
    """
    loss = load_own(reference)
    if isinstance(loss, type):
        loss = call_own(loss, {}, reference)
        if isinstance(loss, nn.Module):
            loss = loss.to(sr.device).forward
    value = call_own(loss, {"sr": sr, "hr": hr, "lr": lr}, reference)
    if not isinstance(value, Tensor) or value.numel() != 1:
        found = f"a tensor of shape {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
        raise UsageError(f"{reference} must return a tensor of one number, got {found}")
    if not value.requires_grad and sr.requires_grad:
        raise UsageError(f"{reference} does not depend on sr: its gradient is lost, as by .detach() or .numpy()")
    return value.reshape(()).float()


def parts(config: TrainConfig, *batches: Tensor) -> list[tuple[Tensor, ...]]:
    """A rank's share, `batches` of equal length, split into `accumulate` micro-batches."""
    return list(zip(*(batch.chunk(config.accumulate) for batch in batches), strict=True))


def stage_of(config: TrainConfig, step: int) -> TrainConfig:
    """`config`, or during the first `pixel_steps` the same with the pixel loss alone."""
    if step >= config.pixel_steps:
        return config
    return replace(
        config,
        feature_weight=0.0,
        gan_weight=0.0,
        artefact_weight=0.0,
        frequency_weight=0.0,
        consistency_weight=0.0,
        lattice_weight=0.0,
        structure_weight=0.0,
        wavelet_weight=0.0,
        color_weight=0.0,
        own_terms=(),
    )


def add_terms(
    told: dict[str, Tensor], terms: Mapping[str, Tensor], count: int, others: Mapping[str, Tensor] | None = None
) -> None:
    """Add a micro-batch's terms, their `total` and `others` to `told`, the means over the `count` micro-batches of a
    step.
    """
    for name, value in {**terms, "total": torch.stack(list(terms.values())).sum(), **(others or {})}.items():
        share = value.detach() / count
        told[name] = told[name] + share if name in told else share


def mean_logit(logits: tuple[Tensor, ...]) -> Tensor:
    """The discriminator's mean output: above 0 it takes its input for a photograph."""
    return torch.stack([x.mean() for x in logits]).mean()


def autocast(config: TrainConfig, like: Tensor) -> torch.autocast:
    """bfloat16 for convolutions, if configured."""
    return torch.autocast(like.device.type, torch.bfloat16, enabled=config.precision == "bfloat16")


def widened(x: Tensor) -> Tensor:
    """bfloat16 to float32: losses are not computed in half precision."""
    return x.float() if x.dtype is torch.bfloat16 else x
