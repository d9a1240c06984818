"""scripts/wheels.py: what the core needs on each platform, and what is said where the index lacks it. pip is a
stand-in.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Callable
from types import ModuleType

import pytest

from tests import REPOSITORY


@pytest.fixture(scope="module")
def wheels() -> ModuleType:
    spec = importlib.util.spec_from_file_location("wheels_script", REPOSITORY / "scripts" / "wheels.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def test_what_is_needed_follows_from_the_metadata_of_each_platform(wheels: ModuleType) -> None:
    linux, windows = (wheels.needed("upres", "3.13", wheels.PLATFORMS[number]) for number in (0, 2))
    assert linux["typer"].startswith("typer<0.29,>=")
    # an extra, and what others need
    assert {"numpy", "ncnn", "pyvips", "pyvips-binary", "cffi", "httpcore"} <= linux.keys()
    assert not {"torch", "pytest", "onnxruntime", "upres"} & linux.keys()  # extras of ours
    assert windows.keys() - linux.keys() == {"colorama"}
    assert linux.keys() <= windows.keys()


def test_what_is_published_as_source_alone_is_pure_python(wheels: ModuleType) -> None:
    assert wheels.impure(wheels.SOURCE_ONLY) == []
    assert wheels.impure(["numpy"]) == ["numpy"]


Lacks = Callable[[str, str, str], bool]
Run = Callable[..., tuple[int, list[str]]]


@pytest.fixture
def run_with(wheels: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """The script before an index that has no wheel where lacks(package, Python, tag), and does not know the packages
    `unknown`.
    """

    def run(lacks: Lacks, unknown: tuple[str, ...] = ()) -> tuple[int, list[str]]:
        def pip(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
            if "index" in command:
                return subprocess.CompletedProcess(command, int(command[-1] in unknown), "", "")
            python = command[command.index("--python-version") + 1]
            first = next(number for number, word in enumerate(command) if word.startswith("--platform="))
            tag = command[first].partition("=")[2]
            for requirement in (word for word in command[first:] if not word.startswith("--")):
                name = requirement.partition(">")[0].partition("<")[0]
                if name in unknown or lacks(name, python, tag):
                    words = f"ERROR: Could not find a version that satisfies the requirement {requirement} "
                    words += "(from versions: none)\n"
                    return subprocess.CompletedProcess(command, 1, "", "WARNING: noise\n" + words)
            return subprocess.CompletedProcess(command, 0, "", "")

        monkeypatch.setattr(wheels.subprocess, "run", pip)
        code = wheels.main()
        return code, capsys.readouterr().out.splitlines()

    return run


def test_all_are_there(run_with: Run) -> None:
    code, lines = run_with(lambda *_: False)
    assert code == 0
    assert len(lines) == 20
    assert all(line.endswith(": all wheels found") for line in lines)


def test_a_missing_wheel_is_named(run_with: Run) -> None:
    code, lines = run_with(lambda name, python, tag: (name, python, tag) == ("ncnn", "3.14", "win_amd64"))
    assert code == 1
    (line,) = (line for line in lines if not line.endswith("all wheels found"))
    assert line.startswith(
        "Windows AMD64, CPython 3.14: MISSING: Could not find a version that satisfies the requirement ncnn>="
    )


def test_a_platform_that_the_index_does_not_serve_is_skipped(run_with: Run) -> None:
    code, lines = run_with(lambda name, python, tag: "macosx" in tag)
    assert code == 0
    skipped = [line for line in lines if not line.endswith("all wheels found")]
    assert [line.split(",")[0] for line in skipped] == ["macOS arm64"] * 4 + ["macOS x86_64"] * 4
    assert skipped[0].endswith(
        "skipped, the package index does not serve it: it holds no wheel of numpy for this platform"
    )


def test_a_package_that_the_index_does_not_know_is_skipped(run_with: Run) -> None:
    code, lines = run_with(lambda *_: False, unknown=("ncnn",))
    assert code == 0
    assert all(line.endswith("does not serve it: it does not offer ncnn to this machine either") for line in lines)
