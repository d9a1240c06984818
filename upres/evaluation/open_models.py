"""Open the models that are measured or compared, each with the engine that makes its figures comparable."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from upres.engines.options import EngineOptions
from upres.errors import ModelError
from upres.evaluation.costs import ModelFacts, facts_of
from upres.graph.opaque import OpaqueModel
from upres.models.load import load_model
from upres.system.files import sha256_of
from upres.upscaling.upscaler import Upscaler


@dataclass(frozen=True, slots=True)
class OpenedModel:
    """A model with its engine, and what is told of it."""

    upscaler: Upscaler
    facts: ModelFacts


def open_models(
    names: Iterable[str], options: EngineOptions, stack: ExitStack, *, choose_engine: bool
) -> dict[str, OpenedModel]:
    """Open models by name, without repetitions; `stack` closes them.

    choose_engine: Use ncnn, so that results do not depend on the machine. A file of an unknown architecture has one
        engine only, and keeps it.

    A folder is that of a training run, and stands for its best model; `RUN@5000` is its network after that step, and
    `RUN@*` all that were kept, in their order.

    Raises what `load_model` and `Upscaler` raise, and `ModelError` for a folder without a model.
    """
    models: dict[str, OpenedModel] = {}
    for name, source in {name: source for text in names for name, source in _expanded(text)}.items():
        loaded = load_model(source)
        opaque = any(isinstance(network, OpaqueModel) for network in loaded.networks)
        own = options.replace(engine="ncnn") if choose_engine and not opaque else options
        upscaler = Upscaler(loaded.networks, engine_options=own)
        stack.callback(upscaler.close)
        models[name] = OpenedModel(upscaler, facts_of(upscaler, tuple(sha256_of(file.path) for file in loaded.files)))
    return models


def _expanded(text: str) -> list[tuple[str, str | Path]]:
    """(name, what `load_model` takes) of each model that `text` stands for."""
    if Path(text).is_dir():
        return [(text, _best_of(Path(text)))]
    run, at, step = text.rpartition("@")
    if not at or not Path(run).is_dir() or not (step == "*" or step.isdecimal()):
        return [(text, text)]
    folder = Path(run) / "models"
    kept = {int(path.stem.removeprefix("step_")): path for path in sorted(folder.glob("step_*.safetensors"))}
    if step == "*" and kept:
        return [(f"{run}@{number}", path) for number, path in kept.items()]
    if step == "*" or int(step) not in kept:
        there = f"of the steps {', '.join(map(str, kept))}" if kept else "none"
        raise ModelError(f"{run} holds no network of step {step}: it holds {there}")
    return [(text, kept[int(step)])]


def _best_of(folder: Path) -> Path:
    """The model of a run folder: best.safetensors, or model.safetensors of a run that was not validated."""
    for name in ("best.safetensors", "model.safetensors"):
        if (folder / name).is_file():
            return folder / name
    raise ModelError(f"{folder} is no folder of a training run: it has neither best.safetensors nor model.safetensors")
