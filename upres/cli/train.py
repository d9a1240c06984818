"""The verb `upres train`: parse, resolve the configuration, train."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from upres.cli.errors import DEBUG_HELP, debug_enabled, run_verb, say
from upres.cli.train_processes import Interrupt, is_worker, launch_workers, sole_run

if TYPE_CHECKING:
    from collections.abc import Sequence

    from upres.training.config import TrainConfig
    from upres.training.data.roots import Root

RANDOM = "random"


_DATA, _RUN, _MODEL, _ADVERSARIAL, _MACHINE = "Data", "Run", "Model", "Adversarial training", "Machine"


def train(
    recipe: Annotated[
        str,
        typer.Argument(
            metavar="RECIPE",
            help="compact-x2|x4, standard-x2|x4, photo-x2|x4, esrgan-psnr-x2|x4, real-esrnet-x2|x4, srresnet-x4; "
            "adversarial: esrgan-x2|x4, real-esrgan-x2|x4, bsrgan-x2|x4, compact-gan-x2|x4, compact-wild-x2|x4.",
        ),
    ],
    data: Annotated[
        list[str] | None,
        typer.Option(
            "--data",
            metavar="DIR[=WEIGHT]",
            help="HR photographs, with subfolders, or shards; repeatable.",
            rich_help_panel=_DATA,
        ),
    ] = None,
    lr: Annotated[
        list[Path] | None,
        typer.Option(
            "--lr",
            metavar="DIR",
            help="LR pictures of the same names, one for each --data. Default: made from HR.",
            rich_help_panel=_DATA,
        ),
    ] = None,
    validation: Annotated[
        Path | None,
        typer.Option(
            "--validation",
            metavar="DIR",
            help="HR validation pictures. Default: five of --data.",
            rich_help_panel=_DATA,
        ),
    ] = None,
    validation_lr: Annotated[
        Path | None,
        typer.Option(
            "--validation-lr",
            metavar="DIR",
            help="LR pictures for --validation. Default: made from HR.",
            rich_help_panel=_DATA,
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="DIR",
            help="The run's folder: configuration, checkpoints, TensorBoard, model.",
            rich_help_panel=_RUN,
        ),
    ] = None,
    changes: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="KEY=VALUE", help="Change one setting of the recipe; repeatable.", rich_help_panel=_RUN
        ),
    ] = None,
    shrink: Annotated[
        int,
        typer.Option(
            "--shrink", metavar="K", help="Divide the whole schedule by K, for a trial.", rich_help_panel=_RUN
        ),
    ] = 1,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue the run in --out, bit for bit.", rich_help_panel=_RUN)
    ] = False,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run", help="Print parameters, multiply-adds, memory and time; write nothing.", rich_help_panel=_RUN
        ),
    ] = False,
    init: Annotated[
        str | None,
        typer.Option(
            "--init",
            metavar="NAME|FILE",
            help="Start from this model; 'random' for a GAN from scratch.",
            rich_help_panel=_MODEL,
        ),
    ] = None,
    teacher: Annotated[
        str | None,
        typer.Option(
            "--teacher",
            metavar="NAME|FILE",
            help="Train towards this model's output instead of HR.",
            rich_help_panel=_MODEL,
        ),
    ] = None,
    features: Annotated[
        Path | None,
        typer.Option(
            "--features",
            metavar="FILE|DIR",
            help="The feature network, or its folder. Default: cache or download.",
            rich_help_panel=_ADVERSARIAL,
        ),
    ] = None,
    init_discriminator: Annotated[
        Path | None,
        typer.Option(
            "--init-discriminator",
            metavar="FILE",
            help="Start from this discriminator, such as *_netD.pth.",
            rich_help_panel=_ADVERSARIAL,
        ),
    ] = None,
    guard: Annotated[
        bool,
        typer.Option(
            "--guard",
            help="If training goes wrong, return to the last good checkpoint once and halve the learning rates.",
            rich_help_panel=_ADVERSARIAL,
        ),
    ] = False,
    device: Annotated[
        str, typer.Option("--device", metavar="NAME", help="auto, cpu, cuda or mps.", rich_help_panel=_MACHINE)
    ] = "auto",
    processes: Annotated[
        int,
        typer.Option(
            "--processes", min=1, metavar="N", help="Processes on this machine, one per GPU.", rich_help_panel=_MACHINE
        ),
    ] = 1,
    nodes: Annotated[
        int,
        typer.Option(
            "--nodes",
            min=1,
            metavar="N",
            help="Machines; run the same command on each, with --rdzv.",
            rich_help_panel=_MACHINE,
        ),
    ] = 1,
    rdzv: Annotated[
        str | None,
        typer.Option(
            "--rdzv",
            metavar="HOST:PORT",
            help="Where the machines meet: the address of one of them.",
            rich_help_panel=_MACHINE,
        ),
    ] = None,
    debug: Annotated[bool, typer.Option("--debug", help=DEBUG_HELP)] = False,
) -> None:
    """Train a network on photographs, with a pixel loss or adversarially.

    \b
    Examples:
      upres train compact-x4 --data photographs --out runs/psnr
      upres train compact-gan-x4 --data photographs --out runs/gan --init compact-x4
    """

    def work() -> int:
        import importlib.util
        import os

        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # numpy's threads would compete with torch's

        from upres.cli.download import have_models
        from upres.errors import EngineError, OutputError, UsageError

        if importlib.util.find_spec("torch") is None:
            raise EngineError("training needs torch, which is not installed: pip install 'upres[train]'")
        from upres.training.recipes import resolve_recipe

        config = resolve_recipe(recipe, changes or (), shrink)
        if dry_run:
            return _estimate(config, device, processes * nodes)
        if not data or out is None:
            raise UsageError("upres train needs --data FOLDER and --out FOLDER (or --dry-run)")
        roots, shown = _roots(data, lr or [], validation, validation_lr)
        parent = _parent(config, init)
        if teacher is not None:
            have_models((teacher,))
        if (processes > 1 or nodes > 1) and not is_worker():
            return launch_workers(out, resume, processes, nodes, rdzv, debug or debug_enabled())

        from upres.cli.progress import TrainingProgress
        from upres.training.checkpoint import newest_step
        from upres.training.distributed.ranks import join_ranks
        from upres.training.loop import train as run
        from upres.training.pretrained import PretrainedFiles

        sources = PretrainedFiles(parent, init_discriminator, features, teacher)
        with (
            join_ranks(_device(device), timeout_s=1800.0) as ranks,
            sole_run(out, ranks.rank == 0),
            Interrupt(ranks.rank == 0) as interrupt,
            TrainingProgress(config.steps, ranks.rank == 0) as bar,
        ):
            try:
                model = run(
                    config, roots, out, validation=shown, resume=resume, guard=guard, sources=sources, ranks=ranks,
                    report=bar.report, say=bar.say, should_stop=interrupt.pressed,
                )  # fmt: skip
            except OutputError as error:
                if newest_step(out / "checkpoints") is None:
                    raise
                raise OutputError(f"{error} (with --resume the run continues from its newest checkpoint)") from error
        if ranks.rank == 0:
            say(f"trained: {model}")
        return 0

    run_verb(work, debug)


def _roots(
    data: Sequence[str], lr: Sequence[Path], validation: Path | None, validation_lr: Path | None
) -> tuple[list[Root], list[Root] | None]:
    """The training folders, and the validation folders if given."""
    from upres.errors import UsageError
    from upres.training.data.roots import Root, parse_root

    if lr and len(lr) != len(data):
        raise UsageError(
            f"--lr must be given once for each --data, in the same order, or not at all: got {len(lr)} for {len(data)}"
        )
    if validation is None and validation_lr is not None:
        raise UsageError("--validation-lr needs --validation, the folder of HR pictures")
    roots = [parse_root(text, lr[i] if lr else None) for i, text in enumerate(data)]
    return roots, None if validation is None else [Root(validation, validation_lr)]


def _parent(config: TrainConfig, init: str | None) -> Path | None:
    """The file to start from. A GAN from random weights must be requested: it tends to diverge."""
    from upres.cli.download import have_models
    from upres.errors import UsageError
    from upres.models.catalog import resolve

    if init == RANDOM:
        return None
    if init is not None:
        have_models((init,))
        return resolve(init)
    if config.adversarial:
        raise UsageError(
            f"{config.recipe} starts from a network trained with a pixel loss: give --init NAME|FILE, such as the "
            "model.safetensors "
            "of a stage-one run, or compact-x4 for the compact network; '--init random' starts from scratch"
        )
    return None


def _device(name: str) -> str:
    import torch

    from upres.errors import UsageError

    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        return "cuda" if there["cuda"] else "cpu"
    if name not in there:
        raise UsageError(f"--device must be auto, {', '.join(there)}, got {name!r}")
    if not there[name]:
        raise UsageError(f"--device {name}: this PyTorch ({torch.__version__}) has no such device; use --device cpu")
    return name


def _estimate(config: TrainConfig, device: str, count: int) -> int:
    import torch

    from upres.training.distributed.ranks import Ranks
    from upres.training.estimate import estimate

    ranks = Ranks(device=torch.device(_device(device)))
    print(f"{config.recipe}: {config.network}, x{config.scale}, {config.steps:,} steps of {config.batch} samples")
    if config.source:
        print(f"source: {config.source}")
    for line in estimate(config, ranks, processes=count).lines(config):
        print(line)
    return 0
