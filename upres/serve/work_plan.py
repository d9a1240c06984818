"""What a picture and a client's parameters come to within the server's limits: the header, the model, the plan."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from upres.batch.animated import frames_of
from upres.batch.job import Job
from upres.batch.model_choice import ModelChooser
from upres.batch.paths import InputFile
from upres.batch.record import label, make_record
from upres.batch.request import Request
from upres.errors import InputError
from upres.images.animation import check_animated
from upres.images.io import Header, check_writable, read_header
from upres.models.expression import parse
from upres.serve.open_models import OpenModels
from upres.serve.parameters import Parameters
from upres.serve.problems import Problem
from upres.upscaling.choose_model import MODELS_BY_ROLE, ModelChoice
from upres.upscaling.options import UpscaleOptions
from upres.upscaling.plan import Plan
from upres.upscaling.upscale_file import plan_file, plan_in_memory

_SMALL_TILE_PX = 64  # where memory was short
_USUAL_PX = 1_000_000
Facts = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Found:
    """A picture that was looked at: its header, the model that it gets, and its frames (1: a still)."""

    header: Header
    choice: ModelChoice
    frames: int


class WorkPlanner:
    """Plans pictures for one process.

    settings: Its limits and options of the engine, as plain values.
    models: Open in it.
    """

    def __init__(self, settings: Facts, models: OpenModels) -> None:
        self._settings, self._models = settings, models
        # Engines that were measured for pictures of a usual size are used; a request waits for no measurement.
        engine = {"picture_px": _USUAL_PX, **settings["engine"]}
        self.base = UpscaleOptions(memory_bytes=settings["memory_bytes"]).replace(**engine)

    def find(self, parameters: Parameters, source: Path | bytes) -> Found:
        """Look at the header, and at the picture where it decides about the model. Raises `Problem`, `UpresError`."""
        header = read_header(source)
        frames = frames_of(source, header, parameters.format)
        self._check_input(header, frames)
        request = self._request(parameters)
        if parameters.model is None:
            return Found(header, ModelChooser(request, {}).choose("picture", source, header), frames)
        return Found(header, ModelChoice(str(request.composition()), ""), frames)

    def assume(self, parameters: Parameters, header: Header) -> Found:
        """For a picture that is not here. Its content is unknown: of the models for it the slowest is assumed."""
        header = replace(header, by_rows=not header.has_alpha)
        self._check_input(header, 1)
        if parameters.model is not None:
            return Found(header, ModelChoice(str(self._request(parameters).composition()), ""), 1)
        return Found(header, ModelChoice(MODELS_BY_ROLE["photo"][4], "assumed: the picture decides"), 1)

    def plan(self, found: Found, parameters: Parameters, options: UpscaleOptions) -> Plan:
        """The plan, by rows where the picture is large. Raises `Problem`, `UpresError`."""
        upscaler, header = self._models.open(found.choice.name, options), found.header
        height, width = parameters.size.resolve(header.height, header.width, native=upscaler.scale)
        most = self._settings["max_pixels_out"]
        if found.frames * height * width > most:
            times = f"{found.frames:,} frames of " if found.frames > 1 else ""
            raise Problem(
                "result_too_large",
                f"the result would have {times}{width:,} x {height:,} pixels, more than the {most / 1e6:g} megapixels "
                "that this server makes; ask for a smaller size",
            )
        try:
            if found.frames > 1:
                check_animated(parameters.format, height, width)
                plan = plan_in_memory(upscaler, header, parameters.size)
                return replace(plan, macs=plan.macs * found.frames)
            check_writable(parameters.format, height, width, header.depth)
            return plan_file(upscaler, header, parameters.size, parameters.format)
        except InputError as error:  # tiles of every size were tried
            words = str(error).partition(";")[0]
            raise Problem("out_of_memory", f"{words}; ask for a smaller result") from error

    def job(
        self, found: Found, parameters: Parameters, plan: Plan, options: UpscaleOptions, source: Path, target: Path
    ) -> Job:
        """As of `upres upscale`, whose results say the same of what made them."""
        name, header = found.choice.name, found.header
        settings = self._request(parameters).settings(name)
        settings["model"] = label(parse(name))
        return Job(
            InputFile(None),
            source,
            header,
            self._models.open(name, options),
            parameters.size,
            plan,
            target,
            parameters.format,
            record=make_record(settings, plan.height, plan.width, source),
            choice=found.choice,
            model_files=self._models.hashes(name),
            frames=found.frames,
        )

    def options(self, parameters: Parameters, *, careful: bool = False) -> UpscaleOptions:
        """How an upscaler runs: the blend for `denoise` is part of its model. `careful`: in small tiles."""
        base, own = self.base, parameters.options
        return replace(
            base,
            tta=own.tta,
            blend=own.blend,
            color_lock=own.color_lock,
            wrap=own.wrap,
            tile_px=_SMALL_TILE_PX if careful else base.tile_px,
        )

    def _check_input(self, header: Header, frames: int) -> None:
        most, most_frames = self._settings["max_pixels_in"], self._settings["max_frames"]
        if frames > most_frames:
            raise Problem(
                "picture_too_large",
                f"the animation has {frames:,} frames, more than the {most_frames:,} that this server takes; "
                "format=jpeg enlarges the first one alone",
            )
        if frames * header.height * header.width > most:
            times = f"{frames:,} frames of " if frames > 1 else ""
            raise Problem(
                "picture_too_large",
                f"the picture has {times}{header.width:,} x {header.height:,} pixels, more than the {most / 1e6:g} "
                "megapixels that this server takes",
            )

    def _request(self, parameters: Parameters) -> Request:
        most = self._settings["max_pixels_out"]
        return Request((), size=parameters.size, model=parameters.model, options=parameters.options, max_pixels=most)


def facts_of(found: Found, plan: Plan) -> Facts:
    """What the server and its clients learn of a picture before it is done."""
    header, choice = found.header, found.choice
    return {
        "picture": {"width": header.width, "height": header.height, "format": header.format},
        "model": {"name": choice.name, "reason": choice.reason or None, "other": choice.other},
        "size": {"width": plan.width, "height": plan.height},
        "frames": found.frames,
        "macs": plan.macs,
        "pixels": found.frames * header.height * header.width,
        "memory_bytes": plan.needed_bytes,
    }
