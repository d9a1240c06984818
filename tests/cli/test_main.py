"""The command before any verb begins: help, version, and what is wrong with its arguments. What it loads: test_light_imports.py."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import pytest

Command = Callable[..., tuple[str, str]]

def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "upres", *arguments], capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
    )


def test_help_names_the_verbs_and_the_options(upres: Command) -> None:
    top, _ = upres("--help")
    for verb in ("upscale", "evaluate", "train"):
        assert verb in top
    upscale, _ = upres("upscale", "-h")
    options = "--scale --width --height --long-side --megapixels --model --engine --tile --exact --memory --threads --format --quality"
    for option in [*options.split(), "--png-level", "--max-pixels", "--overwrite", "--recursive", "--debug", "-o", "-s", "-n", "-r"]:
        assert option in upscale


def test_version() -> None:
    from importlib.metadata import version

    assert run("--version").stdout == f"upres {version('upres')}\n"


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
