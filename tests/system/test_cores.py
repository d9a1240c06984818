"""How many threads are worth starting, on made machines."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.system.test_memory import made_root
from upres.system import cores


@pytest.mark.parametrize(("limit", "expected"), [("max", 4), ("250000", 3), ("150000", 2), ("20000", 1), ("900000", 4)])
def test_threads_follow_a_containers_share(
    tmp_path: Path, limit: str, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A started core counts: with 1.5 cores, two threads use what is granted."""
    monkeypatch.setattr(cores, "cores", lambda: 4)
    root = made_root(tmp_path, {"proc/self/cgroup": "0::/a\n", "sys/fs/cgroup/a/cpu.max": f"{limit} 100000\n"})
    assert cores.usable_cores(root) == expected
