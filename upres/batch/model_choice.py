"""The model of each picture in a request that names none: chosen by what it shows, and remembered by the job."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from upres.batch.request import Request
from upres.images.io import Header
from upres.upscaling.choose_model import DEFAULT_FACTOR, MODELS_BY_ROLE, ModelChoice, choose_model

_KNOWN = frozenset(name for models in MODELS_BY_ROLE.values() for name in models.values())
_AS_BEFORE = "as when the job began"
_SMALLER = "reduced without a network"


class ModelChooser:
    """Chooses the bundled model for each picture, once.

    request: Gives the output sizes.
    recorded: The models of an unfinished job, by picture; these pictures keep theirs and are not looked at.
    """

    def __init__(self, request: Request, recorded: Mapping[str, str]) -> None:
        self._request = request
        self._recorded = {name: model for name, model in recorded.items() if model in _KNOWN}

    def choose(self, picture: str, source: Path | bytes, header: Header, before: str | None = None) -> ModelChoice:
        """The model for the picture of that name, whose file or bytes are `source`.

        before: The model that it got before, if any.

        A picture that will only be reduced, or is too large for the request, is not decoded. Raises `InputError` for
        one that cannot be.
        """
        size = self._request.size
        asked = size.factor_for(header.height, header.width)
        factor = DEFAULT_FACTOR if asked is None else asked
        height, width = size.resolve(header.height, header.width, native=round(DEFAULT_FACTOR))
        before = before if before in _KNOWN else self._recorded.get(picture)
        if before is not None:
            return ModelChoice(before, _AS_BEFORE)
        if factor < 1.0 or height * width > self._request.max_pixels:
            return ModelChoice(MODELS_BY_ROLE["standard"][2 if factor <= 2 else 4], _SMALLER)
        from upres.inspection.inspect import inspect_picture

        report = inspect_picture(source)
        if self._request.options.true_size and report.true_scale is not None:
            factor *= max(1.0, report.true_scale)
            report = replace(report, true_scale=1.0)  # as it will be
        return choose_model(report, factor)
