"""Writing run files: TOML by hand, since the standard library only reads it, with comments from `config.py`."""

from __future__ import annotations

import inspect
import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

from upres.training.config import TrainConfig, plain_config
from upres.training.recipes import RECIPES, resolve_recipe
from upres.training.run_file import Folder, RunFile

_OPTIONS = {
    "out": "the run's folder",
    "shrink": "divide the whole schedule of the recipe by this, for a trial",
    "init": "start from this model, by name or file",
    "init_discriminator": "start from this discriminator",
    "teacher": "train towards this model's output instead of HR",
    "features": "the feature network's file, or its folder",
    "guard": "if training goes wrong, return once to the last good checkpoint and halve the learning rates",
    "device": "auto, cpu, cuda or mps",
    "processes": "on this machine, one per GPU",
    "nodes": "machines, at most",
    "min_nodes": "the run goes on with as few machines as this",
    "rdzv": "where the machines meet, host:port",
}


def toml_value(value: object) -> str:
    """A string, number, truth value or list of these as TOML. Bytes of names that are not UTF-8 become U+FFFD."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and math.isinf(value):
        return "inf"
    if isinstance(value, str):
        sound = re.sub("[\ud800-\udfff]", "\ufffd", value)
        return json.dumps(sound, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(toml_value(item) for item in cast('Sequence[object]', value))}]"
    return repr(value)


def run_text(file: RunFile, config: TrainConfig, *, comments: bool = True, head: Sequence[str] = ()) -> str:
    """The TOML text of `file`.

    config: what it resolves to.
    comments: also show, commented out, every option and setting that the file does not set, with what it means.
    head: comment lines at the beginning.
    """
    lines = [*(f"# {line}" for line in head), f"recipe = {toml_value(file.recipe)}"]
    for key, meaning in _OPTIONS.items():
        value = getattr(file, key)
        if value != RunFile.__struct_defaults__[_default_index(key)]:
            lines.append(f"{key} = {toml_value(value)}" + (f"  # {meaning}" if comments else ""))
        elif comments:
            lines.append(f"# {key} = {_example(key, value)}  # {meaning}")
    for title, folders in (("data", file.data), ("validation", file.validation)):
        for folder in folders:
            lines += ["", f"[[{title}]]", *_folder_lines(folder)]
        if comments and not folders:
            lines += ["", f"# [[{title}]]", '# hr = "photographs"', '# lr = "lr"  # default: made from HR']
    lines += ["", "[settings]"]
    if not comments:
        lines += [f"{key} = {toml_value(value)}" for key, value in file.settings.items()]
    else:
        lines += _setting_lines(file.settings, config)
    return "\n".join(lines) + "\n"


def _default_index(key: str) -> int:
    fields, defaults = RunFile.__struct_fields__, RunFile.__struct_defaults__
    return fields.index(key) - (len(fields) - len(defaults))


def _example(key: str, value: object) -> str:
    examples = {
        "out": "runs/a", "init": "srvgg-x4", "init_discriminator": "netD.pth", "teacher": "compact-x4",
        "features": "features.pth", "rdzv": "192.168.0.1:29500", "min_nodes": 1,
    }  # fmt: skip
    return toml_value(examples.get(key, value))


def _folder_lines(folder: Folder) -> Iterable[str]:
    yield f"hr = {toml_value(folder.hr)}"
    if folder.lr is not None:
        yield f"lr = {toml_value(folder.lr)}"
    if folder.weight != 1.0:
        yield f"weight = {toml_value(folder.weight)}"


def _setting_lines(given: Mapping[str, Any], config: TrainConfig) -> list[str]:
    """All settings: those of `given` as they are, the others commented out, with the recipe's value."""
    values = plain_config(resolve_recipe(config.recipe) if config.recipe in RECIPES else config)
    lines: list[str] = []
    for name, (title, meaning) in setting_comments().items():
        if title:
            lines += ["", f"# {title}"]
        value = given[name] if name in given else math.inf if values[name] == "inf" else values[name]
        lines.append(
            f"{'' if name in given else '# '}{name} = {toml_value(value)}" + (f"  # {meaning}" if meaning else "")
        )
    return lines


def setting_comments() -> dict[str, tuple[str, str]]:
    """Of each setting the title above it, if a group begins, and what it means: the comments of `config.py` itself."""
    found: dict[str, tuple[str, str]] = {}
    above: list[str] = []
    title = ""
    for line in inspect.getsource(TrainConfig).splitlines():
        if comment := re.fullmatch(r"    # (.*)", line):
            above.append(comment[1])
        elif field := re.fullmatch(r"    (\w+): .*?(?:  # (.*))?", line):
            if field[1] not in ("recipe", "source"):
                found[field[1]] = (title, " ".join([*above, *filter(None, [field[2]])]))
            above, title = [], ""
        elif not line.strip():
            above, title = [], "\n"
        if title == "\n" and above:
            title, above = " ".join(above), []
    return found
