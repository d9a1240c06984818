"""Settings that name code of one's own, `FILE.py:NAME`: parsed here, without importing it."""

from __future__ import annotations

import re
from pathlib import Path

from upres.errors import UsageError

_REFERENCE = re.compile(r"(?s)(.+\.py):([A-Za-z_]\w*)")
_TERM = re.compile(r"(?s)(.+\.py:[A-Za-z_]\w*)(?::([^:]+))?")


def is_own(text: str) -> bool:
    """Whether a setting names code of one's own, rather than something that is here."""
    return _REFERENCE.fullmatch(text) is not None


def split_reference(text: str) -> tuple[Path, str]:
    """File and name of a text that `is_own`."""
    found = _REFERENCE.fullmatch(text)
    assert found is not None, text
    return Path(found[1]), found[2]


def without_folder(text: str) -> str:
    """`my.py:MyNet` of `/home/me/my.py:MyNet`, also with a weight; anything else as it is."""
    found = _TERM.fullmatch(text)
    return text if found is None else f"{Path(text.partition('.py:')[0]).name}.py:{text.partition('.py:')[2]}"


def parse_term(text: str) -> tuple[str, float]:
    """`"my.py:edges:0.1"` -> ("my.py:edges", 0.1); the weight is 1 if none is given. Raises `UsageError`."""
    found = _TERM.fullmatch(text)
    try:
        weight = float(found[2] or 1.0) if found else -1.0
    except ValueError:
        weight = -1.0
    if found is None or not 0.0 < weight <= 1e30:
        raise UsageError(f"`own_terms` takes FILE.py:NAME or FILE.py:NAME:WEIGHT, got {text!r}")
    return found[1], weight
