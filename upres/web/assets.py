"""The shared files, as text: for a page that holds everything, and for a server that hands out each by its name.

The scripts are ES modules without imports of their own. A page in one file takes them as plain text (`inlined`), where
modules that stand one after the other share their names. The slider is img-comparison-slider (MIT, `slider.LICENSE`).
"""

from __future__ import annotations

import re
from pathlib import Path

SLIDER = "img-comparison-slider 8.0.7"
_FILES = Path(__file__).parent / "files"


def names() -> list[str]:
    """The names of the files that a page can load."""
    return sorted(path.name for path in _FILES.iterdir() if path.suffix in (".js", ".css"))


def read_asset(name: str) -> str:
    """A shared file, ending with one line break. The slider comes with its license."""
    text = (_FILES / name).read_text(encoding="utf-8").rstrip("\n") + "\n"
    return f"/*!\n{SLIDER}\n{read_asset('slider.LICENSE')}*/\n{text}" if name == "slider.js" else text


def inlined(name: str) -> str:
    """A shared module for a page in one file: without `export`."""
    return re.sub(r"^export ", "", read_asset(name), flags=re.MULTILINE)
