"""The short form of `benchmarks/kill_folder.py`."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from tests import REPOSITORY


@pytest.mark.slow
def test_killed_at_random_moments_it_gives_the_same_bytes(tmp_path: Path) -> None:
    spec = importlib.util.spec_from_file_location("kill_folder", REPOSITORY / "benchmarks" / "kill_folder.py")
    assert spec is not None and spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    counts = script.kill_often(tmp_path, pictures=40, kills=2, seed=1, longest_s=1.5)
    assert counts["kills"] == 2
