"""What the wheel carries (the marker of types and the bundled models, and no tests), and that extras can be added to an
installation.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests import REPOSITORY

pytestmark = pytest.mark.slow


def build(folder: Path, modified_s: int) -> Path:
    """A wheel built from a copy of this tree, whose files have that date."""
    if importlib.util.find_spec("hatchling") is None:
        pytest.skip("hatchling is not installed, and the test fetches nothing")
    # A copy: the builder must not leave files in the tree, and other tests may run at the same time.
    tree = folder / "tree"
    shutil.copytree(REPOSITORY / "upres", tree / "upres", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(REPOSITORY / name, tree / name)
    for path in tree.rglob("*"):
        os.utime(path, (modified_s, modified_s))
    arguments = ["wheel", "--quiet", "--disable-pip-version-check", "--no-deps", "--no-build-isolation"]
    command = [sys.executable, "-m", "pip", *arguments, "--wheel-dir", str(folder), str(tree)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    (wheel,) = folder.glob("upres-*.whl")
    return wheel


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("wheel"), 1_700_000_000)


@pytest.fixture(scope="module")
def wheel_names(wheel: Path) -> set[str]:
    """The file names inside a wheel built from this tree."""
    with zipfile.ZipFile(wheel) as file:
        return set(file.namelist())


def test_the_same_tree_gives_the_same_wheel_at_any_time(wheel: Path, tmp_path: Path) -> None:
    """hatchling takes SOURCE_DATE_EPOCH, or its own fixed date, in place of the dates of files."""
    assert build(tmp_path, 1_760_000_000).read_bytes() == wheel.read_bytes()


def test_the_wheel_is_typed(wheel_names: set[str]) -> None:
    assert "upres/py.typed" in wheel_names


def test_the_wheel_carries_every_module_and_model(wheel_names: set[str]) -> None:
    ours = {
        path.relative_to(REPOSITORY).as_posix()
        for path in (REPOSITORY / "upres").rglob("*")
        if path.suffix in (".py", ".safetensors", ".js", ".css", ".html", ".LICENSE", ".svg", ".png")
    }
    assert ours <= wheel_names


def test_the_wheel_carries_nothing_else(wheel_names: set[str]) -> None:
    outside = {name for name in wheel_names if not name.startswith("upres/") and ".dist-info/" not in name}
    assert outside == set()


def test_the_constraints_are_legal_for_pip_and_pin_what_is_asked_for() -> None:
    """pip refuses extras in a constraints file."""
    lines = [
        line
        for line in (REPOSITORY / "constraints.txt").read_text(encoding="utf-8").splitlines()
        if line and not line.startswith("#")
    ]
    assert [line for line in lines if "[" in line or "==" not in line] == []
    pinned = {line.partition("==")[0] for line in lines}
    assert {"numpy", "pyvips", "pyvips-binary", "ncnn", "torch", "pytest", "ruff", "pyright"} <= pinned


def test_the_remedy_for_a_missing_extra_is_right_for_an_installation_from_a_checkout() -> None:
    # pip takes the installed upres as it is and asks no index for one, so `pip install 'upres[onnx]'` adds what the
    # extra names.
    arguments = ["install", "--dry-run", "--no-index", "--no-deps", "--disable-pip-version-check", "upres[onnx]"]
    result = subprocess.run([sys.executable, "-m", "pip", *arguments], capture_output=True, text=True, check=False)
    assert (result.returncode, "Requirement already satisfied: upres[onnx]" in result.stdout) == (0, True), (
        result.stderr
    )
