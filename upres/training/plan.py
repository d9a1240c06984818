"""`RunPlan`: all that a run is asked to do, as one value. `run_file.py` reads and writes it as TOML."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from upres.training.config import TrainConfig
from upres.training.data.roots import Root


@dataclass(frozen=True)
class PretrainedFiles:
    """Files that a run starts from or measures with."""

    init: str | Path | None = None  # initial weights of the generator, by name or file; None: random
    init_discriminator: Path | None = None
    features: Path | None = None  # the feature network's file, or its folder; None: cache or download
    teacher: str | None = None  # name or file of a model whose output becomes the target


@dataclass(frozen=True)
class Launch:
    """Where a run runs.

    device: "auto", "cpu", "cuda" or "mps".
    processes: on this machine.
    nodes, rdzv: machines, and where they meet (host:port).
    min_nodes: the run goes on with as few machines as this; 0: with all only.
    """

    device: str = "auto"
    processes: int = 1
    nodes: int = 1
    rdzv: str | None = None
    min_nodes: int = 0


@dataclass(frozen=True)
class RunPlan:
    """What to train, on what, into which folder.

    config: the resolved recipe.
    data: folders or shards to train on.
    out: the run's folder.
    validation: folders to validate on; None: pictures held out from `data`.
    guard: if training becomes unstable, go back once to the last good checkpoint and halve the learning rates; else
        only warn.
    sources: initial weights, feature network and teacher.
    launch: recorded in the run's folder, for whoever resumes it.
    """

    config: TrainConfig
    data: Path | Sequence[Root]
    out: Path
    validation: Path | Sequence[Root] | None = None
    guard: bool = False
    sources: PretrainedFiles = PretrainedFiles()  # frozen
    launch: Launch = Launch()  # frozen
