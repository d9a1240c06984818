"""Messages of the library in the words of the command line, options in groups, and none given twice."""

from __future__ import annotations

import ast
import dataclasses
import functools
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from tests import REPOSITORY
from upres.batch.request import Request
from upres.cli import command
from upres.cli.command import Verb, as_options, option_names
from upres.cli.main import app
from upres.engines.options import ENGINE_FIELDS
from upres.training.config import TrainConfig
from upres.upscaling.options import OPTION_FIELDS
from upres.upscaling.output_size import OutputSize

VERBS: dict[str, Any] = {
    name: verb
    for name, verb in typer.main.get_command(app).commands.items()
    if isinstance(verb, Verb)  # type: ignore[attr-defined]
}
# What has no option of its own: values that hold others, and what `upres upscale` finds out by itself.
NO_OPTION = {"options", "engine_options", "size", "expected_px", "picture_px"}


@pytest.fixture
def upscale(monkeypatch: pytest.MonkeyPatch) -> None:
    """As while `upres upscale` runs."""
    monkeypatch.setattr(command, "_options", option_names(VERBS["upscale"].params))


@pytest.mark.parametrize(
    ("message", "words"),
    [
        ("`blend` must be in [0, 1], got 3", "--blend must be in [0, 1], got 3"),
        ("`factor` and `long_side` contradict each other", "--scale and --long-side contradict each other"),
        ("try a smaller `tile_px`", "try a smaller --tile"),
        ("more `memory_bytes` or `exact=True`", "more --memory or --exact"),
        ("leave `precision='fp16'` out", "leave --precision fp16 out"),
        ("`out=big/`: choose another `out`", "-o big/: choose another -o"),
        ("`model=a>b` was not used", "-n a>b was not used"),
        ("none of `inputs`", "none of INPUT"),
        ("`nonsense` and `half=True`", "nonsense and half=True"),
        ("a name with `Odd ticks`", "a name with `Odd ticks`"),
    ],
)
@pytest.mark.usefixtures("upscale")
def test_parameters_are_told_as_options(message: str, words: str) -> None:
    assert as_options(message) == words


def test_where_no_verb_runs_they_are_plain_words() -> None:
    assert (
        as_options("`blend` must be in [0, 1]; leave `exact=True` out")
        == "blend must be in [0, 1]; leave exact=True out"
    )


PARAMETERS = sorted(
    {*OPTION_FIELDS, *(field.name for kind in (Request, OutputSize) for field in dataclasses.fields(kind))} - NO_OPTION
)


@pytest.mark.parametrize("name", PARAMETERS)
@pytest.mark.usefixtures("upscale")
def test_every_parameter_of_a_request_is_told_by_its_option(name: str) -> None:
    told = as_options(f"`{name}`")
    assert told == "INPUT" if name == "inputs" else told.startswith("-"), told


@pytest.mark.parametrize("verb", VERBS)
def test_options_of_engines_have_one_name_in_every_verb(verb: str) -> None:
    names = option_names(VERBS[verb].params)
    for field in set(ENGINE_FIELDS) & names.keys():
        assert names[field] == f"--{field}"


@functools.cache
def library_texts() -> list[tuple[Path, str]]:
    """The text constants of the library, docstrings left out. The command line is not the library: it names options."""
    found: list[tuple[Path, str]] = []
    for path in sorted((REPOSITORY / "upres").rglob("*.py")):
        if path.parent.name == "cli":
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        documents = {
            id(node.body[0].value)
            for node in ast.walk(tree)
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
            and node.body
            and isinstance(node.body[0], ast.Expr)
        }
        texts = (node for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str))
        found += [(path, str(node.value)) for node in texts if id(node) not in documents]
    return found


def test_the_library_names_no_option() -> None:
    """`pip install --upgrade` and `docker run --gpus` are other programs; one word alone is an argument of one."""
    option = re.compile(r"(?<![\w-])--?(?!bit\b)[a-z][a-z-]*\b")  # "{depth}-bit" is none
    found = [(path.name, text) for path, text in library_texts() if option.search(text)]
    assert [
        (name, text)
        for name, text in found
        if " " in text.strip() and not re.search("pip (un)?install|docker run", text)
    ] == []


