"""The processor cores that this process may use."""

from __future__ import annotations

import math
import os
from pathlib import Path

from upres.system.kernel_files import cgroups, number_in, text_of


def core_numbers() -> frozenset[int]:
    """The numbers of the cores that this process may use; empty if the system does not say."""
    return frozenset(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else frozenset()


def cores() -> int:
    """How many cores this process may use, at least 1. A container's share of their time is `core_quota`."""
    return len(core_numbers()) or os.cpu_count() or 1


def usable_cores(root: Path = Path("/")) -> int:
    """`cores`, or fewer if a container grants less of their time: a started core counts as one."""
    quota = core_quota(root)
    return cores() if quota is None else max(1, min(cores(), math.ceil(quota)))


def core_quota(root: Path) -> float | None:
    """The cores whose time the container grants; None without a limit."""
    shares = [share for version, folder in cgroups(root, "cpu") if (share := _share(version, folder)) is not None]
    return min(shares, default=None)


def _share(version: int, folder: Path) -> float | None:
    """The cores that a cgroup grants: CPU time per period over the period. None without a limit ("max", or -1)."""
    if version == 2:
        quota, _, period = text_of(folder / "cpu.max").strip().partition(" ")
        return int(quota) / int(period) if quota.isdigit() and period.isdigit() and int(period) else None
    quota_us, period_us = (number_in(folder / name) for name in ("cpu.cfs_quota_us", "cpu.cfs_period_us"))
    return None if quota_us is None or not period_us else quota_us / period_us
