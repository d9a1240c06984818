"""Checkpoints: one safetensors file a step, written under another name and then renamed, with a SHA-256 of its content inside.

No pickle is written or read. A checkpoint that is torn, flipped or zero-tailed does not match its hash; a warning names it and the one
before it is used. The format version is one of the facts, so the hash covers it. Every later format must keep the header as it is, the
JSON text `facts` and the `sha256` of `_digest`, so that this version can tell a newer file from a damaged one.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
import struct
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from upres.errors import DataError
from upres.system.files import write_atomic

_log = logging.getLogger(__name__)
FORMAT = 1  # raise it when this version's files would mislead an older one. 0: files from before the version was written
_PATTERN = re.compile(r"step_(\d{9})\.safetensors")


class NewerFormat(DataError):
    """The checkpoint is whole, and was written by a newer version of upres."""


@dataclass(frozen=True)
class Checkpoint:
    """The state after `step` completed optimizer updates; `facts` is JSON data (configuration, fingerprint of the data)."""

    step: int
    tensors: Mapping[str, NDArray[np.generic]]
    facts: Mapping[str, object]


def _digest(tensors: Mapping[str, NDArray[np.generic]], facts: str) -> str:
    """SHA-256 over the facts and, by name, every tensor's name, type, shape and bytes."""
    state = hashlib.sha256(facts.encode())
    for name in sorted(tensors):
        array = np.asarray(tensors[name], order="C")
        state.update(f"{name}|{array.dtype.str}|{array.shape}|".encode())
        state.update(array.tobytes())
    return state.hexdigest()


def save_checkpoint(folder: Path, checkpoint: Checkpoint, *, keep: int, pinned: Collection[int] = ()) -> Path:
    """Write the checkpoint atomically into `folder`, then drop all but the newest `keep` and those of the steps `pinned`.

    A full disk (`OutputError`) loses none.
    """
    facts = json.dumps({"step": checkpoint.step, "format": FORMAT, **checkpoint.facts}, sort_keys=True)
    tensors = {name: np.asarray(array, order="C") for name, array in checkpoint.tensors.items()}
    data = save_tensors(tensors, metadata={"facts": facts, "sha256": _digest(tensors, facts)})
    folder.mkdir(parents=True, exist_ok=True)
    path = checkpoint_path(folder, checkpoint.step)
    write_atomic(path, data)
    stays = {checkpoint_path(folder, step) for step in pinned}
    for old in list_checkpoints(folder)[:-keep]:
        if old not in stays:
            old.unlink(missing_ok=True)
    return path


def checkpoint_path(folder: Path, step: int) -> Path:
    """Where the checkpoint after `step` updates lies."""
    return folder / f"step_{step:09d}.safetensors"


def drop_after(folder: Path, step: int) -> None:
    """Take away the checkpoints after `step`, the newest first, so that what is left at any moment is a run that was stopped."""
    for path in reversed(list_checkpoints(folder)):
        if path > checkpoint_path(folder, step):
            path.unlink(missing_ok=True)


def list_checkpoints(folder: Path) -> list[Path]:
    """The checkpoint files of `folder`, oldest first."""
    return sorted(p for p in folder.glob("step_*.safetensors") if _PATTERN.fullmatch(p.name))


def newest_step(folder: Path) -> int | None:
    """The step of the newest checkpoint file of `folder`, by its name alone; None where there is none."""
    names = [_PATTERN.fullmatch(path.name) for path in list_checkpoints(folder)]
    return int(names[-1][1]) if names and names[-1] else None


def read_checkpoint(path: Path) -> Checkpoint:
    """Read and verify one checkpoint. Raises `DataError` where it is damaged, `NewerFormat` where a newer upres wrote it."""
    data = path.read_bytes()
    try:
        length = struct.unpack("<Q", data[:8])[0]
        header = json.loads(data[8 : 8 + length])
        tensors = load_tensors(data)
        facts = header["__metadata__"]["facts"]
        expected = header["__metadata__"]["sha256"]
    except (SafetensorError, ValueError, KeyError, TypeError, struct.error) as error:
        raise DataError(f"{path} is not a whole checkpoint ({error})") from error
    if _digest(tensors, facts) != expected:
        raise DataError(f"{path} is damaged: what it holds does not match the SHA-256 inside it")
    values = json.loads(facts)
    version = values.pop("format", 0)
    if version > FORMAT:
        raise NewerFormat(
            f"{path} has checkpoint format {version}, and this version of upres reads formats up to {FORMAT}: upgrade upres "
            "to continue the run (pip install --upgrade upres), or begin a new one in another folder"
        )
    return Checkpoint(int(values.pop("step")), tensors, values)


def latest_checkpoint(folder: Path) -> Checkpoint | None:
    """The newest whole checkpoint, None where the folder holds none; damaged ones are skipped, each with a warning.

    Raises `DataError` where all are damaged, and `NewerFormat` where a newer upres wrote the newest: falling back to an older
    one would lose steps.
    """
    candidates = list_checkpoints(folder)
    for path in reversed(candidates):
        try:
            return read_checkpoint(path)
        except NewerFormat:
            raise
        except DataError as error:
            _log.warning("%s; the one before it is tried", error)
    if candidates:
        raise DataError(f"none of the {len(candidates)} checkpoints in {folder} is whole: start again with another --out")
    return None
