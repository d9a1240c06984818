"""The verb `upres bench`: its table, its text for an issue, its JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tests.tiny import compact_file
from upres.cli.main import app
from upres.engines.autotune import bench as module
from upres.engines.autotune import cache
from upres.engines.autotune.race import Measured

SECONDS = {"ncnn": 0.5, "onnx": 0.25}


@pytest.fixture(autouse=True)
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def race(candidates: Any, structure: Any, **_: Any) -> tuple[Measured, ...]:
        return tuple(
            Measured(one, SECONDS[one.engine], 1.5, 100 << 20)
            if one.engine in SECONDS
            else Measured(one, error="it crashed")
            for one in candidates
        )

    found = module.bench.__kwdefaults__
    assert found is not None
    monkeypatch.setitem(found, "measure", race)
    monkeypatch.setattr(module, "is_busy", lambda: False)
    monkeypatch.setattr(cache, "choices_file", lambda: tmp_path / "engines.json")


def run(*arguments: str, code: int = 0) -> str:
    result = CliRunner().invoke(app, ["bench", *arguments])
    assert result.exit_code == code, result.output
    return str(result.output)


def test_the_table_names_the_fastest() -> None:
    words = run("compact-x4")
    assert "MODEL" in words
    assert "0.500 s" in words
    assert "compact-x4: --engine " in words
    assert "(--engine auto takes it from now on)" in words
    assert len(cache.read_choices()) == 1


def test_busy_measures_keep_nothing() -> None:
    words = run("compact-x4", "--busy", "1")
    assert "(not kept)" in words
    assert "beside 1 processes that count" in words
    assert cache.read_choices() == []


def test_the_text_for_an_issue_is_a_table_without_paths(tmp_path: Path) -> None:
    words = run(str(compact_file(tmp_path / "mine.safetensors")), "--issue")
    assert "| mine.safetensors | ncnn |" in words
    assert str(tmp_path) not in words
    assert words.startswith("upres ")


def test_json_has_every_figure() -> None:
    found = json.loads(run("compact-x2", "--json"))
    (row,) = found["rows"]
    assert row["model"] == "compact-x2"
    assert row["engines"][0]["run_s"] == 0.5
    assert row["engines"][0]["megapixels_per_second"] == pytest.approx((2 * row["side"]) ** 2 / 1e6 / 0.5)
    assert found["machine"]["cores"] >= 1


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("--issue", "--json"), 2),
        (("no-such-model",), 4),
        (("--busy", "-1"), 2),
        (("compact-x4", "--engine", "openvino", "--device", "cuda"), 2),
    ],
)
def test_what_it_refuses(arguments: tuple[str, ...], code: int) -> None:
    result = CliRunner().invoke(app, ["bench", *arguments])
    assert result.exit_code == code, result.output
