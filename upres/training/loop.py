"""The training loop: pictures in, a plain network out. Stage one trains with `pixel_step`, stage two with `gan_step`.

A run's folder holds `config.json` (the resolved configuration), `checkpoints/`, `tensorboard/`, `crops/`,
`validation.jsonl` and, from the first validation on, `model.safetensors` (the averaged weights, merged into the plain
network) and `best.safetensors` (the best of these: by PSNR in stage one, by the perceptual distance in stage two).
"""

from __future__ import annotations

# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false
import math
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from upres.degradation.apply import load_recipe
from upres.training.batches import draw_of
from upres.training.config import plain_config
from upres.training.data.sampling import degrade_pairs
from upres.training.data.training_set import load_training_set
from upres.training.distributed.ranks import Ranks
from upres.training.losses import formulas
from upres.training.losses.generator_loss import (
    add_terms,
    autocast,
    generator_terms,
    mean_logit,
    parts,
    stage_of,
    widened,
)
from upres.training.memory import check_memory
from upres.training.monitoring.stability import StabilityGuard
from upres.training.monitoring.tensorboard import TrainingMonitor
from upres.training.monitoring.validation import check_pairs, validate
from upres.training.monitoring.weights_and_biases import check_installed
from upres.training.networks.own import OwnGenerator
from upres.training.own_code import identity
from upres.training.plan import RunPlan
from upres.training.pretrained import (
    check_names,
    choose_convolutions,
    choose_precision,
    load_parent,
    open_features,
    open_perceptual_metric,
)
from upres.training.resume import check_same_run, fit_accumulate, halves_of
from upres.training.run import Progress, Run, Say
from upres.training.run_folder import (
    append_validation,
    best_so_far,
    check_finite,
    check_folder,
    check_same_on_all,
    generator_of,
    go_back,
    keep_model,
    make_folder,
    save_step,
    sweep_from_parent,
)
from upres.training.state import (
    TrainState,
    average,
    averaged_net,
    build_state,
    clip_gradients,
    learning_rate_at,
    set_rates,
    unpack,
)
from upres.training.teacher import open_teacher
from upres.training.timing import Stopwatch
from upres.training.winograd.conv import winograd


