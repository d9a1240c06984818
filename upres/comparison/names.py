"""Names of models: lists of them on the command line, and short ones for labels."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path, PurePath

from upres.errors import UsageError
from upres.models.catalog import is_path

_SHARE = re.compile(r":\s*[0-9.]+(?:[eE][+-]?\d+)?\s*(?=[,>]|$)")


def split_names(texts: Sequence[str]) -> list[str]:
    """The models of `a,b,c`, without repetitions.

    A text with shares (`a:0.7,b:0.3`) is one blend, and the path of a file that exists is that file.

    Raises `UsageError` for an empty name, and for no model at all.
    """
    names: list[str] = []
    for text in texts:
        whole = _SHARE.search(text) is not None or (is_path(text) and Path(text).expanduser().is_file())
        parts = [text] if whole else [part.strip() for part in text.split(",")]
        if not all(parts):
            raise UsageError(f"`models` has an empty name: {text!r}; expected names such as compact-x4,photo-x4")
        names += parts
    if not names:
        raise UsageError("name at least one model by `models`")
    return list(dict.fromkeys(names))


def short_names(names: Sequence[str]) -> dict[str, str]:
    """A label for each name: of a file its stem, unless two share it."""
    shorts = {
        name: PurePath(name.replace("\\", "/")).stem if is_path(name) and ">" not in name else name for name in names
    }
    counts = Counter(shorts.values())
    return {name: short if counts[short] == 1 else name for name, short in shorts.items()}
