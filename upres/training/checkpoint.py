"""Checkpoints: one safetensors file per saved step, written atomically, with a SHA-256 of its content in the header.

Nothing is pickled. A truncated or corrupted checkpoint does not match its hash; it is skipped with a warning and the
previous one is used. Every later format must keep the header (the JSON text `facts`, which holds the format version,
and the `sha256` of `_digest`), so that this version can tell a newer file from a damaged one.
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
FORMAT = 1  # raise it when older versions would misread the files. 0: files from before the version was stored
_PATTERN = re.compile(r"step_(\d{9})\.safetensors")


class NewerFormat(DataError):
    """The checkpoint is intact but was written by a newer version of upres."""


@dataclass(frozen=True)
class Checkpoint:
    """The training state after `step` optimizer updates.

    step: completed updates.
    tensors: what `state.pack` returns.
    facts: JSON values that identify the run (configuration, fingerprint of the data, ...).
    """

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
    """Write the checkpoint atomically to `folder`, then delete all but the newest `keep` and those of the steps in
    `pinned`.

    Raises `OutputError`, and deletes nothing, if the disk is full.
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
    """The path of the checkpoint after `step` updates."""
    return folder / f"step_{step:09d}.safetensors"


def drop_after(folder: Path, step: int) -> None:
    """Delete the checkpoints after `step`, newest first: a crash in between leaves a run that can be resumed."""
    for path in reversed(list_checkpoints(folder)):
        if path > checkpoint_path(folder, step):
            path.unlink(missing_ok=True)


def list_checkpoints(folder: Path) -> list[Path]:
    """The checkpoint files in `folder`, oldest first."""
    return sorted(p for p in folder.glob("step_*.safetensors") if _PATTERN.fullmatch(p.name))


def newest_step(folder: Path) -> int | None:
    """The step of the newest checkpoint file in `folder`, taken from its name; None if there is none."""
    names = [_PATTERN.fullmatch(path.name) for path in list_checkpoints(folder)]
    return int(names[-1][1]) if names and names[-1] else None


def read_checkpoint(path: Path) -> Checkpoint:
    """Read and verify one checkpoint. Raises `DataError` if it is damaged, `NewerFormat` if a newer upres wrote it."""
    data = path.read_bytes()
    try:
        length = struct.unpack("<Q", data[:8])[0]
        header = json.loads(data[8 : 8 + length])
        tensors = load_tensors(data)
        facts = header["__metadata__"]["facts"]
        expected = header["__metadata__"]["sha256"]
    except (SafetensorError, ValueError, KeyError, TypeError, struct.error) as error:
        raise DataError(f"{path} is not a complete checkpoint ({error})") from error
    if _digest(tensors, facts) != expected:
        raise DataError(f"{path} is damaged: its content does not match its SHA-256")
    values = json.loads(facts)
    version = values.pop("format", 0)
    if version > FORMAT:
        raise NewerFormat(
            f"{path} has checkpoint format {version}, but this version of upres reads formats up to {FORMAT}: upgrade "
            "upres "
            "to continue the run (pip install --upgrade upres), or start a new run in another folder"
        )
    return Checkpoint(int(values.pop("step")), tensors, values)


def latest_checkpoint(folder: Path) -> Checkpoint | None:
    """The newest intact checkpoint in `folder`, None if there are no checkpoints; damaged ones are skipped with a
    warning.

    Raises `DataError` if all are damaged, and `NewerFormat` if a newer upres wrote the newest: falling back would lose
    steps.
    """
    candidates = list_checkpoints(folder)
    for path in reversed(candidates):
        try:
            return read_checkpoint(path)
        except NewerFormat:
            raise
        except DataError as error:
            _log.warning("%s; trying the previous one", error)
    if candidates:
        raise DataError(
            f"none of the {len(candidates)} checkpoints in {folder} is intact: start again in another `out`"
        )
    return None
