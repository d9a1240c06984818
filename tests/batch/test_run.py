from __future__ import annotations

import errno
import logging
import os
import shutil
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.tiny import FakeRunner, compact, noise, picture
from tests.upscaling.test_checked_network import GRAPH, Faulty, black, photograph
from upres.batch import run
from upres.batch import writing as writing_module
from upres.batch.job import Encoding, Job, Outcome
from upres.batch.paths import InputFile
from upres.batch.run import run_jobs
from upres.errors import EngineError, InputError, ModelError, OutputError
from upres.images.io import Picture, read_header, read_picture, write_picture
from upres.system.files import partial_path
from upres.upscaling.output_size import OutputSize
from upres.upscaling.upscaler import Upscaler


class Watching:
    """Counts what it is told, and can press Ctrl-C at the first sign of progress of one picture."""

    def __init__(self) -> None:
        self.pixels = self.lost = 0
        self.outcomes: list[Outcome] = []

    def advanced(self, pixels: int) -> None:
        assert pixels >= 0
        self.pixels += pixels

    def dropped(self, pixels: int) -> None:
        self.lost += pixels

    def finished(self, outcome: Outcome) -> None:
        self.outcomes.append(outcome)


def made_jobs(folder: Path, count: int, upscaler: Upscaler, bad: tuple[int, ...] = ()) -> list[Job]:
    jobs: list[Job] = []
    for index in range(count):
        path = folder / f"p{index:02d}.png"
        write_picture(picture(noise(12, 9 + index, seed=index)), path)
        header = read_header(path)
        if index in bad:
            path.write_bytes(b"this was a picture once")
        plan = upscaler.plan(header.height, header.width, size=OutputSize())
        jobs.append(Job(InputFile(path), path, header, upscaler, OutputSize(), plan, folder / "out" / path.name, "png"))
    return jobs


def upscaler_of(runner: FakeRunner | None = None) -> Upscaler:
    return Upscaler(compact(2), runner=runner or FakeRunner())


def test_every_picture_is_written_and_counted(tmp_path: Path) -> None:
    jobs, watching = made_jobs(tmp_path, 5, upscaler_of()), Watching()
    report = run_jobs(jobs, Encoding(), watching)
    assert [outcome.target for outcome in report.done] == [job.target for job in jobs]
    assert report.failed == []
    assert (report.left, report.interrupted, report.stopped_by, report.abandoned) == (0, False, None, False)
    assert watching.pixels == sum(job.plan.pixels for job in jobs)
    assert watching.outcomes == report.outcomes
    for job in jobs:
        assert job.target is not None
        source, result = read_picture(job.source).pixels, read_picture(job.target).pixels
        np.testing.assert_array_equal(result, source.repeat(2, axis=0).repeat(2, axis=1))


def test_one_in_twenty_is_bad_and_the_others_are_done(tmp_path: Path) -> None:
    jobs, watching = made_jobs(tmp_path, 20, upscaler_of(), bad=(7,)), Watching()
    report = run_jobs(jobs, Encoding(), watching)
    assert len(report.done) == 19
    (failure,) = report.failed
    assert failure.name == str(tmp_path / "p07.png")
    assert isinstance(failure.error, InputError)
    assert watching.pixels + watching.lost == sum(job.plan.pixels for job in jobs)
    assert watching.lost == jobs[7].plan.pixels
    assert not (tmp_path / "out" / "p07.png").exists()


def test_a_bug_with_one_picture_is_that_pictures_failure(tmp_path: Path) -> None:
    report = run_jobs(
        made_jobs(tmp_path, 3, upscaler_of(FakeRunner(spoil_call=1, error=TypeError("a bug")))), Encoding(), Watching()
    )
    assert [type(outcome.error) for outcome in report.outcomes] == [type(None), TypeError, type(None)]


def test_a_tile_that_is_not_finite_fails_its_picture_only(tmp_path: Path) -> None:
    upscaler = Upscaler(compact(2), runner=FakeRunner(spoil_call=0), reference=FakeRunner(spoil_call=0))
    report = run_jobs(made_jobs(tmp_path, 3, upscaler), Encoding(), Watching())
    assert isinstance(report.failed[0].error, EngineError)
    assert len(report.done) == 2


def full_disk(*_: object, **__: object) -> None:
    raise OutputError("cannot write p: the disk is full") from OSError(errno.ENOSPC, "No space left on device")


def test_a_full_disk_stops_the_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runner = FakeRunner()
    jobs = made_jobs(tmp_path, 9, upscaler_of(runner))
    monkeypatch.setattr(writing_module, "write_picture", full_disk)
    report = run_jobs(jobs, Encoding(), Watching())
    assert isinstance(report.stopped_by, OutputError)
    assert len(report.failed) == 1
    assert report.left == 8
    assert len(runner.calls) <= 2  # the picture that could not be written, and the one that ran meanwhile


def test_one_folder_that_cannot_be_written_does_not_stop_the_others(tmp_path: Path) -> None:
    jobs = made_jobs(tmp_path, 3, upscaler_of())
    (tmp_path / "file").touch()
    jobs[1] = replace(jobs[1], target=tmp_path / "file" / "p01.png")
    report = run_jobs(jobs, Encoding(), Watching())
    assert len(report.done) == 2
    assert isinstance(report.failed[0].error, OutputError)
    assert report.stopped_by is None


def test_a_refused_model_stops_the_job(tmp_path: Path) -> None:
    jobs = made_jobs(tmp_path, 4, upscaler_of(FakeRunner(spoil_call=0, error=ModelError("weights are torn"))))
    report = run_jobs(jobs, Encoding(), Watching())
    assert isinstance(report.stopped_by, ModelError)
    assert report.left == 3


