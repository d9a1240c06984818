"""`upres runs`: the table, the difference of two runs, CSV and JSON, over folders as runs leave them."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("safetensors")

from upres.system.lock import only_user
from upres.training.config import TrainConfig
from upres.training.data.roots import Root
from upres.training.plan import RunPlan
from upres.training.run_file import file_of
from upres.training.run_file_text import run_text

Command = Callable[..., tuple[str, str]]
CONFIG = TrainConfig(recipe="compact-x2", scale=2, steps=2000)


def make_run(folder: Path, config: TrainConfig, rows: list[dict[str, object]], step: int) -> Path:
    (folder / "checkpoints").mkdir(parents=True)
    (folder / "checkpoints" / f"step_{step:09d}.safetensors").write_bytes(b"")
    text = run_text(file_of(RunPlan(config, (Root(folder.parent / "photos"),), folder)), config, comments=False)
    (folder / "run.toml").write_text(text)
    (folder / "validation.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


@pytest.fixture
def made(tmp_path: Path) -> Path:
    rows: list[dict[str, object]] = [
        {"step": 1000, "psnr_y": 30.5, "lr_psnr": 48.0, "losses": {"total": 0.5}, "feature_distance": None},
        {"step": 2000, "psnr_y": 30.25, "lr_psnr": 49.0, "losses": {"total": 0.25}, "feature_distance": 0.125},
    ]
    make_run(tmp_path / "a", CONFIG, rows, 2000)
    make_run(tmp_path / "deep" / "b", dataclasses.replace(CONFIG, learning_rate=2e-3, width=16), rows[:1], 1500)
    return tmp_path


def test_the_table_has_the_best_figure_of_each_measure_and_where_it_was(made: Path, upres: Command) -> None:
    with only_user(made / "deep" / "b", "busy"):
        out, _ = upres("runs", made)
    lines = [" ".join(line.replace(f"{made}/", "").split()) for line in out.splitlines()]
    assert lines[1] == "a compact-x2 finished 2,000 of 2,000 30.50 @1000 49.0 @2000 0.1250 @2000"
    assert lines[2] == "deep/b compact-x2 running 1,500 of 2,000 30.50 @1000 48.0 @1000 -"
    assert "NIQE" not in lines[0] and "stopped" in upres("runs", made)[0]


def test_two_runs_differ_in_what_their_files_say(made: Path, upres: Command) -> None:
    out, _ = upres("runs", "--diff", made / "a", made / "deep" / "b")
    assert out.splitlines()[2:6] == ["-width = 32", "+width = 16", "-learning_rate = 0.001", "+learning_rate = 0.002"]
    out, _ = upres("runs", "--diff", "--json", made / "a", made / "deep" / "b")
    assert json.loads(out)["width"] == [32, 16]
    assert upres("runs", "--diff", made / "a", made / "a")[0] == "the two runs were asked for the same\n"
    assert "found 1 runs" in upres("runs", "--diff", made / "a", code=2)[1]


def test_csv_and_json_are_read_by_others(made: Path, upres: Command) -> None:
    rows = list(csv.DictReader(io.StringIO(upres("runs", made, "--csv")[0])))
    assert [(row["step"], row["psnr_y"], row["psnr_y_step"]) for row in rows] == [
        ("2000", "30.5", "1000"),
        ("1500", "30.5", "1000"),
    ]
    rows = list(csv.DictReader(io.StringIO(upres("runs", made / "a", "--csv")[0])))
    assert [(row["step"], row["loss/total"]) for row in rows] == [("1000", "0.5"), ("2000", "0.25")]
    found = json.loads(upres("runs", made, "--json")[0])
    assert [one["state"] for one in found] == ["finished", "stopped"]
    assert found[0]["best"]["feature_distance"] == {"value": 0.125, "step": 2000}


def test_a_run_that_cannot_be_read_is_told_beside_the_others(made: Path, upres: Command) -> None:
    (made / "a" / "validation.jsonl").write_text("torn\nlines\n")
    out, err = upres("runs", made, code=3)
    assert "deep/b" in out and "validation.jsonl: line 1 is not a validation" in err
    assert "holds no runs" in upres("runs", made / "deep" / "b" / "checkpoints", code=3)[1]
    assert "is not a folder" in upres("runs", made / "nothere", code=3)[1]
