"""A model file of unknown make, measured in a process of its own: what the file may break, it breaks there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any, cast

from upres.errors import ModelError
from upres.graph.opaque import Kind, OpaqueModel

_PROBE = "upres.engines.opaque.probe"  # by name: it is run, never imported
_TIMEOUT_S = 300.0


def probe(path: Path, kind: Kind) -> OpaqueModel:
    """Measure the file in a process of its own. Raises ModelError with its words, or with the way in which it died."""
    command = [sys.executable, "-P", "-m", _PROBE, kind, str(path.absolute())]
    try:
        done = subprocess.run(command, capture_output=True, timeout=_TIMEOUT_S, stdin=subprocess.DEVNULL, env=_environment(), check=False)
    except subprocess.TimeoutExpired as error:
        raise ModelError(f"model file {path}: running it on a small picture took more than {_TIMEOUT_S:.0f} seconds") from error
    lines = done.stdout.decode(errors="replace").splitlines()
    try:
        answer: Any = json.loads(lines[-1]) if lines else None
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        how = f"was ended by signal {-done.returncode}" if done.returncode < 0 else f"ended with code {done.returncode}"
        said = done.stderr.decode(errors="replace").strip().splitlines()
        last = f" ({said[-1][:200]})" if said else ""
        raise ModelError(f"model file {path}: trying it on a small picture {how}{last}. The file is damaged, or not for pictures")
    if "error" in answer:
        raise ModelError(f"model file {path}: {answer['error']}")
    return from_answer(cast("dict[str, Any]", answer))


def from_answer(answer: dict[str, Any]) -> OpaqueModel:
    """The model whose fields came through JSON."""
    values: dict[str, Any] = {field.name: answer[field.name] for field in fields(OpaqueModel)}
    for name in ("value_range", "output_range", "fixed"):
        values[name] = None if values[name] is None else tuple(values[name])
    return OpaqueModel(**values)


def _environment() -> dict[str, str]:
    """Ours, with the folder of this package first among those where the probe looks for it."""
    package = str(Path(__file__).resolve().parents[3])
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [package, os.environ.get("PYTHONPATH", "")]))}
