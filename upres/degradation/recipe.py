"""Degradation recipes: TOML files, checked on loading; errors name file, stage and key.

A recipe is a list of stages; each has an `op` and the keys of that op (stages.py, and the table in docs/degrade.md).
"""

from __future__ import annotations

import hashlib
import json
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

from msgspec import Meta, Struct

from upres.degradation.stages import Sharpen, Stage, Stages
from upres.errors import DataError, UsageError
from upres.system.structs import convert, unknown

_FOLDER: Final = Path(__file__).resolve().parent / "recipes"
BUILT_IN: Final = ("real-esrgan", "bsrgan", "wild", "bicubic")
_Text = Annotated[str, Meta(min_length=1, description='"..."')]


@dataclass(frozen=True)
class Recipe:
    """A recipe.

    name, source: what it is called, and where it was published.
    stages: applied in order.
    target: sharpening of HR, which then is the target; None: HR as it is.
    sha256: of the file's values, regardless of whitespace and comments.
    """

    name: str
    source: str
    stages: tuple[Stage, ...]
    target: Sharpen | None
    sha256: str


class _File(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    name: _Text
    source: _Text
    target: Sharpen | None = None
    stage: Stages


def load_recipe(name_or_path: str | Path) -> Recipe:
    """A built-in recipe by name, or a `.toml` file.

    Raises `UsageError` for an unknown name or key, or invalid values.
    """
    if isinstance(name_or_path, str) and not name_or_path.lower().endswith(".toml"):
        if name_or_path not in BUILT_IN:
            raise UsageError(f"{unknown('degradation recipe', name_or_path, list(BUILT_IN))}, or give a .toml file")
        path = _FOLDER / f"{name_or_path}.toml"
    else:
        path = Path(name_or_path)
    try:
        text = path.read_bytes().decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"the degradation recipe {path} cannot be read: {error}") from error
    return parse_recipe(text, str(path))


def parse_recipe(text: str, where: str) -> Recipe:
    """Parse a recipe from TOML; `where` names it in errors."""
    try:
        data = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise UsageError(f"{where} is not TOML: {error}") from error
    file = convert(data, _File, where)
    canonical = json.dumps(data, sort_keys=True, separators=(",", ":"))
    return Recipe(file.name, file.source, file.stage, file.target, hashlib.sha256(canonical.encode()).hexdigest())
