"""The command as a process: what it loads, and its ends before any verb begins."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = ("torch", "ncnn", "pyvips", "onnxruntime", "numpy", "rich", "safetensors", "scipy", "tensorboard")


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "upres", *arguments], capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
    )


@pytest.mark.parametrize("arguments", [["--help"], ["upscale", "--help"], ["evaluate", "--help"], ["train", "--help"], ["--version"]])
def test_help_loads_nothing_heavy(arguments: list[str]) -> None:
    program = (
        "import sys\n"
        f"sys.argv = ['upres', *{arguments!r}]\n"
        "from upres.__main__ import main\n"
        "try:\n"
        "    main()\n"
        "except SystemExit as end:\n"
        "    assert not end.code, end.code\n"
        f"print('LOADED', [name for name in {HEAVY!r} if name in sys.modules])\n"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines()[-1] == "LOADED []"


def test_help_names_the_verbs_and_the_options() -> None:
    top = run("--help")
    assert top.returncode == 0
    for verb in ("upscale", "evaluate", "train"):
        assert verb in top.stdout
    upscale = run("upscale", "-h").stdout
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
def test_usage_errors_end_with_two(arguments: list[str], words: str) -> None:
    result = run(*arguments)
    assert result.returncode == 2
    assert words in result.stderr
    assert result.stdout == ""
    assert "Traceback" not in result.stderr


def test_no_arguments_show_the_help() -> None:
    result = run()
    assert result.returncode in (0, 2)  # typer's own choice, which changed between its versions
    assert "upscale" in result.stdout + result.stderr
