from __future__ import annotations

from pathlib import Path

import pytest

from upres.system.memory import available_bytes

GIB = 1024**3


def made_root(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


MEMINFO = {"proc/meminfo": f"MemTotal: 9 kB\nMemAvailable:   {8 * 1024**2} kB\n"}


def test_the_machine_alone(tmp_path: Path) -> None:
    assert available_bytes(made_root(tmp_path, MEMINFO)) == 8 * GIB


def test_a_cgroup_v2_limit_is_nearer_and_its_file_cache_is_free(tmp_path: Path) -> None:
    files = {
        "proc/self/cgroup": "0::/a/b\n",
        "sys/fs/cgroup/a/b/memory.max": "max\n",
        "sys/fs/cgroup/a/b/memory.current": f"{GIB}\n",
        "sys/fs/cgroup/a/memory.max": f"{3 * GIB}\n",
        "sys/fs/cgroup/a/memory.current": f"{2 * GIB}\n",
        "sys/fs/cgroup/a/memory.stat": f"anon 1\ninactive_file {GIB // 2}\n",
    }
    assert available_bytes(made_root(tmp_path, MEMINFO | files)) == GIB * 3 // 2


def test_a_cgroup_v1_limit_at_the_root_of_a_container(tmp_path: Path) -> None:
    files = {
        "proc/self/cgroup": "9:name=systemd:/\n4:memory:/docker/0123\n0::/\n",
        "sys/fs/cgroup/memory/memory.limit_in_bytes": f"{2 * GIB}\n",
        "sys/fs/cgroup/memory/memory.usage_in_bytes": f"{GIB}\n",
        "sys/fs/cgroup/memory/memory.stat": "total_inactive_file 0\n",
    }
    assert available_bytes(made_root(tmp_path, MEMINFO | files)) == GIB


def test_no_limit_in_version_1_is_a_huge_number(tmp_path: Path) -> None:
    files = {
        "proc/self/cgroup": "4:memory:/\n",
        "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
        "sys/fs/cgroup/memory/memory.usage_in_bytes": "100\n",
    }
    assert available_bytes(made_root(tmp_path, MEMINFO | files)) == 8 * GIB


def test_an_overdrawn_group_has_zero_left(tmp_path: Path) -> None:
    files = {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "100\n", "sys/fs/cgroup/memory.current": "200\n"}
    assert available_bytes(made_root(tmp_path, MEMINFO | files)) == 0


def test_this_machine_has_some() -> None:
    assert available_bytes() > 10 * 1024**2


def test_without_proc_half_of_the_physical_memory_is_taken(tmp_path: Path) -> None:
    import os

    if not hasattr(os, "sysconf"):
        pytest.skip("this system has no sysconf")
    assert available_bytes(tmp_path) == os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
