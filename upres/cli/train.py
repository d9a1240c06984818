"""The verb `upres train`: parse, resolve one configuration, call one function."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from upres.cli.errors import DEBUG_HELP, debug_enabled, run_verb, say

if TYPE_CHECKING:
    from collections.abc import Sequence

    from upres.training.config import TrainConfig
    from upres.training.data.roots import Root

RANDOM = "random"


def train(
    recipe: Annotated[
        str,
        typer.Argument(
            help="compact-x2|x4, standard-x2|x4, photo-x2|x4, esrgan-psnr-x2|x4, real-esrnet-x2|x4, srresnet-x4; adversarial: "
            "esrgan-x2|x4, real-esrgan-x2|x4, bsrgan-x2|x4, compact-gan-x2|x4, compact-wild-x2|x4."
        ),
    ],
    data: Annotated[
        list[str] | None,
        typer.Option("--data", metavar="DIR[=WEIGHT]", help="HR photographs (folders below count) or shards; may be repeated."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="The run's folder: configuration, checkpoints, TensorBoard, pictures, the trained model.")
    ] = None,
    lr: Annotated[
        list[Path] | None,
        typer.Option("--lr", metavar="DIR", help="LR pictures of the same names; one for each --data. Default: LR is made from HR."),
    ] = None,
    validation: Annotated[
        Path | None, typer.Option("--validation", help="A folder of HR pictures to validate on; default: five held out from --data.")
    ] = None,
    validation_lr: Annotated[
        Path | None, typer.Option("--validation-lr", metavar="DIR", help="LR pictures of those of --validation. Default: made from HR.")
    ] = None,
    changes: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change one setting of the recipe; may be repeated.")
    ] = None,
    shrink: Annotated[int, typer.Option("--shrink", metavar="K", help="Divide the recipe's whole schedule by K, for a trial.")] = 1,
    init: Annotated[
        str | None,
        typer.Option("--init", metavar="NAME|FILE", help="A model of the recipe's shape to begin with; 'random' for a GAN from nothing."),
    ] = None,
    init_discriminator: Annotated[
        Path | None, typer.Option("--init-discriminator", help="A file of the discriminator's weights, such as *_netD.pth, to begin with.")
    ] = None,
    features: Annotated[
        Path | None,
        typer.Option("--features", metavar="FILE|FOLDER", help="The feature network's file, or a folder of such. Else: cache, download."),
    ] = None,
    teacher: Annotated[
        str | None,
        typer.Option("--teacher", metavar="NAME|FILE", help="A model to learn from: what it makes of LR is what the losses aim at."),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue the run in --out, bit for bit.")] = False,
    guard: Annotated[
        bool,
        typer.Option("--guard", help="When the run goes wrong, go back to its last good checkpoint with half the learning rate, once."),
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only print parameters, multiply-adds, memory and the time to come; writes nothing.")
    ] = False,
    device: Annotated[str, typer.Option("--device", help="auto, cpu, cuda or mps.")] = "auto",
    processes: Annotated[
        int, typer.Option("--processes", min=1, metavar="N", help="Processes on this machine: one a GPU (NCCL), or on the CPU (gloo).")
    ] = 1,
    nodes: Annotated[int, typer.Option("--nodes", min=1, metavar="N", help="Machines; the same command runs on each, with --rdzv.")] = 1,
    rdzv: Annotated[
        str | None, typer.Option("--rdzv", metavar="HOST:PORT", help="Where the machines meet: the address of one of them.")
    ] = None,
    debug: Annotated[bool, typer.Option("--debug", help=DEBUG_HELP)] = False,
) -> None:
    """Train a network on a folder of photographs: on pixels, or against a discriminator.

    Example: upres train compact-gan-x4 --data photographs --out runs/gan --init compact-x4
    """

    def work() -> int:
        import importlib.util
        import os

        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # numpy's threads would spin beside torch's

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
        if (processes > 1 or nodes > 1) and not _is_worker():
            return _launch(out, resume, processes, nodes, rdzv, debug or debug_enabled())

        from upres.cli.progress import TrainingProgress
        from upres.training.checkpoint import newest_step
        from upres.training.distributed.ranks import join_ranks
        from upres.training.loop import PretrainedFiles
        from upres.training.loop import train as run

        sources = PretrainedFiles(parent, init_discriminator, features, teacher)
        with (
            join_ranks(_device(device), timeout_s=1800.0) as ranks,
            _Interrupt(ranks.rank == 0) as interrupt,
            TrainingProgress(config.steps, ranks.rank == 0) as bar,
        ):
            try:
                model = run(
                    config, roots, out, validation=shown, resume=resume, guard=guard, sources=sources, ranks=ranks, report=bar.report,
                    say=bar.say, should_stop=interrupt.pressed,
                )  # fmt: skip
            except OutputError as error:
                if newest_step(out / "checkpoints") is None:
                    raise
                raise OutputError(f"{error} (add --resume: the run goes on from its newest checkpoint)") from error
        if ranks.rank == 0:
            say(f"trained: {model}")
        return 0

    run_verb(work, debug)


def _roots(
    data: Sequence[str], lr: Sequence[Path], validation: Path | None, validation_lr: Path | None
) -> tuple[list[Root], list[Root] | None]:
    """The folders to train on and those to validate on."""
    from upres.errors import UsageError
    from upres.training.data.roots import Root, parse_root

    if lr and len(lr) != len(data):
        raise UsageError(f"--lr is given as often as --data and in the same order, or not at all: got {len(lr)} for {len(data)}")
    if validation is None and validation_lr is not None:
        raise UsageError("--validation-lr needs --validation, the folder of the HR pictures")
    roots = [parse_root(text, lr[i] if lr else None) for i, text in enumerate(data)]
    return roots, None if validation is None else [Root(validation, validation_lr)]


def _parent(config: TrainConfig, init: str | None) -> Path | None:
    """The file to begin with. A GAN from random weights must be asked for: it is how training diverges."""
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
            f"{config.recipe} begins with a network that was trained on pixels: --init NAME|FILE (for example the model.safetensors of a "
            "stage-one run, or compact-x4 for the compact network). '--init random' begins from nothing"
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
        raise UsageError(f"--device {name}: this PyTorch ({torch.__version__}) finds no such device; --device cpu works everywhere")
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


def _is_worker() -> bool:
    import os

    return "TORCHELASTIC_RUN_ID" in os.environ


def _launch(out: Path, resume: bool, processes: int, nodes: int, rdzv: str | None, debug: bool) -> int:
    """Run this very command once a process, over torch's own launcher; workers always continue what the launch before them left."""
    import sys

    from upres.training.checkpoint import newest_step
    from upres.training.distributed.launch import launch
    from upres.training.run_folder import refuse_present_run

    if not resume:
        refuse_present_run(out)

    arguments = [argument for argument in sys.argv[1:] if argument != "--resume"]
    command = [sys.executable, "-m", "upres", *(["--debug"] if debug_enabled() else []), *arguments, "--resume"]
    return launch(
        command, processes=processes, nodes=nodes, rdzv=rdzv, progress_of=lambda: newest_step(out / "checkpoints"), say=say,
        log_folder=out / "logs", debug=debug,
    )  # fmt: skip


class _Interrupt:
    """Turns the first Ctrl-C into a request to stop after the present step; a second one stops at once."""

    def __init__(self, talks: bool) -> None:
        self._talks = talks
        self._pressed = False

    def __enter__(self) -> _Interrupt:
        import signal

        # Under the launcher SIGTERM is how it ends a process; alone it is what a scheduler or a shutdown sends: save, then stop.
        asked = [signal.SIGINT] if _is_worker() else [signal.SIGINT, signal.SIGTERM]
        self._before = {number: signal.signal(number, self._handle) for number in asked}
        return self

    def __exit__(self, *exit_info: object) -> None:
        import signal

        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _handle(self, number: int, frame: object) -> None:
        if self._pressed:
            raise KeyboardInterrupt
        self._pressed = True
        if self._talks:
            say("stopping after this step, which will be saved (Ctrl-C again stops at once, without saving)")

    def pressed(self) -> bool:
        return self._pressed
