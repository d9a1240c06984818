from __future__ import annotations

import threading
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("tensorboard")

from tests.training.made import run_of
from upres.training.config import TrainConfig
from upres.training.monitoring.tensorboard import TrainingMonitor

CONFIG = TrainConfig(recipe="test", scale=2)


@pytest.mark.parametrize("written", [0, 3])
def test_a_disk_without_space_is_told_once_by_the_error(
    written: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    left = [b""] * written

    def write(self: object, data: bytes) -> None:
        if not left:
            raise OSError(28, "No space left on device")
        left.pop()

    monkeypatch.setattr("tensorboard.summary.writer.record_writer.RecordWriter.write", write)
    hook = threading.excepthook
    with pytest.raises(OSError, match="No space"), TrainingMonitor(run_of(CONFIG, tmp_path), 0) as monitor:
        for step in range(100):
            monitor.scalars(step, {"loss/pixel": 1.0})
    assert threading.excepthook is hook
    assert "Traceback" not in capsys.readouterr().err


def test_errors_of_other_threads_are_printed_as_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[threading.ExceptHookArgs] = []
    monkeypatch.setattr(threading, "excepthook", told.append)

    def work() -> None:
        raise KeyError("of another thread")

    with TrainingMonitor(run_of(CONFIG, tmp_path), 0):
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    assert [str(one.exc_value) for one in told] == ["'of another thread'"]
