"""What a worker does with a task: upscale, look, preview, measure. Runs in a child process."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from upres.batch.worker import WorkerThread
from upres.images.io import Header, read_picture, set_threads
from upres.images.jpeg_tables import read_tables
from upres.inspection.inspect import inspect_decoded
from upres.models.report import facts
from upres.serve.open_models import OpenModels
from upres.serve.parameters import read_parameters
from upres.serve.previews import make_preview
from upres.serve.problems import problem_of
from upres.serve.upscale_task import Tell, UpscaleTask, Writing
from upres.serve.work_plan import Facts, WorkPlanner, facts_of
from upres.system.text import shown
from upres.upscaling.choose_model import DEFAULT_FACTOR, choose_model
from upres.upscaling.tiled_run import Cancelled

Task = dict[str, Any]


class Work:
    """The tasks of one process, which keeps its models open.

    A small result is written while the next task runs: the answer "free" asks for it.

    settings: Limits and options of the engine, as plain values.
    tell: Sends an answer; it has the number of its task.
    canceled: Whether the task of that number was canceled.
    """

    def __init__(self, settings: Task, tell: Tell, canceled: Callable[[int], bool]) -> None:
        self._settings, self._tell, self._canceled = settings, tell, canceled
        self._models = OpenModels()
        self._planner = WorkPlanner(settings, self._models)
        self._writer: WorkerThread[None] = WorkerThread("upres-write")
        self._writing: Future[None] | None = None
        self._verbs: dict[str, Callable[[Task], Facts]] = {
            "look": self._look,
            "plan": self._plan_numbers,
            "preview": self._preview,
            "measure": self._measure,
            "cards": self._cards,
        }
        set_threads(settings["engine"]["threads"])
        logging.getLogger("upres").addHandler(logging.NullHandler())  # notes are told with the result

    def do(self, task: Task) -> None:
        """Answer a task, or begin to write its result; never raises."""
        if task["do"] != "upscale":
            self._answer(task, partial(self._verbs[task["do"]], task))
            return
        writing: list[Writing] = []
        if not self._answered(task, lambda: writing.append(self._run(task))):
            return
        self.settle()  # one result at a time
        if writing[0].overlaps:
            self._writing = self._writer.submit(partial(self._answer, task, writing[0].work))
            self._tell(step="free", task=task["task"])
        else:
            self._answer(task, writing[0].work)

    def settle(self) -> None:
        """Wait until no result is being written."""
        if self._writing is not None:
            self._writing.result()
            self._writing = None

    def _run(self, task: Task) -> Writing:
        number = task["task"]
        most = self._settings["max_pixels_in"]
        tell, canceled = partial(self._tell, task=number), partial(self._canceled, number)
        return UpscaleTask(task, self._planner, self._models, most, tell, canceled).run(self.settle)

    def _answer(self, task: Task, work: Callable[[], Facts]) -> None:
        """Do the work and send its return value as the last answer."""

        def send() -> None:
            self._tell(step="done", task=task["task"], **work())

        self._answered(task, send)

    def _answered(self, task: Task, work: Callable[[], None]) -> bool:
        """Do the work; where it raises, that is the task's last answer, and False is returned."""
        try:
            work()
        except Cancelled:
            self._tell(step="canceled", task=task["task"])
        except Exception as error:  # the one place where errors of a task become its answer
            problem = problem_of(error)
            if problem.code == "bug":
                traceback.print_exc()
            if "source" in task:  # where the server keeps its files is not for clients
                problem.detail = problem.detail.replace(shown(Path(task["source"])), "the picture")
            self._tell(step="failed", task=task["task"], problem=problem.document())
        else:
            return True
        return False

    def _look(self, task: Task) -> Facts:
        """What the picture is, the model that fits, and what the work takes."""
        parameters, data = read_parameters(task["parameters"]), Path(task["source"]).read_bytes()
        found = self._planner.find(parameters, data)
        answer: Facts = {}
        if task["inspect"]:
            picture = read_picture(data, max_pixels=self._settings["max_pixels_in"])
            report = inspect_decoded(picture, read_tables(data))
            suited = choose_model(report, parameters.scale or DEFAULT_FACTOR)
            answer = {"report": asdict(report) | {"banded": report.banded}, "suited": suited._asdict()}
        plan = self._planner.plan(found, parameters, self._planner.options(parameters))
        return answer | facts_of(found, plan)

    def _plan_numbers(self, task: Task) -> Facts:
        """What a picture of that size takes."""
        parameters = read_parameters(task["parameters"])
        depth = 16 if task["depth"] > 8 else 8
        header = Header(task["height"], task["width"], task["channels"], task["alpha"], depth, "png")
        found = self._planner.assume(parameters, header)
        return facts_of(found, self._planner.plan(found, parameters, self._planner.options(parameters)))

    def _preview(self, task: Task) -> Facts:
        crop = task["crop"]
        most = max(self._settings["max_pixels_in"], self._settings["max_pixels_out"])
        part = None if crop is None else tuple(crop)
        data = make_preview(Path(task["source"]).read_bytes(), task["side"], part, most)
        Path(task["target"]).write_bytes(data)
        return {}

    def _measure(self, task: Task) -> Facts:
        """Multiply-adds a second of a model on this machine."""
        upscaler = self._models.open(task["model"], self._planner.base)
        return {"macs_per_second": upscaler.macs_per_second()}

    def _cards(self, task: Task) -> Facts:
        """What is known of the networks of these models."""
        cards: dict[str, Task] = {}
        for name in task["models"]:
            known = facts(name)
            cards[name] = {"parameters": known.parameters, "macs_per_pixel": known.macs_per_pixel}
        return {"cards": cards}
