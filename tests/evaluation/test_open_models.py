"""Models for measuring: their engine, their facts, and the folders of runs."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.tiny import compact, compact_file
from upres.engines.options import EngineOptions
from upres.errors import ModelError
from upres.evaluation.open_models import open_models
from upres.system.files import sha256_of


def test_models_are_opened_once_with_their_facts(tmp_path: Path) -> None:
    file = compact_file(tmp_path / "a.safetensors", 2)
    with ExitStack() as stack:
        opened = open_models([str(file), str(file)], EngineOptions(), stack, choose_engine=True)
        assert list(opened) == [str(file)]
        model = opened[str(file)]
        assert model.upscaler.runner.name.startswith("ncnn") and model.facts.sha256 == (sha256_of(file),)
        assert model.facts.parameters == compact(2).parameters


def test_the_folder_of_a_run_is_its_best_model(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    last = compact_file(tmp_path / "run" / "model.safetensors", 2)
    name = str(tmp_path / "run")
    with ExitStack() as stack:
        assert open_models([name], EngineOptions(), stack, choose_engine=True)[name].facts.sha256 == (sha256_of(last),)
        best = compact_file(tmp_path / "run" / "best.safetensors", 2, seed=3)
        assert open_models([name], EngineOptions(), stack, choose_engine=True)[name].facts.sha256 == (sha256_of(best),)
        with pytest.raises(ModelError, match=r"has neither best\.safetensors nor model\.safetensors"):
            open_models([str(tmp_path)], EngineOptions(), stack, choose_engine=True)


def test_the_steps_of_a_run_are_models_in_their_order(tmp_path: Path) -> None:
    run = tmp_path / "run"
    (run / "models").mkdir(parents=True)
    for step in (20, 3, 100):
        compact_file(run / "models" / f"step_{step:09d}.safetensors", 2, seed=step)
    with ExitStack() as stack:
        opened = open_models([f"{run}@*", f"{run}@20"], EngineOptions(), stack, choose_engine=True)
        assert list(opened) == [f"{run}@3", f"{run}@20", f"{run}@100"]
        assert len({model.facts.sha256 for model in opened.values()}) == 3
        with pytest.raises(ModelError, match=r"holds no network of step 4: it holds of the steps 3, 20, 100"):
            open_models([f"{run}@4"], EngineOptions(), stack, choose_engine=True)
        with pytest.raises(ModelError, match=r"no network of step \*: it holds none"):
            open_models([f"{tmp_path}@*"], EngineOptions(), stack, choose_engine=True)
