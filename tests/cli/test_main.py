"""The command before any verb begins: help, version, and what is wrong with its arguments. What it loads:
test_light_imports.py.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests import REPOSITORY
from upres.cli import main

Command = Callable[..., tuple[str, str]]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "upres", *arguments],
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )


def test_help_names_the_verbs_and_the_options(upres: Command) -> None:
    top, _ = upres("--help")
    for verb in ("upscale", "evaluate", "train"):
        assert verb in top
    upscale, _ = upres("upscale", "-h")
    options = "--scale --width --height --long-side --megapixels --model --engine --tile --exact --memory --threads"
    options += " --format --quality"
    for option in [
        *options.split(),
        "--png-level",
        "--max-pixels",
        "--overwrite",
        "--recursive",
        "--debug",
        "-o",
        "-s",
        "-n",
        "-r",
    ]:
        assert option in upscale


@pytest.mark.parametrize("option", ["--version", "-V"])
def test_version(option: str, upres: Command) -> None:
    from importlib.metadata import version

    assert upres(option) == (f"upres {version('upres')}\n", "")


@pytest.mark.parametrize(
    ("typed", "meant"), [(["upscal"], "upscale"), (["modles"], "models"), (["models", "lst"], "list")]
)
def test_an_unknown_verb_suggests_the_nearest(typed: list[str], meant: str, upres: Command) -> None:
    _, err = upres(*typed, code=2)
    assert f"No such command '{typed[-1]}'. Did you mean '{meant}'?" in err


def test_usage_calls_the_program_by_its_name() -> None:
    assert run("upscale", "-h").stdout.startswith("Usage: upres upscale ")


@pytest.mark.parametrize(
    ("words", "completed"),
    [
        (["upres", "up"], ["upscale"]),
        (["upres", "models", "li"], ["list"]),
        (["upres", "upscale", "--lo"], ["--long-side"]),
        (["upres", "--ver"], ["--version"]),
        (["upres", "nothing"], []),
    ],
)
def test_a_shell_gets_completions(
    words: list[str], completed: list[str], upres: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("_UPRES_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", " ".join(words))
    monkeypatch.setenv("COMP_CWORD", str(len(words) - 1))
    out, err = upres()
    assert (out.split(), err) == (completed, "")


def in_bash(script: str, home: Path) -> str:
    """What bash says to `script`, in which `upres` is this program.

    The shell is found as the parent of that process.
    """
    function = f'upres() {{ "{sys.executable}" -m upres "$@"; }}\n'
    environment = {**os.environ, "HOME": str(home)}
    done = subprocess.run(
        ["bash", "-c", function + script], capture_output=True, text=True, check=False, env=environment, cwd=REPOSITORY
    )
    assert (done.stderr, done.returncode) == ("", 0)
    return done.stdout


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash here")
def test_completion_works_in_bash(tmp_path: Path) -> None:
    # COMPREPLY is what bash offers for the TAB after `upres up`.
    script = 'eval "$(upres --show-completion)"\nCOMP_WORDS=(upres up) COMP_CWORD=1\n_upres_completion upres\n'
    script += 'echo "${COMPREPLY[@]}"'
    in_path = tmp_path / "bin" / "upres"  # the script calls the program through `env`, which knows no functions
    in_path.parent.mkdir()
    in_path.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m upres "$@"\n')
    in_path.chmod(0o755)
    assert in_bash(f'PATH="{in_path.parent}:$PATH"\n{script}', tmp_path) == "upscale\n"
    assert "bash completion installed in" in in_bash("upres --install-completion; true", tmp_path)
    assert "upres" in (tmp_path / ".bashrc").read_text()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["upscale"], "Missing argument"),
        (["upscale", "a.png", "--frobnicate"], "No such option"),
        (["frobnicate"], "No such command"),
        (["upscale", "a.png", "--quality", "0"], "--quality"),
        (["upscale", "a.png", "--engine", "magic"], "--engine"),
        (["upscale", "a.png", "-s", "four"], "--scale"),
    ],
)
def test_usage_errors_end_with_two(arguments: list[str], words: str, upres: Command) -> None:
    out, err = upres(*arguments, code=2)
    assert words in err
    assert out == ""


def test_the_process_ends_as_the_command_does() -> None:
    result = run("upscale")
    assert result.returncode == 2
    assert "Missing argument" in result.stderr and "Traceback" not in result.stderr
    assert result.stdout == ""


def test_no_arguments_show_the_help() -> None:
    result = run()
    assert result.returncode in (0, 2)  # typer's own choice, which changed between its versions
    assert "upscale" in result.stdout + result.stderr


def test_a_verb_is_prepared_alone_and_any_other_word_leaves_everything() -> None:
    for other in ("", "--help", "-V", "upscal", "models"):
        assert main.app_for(other) is main.app
    alone = main.app_for("inspect")
    assert [info.callback.__name__ for info in alone.registered_commands if info.callback is not None] == ["inspect"]
    assert alone.registered_groups == []
    assert len(main.app.registered_commands) > 5
