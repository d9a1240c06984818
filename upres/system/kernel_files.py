"""Facts from text files of Linux in /proc and /sys, such as the limits of a container's cgroups.

`root` contains /proc and /sys; tests create their own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path


def text_of(path: Path) -> str:
    """The text of a file; "" if it cannot be read."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def number_in(path: Path) -> int | None:
    """The whole number in a file; None for anything else, such as "max"."""
    text = text_of(path).strip()
    return int(text) if text.isdigit() else None


def field_of(path: Path, name: str) -> int | None:
    """The number behind `name` at the beginning of a line: MemTotal of /proc/meminfo, inactive_file of memory.stat."""
    match = re.search(rf"^{name}:?\s+(\d+)", text_of(path), re.MULTILINE)
    return int(match[1]) if match else None


def listed(folder: Path) -> list[Path]:
    """The entries of a folder, by name; none if it cannot be read."""
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def cgroups(root: Path, controller: str) -> Iterator[tuple[int, Path]]:
    """(version 1 or 2, folder) of each cgroup of this process with that controller, up to the root."""
    for line in text_of(root / "proc/self/cgroup").splitlines():  # hierarchy-ID:controller-list:cgroup-path
        number, controllers, path = line.split(":", 2)
        if number == "0" and not controllers:
            version, base = 2, root / "sys/fs/cgroup"
        elif controller in controllers.split(","):
            version, base = 1, root / "sys/fs/cgroup" / controllers
            base = base if base.is_dir() else root / "sys/fs/cgroup" / controller
        else:
            continue
        group = Path(path.lstrip("/"))
        # Path("").parents is empty, Path("a/b").parents ends with the root, "."
        yield from ((version, base / level) for level in (group, *group.parents))
