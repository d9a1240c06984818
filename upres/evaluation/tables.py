"""Results of an evaluation on one set by picture and model: means, JSON, the table of all pictures."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import Any

from upres.evaluation.costs import Costs
from upres.evaluation.scores import DECIMALS, Scores, mean_scores
from upres.evaluation.statistics import bootstrap_interval
from upres.system.text import aligned, shown

BICUBIC = "bicubic"
REFERENCE = "hr"  # the row of HR itself


@dataclass(slots=True)
class Evaluation:
    """The results of `evaluate`.

    protocol: How they were measured; "columns" has the head of each score.
    scores: By model, then by file.
    failed: Reasons of the pictures that are left out of all rows, by file.
    notes: For the user.
    reference: NIQE of HR by file, if measured.
    costs: By model, of those that were run.
    """

    protocol: dict[str, Any]
    scores: dict[str, dict[str, Scores]]
    failed: dict[str, str] = field(default_factory=dict[str, str])
    notes: list[str] = field(default_factory=list[str])
    reference: dict[str, float] = field(default_factory=dict[str, float])
    costs: dict[str, Costs] = field(default_factory=dict[str, Costs])

    @property
    def columns(self) -> dict[str, str]:
        """The head of each score that was measured, by its field."""
        return self.protocol["columns"]

    @property
    def files(self) -> list[str]:
        """The pictures that were measured."""
        return list(next(iter(self.scores.values())))

    def means(self) -> dict[str, Scores]:
        """The mean over all pictures, by model."""
        return {name: mean_scores(list(images.values())) for name, images in self.scores.items()}

    def values(self, model: str, column: str) -> list[float]:
        """One score of all pictures; empty where it was not measured."""
        values = [getattr(row, column) for row in self.scores[model].values()]
        return [] if None in values else values

    def differences(self, model: str, against: str, column: str) -> list[float]:
        """`model` less `against`, picture by picture; empty where not measured or not finite."""
        pairs = zip(self.values(model, column), self.values(against, column), strict=True)
        apart = [one - other if one != other else 0.0 for one, other in pairs]
        return apart if all(map(math.isfinite, apart)) else []

    def to_json(self) -> dict[str, Any]:
        """`{"protocol", "models": {NAME: {"mean", "interval", "images", "seconds_per_megapixel",
        "bytes_per_megapixel"}}}`, with NIQE also "hr". Infinity becomes None; JSON has none.
        """
        means = self.means()
        models: dict[str, Any] = {}
        for name, images in self.scores.items():
            intervals = {column: bootstrap_interval(self.values(name, column)) for column in self.columns}
            models[name] = {
                "mean": _finite(means[name]),
                "interval": {column: list(pair) for column, pair in intervals.items() if pair is not None},
                "images": {file: _finite(scores) for file, scores in images.items()},
            }
            if name in self.costs:
                models[name]["seconds_per_megapixel"] = self.costs[name].seconds_per_megapixel
                models[name]["bytes_per_megapixel"] = self.costs[name].bytes_per_megapixel
        reference = {
            "mean": {"niqe": self.reference_mean()},
            "images": {file: {"niqe": value} for file, value in self.reference.items()},
        }
        return {
            "protocol": {**self.protocol, "failed": self.failed},
            "models": models,
            **({REFERENCE: reference} if self.reference else {}),
        }

    def reference_mean(self) -> float | None:
        """The mean NIQE of HR; None if not measured."""
        return math.fsum(self.reference.values()) / len(self.reference) if self.reference else None


def _finite(scores: Scores) -> dict[str, float | None]:
    return {
        name: value if math.isfinite(value) else None for name, value in asdict(scores).items() if value is not None
    }


def protocol_lines(protocol: dict[str, Any], pictures: int) -> list[str]:
    """The protocol in words, for the head of a table."""
    counted = "1 picture" if pictures == 1 else f"{pictures} pictures"
    return [
        f"x{protocol['scale']}, {counted}; HR {protocol['hr']}; LR: {protocol['lr']}; SR: {protocol['sr']}",
        f"Y: {protocol['y']}; SSIM: {protocol['ssim']}; gray {protocol['gray']}",
        *(f"{protocol['columns'][key].split(' (')[0]}: {protocol[key]}" for key in DECIMALS if key in protocol),
    ]


def format_table(evaluation: Evaluation) -> str:
    """A table of scores per picture and mean, with the protocol above it and in the column heads."""
    columns, files = evaluation.columns, evaluation.files
    means = evaluation.means()
    rows = [["picture", "model", *columns.values()]]
    for file in [*files, None]:
        for position, (name, images) in enumerate(evaluation.scores.items()):
            scores = means[name] if file is None else images[file]
            label = ("mean" if file is None else shown(file)) if position == 0 else ""
            rows.append([label, name, *(cell(getattr(scores, key), key) for key in columns)])
        if evaluation.reference:
            reference = evaluation.reference_mean() if file is None else evaluation.reference[file]
            rows.append(["", REFERENCE, *(cell(reference if key == "niqe" else None, key) for key in columns)])
    head = protocol_lines(evaluation.protocol, len(files))
    return "\n".join([*head, "", *aligned(rows, right=range(2, len(rows[0])))])


def cell(value: float | None, column: str) -> str:
    """A score with the decimals of its column; "-" for none."""
    return "-" if value is None else f"{value:.{DECIMALS[column]}f}"
