"""Code of one's own: `network = "my.py:MyNet"` and the like. A file is imported by its path; nothing is registered.

The file runs with all the rights of this process, as any Python that one runs.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import inspect
import math
import sys
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from upres.errors import DataError, UsageError, nearest
from upres.training.config import TrainConfig
from upres.training.references import is_own, parse_term, split_reference

_modules: dict[tuple[str, str], ModuleType] = {}


def references(config: TrainConfig) -> list[str]:
    """The `FILE.py:NAME` of all settings, without weights."""
    named = [config.network, config.discriminator, config.schedule, config.loss, config.final_loss]
    named += [parse_term(term)[0] for term in config.own_terms]
    return [text for text in dict.fromkeys(named) if is_own(text)]


def identity(config: TrainConfig) -> str:
    """Each name with the SHA-256 of its code, for checkpoints: a run is continued with the code it was begun with."""
    return ", ".join(f"{split_reference(text)[1]} {sha256_of_code(text)}" for text in references(config))


def sha256_of_code(reference: str) -> str:
    """Of the file, together with the files beside it that it imports, if there are any."""
    digests = [hashlib.sha256(_read(path)).hexdigest() for path in code_files(split_reference(reference)[0])]
    return digests[0] if len(digests) == 1 else hashlib.sha256(" ".join(digests).encode()).hexdigest()


def code_files(path: Path) -> list[Path]:
    """`path`, then by name all files of its folder that it imports, directly or through each other.

    What a file imports is read from its text. A package counts whole. A module that is found elsewhere, such as torch,
    is not the run's own. Raises `DataError` for a file that cannot be read.
    """
    folder, found, open_ones = path.parent, set[Path](), [path]
    while open_ones:
        here = open_ones.pop()
        if here in found:
            continue
        found.add(here)
        for name in _imports(here):
            module, package = folder / f"{name}.py", folder / name
            if (package / "__init__.py").is_file():
                open_ones += package.rglob("*.py")
            elif module.is_file():
                open_ones.append(module)
    return [path, *sorted(found - {path})]


def _imports(path: Path) -> set[str]:
    """The first parts of the names of all modules that a file imports; none of a file that is not Python."""
    try:
        nodes = list(ast.walk(ast.parse(_read(path))))
    except (SyntaxError, ValueError, RecursionError):  # importing it says what is wrong
        return set()
    whole = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    whole += [node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module and not node.level]
    return {name.partition(".")[0] for name in whole}


def load_own(reference: str) -> Any:
    """What `FILE.py:NAME` names. Raises `DataError` for a file that is not there, `UsageError` for what fails in it."""
    path, name = split_reference(reference)
    module = _import(path)
    if not hasattr(module, name):
        known = [key for key, value in vars(module).items() if callable(value) and not key.startswith("_")]
        raise UsageError(
            f"{path} defines no {name!r}{nearest(name, known)}; it defines {', '.join(known) or 'nothing'}"
        )
    thing = getattr(module, name)
    if not callable(thing):
        raise UsageError(f"{reference} is {type(thing).__name__}, expected a function or a class")
    return thing


def call_own(thing: Callable[..., Any], known: Mapping[str, object], reference: str) -> Any:
    """Call with those of the arguments in `known` that it names; what fails inside becomes a `UsageError`."""
    parameters = inspect.signature(thing).parameters
    for name, parameter in parameters.items():
        variadic = parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
        if name not in known and parameter.default is parameter.empty and not variadic:
            raise UsageError(f"{reference} takes {name!r}, expected only some of {', '.join(known)}")
    chosen = {name: value for name, value in known.items() if name in parameters}
    try:
        return thing(**chosen)
    except Exception as error:
        raise UsageError(f"{reference}: {_where(error)}") from error


def own_schedule(reference: str) -> Callable[[int, int], float]:
    """The factor on the learning rates by (step, steps), checked."""
    function = load_own(reference)

    def factor(step: int, steps: int) -> float:
        value = call_own(function, {"step": step, "steps": steps}, reference)
        if not isinstance(value, (int, float)) or not 0.0 <= value < math.inf:
            raise UsageError(f"{reference} must return a finite number of 0 or more, got {value!r} for step {step}")
        return float(value)

    return factor


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error


def _import(path: Path) -> ModuleType:
    content = _read(path)
    key = (str(path.absolute()), hashlib.sha256(content).hexdigest())
    if key not in _modules:
        name = f"upres_own_{key[1][:16]}"
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module  # dataclasses and pickling look their module up
        beside = str(path.absolute().parent)
        sys.path.insert(0, beside)  # its own imports of files beside it
        try:
            spec.loader.exec_module(module)
        except Exception as error:
            del sys.modules[name]
            raise UsageError(f"{path} cannot be imported: {_where(error)}") from error
        finally:
            sys.path.remove(beside)
        _modules[key] = module
    return _modules[key]


def _where(error: BaseException) -> str:
    """What happened, and on which line of which file."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}: {error}{place}"
