"""From the options of `upres train`, a run file or a run's folder to one `RunPlan`; options go before the file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from upres.cli.streams import put
from upres.errors import DataError, OutputError, UsageError

if TYPE_CHECKING:
    from upres.training.config import TrainConfig
    from upres.training.plan import RunPlan
    from upres.training.run_file import Folder, RunFile


@dataclass(frozen=True)
class Given:
    """What was typed; None and empty lists where an option was not given."""

    recipe: str
    data: Sequence[str]
    lr: Sequence[Path]
    validation: str | None
    validation_lr: Path | None
    out: Path | None
    changes: Sequence[str]
    shrink: int
    resume: bool
    again: bool
    branch: bool
    init: str | None
    teacher: str | None
    features: Path | None
    init_discriminator: Path | None
    guard: bool
    device: str | None
    processes: int | None
    nodes: str | None
    rdzv: str | None


def make_plan(given: Given, *, trains: bool = True) -> RunPlan:
    """The plan of a run; its `out` is `Path()` where none was named.

    A GAN from random weights must be requested, if the plan is for a run that trains: it tends to diverge. Raises
    `UsageError` or `DataError`.
    """
    from upres.training.run_file import plan_of

    file, config = _merged(given)
    if trains and config.adversarial and file.init is None:
        raise UsageError(
            f"{config.recipe} starts from a network trained with a pixel loss: give --init NAME|FILE, such as the "
            "model.safetensors "
            "of a stage-one run, or srvgg-x4 for the compact network; '--init random' starts from scratch"
        )
    return plan_of(file, config, Path(file.out or ""))


def write_run(given: Given, target: Path) -> None:
    """Write what was typed as a run file with comments. Raises `OutputError` if `target` exists."""
    from dataclasses import asdict

    from upres.system.files import write_atomic
    from upres.training.run_file import different_settings, moved_to
    from upres.training.run_file_text import run_text

    if target.suffix.lower() != ".toml":
        raise UsageError(f"`write` takes a name that ends in .toml, got {target}")
    if target.exists():
        raise OutputError(f"{target} exists already: remove it, or choose another name")
    file, config = _merged(given)
    values = asdict(config)
    file = moved_to(file, target.parent, {key: values[key] for key in different_settings(config)})
    head = [f"upres train {target.name}", "", "Paths are relative to this file. What begins with # is the default."]
    write_atomic(target, run_text(file, config, head=head).encode())
    put(f"wrote {target}: upres train {target}")


def _merged(given: Given) -> tuple[RunFile, TrainConfig]:
    from msgspec.structs import replace

    from upres.training.run_file import changed_config

    file, config = _source(given)
    options: dict[str, Any] = {
        "out": given.out, "init": given.init, "teacher": given.teacher, "features": given.features,
        "init_discriminator": given.init_discriminator, "device": given.device, "processes": given.processes,
        "rdzv": given.rdzv, **_machines(given.nodes),
    }  # fmt: skip
    changed = {
        key: str(value) if isinstance(value, Path) else value for key, value in options.items() if value is not None
    }
    changed |= {"guard": True} if given.guard else {}
    data, validation = folders(given.data, given.lr, given.validation, given.validation_lr)
    changed |= {"data": data} if data else {}
    changed |= {"validation": validation} if validation else {}
    return replace(file, **changed), changed_config(config, given.changes, given.shrink)


def _machines(text: str | None) -> dict[str, int]:
    """`"4"` machines, or as many as there are of `"2:4"`. Raises `UsageError`."""
    if text is None:
        return {}
    least, separator, most = text.rpartition(":")
    if not (most.isdecimal() and (least.isdecimal() or not separator)) or not 1 <= int(least or most) <= int(most):
        raise UsageError(f"`nodes` takes a number of machines, or LEAST:MOST such as 1:4, got {text!r}")
    return {"nodes": int(most)} | ({"min_nodes": int(least)} if separator else {})


def _source(given: Given) -> tuple[RunFile, TrainConfig]:
    """The recipe, the file or the run's folder that the first word of the command names."""
    from upres.cli.train_processes import is_worker
    from upres.training.recipes import RECIPES, resolve_recipe
    from upres.training.run_file import RunFile, read_run_file, read_run_folder

    how = [name for name in ("resume", "again", "branch") if getattr(given, name)]
    if len(how) > 1 and not is_worker():  # the launcher tells its workers to resume, whatever it was asked for
        raise UsageError(f"`{how[0]}` and `{how[1]}` exclude each other")
    source = Path(given.recipe)
    if how and given.recipe not in RECIPES and source.suffix.lower() != ".toml":
        if not source.is_dir():
            raise DataError(f"{source} is not a folder: `{how[0]}` takes the folder of a run")
        file, config = read_run_folder(source)
        if given.out is None and (given.again or given.branch):
            raise UsageError(f"`{how[0]}` needs `out`, the folder of the new run")
        from msgspec.structs import replace

        return replace(file, out=str(given.out or source)), config
    if given.again or given.branch:
        raise UsageError(f"`{how[0]}` takes the folder of a run, got {given.recipe}")
    if source.suffix.lower() == ".toml":
        return read_run_file(source)
    if given.recipe not in RECIPES and source.is_dir():
        raise UsageError(f"{source} is a folder: --resume continues the run in it, --again and --branch begin with it")
    return RunFile(recipe=given.recipe), resolve_recipe(given.recipe)


