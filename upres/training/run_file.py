"""A run as a TOML file: `upres train run.toml`. Each run keeps one in its folder, with every setting in it.

Paths in a file are relative to the folder that it lies in. Errors name the file, the line and the key.
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, cast, get_type_hints

from msgspec import Meta, Struct, structs

from upres.errors import DataError, UsageError, nearest
from upres.models.catalog import is_path
from upres.system.storage import is_url
from upres.system.structs import Path as KeyPath
from upres.system.structs import convert, unknown
from upres.training.config import TrainConfig, plain_config
from upres.training.config_changes import change_config, check_config, shrink_config
from upres.training.data.roots import Root, as_roots, place_of
from upres.training.plan import Launch, PretrainedFiles, RunPlan
from upres.training.recipes import RECIPES, resolve_recipe
from upres.training.references import is_own

RUN_FILE = "run.toml"
RANDOM = "random"
_MOST_BYTES = 2**20
_Count = Annotated[int, Meta(ge=1, description="a whole number of 1 or more")]
_Text = Annotated[str, Meta(min_length=1, description="a string")]


class Folder(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`[[data]]`, `[validation]`: HR pictures, or shards (also at a URL), and their LR pictures if these are files."""

    hr: _Text
    lr: _Text | None = None
    weight: Annotated[float, Meta(gt=0.0, le=1e30, description="a number above 0")] = 1.0


