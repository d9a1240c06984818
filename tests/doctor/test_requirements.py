"""The table of what was ever tested, least versions, and remedies for what cannot be imported."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from tests import REPOSITORY
from tests.doctor.test_hints import HEALTHY
from upres.doctor.requirements import TESTED, UNTESTED, mend, too_old, untested
from upres.engines.registry import DEVICES
from upres.system.hardware import Python, System
from upres.system.packages import ENGINES


def test_every_engine_and_device_is_in_the_table() -> None:
    assert set(ENGINES) == {*DEVICES, "spandrel"}
    known = {(engine, kind.split("-")[0]) for engine, kind in TESTED}
    asked = {(engine, device) for engine, devices in DEVICES.items() for device in devices}
    assert asked - known == set()
    assert known - asked == {("torch", "rocm"), ("spandrel", "cpu")}  # ROCm's torch calls its devices "cuda"


def test_where_it_is_tested_is_a_file_of_the_tests() -> None:
    for (engine, kind), where in TESTED.items():
        if where != UNTESTED:
            (named,) = re.findall(r"tests/[\w/]+\.py", where)
            text = (REPOSITORY / named).read_text(encoding="utf-8")
            assert f'"{engine}"' in text and kind.split("-")[0] in text, named


def test_no_gpu_is_called_tested() -> None:
    tested = {pair for pair, where in TESTED.items() if where != UNTESTED}
    assert {kind for _, kind in tested} == {"cpu", "vulkan-software"}
    assert set(untested(HEALTHY)) == {" ".join(pair) for pair in TESTED.keys() - tested}


def test_systems_that_were_never_tested_are_told() -> None:
    windows = replace(
        HEALTHY, system=System("Windows 11", "windows", "11", "AMD64", False), python=Python("3.13.1", "CPython", "")
    )
    assert untested(windows) == ("this system: windows on AMD64", "this Python: CPython 3.13", *untested(HEALTHY))


def test_the_page_tells_the_same() -> None:
    page = (REPOSITORY / "docs/doctor.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \| `([\w-]+)` \| (.+?) \|$", page, re.MULTILINE)
    assert {(engine, kind): where.replace("`", "") for engine, kind, where in rows} == TESTED


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
        ("onnx", "ImportError: broken", "pip install --force-reinstall onnxruntime"),
        ("pyvips", "ModuleNotFoundError: No module named '_libvips'", "pip install --force-reinstall 'pyvips[binary]'"),
    ],
)
def test_a_library_that_cannot_be_imported_gets_its_remedy(module: str, reason: str, remedy: str) -> None:
    assert remedy in (mend(module, reason) or "")
    assert mend(module, "torch cannot use device 'cuda'") is None