def test_what_the_library_names_is_a_parameter() -> None:
    known = {name for verb in VERBS.values() for name in option_names(verb.params)} | {
        "scale",
        "size",
        "denoise_with",
        "extrapolate",
    }
    known |= {"runner", "reference"}  # of Upscaler alone
    named = {
        (path.name, name)
        for path, text in library_texts()
        for name in re.findall(r"`([a-z][a-z0-9_]*)(?:=[^`]*)?`", text)
    }
    # settings of `upres train --set`
    known |= set(OPTION_FIELDS) | {field.name for field in dataclasses.fields(TrainConfig)}
    assert {(file, name) for file, name in named if name not in known} == set()


# Given twice


@pytest.mark.parametrize(
    ("arguments", "option"),
    [
        (["upscale", "a.png", "-n", "one", "--model", "two"], "'-n'"),
        (["upscale", "a.png", "-s", "2", "-s", "2"], "'-s'"),
        (["evaluate", "--hr", "a", "--hr", "b", "-s", "4"], "'--hr'"),
        (["evaluate", "--hr", "a", "--lr", "b", "--lr", "c", "-s", "4"], "'--lr'"),
        (["train", "compact-x2", "--out", "b", "--out", "c"], "'--out'"),
        (["degrade", "a", "-o", "b", "-o", "c"], "'-o'"),
        (["export", "m", "-f", "onnx", "-f", "ncnn"], "'-f'"),
        (["interpolate", "a", "b", "--alpha", "1", "--alpha", "0"], "'--alpha'"),
        (["models", "list", "--scale", "2", "--scale", "4"], "'--scale'"),
    ],
)
def test_an_option_given_twice_is_refused(arguments: list[str], option: str) -> None:
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 2, done.output
    assert option in done.output and "given 2 times, expected once" in done.output


def test_flags_and_options_that_take_several_may_be_given_again() -> None:
    done = CliRunner().invoke(app, ["evaluate", "--hr", "/gone", "-s", "4", "-n", "a", "-n", "b", "--niqe", "--niqe"])
    assert "given" not in done.output


def test_a_verb_is_of_the_class_that_does_this() -> None:
    group: Any = typer.main.get_command(app)
    for name, verb in group.commands.items():
        subverbs = getattr(verb, "commands", {name: verb})
        assert all(isinstance(one, Verb) for one in subverbs.values()), name


# Help


@pytest.mark.parametrize(
    ("verb", "argument", "groups"),
    [
        ("upscale", "INPUT...", ["Result", "Model", "Look", "Speed and memory", "Files", "Collections"]),
        ("train", "RECIPE", ["Data", "Run", "Model", "Adversarial training", "Machine"]),
        ("degrade", "INPUT...", ["Files", "Degradation"]),
        ("prepare", "DIR...", ["Output", "Crops", "Selection"]),
    ],
)
def test_help_has_options_in_groups(verb: str, argument: str, groups: list[str]) -> None:
    text = subprocess.run(
        [sys.executable, "-m", "upres", verb, "--help"], capture_output=True, text=True, check=True
    ).stdout
    assert f"upres {verb} [OPTIONS] {argument}\n" in text
    headings = re.findall(r"^(\w[\w ]*):$", text, re.MULTILINE)
    assert headings == ["Arguments", *groups, "Help"]


@pytest.mark.parametrize("verb", sorted({*VERBS} - {"models"}))
def test_help_has_examples_and_no_options_without_a_group(verb: str) -> None:
    text = CliRunner().invoke(app, [verb, "--help"]).output
    assert len(re.findall(rf"^    (?:\w+=\w+ )?upres {verb}\b", text, re.MULTILINE)) in (2, 3)
    assert re.findall(r"^  (?:-., )?--(\w+)", text.partition("Help:\n")[2], re.MULTILINE) == ["debug", "help"]


@pytest.mark.parametrize("verb", VERBS)
def test_usage_has_no_braces(verb: str) -> None:
    usage = CliRunner().invoke(app, [verb, "--help"]).output.splitlines()[0]
    assert usage.lower().startswith("usage:") and "{" not in usage