def train(
    plan: RunPlan,
    *,
    resume: bool = False,
    ranks: Ranks = Ranks(),  # noqa: B008  # frozen
    report: Callable[[Progress], None] | None = None,
    say: Say | None = None,
    should_stop: Callable[[], bool] = lambda: False,
) -> Path:
    """Train as `plan` says; returns the path of the merged plain network.

    plan: configuration, pictures, the run's folder, files to start from. resume: continue from the newest intact
    checkpoint in the folder, bit for bit (same machine and threads; with other ranks up to rounding). ranks: this
    process among those of the run. report: called after every step. say: receives messages, on rank 0. should_stop:
    asked after every step; if true, a checkpoint is saved and KeyboardInterrupt raised.

    Raises `DataError` for unusable data or a run folder of another configuration, `EngineError` for a loss that is not
    finite, `OutputError` for a full disk.
    """
    config, out, sources, guard = plan.config, plan.out, plan.sources, plan.guard
    say = say if say is not None and ranks.rank == 0 else lambda _: None
    check_names(config)
    check_installed(config)
    start = check_folder(out, resume)
    fitted, micro = fit_accumulate(config, start, ranks.count, say)
    if config.threads:
        torch.set_num_threads(max(1, config.threads // ranks.count))

    # Data. The batch of a step is a pure function of (seed, step).
    pictures = load_training_set(config, plan.data, plan.validation, say)
    for words in (*(f"left out: {words}" for words in pictures.left_out), *pictures.notes):
        say(words)
    config = replace(
        config, channels=pictures.channels, bits=pictures.depth, precision=choose_precision(config, ranks.device)
    )
    asked, config = config, replace(config, accumulate=fitted.accumulate)
    recipe = load_recipe(config.degradation) if config.degradation else None
    held_out = degrade_pairs(pictures.validation, recipe, config.scale)
    check_pairs(held_out)
    say(str(pictures))

    # State: networks, averages and optimizers, all of it saved in checkpoints.
    state = build_state(config, ranks)
    if isinstance(state.net, OwnGenerator) and state.net.reason:
        say(f"{config.network} stays with torch, other engines cannot run it: {state.net.reason}")
    features = open_features(config, sources.features, ranks, say)
    metric = open_perceptual_metric(config, sources.features, ranks, say)
    fast = choose_convolutions(config, ranks, say)
    run = Run(config, out, ranks, Stopwatch(ranks.device), features, metric, held_out, say, should_stop)
    check_memory(run, state)
    teacher = open_teacher(sources.teacher, config, ranks.device, say) if sources.teacher is not None else None
    whole = Ranks(device=ranks.device)
    parent = load_parent(
        sources.init, sources.init_discriminator, state, lambda: draw_of(config, pictures, recipe, whole)(0)[0], say
    )
    facts = {
        "config": plain_config(asked), "micro": micro, "data": pictures.fingerprint, "features": features.identity,
        "init": parent.sha256, "degradation": recipe.sha256 if recipe else "", "processes": ranks.count,
        "winograd": fast, "guard": "on" if guard else "", "teacher": teacher.identity if teacher is not None else "",
    } | ({"code": code} if (code := identity(config)) else {})  # fmt: skip
    if start is not None:
        check_same_run(start, facts, out)
        facts |= {"halves": halves} if (halves := halves_of(start.facts)) else {}
        unpack(start.tensors, state)
        say(f"continuing after step {start.step}")
    first = start.step if start is not None else 0
    check_same_on_all({**facts, "step": first}, ranks)
    stability = StabilityGuard(config, guard, start.facts if start is not None else None, say)
    best = -math.inf
    if ranks.rank == 0:
        make_folder(replace(plan, config=asked), facts)
        best = best_so_far(run, first)
    if ranks.any(should_stop()):
        raise KeyboardInterrupt
    if first >= config.steps:
        averaged = averaged_net(state)
        if ranks.rank == 0:
            say(f"all {config.steps} steps are already done")
            keep_model(run, averaged, first, None, best)

    with (
        winograd(fast), ThreadPoolExecutor(1) as pool, ThreadPoolExecutor(max(1, config.workers)) as workers,
        TrainingMonitor(run, first) as monitor,
    ):  # fmt: skip
        draw = draw_of(config, pictures, recipe, ranks, workers.map if config.workers else map, teacher)
        pending = pool.submit(draw, first)
        step = first
        while step < config.steps:
            begun = time.perf_counter()
            with run.clock("data"):
                lr, hr, target = pending.result()
            data_s = time.perf_counter() - begun
            pending = pool.submit(draw, step + 1)

            rate = stability.rate_factor * learning_rate_at(config, step)
            set_rates(state, config, step, stability.rate_factor)
            if state.discriminator is None or step < config.pixel_steps:
                terms = pixel_step(replace(run, config=stage_of(config, step)), state, lr, target, step)
            else:
                terms = gan_step(run, state, lr, hr, step, target)
            average(state, config, step, ranks)
            stability.add(terms)

            done = step + 1
            quality = back = None
            if done % config.validate_every == 0 or done == config.steps:
                averaged = averaged_net(state)
                quality = validate(averaged, held_out, scale=config.scale, metric=metric, ranks=ranks)
                verdict = stability.assess(done, quality)
                if verdict.back_to is not None:
                    back = go_back(run, state, stability, done, verdict.back_to)
                if back is not None:
                    best, done = back, verdict.back_to or 0
                elif ranks.rank == 0:
                    best = keep_model(run, averaged, done, quality, best)
                    append_validation(run, done, quality, terms, verdict, stability)
                    monitor.validation(done, quality, averaged)
            stopping = ranks.any(should_stop()) and done < config.steps
            saving = stopping or done % config.checkpoint_every == 0 or done == config.steps
            if saving:
                save_step(run, state, done, facts | stability.facts(), stability.pinned(done))
            monitor.step(step + 1, terms, rate, run.clock.milliseconds())
            if report is not None and ranks.rank == 0:
                step_s = time.perf_counter() - begun
                report(Progress(step + 1, config.steps, terms["total"], rate, data_s, step_s, terms, quality))
            if stopping:
                ranks.barrier()  # no rank leaves while rank 0 saves
                say(f"stopped after step {done}; the checkpoint is saved: use `resume=True` to continue")
                raise KeyboardInterrupt
            if back is not None:  # the batches after `done` are drawn again
                pending = pool.submit(draw, done)
                monitor.back_to(done)
            step = done
    sweep_from_parent(run, parent, state)
    return out / "model.safetensors"


def pixel_step(run: Run, state: TrainState, lr: Tensor, hr: Tensor, step: int) -> dict[str, float]:
    """Update the generator once without a discriminator; returns the weighted terms, their `total` and the gradient
    norm.

    lr `b c h w`, hr `b c h*scale w*scale`: this rank's share of the batch.
    """
    config, clock = run.config, run.clock
    state.optimizer.zero_grad()
    told: dict[str, Tensor] = {}
    for lr_part, hr_part in parts(config, lr, hr):
        with clock("generator"), autocast(config, lr):
            sr = widened(state.net(lr_part))
        terms = generator_terms(run, state, sr, lr_part, hr_part, step)
        with clock("generator"):
            (sum(terms.values(), start=sr.new_zeros(())) / config.accumulate).backward()
        add_terms(told, terms, config.accumulate)
    told |= clip_gradients(state, config, run.ranks, both=False)
    values = check_finite(run, told, step, lr, hr)
    with clock("optimizer"):
        state.optimizer.step()
    return values


def gan_step(
    run: Run, state: TrainState, lr: Tensor, hr: Tensor, step: int, target: Tensor | None = None
) -> dict[str, float]:
    """Update generator and discriminator once on the same batch; returns what `pixel_step` does and the discriminator's
    terms.

    `target` is what losses other than the adversarial one compare with, if not `hr`: Real-ESRGAN sharpens it.

    D(hr) and D(sr) are computed once. The generator's loss is differentiated with respect to `sr` only, so it leaves no
    gradient in D; the discriminator's loss with respect to D's parameters only, so it leaves none in G. The result
    equals BasicSR's, which updates G first and then lets D see the same `sr` again, with five passes through D.
    """
    assert state.discriminator is not None and state.discriminator_optimizer is not None
    config, clock, ranks = run.config, run.clock, run.ranks
    judged_by = list(state.discriminator.parameters())
    state.optimizer.zero_grad()
    state.discriminator_optimizer.zero_grad()
    told: dict[str, Tensor] = {}
    for index, (lr_part, hr_part, aim) in enumerate(parts(config, lr, hr, hr if target is None else target)):
        with clock("generator"), autocast(config, lr):
            sr_of_net = widened(state.net(lr_part))
        sr = sr_of_net.detach().requires_grad_()
        hr_part = hr_part.requires_grad_(config.r1_weight > 0.0)
        with clock("discriminator"), autocast(config, lr):
            real = tuple(widened(logits) for logits in state.discriminator(hr_part))
            fake = tuple(widened(logits) for logits in state.discriminator(sr))

        terms = generator_terms(run, state, sr, lr_part, aim.detach(), step)
        frozen = tuple(logits.detach() for logits in real)
        terms["gan"] = config.gan_weight * formulas.gan_generator_loss(config.gan_loss, frozen, fake, ranks.mean)
        with clock("discriminator"):
            total = sum(terms.values(), start=sr.new_zeros(())) / config.accumulate
            by_sr = torch.autograd.grad(total, sr, retain_graph=True)
        with clock("generator"):
            sr_of_net.backward(by_sr[0])

        with clock("discriminator"):
            against = {"discriminator": formulas.gan_discriminator_loss(config.gan_loss, real, fake, ranks.mean)}
            if config.r1_weight:
                against["r1"] = config.r1_weight * formulas.r1_penalty(real, hr_part)
            if config.gradient_penalty_weight:
                random = generator_of(ranks.device, config.seed, step, index, 0)
                penalty = formulas.gradient_penalty(
                    state.discriminator, hr_part.detach(), sr.detach(), random, ranks.rank, ranks.count
                )
                against["gradient penalty"] = config.gradient_penalty_weight * penalty
            (sum(against.values(), start=sr.new_zeros(())) / config.accumulate).backward(inputs=judged_by)
        add_terms(told, terms, config.accumulate, against | {"D(real)": mean_logit(real), "D(fake)": mean_logit(fake)})
    told |= clip_gradients(state, config, ranks, both=True)
    values = check_finite(run, told, step, lr, hr)
    with clock("optimizer"):
        state.optimizer.step()
        state.discriminator_optimizer.step()
    return values
