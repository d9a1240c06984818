"""The table of packages is that of pyproject.toml, and asks what is installed without importing it."""

from __future__ import annotations

import tomllib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests import REPOSITORY
from upres.system.packages import (
    ENGINES,
    PACKAGES,
    builds_of,
    has_module,
    install_command,
    lowest_version,
    missing_modules,
    version_of,
)

PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def stated(lines: list[str]) -> dict[str, str]:
    """{"torch": "2.4"}: the lower bound of each line, which all have."""
    found: dict[str, str] = {}
    for requirement in map(Requirement, lines):
        (lowest,) = [part.version for part in requirement.specifier if part.operator == ">="]
        found[requirement.name] = lowest
    return found


def test_the_core_is_that_of_pyproject() -> None:
    assert {package.name: package.lowest for package in PACKAGES if not package.extras} == stated(
        PROJECT["dependencies"]
    )


def test_the_extras_are_those_of_pyproject() -> None:
    extras = {
        name: stated(lines)
        for name, lines in PROJECT["optional-dependencies"].items()
        if name not in ("dev", "dev-extras", "docs")
    }
    found: dict[str, dict[str, str]] = {name: {} for name in extras}
    for package in PACKAGES:
        for extra in package.extras:
            found[extra][package.name] = package.lowest
    assert found == extras


def test_an_extra_brings_what_its_engine_imports() -> None:
    for engine, modules in ENGINES.items():
        for package in PACKAGES:
            if package.module in modules and package.extras:
                assert engine in package.extras, (engine, package.name)
        assert f"upres[{engine}]" in install_command(engine) or engine == "ncnn"


def test_builds_share_a_module_and_a_lowest_version() -> None:
    assert builds_of("torch") == ("torch",)
    assert {lowest_version(name) for name in builds_of("onnxruntime")} == {"1.18"} and len(builds_of("onnxruntime")) > 4
    assert lowest_version("setuptools") is None


def test_what_is_installed_is_found_without_importing_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "upres_probe_of_a_test.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert has_module("upres_probe_of_a_test") and not has_module("no_such_module") and not has_module("no_such.module")
    monkeypatch.setitem(ENGINES, "made", ("upres_probe_of_a_test", "no_such_module"))
    assert missing_modules("made") == ["no_such_module"]


def test_versions_are_those_that_the_metadata_says() -> None:
    names = [package.name for package in PACKAGES if _found(package.name) is not None]
    assert "numpy" in names
    assert {name: version_of(name) for name in names} == {name: _found(name) for name in names}
    assert version_of("no-such-package") is None


def _found(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
