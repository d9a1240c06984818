"""The table of what was ever tested."""

from __future__ import annotations

import re
from dataclasses import replace

from tests import REPOSITORY
from tests.doctor.test_hints import HEALTHY
from upres.doctor.requirements import TESTED, UNTESTED, untested
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
