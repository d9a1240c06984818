"""The verb `upres finetune`: train a model further on one's own pictures, and say whether that was worth it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from upres.cli.errors import DEBUG_HELP, ISOLATE_HELP, run_verb, say
from upres.cli.streams import put

if TYPE_CHECKING:
    from upres.training.plan import RunPlan

_DATA, _RUN = "Data", "Run"


def finetune(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="Name or file of the model to begin with.")],
    data: Annotated[
        Path, typer.Option("--data", metavar="DIR", help="HR pictures, six or more.", rich_help_panel=_DATA)
    ],
    lr: Annotated[
        Path | None,
        typer.Option(
            "--lr",
            metavar="DIR",
            help="LR pictures of the same names, off by up to 8 pixels. Default: made from HR.",
            rich_help_panel=_DATA,
        ),
    ] = None,
    minutes: Annotated[
        float,
        typer.Option(
            "--minutes", metavar="N", min=0.1, help="Time to train for.", show_default="30", rich_help_panel=_RUN
        ),
    ] = 30.0,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", metavar="DIR", help="Folder for all of it. Default: finetuned/NAME.", rich_help_panel=_RUN
        ),
    ] = None,
    adversarial: Annotated[
        bool,
        typer.Option(
            "--adversarial",
            help="Train against a discriminator, and judge by a perceptual distance. Default for models of a GAN.",
            rich_help_panel=_RUN,
        ),
    ] = False,
    pixels: Annotated[
        bool,
        typer.Option(
            "--pixels",
            help="Train a model of a GAN on pixels, which makes it softer.",
            rich_help_panel=_RUN,
        ),
    ] = False,
    features: Annotated[
        Path | None,
        typer.Option(
            "--features",
            metavar="DIR",
            help="Folder of the feature networks of --adversarial. Default: cache or download.",
            rich_help_panel=_RUN,
        ),
    ] = None,
    changes: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="KEY=VALUE", help="Change one setting of the training; repeatable.", rich_help_panel=_RUN
        ),
    ] = None,
    device: Annotated[
        str, typer.Option("--device", metavar="NAME", help="auto, cpu, cuda or mps.", rich_help_panel=_RUN)
    ] = "auto",
    isolate: Annotated[bool, typer.Option("--isolate", help=ISOLATE_HELP, rich_help_panel=_DATA)] = False,
    debug: Annotated[bool, typer.Option("--debug", help=DEBUG_HELP)] = False,
) -> None:
    """Fine-tune a model on your pictures; some are set aside to tell whether it helped.

    \b
    Examples:
      upres finetune compact-x4 --data photographs --minutes 30
      upres finetune mine.safetensors --data hr --lr lr --out runs/scans
    """

    def work() -> int:
        import os

        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
        from upres.errors import UsageError
        from upres.system.packages import need

        need("training", "train", "torch", "safetensors")
        if adversarial and pixels:
            raise UsageError("`adversarial` and `pixels` exclude each other")
        how = True if adversarial else False if pixels else None
        return _finetune(model, data, lr, minutes, out, how, features, changes or [], device)

    run_verb(work, debug, isolate=isolate)


def _finetune(
    name: str, data: Path, lr: Path | None, minutes: float, out: Path | None, gan: bool | None, features: Path | None,
    changes: list[str], device: str,
) -> int:  # fmt: skip
    import time

    import torch

    from upres.cli.download import have_models
    from upres.cli.train_plan import choose_device
    from upres.models.load import load_model
    from upres.training import finetune as own
    from upres.training import finetune_comparison as judged
    from upres.training.checkpoint import newest_step
    from upres.training.config_changes import change_config
    from upres.training.distributed.ranks import Ranks
    from upres.training.run_file import plan_of, read_run_folder

    have_models((name,))
    model = load_model(name)
    own.shape_of(model)
    if gan is None and (reason := own.adversarial(model)):
        gan = True
        say(f"{name} was trained against a discriminator ({reason}): so is this (--pixels: on pixels, which softens)")
    out = out or Path("finetuned") / Path(name).stem
    ranks = Ranks(device=torch.device(choose_device(device)))
    resume = newest_step(out / "run" / "checkpoints") is not None
    if resume:
        say(f"continuing the fine-tuning in {out}")
        file, config = read_run_folder(out / "run")
        plan = plan_of(file, config, out / "run")
        judge = judged.open_judge(config, plan.sources.features, ranks, say)
    else:
        patch_px = own.set_aside(data, lr, out, model.scale, say)
        config = change_config(own.config_for(model, patch_px, gan=bool(gan)), changes)
        judge = judged.open_judge(config, features, ranks, say)
        counted = any(change.startswith("steps=") for change in changes)
        plan = _timed(name, config, out, minutes, device, lr is not None, counted, features)
    _train(plan, ranks, resume, time.monotonic() + 60.0 * minutes)
    findings = judged.compare(model, plan.config, out, ranks, judge)
    kept = judged.keep(model, findings, out)
    put(judged.sentence(findings))
    if findings[0].verdict == "helped":
        put(f"the fine-tuned model: {kept}")
    else:
        put(f"{name} is kept as {kept}; the fine-tuned one is {out / 'run' / 'model.safetensors'}")
    return 0


def _timed(
    name: str, config: Any, out: Path, minutes: float, device: str, paired: bool, counted: bool, features: Path | None
) -> RunPlan:
    """The plan, with as many steps as fit into the time, unless they were given."""
    import dataclasses

    import torch

    from upres.cli.train_plan import choose_device
    from upres.training import finetune as own
    from upres.training.distributed.ranks import Ranks
    from upres.training.estimate import estimate

    steps = config.steps
    if not counted:
        cost = estimate(config, Ranks(device=torch.device(choose_device(device))))
        steps = own.steps_within(minutes, cost.step_s or 1.0)
        say(f"{steps:,} steps of about {cost.step_s or 0.0:.2f} s")
    config = dataclasses.replace(config, steps=steps, validate_every=steps, checkpoint_every=max(1, steps // 5))
    return own.plan_for(name, config, out, device, paired=paired, features=features)


def _train(plan: RunPlan, ranks: Any, resume: bool, deadline: float) -> None:
    """Train to the end, or to the end of the time: then what was learned so far is the result."""
    import time

    from upres.cli.progress import TrainingProgress
    from upres.cli.train_processes import Interrupt, sole_run
    from upres.training.finetune import finish_early
    from upres.training.loop import train

    pixels = plan.config.batch * plan.config.patch_px**2
    with (
        sole_run(plan.out, True), Interrupt(True) as interrupt,
        TrainingProgress(plan.config.steps, True, pixels) as bar,
    ):  # fmt: skip
        late = False

        def should_stop() -> bool:
            nonlocal late
            late = time.monotonic() > deadline
            return late or interrupt.pressed()

        try:
            train(plan, resume=resume, ranks=ranks, report=bar.report, say=bar.say, should_stop=should_stop)
        except KeyboardInterrupt:
            if interrupt.pressed() or not late:
                raise
            finish_early(plan, ranks)
            bar.say("the time is up: the weights of the last step are compared")
