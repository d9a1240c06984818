from __future__ import annotations

from pathlib import Path

from tests.system.test_memory import made_root
from upres.system.kernel_files import cgroups, field_of, listed, number_in, text_of


def test_what_is_not_there_or_says_something_else_is_nothing(tmp_path: Path) -> None:
    root = made_root(tmp_path, {"max": "max\n", "number": "12\n", "fields": "MemTotal:   34 kB\ninactive_file 5\n"})
    none = root / "none"
    assert (text_of(none), listed(none), number_in(none), field_of(none, "MemTotal")) == ("", [], None, None)
    assert (number_in(root / "max"), number_in(root / "number")) == (None, 12)
    assert [field_of(root / "fields", name) for name in ("MemTotal", "inactive_file", "file")] == [34, 5, None]


def test_cgroups_from_our_own_up_to_the_root(tmp_path: Path) -> None:
    root = made_root(tmp_path, {"proc/self/cgroup": "4:memory:/a\n9:name=systemd:/\n0::/b/c\n"})
    v1, v2 = root / "sys/fs/cgroup/memory", root / "sys/fs/cgroup"
    assert list(cgroups(root, "memory")) == [(1, v1 / "a"), (1, v1), (2, v2 / "b/c"), (2, v2 / "b"), (2, v2)]
