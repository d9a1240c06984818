from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.tiny import noise, picture
from upres.batch.process_pool import ProcessPool
from upres.batch.request import Request
from upres.batch.tasks import Setup, Task
from upres.images.io import write_picture


def made(folder: Path, count: int) -> Path:
    folder.mkdir()
    for index in range(count):
        write_picture(picture(noise(8, 6 + index, seed=index)), folder / f"{index}.png")
    return folder


@pytest.mark.slow
def test_processes_make_the_same_bytes(tmp_path: Path, model: Path, upres: Callable[..., tuple[str, str]]) -> None:
    inputs = made(tmp_path / "in", 6)
    for out, jobs in (("one", 1), ("two", 2)):
        upres("upscale", inputs, "-n", model, "-o", tmp_path / out, "--threads", "1", "--jobs", jobs)
    for path in (tmp_path / "one").glob("*.png"):
        assert (tmp_path / "two" / path.name).read_bytes() == path.read_bytes()
    assert len(list((tmp_path / "two").glob("*.png"))) == 6


@pytest.mark.slow
def test_a_worker_that_dies_is_replaced(tmp_path: Path, model: Path) -> None:
    inputs = made(tmp_path / "in", 3)
    request = Request((), out=str(tmp_path / "out"), model=str(model))
    pool = ProcessPool(1, Setup(request, {}, str(tmp_path / "out"), "png", 1))
    try:
        os.mkfifo(inputs / "stuck.png")
        names = ["0.png", "stuck.png", "1.png", "2.png"]
        tasks = (Task(number, str(inputs / name), "", name, None, {}) for number, name in enumerate(names))
        answers = []
        for answer in pool.map(tasks):
            answers.append(answer)
            if answer.number == 0:
                (talk,) = pool._talks.values()  # pyright: ignore[reportPrivateUsage]
                os.kill(talk._process.pid, signal.SIGKILL)  # pyright: ignore[reportPrivateUsage]
        assert [(answer.number, answer.code, answer.lost) for answer in answers] == [
            (0, 0, False),
            (1, 3, True),
            (2, 0, False),
            (3, 0, False),
        ]
        assert "was ended by signal SIGKILL" in answers[1].reason
    finally:
        pool.close()
