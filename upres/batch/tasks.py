"""One picture of a collection as a task for another process or machine, and what came of it. Both travel as JSON.

The collection's own process keeps the journal; workers read the source, write the result and answer.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import msgspec

from upres.batch.job import Encoding, Outcome, failure_code
from upres.batch.paths import Destination, InputFile
from upres.batch.plan import Planner
from upres.batch.request import Request
from upres.batch.run import run_jobs
from upres.engines.options import EngineOptions
from upres.engines.registry import DEVICES
from upres.errors import InputError, UpresError
from upres.system.files import sha256_of


class Setup(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What all tasks of a worker share.

    request, encoding: As the collection has them.
    folder: Of the results; a worker writes there.
    format: Of the results.
    threads: Of each worker; 0: as the request says.
    """

    request: Request
    encoding: dict[str, int | bool | None]
    folder: str
    format: str
    threads: int = 0


class Task(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A picture to upscale.

    number: In the journal.
    source, folder: Its path, and its folder relative to the input folder.
    model: The bundled model that it got before; None: choose.
    runs_on: What the models of the job run on, by name: engine, device, precision.
    """

    number: int
    source: str
    folder: str
    model: str | None
    runs_on: dict[str, tuple[str, str, str]]


class Answer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What came of a task.

    size, mtime_ns, content, result: Of the source, and the hash of the result; content is None where it was not read.
    model, label: What made it, for the journal and for people; None if it failed before.
    sha256, runs_on: Of the model: hash, and engine, device, precision.
    code, reason: Of a failure; code 0 is success.
    changed: The source changed while it was read.
    lost: The worker ended, or its machine; the picture is not to blame.
    """

    number: int
    pixels: int = 0
    seconds: float = 0.0
    notes: tuple[str, ...] = ()
    size: int = -1
    mtime_ns: int = -1
    content: str | None = None
    result: str | None = None
    model: str | None = None
    label: str | None = None
    sha256: str = ""
    runs_on: tuple[str, str, str] | None = None
    code: int = 0
    reason: str = ""
    changed: bool = False
    lost: bool = False


class TaskWorker:
    """Does tasks one after the other; networks stay loaded. `setup`: what they share."""

    def __init__(self, setup: Setup) -> None:
        request = setup.request
        if setup.threads:
            request = replace(request, options=request.options.replace(threads=setup.threads))
        self._encoding = Encoding(**setup.encoding)  # pyright: ignore[reportArgumentType]  # its own fields
        self._planner = Planner(request, Destination(setup.format, folder=Path(setup.folder)), {})
        self._swept: set[Path] = set()

    def __call__(self, task: Task) -> Answer:
        """Never raises for a bad picture, nor for what concerns all of them: the answer says it."""
        try:
            return self._do(task)
        except Exception as error:  # isolation: the worker goes on with the next
            return Answer(task.number, code=failure_code(error), reason=_words(error))

    def _do(self, task: Task) -> Answer:
        source = Path(task.source)
        found = InputFile(source, Path(task.folder))
        try:
            state, content = source.stat(), sha256_of(source)
        except OSError:
            self._planner.look(found, source)  # says what is wrong
            raise InputError(f"{source} vanished while it was read") from None
        before = Answer(task.number, size=state.st_size, mtime_ns=state.st_mtime_ns, content=content)
        try:
            planned = self._planner.look(found, source, task.model)
            upscalers = self._planner.upscalers
            if planned.model not in upscalers.loaded:
                self._planner.expect(planned, 1000.0)
                if planned.model in task.runs_on:
                    upscalers.engines[planned.model] = engine_options(
                        upscalers.engine_options, *task.runs_on[planned.model]
                    )
            job = self._planner.job(planned)
        except UpresError as error:
            return msgspec.structs.replace(before, code=failure_code(error), reason=str(error))
        runner = job.upscaler.runner
        before = msgspec.structs.replace(
            before,
            model=planned.model,
            label=job.record.get("model"),
            sha256=upscalers.sha256(planned.model),
            runs_on=(runner.name, runner.device, runner.precision),
        )
        (outcome,) = run_jobs([job], self._encoding, _Silent(), self._swept).outcomes
        if outcome.error is not None:
            return msgspec.structs.replace(before, code=failure_code(outcome.error), reason=_words(outcome.error))
        assert job.target is not None
        after = source.stat()
        return msgspec.structs.replace(
            before,
            pixels=outcome.pixels,
            seconds=outcome.seconds,
            notes=outcome.notes,
            result=sha256_of(job.target),
            changed=(after.st_size, after.st_mtime_ns) != (state.st_size, state.st_mtime_ns),
        )


def engine_options(asked: EngineOptions, name: str, device: str, precision: str) -> EngineOptions:
    """The options that open an engine again by its name ("ncnn 1.0"), where the request leaves them open."""
    engine = name.partition(" ")[0].replace("onnxruntime", "onnx")
    if engine not in DEVICES or (asked.engine, asked.device, asked.precision) != ("auto", "auto", "auto"):
        return asked
    return asked.replace(engine=engine, device=device, precision=precision)


def _words(error: BaseException) -> str:
    return str(error) if isinstance(error, UpresError) else f"{type(error).__name__}: {error}"


class _Silent:
    def advanced(self, pixels: int) -> None: ...

    def dropped(self, pixels: int) -> None: ...

    def finished(self, outcome: Outcome) -> None: ...
