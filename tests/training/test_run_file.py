"""A run file says all that the options can; what is wrong in it is told by file, line and key."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import pytest

from upres.errors import DataError, UsageError
from upres.training.config import TrainConfig
from upres.training.data.roots import Root
from upres.training.plan import Launch, PretrainedFiles, RunPlan
from upres.training.recipes import resolve_recipe
from upres.training.run_file import file_of, line_of, parse_run_file, plan_of, read_run_file, read_run_folder
from upres.training.run_file_text import run_text

PATH = Path("/home/me/mine.toml")
WHOLE = """
recipe = "compact-gan-x4"
out = "run"
shrink = 10
init = "compact-x4"
teacher = "./t.pth"
guard = true

[[data]]
hr = "/photos"
[[data]]
hr = "more"
lr = "lr"
weight = 2

[validation]
hr = "held"

[settings]
degradation = "d.toml"
clip_norm = inf
betas = [0.5, 0.9]
"""


def test_everything_that_options_say_is_read_and_paths_begin_at_the_file() -> None:
    file, config = parse_run_file(WHOLE, PATH)
    expected = resolve_recipe(
        "compact-gan-x4", ["degradation=/home/me/d.toml", "clip_norm=inf", "betas=0.5,0.9"], shrink=10
    )
    assert dataclasses.replace(config, degradation="/home/me/d.toml") == expected
    plan = plan_of(file, config, Path(file.out or ""))
    assert plan.data == (Root(Path("/photos")), Root(Path("/home/me/more"), Path("/home/me/lr"), 2.0))
    assert plan.validation == (Root(Path("/home/me/held")),)
    assert plan.sources == PretrainedFiles("compact-x4", teacher="/home/me/t.pth") and plan.guard
    assert plan.out == Path("/home/me/run") and config.degradation == "/home/me/d.toml"


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("clip_norm", "clip_nrm", r"mine.toml, line 21: unknown setting 'clip_nrm', did you mean 'clip_norm'\?"),
        ("clip_norm = inf", 'clip_norm = "big"', r"mine.toml, line 21: clip_norm must be a number above 0 .*got 'big'"),
        ("guard = true", "guard = 3", r"mine.toml, line 7: guard must be true or false, got 3"),
        ("guard", "gaurd", r"mine.toml, line 7: unknown key 'gaurd', did you mean 'guard'\?"),
        ("weight = 2", "weight = -2", r"mine.toml, line 14, data 2: weight must be a number above 0, got -2"),
        ("weight", "wait", r"mine.toml, line 14, data 2: unknown key 'wait', did you mean 'weight'\?"),
        ('hr = "held"', "hr = 1", r"mine.toml, line 17, validation 1: hr must be a string, got 1"),
        ("[settings]", "[setings]", r"mine.toml, line 19: unknown key 'setings', did you mean 'settings'\?"),
        ("compact-gan-x4", "compact-gun-x4", r"mine.toml, line 2: unknown recipe 'compact-gun-x4', did you mean"),
        ("recipe", "# recipe", r"mine.toml: recipe is missing: expected a string"),
        ("betas = [0.5, 0.9]", "steps = 3\nsteps = 4", r"mine.toml is not TOML: .*\(at line 23"),
        ("clip_norm = inf", "accumulate = 3", r"mine.toml: `batch` must be a multiple of `accumulate`"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(before: str, after: str, message: str) -> None:
    assert before in WHOLE
    with pytest.raises(UsageError, match=message):
        parse_run_file(WHOLE.replace(before, after, 1), PATH)


def test_a_plan_survives_its_file(tmp_path: Path) -> None:
    config = dataclasses.replace(resolve_recipe("esrgan-x4"), channels=3, bits=8, discriminator_clip_norm=math.inf)
    plan = RunPlan(
        config, (Root(tmp_path / "café \"x\"\n"), Root(tmp_path / "b", tmp_path / "c", 0.5)), tmp_path / "run",
        validation=(Root(tmp_path / "v"),), guard=True, launch=Launch("cpu", 2, 3, "host:1"),
        sources=PretrainedFiles("compact-x4", tmp_path / "d", tmp_path / "f", "a:0.5,b:0.5"),
    )  # fmt: skip
    (tmp_path / "run").mkdir()
    for comments in (True, False):
        text = run_text(file_of(plan), config, comments=comments, head=["a", "b"])
        (tmp_path / "run" / "run.toml").write_text(text, encoding="utf-8")
        file, again = read_run_folder(tmp_path / "run")
        assert again == config and plan_of(file, again, plan.out) == plan


def test_a_run_whose_recipe_is_gone_is_still_read() -> None:
    config = TrainConfig(recipe="forgotten", scale=2)
    text = run_text(file_of(RunPlan(config, Path("/a"), Path("/b"))), config, comments=False)
    assert parse_run_file(text, PATH)[1] == config


def test_lines_are_found_as_people_write_them() -> None:
    text = 'a = 1\n  [t] # x\n"b"= 2\n[[l]]\nc = 3\n[[ l ]]\n  c=4\n'
    keys = {("a",): 1, ("t", "b"): 3, ("t",): 2, ("l", 0, "c"): 5, ("l", 1, "c"): 7, ("l", 1): 6, ("z",): None}
    assert {key: line_of(text, key) for key in keys} == keys


def test_what_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(DataError, match=r"a\.toml cannot be read: it is not UTF-8 text"):
        read_run_file(tmp_path / "a.toml")
    with pytest.raises(DataError, match=r"cannot be read: Is a directory"):
        read_run_file(tmp_path)
    (tmp_path / "empty.toml").write_bytes(b"")
    with pytest.raises(UsageError, match=r"empty\.toml: recipe is missing"):
        read_run_file(tmp_path / "empty.toml")
