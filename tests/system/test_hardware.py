"""What this machine is, on made machines: containers, cards, a cache that cannot be written."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.system.test_memory import GIB, made_root
from upres.system import hardware
from upres.system.hardware import Cards


@pytest.mark.parametrize(
    ("files", "quota", "limit"),
    [
        ({}, None, None),
        (
            {
                "proc/self/cgroup": "0::/a\n",
                "sys/fs/cgroup/a/cpu.max": "max 100000\n",
                "sys/fs/cgroup/a/memory.max": "max\n",
            },
            None,
            None,
        ),
        (
            {
                "proc/self/cgroup": "0::/a/b\n",
                "sys/fs/cgroup/a/b/cpu.max": "400000 100000\n",
                "sys/fs/cgroup/a/cpu.max": "150000 100000\n",
                "sys/fs/cgroup/a/memory.max": f"{3 * GIB}\n",
            },
            1.5,
            3 * GIB,
        ),
        (
            {
                "proc/self/cgroup": "4:memory:/docker/1\n2:cpu,cpuacct:/docker/1\n",
                "sys/fs/cgroup/cpu,cpuacct/docker/1/cpu.cfs_quota_us": "200000\n",
                "sys/fs/cgroup/cpu,cpuacct/docker/1/cpu.cfs_period_us": "100000\n",
                "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "-1\n",
                "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000\n",
                "sys/fs/cgroup/memory/docker/1/memory.limit_in_bytes": f"{GIB}\n",
                "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
            },
            2.0,
            GIB,
        ),
    ],
)
def test_the_limits_of_a_container(
    tmp_path: Path, files: dict[str, str], quota: float | None, limit: int | None
) -> None:
    root = made_root(tmp_path, files | {"proc/cpuinfo": "processor: 0\nmodel name\t: Fast 9000\n"})
    found = hardware.processor(root)
    assert (found.model, found.quota, hardware.memory(root).limit) == ("Fast 9000", quota, limit)
    assert found.cores >= 1


def test_cards_are_read_from_the_bus_with_or_without_a_driver(tmp_path: Path) -> None:
    screen, sound = "0x030000", "0x040300"
    devices = {
        "00": (screen, "0x8086"),
        "01.0": ("0x030200", "0x10de"),
        "01.1": (sound, "0x10de"),
        "02": (screen, "0x1234"),
    }
    files: dict[str, str] = {}
    for name, (kind, maker) in devices.items():
        files |= {f"sys/bus/pci/devices/{name}/class": f"{kind}\n", f"sys/bus/pci/devices/{name}/vendor": f"{maker}\n"}
    root = made_root(tmp_path, files)
    assert hardware.cards(root) == Cards(("Intel", "NVIDIA"), False, ())
    made_root(tmp_path, {"proc/driver/nvidia/version": "NVRM version: 570\n"})
    assert hardware.cards(root).nvidia_driver
    assert hardware.cards(tmp_path / "none") == Cards((), False, ())


@pytest.mark.skipif(sys.platform != "linux", reason="read from the files of Linux")
def test_gpus_with_a_driver_are_hints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware.shutil, "which", lambda _: None)
    node = "sys/class/drm/renderD128/device"
    root = made_root(
        tmp_path, {f"{node}/vendor": "0x8086\n", f"{node}/device": "0x56a0\n", "sys/module/nvidia/version": "570.86\n"}
    )
    assert hardware.gpus(root) == ("intel 0x56a0", "nvidia driver 570.86")
    assert hardware.gpus(tmp_path / "none") == ()


def test_the_cache_folder(tmp_path: Path) -> None:
    assert hardware.cache(tmp_path / "a/b") == replace(
        hardware.cache(tmp_path), path=str(tmp_path / "a/b"), exists=False
    )
    assert not (tmp_path / "a").exists()  # looking makes nothing
    (tmp_path / "models").mkdir()
    (tmp_path / "models/m.pth").write_bytes(bytes(1000))
    found = hardware.cache(tmp_path)
    assert (found.exists, found.bytes, found.problem) == (True, 1000, None) and found.disk_free > 0
    assert sorted(tmp_path.rglob("*")) == [tmp_path / "models", tmp_path / "models/m.pth"]
    problem = hardware.cache(tmp_path / "models/m.pth").problem
    assert problem is not None and "is not a folder" in problem


def test_a_user_without_a_home(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(hardware, "cache_folder", no_home)
    problem = hardware.look().cache.problem
    assert problem == "Could not determine home directory. Set UPRES_CACHE to a folder"
