"""What ends a probe is told as it was: the processor's time, or the clock."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from upres.engines.opaque import measure
from upres.errors import ModelError
from upres.system.subprocesses import ProcessOutcome


def ended(monkeypatch: pytest.MonkeyPatch, *, code: int, timed_out: bool) -> None:
    monkeypatch.setattr(measure, "run", lambda *_, **__: ProcessOutcome((), (), code, timed_out, ""))


@pytest.mark.skipif(not hasattr(signal, "SIGXCPU"), reason="Windows has no limit of the processor's time")
def test_a_slow_network_is_not_called_damaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.onnx"
    path.write_bytes(b"")
    ended(monkeypatch, code=-signal.SIGXCPU, timed_out=False)
    with pytest.raises(ModelError, match=r"took more than \d+ seconds of the processor; take a smaller network"):
        measure.probe(path, "onnx")
    ended(monkeypatch, code=-signal.SIGKILL, timed_out=True)
    with pytest.raises(ModelError, match=r"did not end within 300 seconds: it hangs, or the machine has no time"):
        measure.probe(path, "onnx")
    ended(monkeypatch, code=-signal.SIGSEGV, timed_out=False)
    with pytest.raises(ModelError, match=r"was ended by signal SIGSEGV\. The file is damaged"):
        measure.probe(path, "onnx")
