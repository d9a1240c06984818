"""One picture of a collection as a task for another process or machine, and what came of it. Both travel as JSON.

The collection's own process keeps the journal; workers read the source, write the result and answer.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import msgspec
from msgspec import structs

from upres.batch import record
from upres.batch.job import Encoding, Job, Outcome, failure_code
from upres.batch.paths import Destination, InputFile
from upres.batch.plan import Planner
from upres.batch.request import Request
from upres.batch.run import run_jobs
from upres.engines.options import EngineOptions
from upres.engines.registry import DEVICES
from upres.errors import InputError, UpresError
from upres.system.storage import Storage, is_url, without_query


class Setup(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What all tasks of a worker share.

    request, encoding: As the collection has them.
    folder: Of the results; a worker writes there.
    format: Of the results.
    threads: Of each worker; 0: as the request says.
    remote: The URL that results go to; None: to `folder`.
    """

    request: Request
    encoding: dict[str, int | bool | str | None]
    folder: str
    format: str
    threads: int = 0
    remote: str | None = None


class Task(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A picture to upscale.

    number: In the journal.
    source, folder: Its path or URL, and its folder relative to the input folder.
    target: Of its result, relative to the place of results.
    model: The bundled model that it got before; None: choose.
    runs_on: What the models of the job run on, by name: engine, device, precision.
    """

    number: int
    source: str
    folder: str
    target: str
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
        self._made: list[bytes] = []  # of results that go to a URL
        self._remote = None if setup.remote is None else Storage(setup.remote)
        encoding = Encoding(**setup.encoding)  # pyright: ignore[reportArgumentType]  # its own fields
        self._encoding = replace(encoding, sink=self._made.append)
        folder = Path(setup.folder) if setup.remote is None else None
        self._planner = Planner(request, Destination(setup.format, folder=folder, stdout=folder is None), {})
        self._swept: set[Path] = set()
        self._model = ""  # of the last picture

    def __call__(self, task: Task) -> Answer:
        """Never raises for a bad picture, nor for what concerns all of them: the answer says it."""
        try:
            return self._do(task)
        except Exception as error:  # isolation: the worker goes on with the next
            return Answer(task.number, code=failure_code(error), reason=_words(error))

    def _do(self, task: Task) -> Answer:
        source = _Source(task.source)
        found = InputFile(Path(without_query(task.source)), Path(task.folder))
        try:
            size, mark = source.state()
            content = record.sha256_of_source(source.content)
        except OSError:
            self._planner.look(found, source.content)  # says what is wrong
            raise InputError(f"{task.source} vanished while it was read") from None
        before = Answer(task.number, size=size, mtime_ns=mark, content=content)
        try:
            job = self._job(found, source.content, task)
        except UpresError as error:
            return structs.replace(before, code=failure_code(error), reason=str(error))
        model, runner = self._model, job.upscaler.runner
        before = structs.replace(
            before,
            model=model,
            label=job.record.get("model"),
            sha256=self._planner.upscalers.sha256(model),
            runs_on=(runner.name, runner.device, runner.precision),
        )
        (outcome,) = run_jobs([job], self._encoding, _Silent(), self._swept).outcomes
        if outcome.error is not None:
            return structs.replace(before, code=failure_code(outcome.error), reason=_words(outcome.error))
        made: Path | bytes = self._made.pop() if job.target is None else job.target
        if isinstance(made, bytes):
            assert self._remote is not None
            self._remote.put(task.target, made)
        return structs.replace(
            before,
            pixels=outcome.pixels,
            seconds=outcome.seconds,
            notes=outcome.notes,
            result=record.sha256_of_source(made),
            changed=source.state() != (size, mark),
        )

    def _job(self, found: InputFile, source: Path | bytes, task: Task) -> Job:
        planned = self._planner.look(found, source, task.model)
        self._model = planned.model
        upscalers = self._planner.upscalers
        if planned.model not in upscalers.loaded:
            self._planner.expect(planned, 1000.0)
            if planned.model in task.runs_on:
                asked = upscalers.engine_options
                upscalers.engines[planned.model] = engine_options(asked, *task.runs_on[planned.model])
        return self._planner.job(planned)


class _Source:
    """A file, or an object at a URL, which is read once."""

    def __init__(self, name: str) -> None:
        self._path = None if is_url(name) else Path(name)
        self._mark = 0
        self.content: Path | bytes = self._path or b""
        if self._path is None:
            self.content, self._mark = Storage(name).read()

    def state(self) -> tuple[int, int]:
        """(bytes, a number that changes when it does). Raises OSError."""
        if self._path is None:
            assert isinstance(self.content, bytes)
            return len(self.content), self._mark
        state = self._path.stat()
        return state.st_size, state.st_mtime_ns


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