def folders(
    data: Sequence[str], lr: Sequence[Path], validation: str | None, validation_lr: Path | None
) -> tuple[tuple[Folder, ...], tuple[Folder, ...]]:
    """The training folders, and the validation folders, of the options."""
    from upres.training.data.roots import parse_root
    from upres.training.run_file import Folder

    if lr and len(lr) != len(data):
        raise UsageError(
            f"--lr must be given once for each --data, in the same order, or not at all: got {len(lr)} for {len(data)}"
        )
    if validation is None and validation_lr is not None:
        raise UsageError("--validation-lr needs --validation, the folder of HR pictures")
    roots = [parse_root(text, lr[i] if lr else None) for i, text in enumerate(data)]
    found = tuple(Folder(hr=str(one.hr), lr=str(one.lr) if one.lr else None, weight=one.weight) for one in roots)
    if validation is None:
        return found, ()
    return found, (Folder(hr=validation, lr=str(validation_lr) if validation_lr else None),)


def check_sources(plan: RunPlan) -> None:
    """Download the models that a run starts from or learns from. Raises `ModelError` for one that is not there."""
    from upres.cli.download import have_models
    from upres.models.catalog import resolve
    from upres.models.expression import parse

    for model in filter(None, (plan.sources.init, plan.sources.teacher)):
        have_models((str(model),))
        for part in parse(str(model)).parts:
            resolve(part.model)


def choose_device(name: str) -> str:
    """The device that `--device` names; for auto a GPU if there is one."""
    import torch

    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        return "cuda" if there["cuda"] else "cpu"
    if name not in there:
        raise UsageError(f"--device must be auto, {', '.join(there)}, got {name!r}")
    if not there[name]:
        raise UsageError(f"--device {name}: this PyTorch ({torch.__version__}) has no such device; use --device cpu")
    return name


def estimate_run(plan: RunPlan) -> int:
    """Print what a run costs, each line when it is known."""
    import torch

    from upres.training.distributed.ranks import Ranks
    from upres.training.estimate import estimate

    config = plan.config
    ranks = Ranks(device=torch.device(choose_device(plan.launch.device)))
    put(f"{config.recipe}: {config.network}, x{config.scale}, {config.steps:,} steps of {config.batch} samples")
    if config.source:
        put(f"source: {config.source}")
    if plan.sources.init is not None:
        check_sources(plan)
    estimate(config, ranks, processes=plan.launch.processes * plan.launch.nodes, init=plan.sources.init, say=put)
    return 0