class RunFile(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The tables and keys of a run file; the options of `upres train` have the same names."""

    recipe: _Text
    out: _Text | None = None
    shrink: _Count = 1
    init: _Text | None = None
    init_discriminator: _Text | None = None
    teacher: _Text | None = None
    features: _Text | None = None
    guard: bool = False
    device: _Text = "auto"
    processes: _Count = 1
    nodes: _Count = 1
    min_nodes: _Count | None = None
    rdzv: _Text | None = None
    data: tuple[Folder, ...] = ()
    validation: tuple[Folder, ...] = ()
    settings: Mapping[str, Any] = {}


def read_run_file(path: Path) -> tuple[RunFile, TrainConfig]:
    """The file at `path` and the configuration that it asks for, every key and value checked.

    Its relative paths are returned relative to the working directory. Raises `DataError` for a file that cannot be
    read, `UsageError` for what is wrong in it.
    """
    try:
        data = path.read_bytes()
        if len(data) > _MOST_BYTES:
            raise DataError(f"{path} is {len(data):,} bytes large: it is not a run file")
        text = data.decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = "it is not UTF-8 text" if isinstance(error, UnicodeDecodeError) else error.strerror
        raise DataError(f"the run file {path} cannot be read: {reason}") from error
    return parse_run_file(text, path)


def parse_run_file(text: str, path: Path) -> tuple[RunFile, TrainConfig]:
    """What `read_run_file` returns, of the text of `path`."""
    try:
        values = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise UsageError(f"{path} is not TOML: {error}") from error

    def place(key: KeyPath) -> str:
        line = line_of(text, key)
        return f"{path}, line {line}" if line else str(path)

    if isinstance(values.get("validation"), dict):
        values["validation"] = [values["validation"]]
    file = convert(values, RunFile, str(path), locate=place)
    folder = path.parent
    file = _map_paths(file, lambda one: str(folder / Path(one).expanduser()))
    if file.recipe not in RECIPES and not _complete(file):
        known = f"unknown recipe {file.recipe!r}{nearest(file.recipe, RECIPES)}; there are {', '.join(RECIPES)}"
        raise UsageError(f"{place(('recipe',))}: {known}")
    return file, _config_of(file, str(path), place)


def _complete(file: RunFile) -> bool:
    """Whether it holds every setting that has no default, as those in the folders of runs do: it needs no recipe."""
    return "scale" in file.settings


def _config_of(file: RunFile, where: str, place: Callable[[KeyPath], str]) -> TrainConfig:
    known = [name for name in get_type_hints(TrainConfig) if name != "recipe"]
    for key in file.settings:
        if key not in known:
            raise UsageError(f"{place(('settings', key))}: {unknown('setting', key, known)}")
    if file.recipe in RECIPES:
        config = shrink_config(RECIPES[file.recipe](), file.shrink)
    else:
        config = TrainConfig(recipe=file.recipe, scale=1)
    values = dataclasses.asdict(config) | dict(file.settings)
    config = convert(values, TrainConfig, where, locate=lambda key: place(("settings", *key)))
    try:
        check_config(config)
    except UsageError as error:
        raise UsageError(f"{where}: {error}") from error
    return config


def line_of(text: str, key: KeyPath) -> int | None:
    """The line, counted from 1, on which a TOML text sets `key`, such as ("data", 0, "weight"); None if not found.

    tomllib does not tell. Tables and keys as people write them are found; a key inside of an inline table is not.
    """
    table: KeyPath = ()
    counts: dict[str, int] = {}
    wanted = {key, key[:1] + key[2:] if key[1:2] == (0,) else key}  # [validation] is a list of one table
    for number, line in enumerate(text.splitlines(), 1):
        if found := re.match(r"\s*\[\[\s*([\w.\-]+)\s*\]\]", line):
            counts[found[1]] = counts.get(found[1], -1) + 1
            here = table = (*found[1].split("."), counts[found[1]])
        elif found := re.match(r"\s*\[\s*([\w.\-]+)\s*\]", line):
            here = table = tuple(found[1].split("."))
        elif found := re.match(r"""\s*["']?([\w\-]+)["']?\s*=""", line):
            here = (*table, found[1])
        else:
            continue
        if here in wanted or (here[-1] == 0 and here[:-1] in wanted):
            return number
    return None


def _map_paths(file: RunFile, moved: Callable[[str], str]) -> RunFile:
    """`file` with every relative path replaced by `moved` of it; names of models stay."""

    def path(text: str | None) -> str | None:
        return text if text is None or is_url(text) or Path(text).expanduser().is_absolute() else moved(text)

    def model(text: str | None) -> str | None:
        return path(text) if text is not None and is_path(text) and not re.search(r"[>,]", text) else text

    def folders(given: Sequence[Folder]) -> tuple[Folder, ...]:
        return tuple(Folder(hr=path(one.hr) or "", lr=path(one.lr), weight=one.weight) for one in given)

    settings = dict(file.settings)
    if str(settings.get("degradation", "")).lower().endswith(".toml"):
        settings["degradation"] = path(str(settings["degradation"]))
    for key, value in settings.items():
        if isinstance(value, str) and is_own(value):
            settings[key] = path(value)
    if isinstance(settings.get("own_terms"), (list, tuple)):
        settings["own_terms"] = [path(term) if isinstance(term, str) else term for term in settings["own_terms"]]
    return RunFile(
        recipe=file.recipe, out=path(file.out), shrink=file.shrink, init=model(file.init),
        init_discriminator=path(file.init_discriminator), teacher=model(file.teacher), features=path(file.features),
        guard=file.guard, device=file.device, processes=file.processes, nodes=file.nodes,
        min_nodes=file.min_nodes, rdzv=file.rdzv, data=folders(file.data), validation=folders(file.validation),
        settings=settings,
    )  # fmt: skip


def _roots(folders: Sequence[Folder]) -> tuple[Root, ...]:
    return tuple(Root(place_of(one.hr), Path(one.lr) if one.lr else None, one.weight) for one in folders)


def data_of(file: RunFile) -> tuple[tuple[Root, ...], tuple[Root, ...] | None]:
    """The folders to train on, and those to validate on, None if pictures are held out."""
    return _roots(file.data), _roots(file.validation) or None


def file_of(plan: RunPlan) -> RunFile:
    """The file of a run, complete and with absolute paths: what its folder keeps."""
    sources, launch = plan.sources, plan.launch

    def folders(roots: Path | Sequence[Root] | None) -> tuple[Folder, ...]:
        return tuple(
            Folder(hr=str(root.hr), lr=str(root.lr) if root.lr else None, weight=root.weight)
            for root in (as_roots(roots) if roots is not None else ())
        )

    def text(value: object) -> str | None:
        return None if value is None else str(value)

    settings = {key: value for key, value in dataclasses.asdict(plan.config).items() if key != "recipe"}
    file = RunFile(
        recipe=plan.config.recipe, init=text(sources.init) or (RANDOM if plan.config.adversarial else None),
        init_discriminator=text(sources.init_discriminator),
        teacher=sources.teacher, features=text(sources.features), guard=plan.guard, device=launch.device,
        processes=launch.processes, nodes=launch.nodes, min_nodes=launch.min_nodes or None, rdzv=launch.rdzv,
        data=folders(plan.data),
        validation=folders(plan.validation), settings=settings,
    )  # fmt: skip
    return _map_paths(file, lambda one: str(Path(one).absolute()))


def plan_of(file: RunFile, config: TrainConfig, out: Path) -> RunPlan:
    """The plan of a file whose configuration is `config`."""
    roots, shown = data_of(file)
    sources = PretrainedFiles(
        None if file.init == RANDOM else file.init,
        Path(file.init_discriminator) if file.init_discriminator else None,
        Path(file.features) if file.features else None,
        file.teacher,
    )
    launch = Launch(file.device, file.processes, file.nodes, file.rdzv, file.min_nodes or 0)
    return RunPlan(config, roots, out, shown, file.guard, sources, launch)


def read_run_folder(run: Path) -> tuple[RunFile, TrainConfig]:
    """The file that a run keeps, and its configuration; of runs of earlier versions, which kept none, `config.json`.

    Raises `DataError` if `run` is not the folder of a run.
    """
    if (run / RUN_FILE).is_file():
        return read_run_file(run / RUN_FILE)
    try:
        stored = cast("dict[str, Any]", json.loads((run / "config.json").read_bytes()))
        values = {key: math.inf if value == "inf" else value for key, value in stored.items()}
        config = convert(values, TrainConfig, str(run / "config.json"))
    except (OSError, ValueError) as error:
        raise DataError(
            f"{run} is not the folder of a run: it holds neither {RUN_FILE} nor a config.json that can be read"
        ) from error
    return RunFile(recipe=config.recipe), config


def changed_config(config: TrainConfig, changes: Sequence[str], shrink: int = 1) -> TrainConfig:
    """`config` with its schedule divided by `shrink`, then `key=value` changes."""
    return change_config(shrink_config(config, shrink), changes)


def different_settings(config: TrainConfig) -> list[str]:
    """The settings that differ from those of the recipe."""
    values = plain_config(config)
    usual = plain_config(resolve_recipe(config.recipe)) if config.recipe in RECIPES else {}
    return [key for key, value in values.items() if key != "recipe" and value != usual.get(key)]


def moved_to(file: RunFile, folder: Path, settings: Mapping[str, Any]) -> RunFile:
    """`file` with `settings` as it is written to `folder`: relative paths lead there from that folder."""
    file = structs.replace(file, shrink=1, settings=settings)
    return _map_paths(file, lambda one: one if folder == Path() else os.path.relpath(one, folder))
