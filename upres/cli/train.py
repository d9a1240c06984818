"""The verb `upres train`: parse, make one plan of it, train."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from upres.cli.errors import DEBUG_HELP, ISOLATE_HELP, debug_enabled, run_verb, say
from upres.cli.train_processes import Interrupt, is_worker, launch_workers, sole_run

if TYPE_CHECKING:
    from upres.training.plan import RunPlan

_DATA, _RUN, _MODEL, _ADVERSARIAL, _MACHINE = "Data", "Run", "Model", "Adversarial training", "Machine"


def _option(panel: str, name: str, metavar: str | None, text: str, **more: Any) -> Any:
    return typer.Option(name, metavar=metavar, help=text, rich_help_panel=panel, **more)


_RECIPE = (
    "A recipe, a run file (.toml) or a run's folder. Recipes: compact-x2|x4, standard-x2|x4, photo-x2|x4, "
    "esrgan-psnr-x2|x4, real-esrnet-x2|x4, srresnet-x4; adversarial: esrgan-x2|x4, real-esrgan-x2|x4, bsrgan-x2|x4, "
    "compact-gan-x2|x4, compact-wild-x2|x4."
)
_DATA_HELP = "HR photographs, with subfolders, or shards, also at s3://... or https://...; repeatable."
_LR_HELP = "LR pictures of the same names, one for each --data. Default: made from HR."
_VALID_HELP = "HR validation pictures, or shards. Default: five of --data."
_VALID_LR_HELP = "LR pictures for --validation. Default: made from HR."
_OUT_HELP = "The run's folder: run.toml, checkpoints, TensorBoard, model."
_RESUME_HELP = "Continue the run in the folder given as RECIPE, or in --out, bit for bit."
_AGAIN_HELP = "Repeat the run in the folder given as RECIPE, in another --out."
_BRANCH_HELP = "Go on from the newest checkpoint of the run in the folder given as RECIPE, with changes, in --out."
_GUARD_HELP = "If training goes wrong, return to the last good checkpoint once and halve the learning rates."


def train(
    recipe: Annotated[str, typer.Argument(metavar="RECIPE", help=_RECIPE)],
    data: Annotated[list[str] | None, _option(_DATA, "--data", "DIR[=WEIGHT]", _DATA_HELP)] = None,
    lr: Annotated[list[Path] | None, _option(_DATA, "--lr", "DIR", _LR_HELP)] = None,
    validation: Annotated[str | None, _option(_DATA, "--validation", "DIR", _VALID_HELP)] = None,
    validation_lr: Annotated[Path | None, _option(_DATA, "--validation-lr", "DIR", _VALID_LR_HELP)] = None,
    out: Annotated[Path | None, _option(_RUN, "--out", "DIR", _OUT_HELP)] = None,
    changes: Annotated[
        list[str] | None, _option(_RUN, "--set", "KEY=VALUE", "Change one setting of the recipe; repeatable.")
    ] = None,
    steps: Annotated[int | None, _option(_RUN, "--steps", "N", "The same as --set steps=N.", min=1)] = None,
    shrink: Annotated[int, _option(_RUN, "--shrink", "K", "Divide the whole schedule by K, for a trial.")] = 1,
    resume: Annotated[bool, _option(_RUN, "--resume", None, _RESUME_HELP)] = False,
    again: Annotated[bool, _option(_RUN, "--again", None, _AGAIN_HELP)] = False,
    branch: Annotated[bool, _option(_RUN, "--branch", None, _BRANCH_HELP)] = False,
    write: Annotated[
        Path | None, _option(_RUN, "--write", "FILE.toml", "Write the run as a file with comments; train nothing.")
    ] = None,
    dry_run: Annotated[
        bool, _option(_RUN, "--dry-run", None, "Print parameters, multiply-adds, memory and time; write nothing.")
    ] = False,
    init: Annotated[
        str | None, _option(_MODEL, "--init", "NAME|FILE", "Start from this model; 'random' for a GAN from scratch.")
    ] = None,
    teacher: Annotated[
        str | None, _option(_MODEL, "--teacher", "NAME|FILE", "Train towards this model's output instead of HR.")
    ] = None,
    features: Annotated[
        Path | None,
        _option(_ADVERSARIAL, "--features", "FILE|DIR", "The feature network. Default: cache or download."),
    ] = None,
    init_discriminator: Annotated[
        Path | None,
        _option(_ADVERSARIAL, "--init-discriminator", "FILE", "Start from this discriminator, such as *_netD.pth."),
    ] = None,
    guard: Annotated[bool, _option(_ADVERSARIAL, "--guard", None, _GUARD_HELP)] = False,
    device: Annotated[str | None, _option(_MACHINE, "--device", "NAME", "auto (default), cpu, cuda or mps.")] = None,
    processes: Annotated[
        int | None, _option(_MACHINE, "--processes", "N", "Processes on this machine, one per GPU. Default: 1.", min=1)
    ] = None,
    nodes: Annotated[
        str | None,
        _option(
            _MACHINE, "--nodes", "N|LEAST:MOST", "Machines; run the same command on each, with --rdzv. Default: 1."
        ),
    ] = None,
    rdzv: Annotated[
        str | None, _option(_MACHINE, "--rdzv", "HOST:PORT", "Where the machines meet: the address of one of them.")
    ] = None,
    isolate: Annotated[bool, typer.Option("--isolate", help=ISOLATE_HELP, rich_help_panel=_DATA)] = False,
    debug: Annotated[bool, typer.Option("--debug", help=DEBUG_HELP)] = False,
) -> None:
    """Train a network on photographs, with a pixel loss or adversarially.

    \b
    Examples:
      upres train compact-x4 --data photographs --out runs/psnr
      upres train compact-gan-x4 --data photographs --out runs/gan --init srvgg-x4 --write gan.toml
      upres train --resume runs/psnr
    """

    def work() -> int:
        import os

        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # numpy's threads would compete with torch's

        from upres.cli.train_plan import Given, check_sources, estimate_run, make_plan, write_run
        from upres.errors import UsageError
        from upres.system.packages import need

        given = Given(
            recipe, data or [], lr or [], validation, validation_lr, out, [*(changes or []), *_steps(steps)], shrink,
            resume, again, branch, init, teacher, features, init_discriminator, guard, device, processes, nodes, rdzv,
        )  # fmt: skip
        if write is not None:
            write_run(given, write)
            return 0
        need("training", "train", "torch", "safetensors")
        plan = make_plan(given, trains=not dry_run)
        if dry_run:
            return estimate_run(plan)
        if not plan.data or plan.out == Path():
            raise UsageError("upres train needs --data FOLDER and --out FOLDER (or --dry-run)")
        check_sources(plan)
        if branch and not is_worker():
            _begin_branch(Path(recipe), plan)
        launch = plan.launch
        if (launch.processes > 1 or launch.nodes > 1) and not is_worker():
            return launch_workers(plan.out, resume or branch, launch, plan.config, debug or debug_enabled())
        return _train(plan, resume or branch)

    run_verb(work, debug, isolate=isolate)


def _steps(steps: int | None) -> list[str]:
    return [] if steps is None else [f"steps={steps}"]


def _begin_branch(run: Path, plan: RunPlan) -> None:
    from upres.training.resume import branch
    from upres.training.run_folder import make_folder, refuse_present_run

    refuse_present_run(plan.out)
    with sole_run(plan.out, True):
        step = branch(run, plan.out, plan.config)
        make_folder(plan, {})
    say(f"branching from {run} after step {step}")


def _train(plan: RunPlan, resume: bool) -> int:
    from upres.cli.progress import TrainingProgress
    from upres.cli.train_plan import choose_device
    from upres.errors import OutputError
    from upres.training.checkpoint import newest_step
    from upres.training.distributed.ranks import join_ranks
    from upres.training.loop import train as run

    if resume and not is_worker() and newest_step(plan.out / "checkpoints") is None:
        say(f"{plan.out} holds no checkpoint to resume from: starting at step 0")
    with (
        join_ranks(choose_device(plan.launch.device), timeout_s=1800.0) as ranks,
        sole_run(plan.out, ranks.rank == 0),
        Interrupt(ranks.rank == 0) as interrupt,
        TrainingProgress(plan.config.steps, ranks.rank == 0, plan.config.batch * plan.config.patch_px**2) as bar,
    ):
        try:
            model = run(plan, resume=resume, ranks=ranks, report=bar.report, say=bar.say, should_stop=interrupt.pressed)
        except OutputError as error:
            if newest_step(plan.out / "checkpoints") is None:
                raise
            raise OutputError(f"{error} (with --resume the run continues from its newest checkpoint)") from error
    if ranks.rank == 0:
        say(f"trained: {model}")
    return 0
