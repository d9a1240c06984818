"""What is known of this machine without loading an engine, and whether others keep it busy."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from upres.engines.autotune import fingerprint


def test_this_machine_is_told_without_loading_an_engine() -> None:
    program = (
        "import sys; from upres.engines.autotune.fingerprint import this_machine; machine = this_machine(); "
        "print(machine.as_json())\n"
        "assert machine.cpu and machine.cores and 'ncnn' in machine.installed and any(e.startswith('ncnn ') for e in "
        "machine.engines)\n"
        "assert not {'ncnn', 'torch', 'onnxruntime', 'openvino', 'httpx'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells the time of each core")
def test_a_machine_is_busy_while_its_cores_are_busy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    core, *others = sorted(os.sched_getaffinity(0))

    def stat(idle: int, busy: int) -> str:
        lines = [f"cpu{number} {busy} 0 0 {idle} 0 0 0 0 0 0" for number in (core, *others)]
        return "\n".join(
            ["cpu  1 2 3 4 5 6 7 8 9 10", *lines, f"cpu{max(core, *others) + 1} 99999 0 0 0 0 0 0 0 0 0", "intr 5"]
        )

    def after(idle: int, busy: int) -> bool:
        (tmp_path / "proc").mkdir(exist_ok=True)
        (tmp_path / "proc" / "stat").write_text(stat(1000, 1000))
        monkeypatch.setattr(
            fingerprint.time, "sleep", lambda _: (tmp_path / "proc" / "stat").write_text(stat(1000 + idle, 1000 + busy))
        )
        return fingerprint.is_busy(root=tmp_path)

    assert after(idle=2, busy=23)
    assert not after(idle=20, busy=5)
    monkeypatch.setattr(os, "getloadavg", lambda: (1000.0, 0.0, 0.0))
    assert fingerprint.is_busy(root=tmp_path / "elsewhere")  # where no core can be asked, the load of the last minute
