"""Measures a model file of an unknown architecture in a child process, which a bad file may break."""

from __future__ import annotations

import signal
import tempfile
from dataclasses import fields
from pathlib import Path
from typing import Any

from upres.errors import ModelError
from upres.graph.opaque import Kind, OpaqueModel
from upres.system.cores import cores
from upres.system.files import model_bytes
from upres.system.subprocesses import python_command, run

_TIME_USED_UP = int(getattr(signal, "SIGXCPU", 0)) or None  # what `limit_cpu` ends a process by; Windows has none
_PROBE = "upres.engines.opaque.confined_probe"  # by name: it is run, never imported
# The runs of a probe are small, however large the file is; reading and compiling it takes time by its size.
# Time is the processor's: on a busy machine a sound file may wait for minutes. The clock only ends what hangs.
_TIMEOUT_S, _LONGEST_S, _BYTES_PER_S, _HANGS = 60.0, 300.0, 1 << 20, 5.0


def probe(path: Path, kind: Kind) -> OpaqueModel:
    """Measure the file in a child process. Raises ModelError with its message, or with how the process ended."""
    limit_s = min(_LONGEST_S, _TIMEOUT_S + model_bytes(path) / _BYTES_PER_S)
    used_s = limit_s * cores()
    with tempfile.TemporaryDirectory(prefix="upres-", ignore_cleanup_errors=True) as folder:
        arguments = [kind, str(path.absolute()), f"{used_s:.0f}", folder]
        outcome = run([*python_command(_PROBE), *arguments], timeout_s=_HANGS * limit_s)
    if outcome.timed_out:
        raise ModelError(
            f"model file {path}: running it on a small picture did not end within {_HANGS * limit_s:.0f} seconds: it "
            "hangs, or the machine has no time for it; try again when the machine is idle"
        )
    if _TIME_USED_UP is not None and outcome.code == -_TIME_USED_UP:
        raise ModelError(
            f"model file {path}: running it on a small picture took more than {used_s:.0f} seconds of the "
            "processor; take a smaller network"
        )
    if not outcome.told:
        raise ModelError(
            f"model file {path}: running it on a small picture {outcome.ending}. The file is damaged, or not for "
            "pictures"
        )
    answer = outcome.told[-1]
    if "error" in answer:
        raise ModelError(f"model file {path}: {answer['error']}")
    return from_answer(answer)


def from_answer(answer: dict[str, Any]) -> OpaqueModel:
    """The model from its fields in JSON."""
    values: dict[str, Any] = {field.name: answer[field.name] for field in fields(OpaqueModel)}
    for name in ("value_range", "output_range", "fixed"):
        values[name] = None if values[name] is None else tuple(values[name])
    return OpaqueModel(**values)
