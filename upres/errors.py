"""The one exception tree: what users can cause, each kind with the exit code that the command line gives it.

Every message names the thing, what was expected and what was found, and the remedy. Anything that is not an
`UpresError` is a bug of ours (exit code 1).
"""

from __future__ import annotations

from collections.abc import Iterable


class UpresError(ValueError):
    """Base of every error that a user can cause and mend."""

    exit_code = 3


class UsageError(UpresError):
    """An argument is out of range, or two arguments contradict each other."""

    exit_code = 2


class InputError(UpresError):
    """A picture or a folder cannot be read, or is refused (too large, truncated, not a picture)."""

    exit_code = 3


class ModelError(UpresError):
    """A model file or name is refused: truncated, tampered with, unknown, or hostile."""

    exit_code = 4


class OutputError(UpresError):
    """A result cannot be written: no permission, full disk, a format that cannot hold it."""

    exit_code = 5


class EngineError(UpresError):
    """An engine is missing, or gave a result that cannot be right (a non-finite tile)."""

    exit_code = 3


class NotFiniteError(EngineError):
    """An engine gave a value that is not finite."""


class OutOfMemoryError(EngineError):
    """An engine, or the device that it runs on, was short of memory: the same work in smaller tiles may fit."""


class ForkedError(EngineError):
    """A library that ran in the parent process cannot run in this forked child."""


class DataError(UpresError):
    """A training set, a recipe or a checkpoint cannot be used."""

    exit_code = 3


class DamagedError(DataError):
    """A file that upres keeps for itself is damaged."""


def nearest(name: str, known: Iterable[str]) -> str:
    """For the end of a refusal: ", did you mean 'x'?" where something known is near, else nothing."""
    import difflib  # only once something is wrong

    close = difflib.get_close_matches(name, list(known), n=1)
    return f", did you mean {close[0]!r}?" if close else ""
