"""Read the settings: flags before the environment (UPRES_SERVE_*) before a TOML file before defaults.

All mistakes are reported together, each with the place it comes from.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, cast

from upres.errors import UsageError, nearest
from upres.serve.settings import Settings, is_loopback
from upres.system.text import parse_bytes

PREFIX = "UPRES_SERVE_"
# The lowest and the highest value of each number.
_RANGES: dict[str, tuple[float, float]] = {
    "port": (0, 65535),
    "workers": (1, 256),
    "queue": (0, 100_000),
    "max_mb": (0.001, 100_000),
    "max_mp": (0.0001, 10_000),
    "max_mp_out": (0.0001, 100_000),
    "max_frames": (1, 1_000_000),
    "max_seconds": (1, 30 * 86400),
    "body_seconds": (1, 86400),
    "keep_hours": (0, 24 * 3650),
    "keep_gb": (0, 1e6),
    "threads": (0, 1024),
    "drain_seconds": (0, 86400),
}


@dataclass(frozen=True, slots=True)
class _Given:
    """A value, and the place that it comes from, for messages."""

    value: object
    place: str


def load_settings(flags: Mapping[str, object], environment: Mapping[str, str], config: Path | None = None) -> Settings:
    """The settings of one run.

    flags: Of the command line, by field; None is not given.
    environment: Of the process.
    config: A TOML file; None: the one that UPRES_SERVE_CONFIG names, if any.

    Raises `UsageError` that lists all mistakes.
    """
    faults: list[str] = []
    if config is None and environment.get(f"{PREFIX}CONFIG"):
        config = Path(environment[f"{PREFIX}CONFIG"])
    given = _from_file(config, faults) if config is not None else {}
    given |= _from_environment(environment, faults)
    given |= {name: _Given(value, f"`{name}`") for name, value in flags.items() if value not in (None, (), [])}
    values: dict[str, Any] = {}
    for name, one in given.items():
        try:
            values[name] = _read(name, one.value)
        except ValueError as error:
            faults.append(f"{one.place} {error}")
    if not faults:
        faults += _contradictions(Settings(**values))
    if faults:
        raise UsageError("the settings have mistakes:\n  " + "\n  ".join(faults))
    return Settings(**values)


_KINDS = {field.name: str(field.type) for field in fields(Settings)}


def _from_file(path: Path, faults: list[str]) -> dict[str, _Given]:
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        faults.append(f"{path}: it cannot be read ({error.strerror or error})")
        return {}
    except ValueError as error:  # also of TOML and of UTF-8
        faults.append(f"{path}: it is not TOML ({error})")
        return {}
    faults += [f"{path}: unknown key {name!r}{nearest(name, _KINDS)}" for name in table if name not in _KINDS]
    return {name: _Given(value, f"{path}: {name}") for name, value in table.items() if name in _KINDS}


def _from_environment(environment: Mapping[str, str], faults: list[str]) -> dict[str, _Given]:
    given: dict[str, _Given] = {}
    for key, value in environment.items():
        name = key.removeprefix(PREFIX).lower()
        if not key.startswith(PREFIX) or not value or name == "config":
            continue
        if name == "token_file":
            given["tokens"] = _token_file(Path(value), key, faults)
        elif name in ("token", "tokens"):
            given["tokens"] = _Given(value, key)
        elif name in _KINDS:
            given[name] = _Given(value, key)
        else:
            faults.append(f"{key} is unknown{nearest(name, _KINDS)}")
    return given


def _token_file(path: Path, key: str, faults: list[str]) -> _Given:
    """The tokens in a file, one a line, as secrets are mounted."""
    try:
        return _Given([line.strip() for line in path.read_text("utf-8").splitlines() if line.strip()], key)
    except (OSError, ValueError) as error:
        faults.append(f"{key}: {path} cannot be read ({error})")
        return _Given([], key)


def _read(name: str, value: object) -> object:
    """The value of a field from a flag, a string of the environment or TOML. Raises `ValueError` with the rest of a
    sentence.
    """
    kind = _KINDS[name]
    if kind == "bool":
        return _read_bool(value)
    if kind in ("int", "float"):
        return _read_number(name, value, whole=kind == "int")
    if kind.startswith("tuple"):
        return _read_list(value)
    if not isinstance(value, str) or not value:
        raise ValueError(f"must be text, got {value!r}")
    check = _CHECKS.get(name)
    if check is not None:
        check(value)
    return value


def _read_bool(value: object) -> bool:
    if isinstance(value, bool):
        return value
    words = {"true": True, "yes": True, "1": True, "on": True, "false": False, "no": False, "0": False, "off": False}
    if isinstance(value, str) and value.lower() in words:
        return words[value.lower()]
    raise ValueError(f"must be true or false, got {value!r}")


def _read_number(name: str, value: object, *, whole: bool) -> float:
    low, high = _RANGES[name]
    try:
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            raise ValueError
        number = int(value) if whole and not isinstance(value, float) else float(value)
    except ValueError:
        raise ValueError(f"must be a {'whole ' if whole else ''}number, got {value!r}") from None
    if not (math.isfinite(number) and low <= number <= high) or (whole and number != int(number)):
        raise ValueError(f"must be {'a whole number ' if whole else ''}between {low:g} and {high:,g}, got {value}")
    return int(number) if whole else number


def _read_list(value: object) -> tuple[str, ...]:
    parts = value.split(",") if isinstance(value, str) else value
    if not isinstance(parts, list | tuple):
        raise ValueError(f"must be a list of names, got {value!r}")
    words = [part.strip() if isinstance(part, str) else part for part in cast("list[object]", parts)]
    if not all(isinstance(word, str) and word for word in words):
        raise ValueError(f"must be a list of names without empty ones, got {len(words)} entries")
    return tuple(cast("list[str]", words))


def _check_log(value: str) -> None:
    if value not in ("text", "json"):
        raise ValueError(f"must be text or json, got {value!r}")


def _check_memory(value: str) -> None:
    try:
        parse_bytes(value, "memory")
    except UsageError as error:
        raise ValueError(str(error).replace("`memory`", "it")) from error


_CHECKS: dict[str, Callable[[str], None]] = {"log": _check_log, "memory": _check_memory}


def _contradictions(settings: Settings) -> list[str]:
    faults: list[str] = []
    if not is_loopback(settings.host) and not settings.tokens:
        faults.append(
            f"`host={settings.host}` can be reached by others, so it needs a token: set `tokens`, "
            f"{PREFIX}TOKEN or {PREFIX}TOKEN_FILE"
        )
    secrets = [token.rpartition(":")[2] for token in settings.tokens]
    if any(len(secret) < 16 or not secret.isascii() or not secret.isprintable() for secret in secrets):
        faults.append("`tokens` must each have 16 characters of ASCII or more")
    names = list(settings.owners.values())
    if len(set(secrets)) < len(secrets) or len(set(names)) < len(names):
        faults.append("`tokens` must differ from each other, and so must their names")
    try:
        settings.engine_options.check_installed()
    except ValueError as error:  # of both kinds: out of range, and not installed
        faults.append(str(error))
    return faults
