"""What a confined process can still do, tried in processes of their own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests import REPOSITORY
from upres.system import confine

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="Landlock and seccomp are of Linux")

_TRY = """
import os, socket, subprocess, sys
from pathlib import Path
from upres.system.confine import confine, limit_cpu, limit_memory_by, python_paths
readable, writable, other = map(Path, sys.argv[1:])
enforced = confine([*python_paths(), readable, Path("/missing")], [writable])
print("enforced", *enforced)

def attempt(name, work):
    try:
        work()
    except OSError as error:
        print(name, "refused" if error.errno in (1, 13) else error)
    else:
        print(name, "done")

attempt("read", lambda: (readable / "a").read_bytes())
attempt("write", lambda: (writable / "a").write_bytes(b"x"))
attempt("write there", lambda: (readable / "b").write_bytes(b"x"))
attempt("remove", lambda: (readable / "a").unlink())
attempt("read other", lambda: (other / "a").read_bytes())
attempt("tcp", lambda: socket.create_connection(("127.0.0.1", 9)))
attempt("udp", lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
attempt("unix", lambda: socket.socketpair())
attempt("program", lambda: subprocess.run([sys.executable, "-c", ""]))
attempt("signal", lambda: os.kill(os.getppid(), 0))
attempt("parent", lambda: Path(f"/proc/{os.getppid()}/environ").read_bytes())
limit_memory_by(1 << 28)
try:
    bytearray(1 << 29)
except MemoryError:
    print("memory refused")
limit_cpu(0.5)
sys.stdout.flush()
while True:
    pass
"""


def test_a_confined_process_has_its_files_and_nothing_else(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("readable", "writable", "other")]
    for folder in folders:
        folder.mkdir()
        (folder / "a").write_bytes(b"a")
    command = [sys.executable, "-P", "-c", _TRY, *map(str, folders)]
    # of no folder: Python's own stay readable, this one's tests too
    found = subprocess.run(
        command, capture_output=True, text=True, timeout=120, env={"PYTHONPATH": str(REPOSITORY)}, cwd="/", check=False
    )
    said = dict(line.rsplit(" ", 1) for line in found.stdout.splitlines() if not line.startswith("enforced"))
    enforced = found.stdout.split("\n")[0].split()[1:]
    if set(enforced) != {"landlock", "seccomp"}:
        pytest.skip(f"this kernel has {enforced or 'neither'}")
    done = {name for name, how in said.items() if how == "done"}
    assert done == {"read", "write"}, found
    assert {name for name, how in said.items() if how == "refused"} == {
        *("write there", "remove", "read other", "tcp", "udp", "unix", "program", "signal", "parent", "memory"),
    }
    assert found.returncode == -24, found  # SIGXCPU
    assert (tmp_path / "readable" / "a").exists()


def test_other_systems_have_none_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("upres.system.confine.sys.platform", "darwin")
    assert confine.confine([]) == ()


def test_an_unknown_processor_has_no_seccomp_filter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("upres.system.confine.platform.machine", lambda: "mips")
    assert not confine._seccomp(None)  # type: ignore[arg-type]  # not even called
