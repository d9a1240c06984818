"""What a worker does with a task: upscale, look, preview, measure. Runs in a child process."""

from __future__ import annotations

import hashlib
import logging
import time
import traceback
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Protocol

from upres.batch.job import Encoding, Job
from upres.batch.model_choice import ModelChooser
from upres.batch.paths import InputFile
from upres.batch.provenance import stamped
from upres.batch.record import label, make_record
from upres.batch.request import Request
from upres.errors import OutOfMemoryError
from upres.images.io import (
    Header,
    Picture,
    check_writable,
    encode_picture,
    read_header,
    read_picture,
    set_threads,
    writing_notes,
)
from upres.images.jpeg_tables import read_tables
from upres.inspection.inspect import inspect_decoded
from upres.models.expression import parse
from upres.models.report import facts
from upres.serve.open_models import OpenModels
from upres.serve.parameters import Parameters, read_parameters
from upres.serve.previews import make_preview
from upres.serve.problems import Problem, problem_of
from upres.system.files import write_atomic
from upres.upscaling.choose_model import DEFAULT_FACTOR, MODELS_BY_ROLE, ModelChoice, choose_model
from upres.upscaling.options import UpscaleOptions
from upres.upscaling.plan import Plan
from upres.upscaling.tiled_run import Cancelled
from upres.upscaling.upscaler import Upscaler

_PROGRESS_S = 0.2  # between two answers
_SMALL_TILE_PX = 64  # where memory was short
_log = logging.getLogger(__name__)
Task = dict[str, Any]


class Tell(Protocol):
    def __call__(self, **facts: Any) -> None: ...


