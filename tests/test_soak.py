"""A short form of scripts/soak, and proof that it can find something."""

from __future__ import annotations

import random
import runpy
import sys
from pathlib import Path
from typing import Any

import pytest

from tests import REPOSITORY

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="sends POSIX signals")


@pytest.fixture
def soak(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    # Dataclasses look their module up by its name.
    monkeypatch.setitem(sys.modules, "soak", sys.modules[__name__])
    return runpy.run_path(str(REPOSITORY / "scripts" / "soak.py"), run_name="soak")


@pytest.fixture
def state(soak: dict[str, Any], tmp_path: Path) -> Any:
    soak["make_inputs"](tmp_path)
    made = soak["Soak"](tmp_path, tmp_path / "faults", None, random.Random(4))
    made.inputs = soak["hashes"](tmp_path / "in")
    return made


@pytest.mark.slow
def test_a_disturbed_job_goes_on_to_what_an_undisturbed_one_makes(soak: dict[str, Any], state: Any) -> None:
    job = soak["JOBS"][1]
    state.undisturbed(job)
    for _ in range(3):
        state.round(job)

    assert state.found == []
    assert sum(state.counts.values()) == 3


def test_what_is_lost_torn_or_left_over_is_found(soak: dict[str, Any], state: Any, tmp_path: Path) -> None:
    job = soak["JOBS"][0]
    (tmp_path / "out").mkdir()
    for name in ("torn.png", "left.partial", "right.png"):
        (tmp_path / "out" / name).write_text("half")
    right = soak["hashes"](tmp_path / "out")["out/right.png"]
    state.expected["folder"] = {"out/torn.png": "0", "out/lost.png": "1", "out/right.png": right}

    state.compare(job, "t", whole=False)
    assert state.found == ["t: out/torn.png is not what an undisturbed run makes"]
    state.found.clear()
    state.compare(job, "t", whole=True)
    assert sorted(state.found) == [
        "t: out/left.partial is left over",
        "t: out/lost.png is missing",
        "t: out/torn.png is not what an undisturbed run makes",
    ]