def test_ctrl_c_keeps_what_is_finished_and_ends_the_rest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The Ctrl-C comes while the main thread waits for the third picture's network."""
    jobs = made_jobs(tmp_path, 6, upscaler_of())
    waits = 0
    wait = run.result_of

    def pressed(future: object) -> object:
        nonlocal waits
        waits += 1
        if waits == 7:  # 1 read, 1 run; 2 read, 2 run, 1 written; 3 read, 3 run
            raise KeyboardInterrupt
        return wait(future)  # type: ignore[arg-type]

    monkeypatch.setattr(run, "result_of", pressed)
    report = run_jobs(jobs, Encoding(), Watching())
    assert report.interrupted
    assert [outcome.target for outcome in report.done] == [job.target for job in jobs[:2]]
    assert report.left == 4
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["p00.png", "p01.png"]


def test_a_network_deep_in_a_call_is_abandoned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    release = threading.Event()

    class Slow(FakeRunner):
        def __call__(self, lr: np.ndarray) -> np.ndarray:
            release.wait(30)
            return super().__call__(lr)

    jobs = made_jobs(tmp_path, 1, upscaler_of(Slow()))
    wait = run.result_of
    waits = 0

    def pressed(future: object) -> object:
        nonlocal waits
        waits += 1
        if waits == 2:
            raise KeyboardInterrupt
        return wait(future)  # type: ignore[arg-type]

    monkeypatch.setattr(run, "result_of", pressed)
    report = run_jobs(jobs, Encoding(), Watching())
    release.set()
    assert report.interrupted
    assert report.abandoned
    assert report.left == 1


def test_bytes_go_to_the_sink(tmp_path: Path) -> None:
    (job,) = made_jobs(tmp_path, 1, upscaler_of())
    received: list[bytes] = []
    report = run_jobs(
        [replace(job, target=None, format="webp")], Encoding(quality=50, sink=received.append), Watching()
    )
    assert report.failed == []
    assert received[0][8:12] == b"WEBP"


def test_the_job_runs_ahead_and_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While one picture is in the network the next is read and the one before is written: three threads, at most one
    picture each.
    """
    together = threading.Barrier(3, timeout=20)
    meeting = {"read": 2, "run": 1, "write": 0}
    seen: set[str] = set()

    def meet(what: str, index: int) -> None:
        if meeting[what] == index:
            together.wait()
            seen.add(what)

    class Meeting(FakeRunner):
        def __call__(self, lr: np.ndarray) -> np.ndarray:
            meet("run", len(self.calls))
            return super().__call__(lr)

    jobs = made_jobs(tmp_path, 3, upscaler_of(Meeting()))
    reads, writes = iter(range(9)), iter(range(9))

    def reading(source: Path, *, max_pixels: int) -> Picture:
        meet("read", next(reads))
        return read_picture(source, max_pixels=max_pixels)

    def writing(result: Picture, target: Path, **settings: object) -> None:
        meet("write", next(writes))
        write_picture(result, target, **settings)  # type: ignore[arg-type]

    monkeypatch.setattr(run, "read_picture", reading)
    monkeypatch.setattr(writing_module, "write_picture", writing)
    report = run_jobs(jobs, Encoding(), Watching())
    assert report.failed == []
    assert seen == {"read", "run", "write"}


def test_a_batch_tells_it_with_the_picture(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL)
    upscaler = Upscaler(GRAPH, runner=Faulty(GRAPH, black, {1}), threads=1)
    jobs: list[Job] = []
    for name in ("a.png", "b.png", "c.png"):
        write_picture(picture(photograph(20, 24)), tmp_path / name)
        plan = upscaler.plan(20, 24)
        path = tmp_path / name
        jobs.append(Job(InputFile(path), path, read_header(path), upscaler, OutputSize(), plan, None, "png"))

    class Silent:
        def advanced(self, pixels: int) -> None: ...

        def dropped(self, pixels: int) -> None: ...

        def finished(self, outcome: Outcome) -> None: ...

    report = run_jobs(jobs, Encoding(sink=lambda _: None), Silent())
    assert report.failed == []
    told = [[note for note in outcome.notes if "run again in float32" in note] for outcome in report.outcomes]
    assert [len(notes) for notes in told] == [0, 1, 0]
    assert [sum("the probe agreed" in note for note in outcome.notes) for outcome in report.outcomes] == [1, 0, 0]


def test_a_result_that_was_removed_meanwhile_is_not_done(tmp_path: Path) -> None:
    jobs = made_jobs(tmp_path, 4, upscaler_of())

    class Removing(Watching):
        def finished(self, outcome: Outcome) -> None:
            super().finished(outcome)
            if len(self.outcomes) == 2:
                shutil.rmtree(tmp_path / "out")

    report = run_jobs(jobs, Encoding(), Removing())
    gone = [outcome.name for outcome in report.failed]
    assert len(gone) >= 2
    assert gone[:2] == [str(tmp_path / f"p{index:02d}.png") for index in range(2)]
    assert "was removed while the job ran; run the same command again" in str(report.failed[0].error)
    assert isinstance(report.failed[0].error, OutputError)
    for outcome in report.done:
        assert outcome.target is not None
        assert outcome.target.is_file()


def test_leftovers_of_killed_runs_are_swept(tmp_path: Path) -> None:
    jobs = made_jobs(tmp_path, 1, upscaler_of())
    (tmp_path / "out").mkdir()
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    mine = partial_path(tmp_path / "out" / "a.png")
    stale = mine.with_name(mine.name.replace(f".{os.getpid()}-", f".{process.pid}-"))
    stale.touch()
    run_jobs(jobs, Encoding(), Watching())
    assert not stale.exists()
