"""Results of an evaluation by picture and model: means, JSON, table."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from upres.system.text import shown

BICUBIC = "bicubic"
REFERENCE = "hr"  # the row of HR itself


@dataclass(frozen=True, slots=True)
class Scores:
    """Scores of one picture, or a mean.

    psnr_y, psnr_rgb: In dB; infinite for equal pictures.
    ssim_y, ssim_rgb: In [-1, 1].
    niqe: None if not measured.
    lr_psnr: In dB; None if not measured.
    """

    psnr_y: float
    ssim_y: float
    psnr_rgb: float
    ssim_rgb: float
    niqe: float | None = None
    lr_psnr: float | None = None


@dataclass(slots=True)
class Evaluation:
    """The results of `evaluate`.

    protocol: How they were measured.
    scores: By model, then by file.
    failed: Reasons of the pictures that are left out of all rows, by file.
    notes: For the user.
    reference: NIQE of HR by file, if measured.
    """

    protocol: dict[str, Any]
    scores: dict[str, dict[str, Scores]]
    failed: dict[str, str] = field(default_factory=dict[str, str])
    notes: list[str] = field(default_factory=list[str])
    reference: dict[str, float] = field(default_factory=dict[str, float])

    def means(self) -> dict[str, Scores]:
        """The mean over all pictures, by model."""
        return {name: mean_scores(list(images.values())) for name, images in self.scores.items()}

    def to_json(self) -> dict[str, Any]:
        """`{"protocol", "models": {NAME: {"mean", "images"}}}`, with NIQE also "hr". Infinity becomes None; JSON has
        none.
        """
        means = self.means()
        models = {
            name: {"mean": _finite(means[name]), "images": {file: _finite(scores) for file, scores in images.items()}}
            for name, images in self.scores.items()
        }
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


def mean_scores(scores: Sequence[Scores]) -> Scores:
    """The arithmetic mean of each field, of dB values too, as in papers. Raises ValueError for no scores."""
    if not scores:
        raise ValueError("the mean of no scores is not defined")
    columns = {column.name: [getattr(row, column.name) for row in scores] for column in fields(Scores)}
    return Scores(**{name: _mean(values) for name, values in columns.items()})  # type: ignore[arg-type]


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    if len(known) < len(values):
        return None
    return math.fsum(known) / len(known) if all(map(math.isfinite, known)) else math.inf


def _finite(scores: Scores) -> dict[str, float | None]:
    return {
        name: value if math.isfinite(value) else None for name, value in asdict(scores).items() if value is not None
    }


def format_table(evaluation: Evaluation) -> str:
    """A table of scores per picture and mean, with the protocol above it and in the column heads."""
    protocol = evaluation.protocol
    border = protocol["border_px"]
    rounded = ", rounded" if protocol["round_luma"] else ""
    columns = {  # field of Scores -> head, decimals
        "psnr_y": (f"PSNR (Y{rounded}, border {border})", 2),
        "ssim_y": (f"SSIM (Y{rounded}, border {border})", 4),
        "psnr_rgb": (f"PSNR (RGB, border {border})", 2),
        "ssim_rgb": (f"SSIM (RGB, border {border})", 4),
        **({"niqe": (f"NIQE (Y rounded, border {border})", 2)} if "niqe" in protocol else {}),
        **({"lr_psnr": ("LR-PSNR (RGB)", 2)} if "lr_psnr" in protocol else {}),
    }
    files = list(evaluation.scores[BICUBIC])
    means = evaluation.means()
    rows = [["picture", "model", *(head for head, _ in columns.values())]]
    for file in [*files, None]:
        for position, (name, images) in enumerate(evaluation.scores.items()):
            scores = means[name] if file is None else images[file]
            label = ("mean" if file is None else shown(file)) if position == 0 else ""
            rows.append(
                [label, name, *(f"{getattr(scores, key):.{decimals}f}" for key, (_, decimals) in columns.items())]
            )
        if evaluation.reference:
            reference = evaluation.reference_mean() if file is None else evaluation.reference[file]
            rows.append(
                [
                    "",
                    REFERENCE,
                    *(f"{reference:.{decimals}f}" if key == "niqe" else "-" for key, (_, decimals) in columns.items()),
                ]
            )
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        "  ".join(
            cell.ljust(width) if i < 2 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]
    pictures = "1 picture" if len(files) == 1 else f"{len(files)} pictures"
    head = [
        f"x{protocol['scale']}, {pictures}; HR {protocol['hr']}; LR: {protocol['lr']}; SR: {protocol['sr']}",
        f"Y: {protocol['y']}; SSIM: {protocol['ssim']}; gray {protocol['gray']}",
        *(f"{head}: {protocol[key]}" for key, head in (("niqe", "NIQE"), ("lr_psnr", "LR-PSNR")) if key in protocol),
        "",
    ]
    return "\n".join(head + [line.rstrip() for line in lines])
