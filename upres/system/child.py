"""The start and the answers of a child process: `python -P .../child.py PARENT MODULE ARGUMENT...` calls MODULE.main.

The file is run by its path, so that the child imports this very upres, and everything else from where its parent does:
its folder in PYTHONPATH would shadow other packages.
"""

from __future__ import annotations

import ctypes
import importlib
import importlib.util
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any, TextIO

WORD = "upres-child "  # begins each of our lines: drivers print too
_PR_SET_PDEATHSIG = 1  # prctl(2)


def tell(out: TextIO | None = None, /, **facts: Any) -> None:
    """Send the parent an answer: a line of JSON on standard output (or `out`), flushed."""
    text = f"\n{WORD}{json.dumps(facts)}\n"  # on a line of its own, whatever a driver left unfinished
    print(text, end="", file=out, flush=True)


def answer_in(line: str) -> dict[str, Any] | None:
    """The facts of a line that `tell` wrote; None for other lines, and for one cut short."""
    if not line.startswith(WORD):
        return None
    try:
        return json.loads(line.removeprefix(WORD))
    except ValueError:
        return None


def die_with(parent: int) -> None:
    """Have the system kill this process when `parent` ends. Linux only: elsewhere a killed parent leaves it running."""
    if sys.platform != "linux":
        return
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    try:
        os.kill(parent, 0)
    except ProcessLookupError:
        sys.exit("the parent has ended")  # before prctl


def _import_this_package() -> None:
    folder = Path(__file__).resolve().parents[1]
    spec = importlib.util.spec_from_file_location(
        "upres", folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    assert spec is not None and spec.loader is not None
    package = sys.modules["upres"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(package)


def _main() -> int | None:
    parent, module, *arguments = sys.argv[1:]
    die_with(int(parent))
    _import_this_package()
    return importlib.import_module(module).main(arguments)


if __name__ == "__main__":
    sys.exit(_main())