class Work:
    """The tasks of one process, which keeps its models open.

    settings: Limits and options of the engine, as plain values.
    tell: Sends an answer.
    canceled: Whether the task at hand was canceled.
    """

    def __init__(self, settings: Task, tell: Tell, canceled: Callable[[], bool]) -> None:
        self._settings, self._tell, self._canceled = settings, tell, canceled
        self._base = UpscaleOptions(memory_bytes=settings["memory_bytes"]).replace(**settings["engine"])
        self._models = OpenModels()
        self._verbs: dict[str, Callable[[Task], Task]] = {
            "upscale": self._upscale,
            "look": self._look,
            "plan": self._plan_numbers,
            "preview": self._preview,
            "measure": self._measure,
            "cards": self._cards,
        }
        set_threads(settings["engine"]["threads"])
        logging.getLogger("upres").addHandler(logging.NullHandler())  # notes are told with the result

    def do(self, task: Task) -> None:
        """Answer a task; never raises."""
        try:
            answer = self._verbs[task["do"]](task)
        except Cancelled:
            self._tell(step="canceled")
        except Exception as error:  # the one place where errors of a task become its answer
            problem = problem_of(error)
            if problem.code == "bug":
                traceback.print_exc()
            self._tell(step="failed", problem=problem.document())
        else:
            self._tell(step="done", **answer)

    def _upscale(self, task: Task) -> Task:
        start = time.perf_counter()
        parameters, data = read_parameters(task["parameters"]), Path(task["source"]).read_bytes()
        header, choice = self._choose(parameters, data)
        looked = time.perf_counter()
        options = self._options(parameters, careful=task.get("careful", False))
        plan = self._plan(self._models.open(choice.name, options), parameters, header)
        opened = time.perf_counter()
        self._tell(step="planned", **_facts(choice, header, plan))
        picture = read_picture(data, max_pixels=self._settings["max_pixels_in"])
        read = time.perf_counter()
        result = self._run(choice.name, options, picture, parameters)
        del picture
        ran = time.perf_counter()
        form = parameters.format
        encoding = Encoding(parameters.quality, parameters.png_level)
        job = self._job(parameters, data, header, choice, plan, options)
        result = replace(result, format=form, xmp=stamped(result.xmp, job, encoding))
        notes = (*result.notes, *writing_notes(result, form, parameters.quality))
        encoded = encode_picture(result, form, quality=encoding.quality, png_level=encoding.png_level)
        write_atomic(Path(task["target"]), encoded)
        end = time.perf_counter()
        return {
            "notes": list(dict.fromkeys(notes)),
            "result": {
                "bytes": len(encoded),
                "sha256": hashlib.sha256(encoded).hexdigest(),
                "seconds": round(end - start, 3),
            },
            "times": {
                "look": looked - start,
                "open": opened - looked,
                "read": read - opened,
                "run": ran - read,
                "write": end - ran,
            },
        }

    def _job(
        self,
        parameters: Parameters,
        data: bytes,
        header: Header,
        choice: ModelChoice,
        plan: Plan,
        options: UpscaleOptions,
    ) -> Job:
        """As of `upres upscale`, whose results say the same of what made them."""
        settings = self._request(parameters).settings(choice.name)
        settings["model"] = label(parse(choice.name))
        record = make_record(settings, plan.height, plan.width, data)
        return Job(
            InputFile(None),
            data,
            header,
            self._models.open(choice.name, options),
            parameters.size,
            plan,
            None,
            parameters.format,
            record=record,
            choice=choice,
            model_files=self._models.hashes(choice.name),
        )

    def _run(self, model: str, options: UpscaleOptions, picture: Picture, parameters: Parameters) -> Picture:
        told = time.monotonic()

        def progress(done: int, total: int) -> None:
            nonlocal told
            if time.monotonic() - told >= _PROGRESS_S and done < total:
                told = time.monotonic()
                self._tell(step="progress", share=done / total)

        def run(one: UpscaleOptions) -> Picture:
            return self._models.open(model, one)(
                picture, size=parameters.size, progress=progress, cancel=self._canceled
            )

        try:
            return run(options)
        except (MemoryError, OutOfMemoryError):
            if options.tile_px is not None:
                raise
            self._models.close()
        result = run(self._options(parameters, careful=True))
        return replace(result, notes=(*result.notes, "memory was short: the work was done in small tiles"))

    def _look(self, task: Task) -> Task:
        """What the picture is, the model that fits, and what the work takes."""
        parameters, data = read_parameters(task["parameters"]), Path(task["source"]).read_bytes()
        header, choice = self._choose(parameters, data)
        answer: Task = {}
        if task["inspect"]:
            picture = read_picture(data, max_pixels=self._settings["max_pixels_in"])
            report = inspect_decoded(picture, read_tables(data))
            suited = choose_model(report, parameters.scale or DEFAULT_FACTOR)
            answer = {"report": asdict(report) | {"banded": report.banded}, "suited": suited._asdict()}
        plan = self._plan(self._models.open(choice.name, self._options(parameters)), parameters, header)
        return answer | _facts(choice, header, plan)

    def _plan_numbers(self, task: Task) -> Task:
        """What a picture of that size takes. Its content is unknown: of the models for it the slowest is assumed."""
        parameters = read_parameters(task["parameters"])
        depth = 16 if task["depth"] > 8 else 8
        header = Header(task["height"], task["width"], task["channels"], task["alpha"], depth, "png")
        self._check_input(header)
        given = parameters.model is not None
        model = str(self._request(parameters).composition()) if given else MODELS_BY_ROLE["photo"][4]
        choice = ModelChoice(model, "" if given else "assumed: the picture decides")
        plan = self._plan(self._models.open(model, self._options(parameters)), parameters, header)
        return _facts(choice, header, plan)

    def _preview(self, task: Task) -> Task:
        crop = task["crop"]
        most = max(self._settings["max_pixels_in"], self._settings["max_pixels_out"])
        part = None if crop is None else tuple(crop)
        data = make_preview(Path(task["source"]).read_bytes(), task["side"], part, most)
        Path(task["target"]).write_bytes(data)
        return {}

    def _measure(self, task: Task) -> Task:
        """Multiply-adds a second of a model on this machine."""
        upscaler = self._models.open(task["model"], self._base)
        return {"macs_per_second": upscaler.macs_per_second()}

    def _cards(self, task: Task) -> Task:
        """What is known of the networks of these models."""
        cards: dict[str, Task] = {}
        for name in task["models"]:
            known = facts(name)
            cards[name] = {"parameters": known.parameters, "macs_per_pixel": known.macs_per_pixel}
        return {"cards": cards}

    def _choose(self, parameters: Parameters, data: bytes) -> tuple[Header, ModelChoice]:
        """Look at the header, and at the picture where it decides about the model. Raises `Problem`, `UpresError`."""
        header = read_header(data)
        self._check_input(header)
        request = self._request(parameters)
        if parameters.model is None:
            return header, ModelChooser(request, {}).choose("picture", data, header)
        return header, ModelChoice(str(request.composition()), "")

    def _check_input(self, header: Header) -> None:
        most = self._settings["max_pixels_in"]
        if header.height * header.width > most:
            raise Problem(
                "picture_too_large",
                f"the picture has {header.width:,} x {header.height:,} pixels, more than the {most / 1e6:g} megapixels "
                "that this server takes",
            )

    def _plan(self, upscaler: Upscaler, parameters: Parameters, header: Header) -> Plan:
        height, width = parameters.size.resolve(header.height, header.width, native=upscaler.scale)
        most = self._settings["max_pixels_out"]
        if height * width > most:
            raise Problem(
                "result_too_large",
                f"the result would have {width:,} x {height:,} pixels, more than the {most / 1e6:g} megapixels that "
                "this server makes; ask for a smaller size",
            )
        check_writable(parameters.format, height, width, header.depth)
        return upscaler.plan(
            header.height,
            header.width,
            channels=header.channels,
            has_alpha=header.has_alpha,
            bands=header.bands,
            depth=header.depth,
            size=parameters.size,
        )

    def _request(self, parameters: Parameters) -> Request:
        most = self._settings["max_pixels_out"]
        return Request((), size=parameters.size, model=parameters.model, options=parameters.options, max_pixels=most)

    def _options(self, parameters: Parameters, *, careful: bool = False) -> UpscaleOptions:
        """How an upscaler runs: the blend for `denoise` is part of its model."""
        base, own = self._base, parameters.options
        return replace(
            base,
            tta=own.tta,
            blend=own.blend,
            color_lock=own.color_lock,
            wrap=own.wrap,
            tile_px=_SMALL_TILE_PX if careful else base.tile_px,
        )


def _facts(choice: ModelChoice, header: Header, plan: Plan) -> Task:
    return {
        "picture": {"width": header.width, "height": header.height, "format": header.format},
        "model": {"name": choice.name, "reason": choice.reason or None, "other": choice.other},
        "size": {"width": plan.width, "height": plan.height},
        "macs": plan.macs,
        "pixels": header.height * header.width,
        "memory_bytes": plan.needed_bytes,
    }
