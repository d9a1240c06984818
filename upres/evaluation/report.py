"""The report of a run over several sets: what is written as JSON, read again and joined with others."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import msgspec

from upres.errors import InputError
from upres.evaluation.costs import Costs, ModelFacts
from upres.evaluation.scores import Scores
from upres.evaluation.tables import BICUBIC, Evaluation

FORMAT = 2  # 1 had one set, without facts of the models
_SAME = ("scale", "border_px", "hr", "lr", "sr", "y", "round_luma", "ssim", "gray")
_SAME_SCORE = 1e-6  # of the bicubic row, where both measured the same pictures


@dataclass(slots=True)
class Report:
    """Evaluations by set, and the facts of the models that were run."""

    version: str
    sets: dict[str, Evaluation] = field(default_factory=dict[str, Evaluation])
    facts: dict[str, ModelFacts] = field(default_factory=dict[str, ModelFacts])

    @property
    def models(self) -> list[str]:
        """All rows, bicubic first."""
        return list(dict.fromkeys(name for one in self.sets.values() for name in one.scores))

    def to_json(self) -> dict[str, Any]:
        """`{"format", "upres", "models": {NAME: {"sha256", "parameters", "macs_per_pixel"}}, "sets": {SET: ...}}`.

        Each set is as `Evaluation.to_json` gives it.
        """
        return {
            "format": FORMAT,
            "upres": self.version,
            "models": {name: asdict(facts) for name, facts in self.facts.items()},
            "sets": {name: evaluation.to_json() for name, evaluation in self.sets.items()},
        }


class _ModelJson(msgspec.Struct, forbid_unknown_fields=True):
    mean: dict[str, float | None]
    images: dict[str, dict[str, float | None]]
    interval: dict[str, tuple[float, float]] = {}
    seconds_per_megapixel: float | None = None
    bytes_per_megapixel: float | None = None


class _ReferenceJson(msgspec.Struct, forbid_unknown_fields=True):
    mean: dict[str, float | None]
    images: dict[str, dict[str, float]]


class _SetJson(msgspec.Struct, forbid_unknown_fields=True):
    protocol: dict[str, Any]
    models: dict[str, _ModelJson]
    hr: _ReferenceJson | None = None


class _FactsJson(msgspec.Struct, forbid_unknown_fields=True):
    sha256: tuple[str, ...]
    parameters: int
    macs_per_pixel: float


class _ReportJson(msgspec.Struct, forbid_unknown_fields=True):
    format: int
    upres: str
    models: dict[str, _FactsJson]
    sets: dict[str, _SetJson]


def read_report(path: Path) -> Report:
    """Read what `upres evaluate --json` wrote. Raises `InputError` for anything else."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot read the report {path}: {error.strerror or error}") from error
    try:
        plain = msgspec.json.decode(data)
        if isinstance(plain, dict) and plain.get("format", 1) != FORMAT:  # pyright: ignore[reportUnknownMemberType]
            found = plain.get("format", 1)  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
            raise InputError(
                f"{path} is a report of format {found}, expected {FORMAT}; measure again with this version of upres"
            )
        stored = msgspec.convert(plain, _ReportJson)
        sets = {name: _evaluation(one) for name, one in stored.sets.items()}
    except (msgspec.MsgspecError, KeyError, TypeError) as error:
        raise InputError(f"{path} is not a report of `upres evaluate` in JSON: {error}") from error
    facts = {name: ModelFacts(one.sha256, one.parameters, one.macs_per_pixel) for name, one in stored.models.items()}
    return Report(stored.upres, sets, facts)


def _evaluation(stored: _SetJson) -> Evaluation:
    known = {column.name for column in fields(Scores)}
    scores: dict[str, dict[str, Scores]] = {}
    costs: dict[str, Costs] = {}
    for name, model in stored.models.items():
        if unknown := [column for row in model.images.values() for column in row if column not in known]:
            raise KeyError(f"unknown score {unknown[0]}")
        scores[name] = {
            file: Scores(**{column: math.inf if value is None else value for column, value in row.items()})
            for file, row in model.images.items()
        }
        if model.seconds_per_megapixel is not None:
            costs[name] = Costs(model.seconds_per_megapixel, 1.0, model.bytes_per_megapixel)
    protocol = dict(stored.protocol)
    failed = protocol.pop("failed")
    reference = {} if stored.hr is None else {file: row["niqe"] for file, row in stored.hr.images.items()}
    for name in ("columns", *_SAME):
        protocol[name]  # a missing key is a KeyError
    return Evaluation(protocol, scores, failed, reference=reference, costs=costs)


def join_reports(reports: Sequence[Report]) -> Report:
    """One report of several. Sets of one name must have one protocol, the same pictures and the same bicubic row.

    Raises `InputError` for sets that are not the same, and for a model of one name and different files.
    """
    first, *rest = reports
    joined = Report(first.version, dict(first.sets), dict(first.facts))
    for report in rest:
        for name, facts in report.facts.items():
            known = joined.facts.setdefault(name, facts)
            if known.sha256 != facts.sha256:
                raise InputError(f"the model {name} has other files in each report; measure it again, or rename it")
        for name, evaluation in report.sets.items():
            joined.sets[name] = _join(name, joined.sets[name], evaluation) if name in joined.sets else evaluation
    return joined


def _join(name: str, one: Evaluation, other: Evaluation) -> Evaluation:
    for key in _SAME:
        if one.protocol[key] != other.protocol[key]:
            raise InputError(
                f"the set {name} was measured by different protocols ({key}: {one.protocol[key]}, "
                f"and {other.protocol[key]}); rows cannot be joined"
            )
    if set(one.files) != set(other.files):
        apart = sorted(set(one.files) ^ set(other.files))
        raise InputError(f"the set {name} has different pictures in the reports, such as {apart[0]}")
    for file in one.files:
        values = [report.scores[BICUBIC][file].psnr_rgb or 0.0 for report in (one, other)]
        if values[0] != values[1] and not abs(values[0] - values[1]) <= _SAME_SCORE:
            raise InputError(f"the set {name} has another picture {file} in each report: their bicubic rows differ")
    scores = {model: dict(images) for model, images in one.scores.items()}
    for model, images in other.scores.items():
        if model not in scores:
            scores[model] = {file: images[file] for file in one.files}
    columns = {key: head for key, head in one.columns.items() if other.columns.get(key) == head}
    protocol = {**one.protocol, "columns": columns}
    failed = {**one.failed, **other.failed}
    reference = one.reference if "niqe" in columns else {}
    return Evaluation(protocol, scores, failed, reference=reference, costs={**other.costs, **one.costs})
