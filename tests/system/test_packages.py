"""The table of packages is that of pyproject.toml, and asks what is installed without importing it."""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests import REPOSITORY
from upres.errors import EngineError
from upres.system.packages import (
    ENGINES,
    PACKAGES,
    builds_of,
    has_module,
    import_failure,
    install_command,
    lowest_version,
    missing_modules,
    need,
    remedy_for_import,
    too_old,
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


@pytest.mark.parametrize(
    ("package", "version", "lowest"),
    [
        ("torch", "2.3.1", "2.4"),
        ("torch", "2.4rc1", "2.4"),
        ("torch", "2.4.0+cu121", None),
        ("torch", "2.13.0", None),
        ("ncnn", "1.0.20240102", "1.0.20250503"),
        ("openvino", "2024.4.0", None),
        ("torch", "nightly", None),
        ("setuptools", "0.1", None),  # upres asks for none
    ],
)
def test_what_is_too_old(package: str, version: str, lowest: str | None) -> None:
    assert too_old(package, version) == lowest


@pytest.mark.parametrize(
    ("module", "reason", "remedy"),
    [
        (
            "ncnn",
            "ImportError: libgomp.so.1: cannot open shared object file: No such file or directory",
            "sudo apt install libgomp1",
        ),
        (
            "torch",
            "OSError: libcudnn.so.9: cannot open shared object file",
            "install the system package that provides libcudnn.so.9",
        ),
        ("ncnn", "ImportError: DLL load failed while importing ncnn", "https://aka.ms/vs/17/release/vc_redist.x64.exe"),
        ("onnxruntime", "ImportError: broken", "pip install --force-reinstall onnxruntime"),
        ("pyvips", "ModuleNotFoundError: No module named '_libvips'", "pip install --force-reinstall 'pyvips[binary]'"),
    ],
)
def test_a_library_that_cannot_be_imported_gets_its_remedy(module: str, reason: str, remedy: str) -> None:
    assert remedy in (remedy_for_import(module, reason) or "")
    assert remedy_for_import(module, "torch cannot use device 'cuda'") is None


def test_a_missing_package_is_told_with_the_extra_that_brings_it(monkeypatch: pytest.MonkeyPatch) -> None:
    need("`ray`", "ray", "no_module_of_ray")
    monkeypatch.setattr("upres.system.packages.has_module", lambda module: module != "uvicorn")
    need("training", "train")
    words = re.escape("`upres serve` needs uvicorn, which is not installed; remedy: pip install 'upres[serve]'")
    with pytest.raises(EngineError, match=f"^{words}$") as raised:
        need("`upres serve`", "serve")
    assert raised.value.exit_code == 3
    monkeypatch.setattr("upres.system.packages.has_module", lambda module: False)
    with pytest.raises(EngineError, match=r"needs torch and safetensors, which are not installed; .*'upres\[train\]'"):
        need("training", "train", "torch", "safetensors")


def test_a_package_that_cannot_be_imported_is_not_called_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = ImportError("libgomp.so.1: cannot open shared object file: No such file or directory")
    words = str(import_failure("every network", "", "ncnn", broken))
    assert words.startswith("every network needs ncnn, which cannot be imported (libgomp.so.1: cannot open")
    assert words.endswith("; remedy: sudo apt install libgomp1")
    monkeypatch.setattr("upres.system.packages.has_module", lambda module: module != "onnx")
    gone = ModuleNotFoundError("No module named 'onnx'")
    assert str(import_failure("ONNX", "onnx", "onnx", gone)) == (
        "ONNX needs onnx, which is not installed; remedy: pip install 'upres[onnx]'"
    )
    assert "pip install --force-reinstall torch" in str(import_failure("it", "torch", "torch", ImportError("broken")))


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
