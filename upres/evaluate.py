"""Measuring models as papers do: pairs of pictures and networks in, PSNR and SSIM with their protocol out.

The protocol, which every table and every JSON file states: HR is cropped to a multiple of the scale, its top left corner kept; LR is made
from it by the MATLAB-equal cubic resize and rounded to 8 bit, unless a folder with LR is given; SR is rounded to 8 bit; a border as wide as
the scale is left out of every measure; Y is BT.601 studio range. Gray pictures are run and measured as R = G = B. Alpha is not measured.
A row `bicubic` (the same resize upwards) is always there, because tables of different protocols can be told apart by it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from upres.errors import InputError, ModelError, UpresError, UsageError
from upres.metrics import psnr, ssim
from upres.pairs import Pair, check_scale, check_sizes
from upres.picture import Picture, quantise, read_picture
from upres.resize import imresize
from upres.upscale import Upscaler

BICUBIC = "bicubic"
_NAMED = 8  # reasons in one message

Levels = NDArray[np.uint8]  # h w 3
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Scores:
    """One picture or one mean: PSNR in dB (infinite for equal pictures) and SSIM in [-1,1], on Y and on RGB."""

    psnr_y: float
    ssim_y: float
    psnr_rgb: float
    ssim_rgb: float


@dataclass(slots=True)
class Evaluation:
    """All rows: `scores[model][file]`. `failed` are pictures left out of every row, with the reason; `notes` are words for the user."""

    protocol: dict[str, Any]
    scores: dict[str, dict[str, Scores]]
    failed: dict[str, str] = field(default_factory=dict[str, str])
    notes: list[str] = field(default_factory=list[str])

    def means(self) -> dict[str, Scores]:
        """The mean of every column over the pictures, one model a row."""
        return {name: mean_scores(list(images.values())) for name, images in self.scores.items()}

    def to_json(self) -> dict[str, Any]:
        """`{"protocol", "models": {NAME: {"mean", "images"}}}`; an infinite PSNR is None, because JSON has no infinity."""
        means = self.means()
        models = {
            name: {"mean": _finite(means[name]), "images": {file: _finite(scores) for file, scores in images.items()}}
            for name, images in self.scores.items()
        }
        return {"protocol": {**self.protocol, "failed": self.failed}, "models": models}


def mean_scores(scores: Sequence[Scores]) -> Scores:
    """The arithmetic mean of each field, of the dB values as papers take it. Raises ValueError for no scores."""
    if not scores:
        raise ValueError("the mean of no scores is not defined")
    columns = {column.name: [float(getattr(row, column.name)) for row in scores] for column in fields(Scores)}
    return Scores(
        **{name: math.fsum(values) / len(values) if all(map(math.isfinite, values)) else math.inf for name, values in columns.items()}
    )


def _finite(scores: Scores) -> dict[str, float | None]:
    return {name: value if math.isfinite(value) else None for name, value in asdict(scores).items()}


def _levels(picture: Picture) -> Levels:
    """8-bit RGB of a picture; gray as R = G = B."""
    pixels: Levels = quantise(picture.pixels, 8)
    return np.repeat(pixels, 3, axis=2) if pixels.shape[2] == 1 else pixels


def crop_to_multiple(hr: Levels, scale: int) -> Levels:
    """`h w c` without the last rows and columns beyond a multiple of `scale`; the top left corner is kept."""
    height, width = hr.shape[0] // scale * scale, hr.shape[1] // scale * scale
    return hr[:height, :width]


def measure(sr: Levels, hr: Levels, *, border: int, round_luma: bool = False) -> Scores:
    """All four figures of one pair of 8-bit pictures `h w 3`."""
    return Scores(
        psnr_y=psnr(sr, hr, border=border, luma=True, round_luma=round_luma),
        ssim_y=ssim(sr, hr, border=border, luma=True, round_luma=round_luma),
        psnr_rgb=psnr(sr, hr, border=border, luma=False),
        ssim_rgb=ssim(sr, hr, border=border, luma=False),
    )


def _upscale(upscaler: Upscaler, lr: Levels) -> Levels:
    """8 bit in, 8 bit out, through one network at its own scale."""
    pixels = upscaler.upscale_array(lr.astype(np.float32) / np.float32(255.0))
    return quantise(pixels, 8)


def check_models(upscalers: Mapping[str, Upscaler], scale: int) -> None:
    """Raises `UsageError` naming the first model that does not enlarge by `scale`."""
    for name, upscaler in upscalers.items():
        if name == BICUBIC:
            raise UsageError(f"a model cannot be called {BICUBIC}: that row is always measured")
        if upscaler.graph.scale != scale:
            raise UsageError(
                f"the model {name} enlarges by {upscaler.graph.scale}, but --scale is {scale}: "
                f"give --scale {upscaler.graph.scale}, or a model for x{scale}"
            )


def make_protocol(scale: int, *, lr_given: bool, round_luma: bool) -> dict[str, Any]:
    """The protocol in words, for the table and for the JSON file."""
    return {
        "scale": scale,
        "border_px": scale,
        "hr": f"cropped to a multiple of {scale}, top left kept",
        "lr": "read from a folder" if lr_given else "MATLAB-equal cubic resize with antialiasing, 8 bit",
        "sr": "8 bit",
        "y": "BT.601 studio range, " + ("rounded to whole levels" if round_luma else "not rounded"),
        "round_luma": round_luma,
        "ssim": "Gaussian window 11x11, sigma 1.5, valid region, mean over channels",
        "gray": "as R = G = B",
    }


def evaluate(
    pairs: Sequence[Pair], upscalers: Mapping[str, Upscaler], *, scale: int, round_luma: bool = False, progress: Progress | None = None
) -> Evaluation:
    """Measure `bicubic` and every model of `upscalers` on every pair.

    A picture that fails, by whatever model, is left out of every row, so that all means are over the same pictures; its reason stands in
    `failed`. `progress(done, total)` counts pictures. Raises `UsageError` for a model of another scale and a scale out of range, and
    `InputError` where sizes do not fit or no picture can be measured; all but the last before any model runs.
    """
    check_scale(scale)
    check_models(upscalers, scale)
    good, failed = check_sizes(pairs, scale)
    lr_given = any(pair.lr is not None for pair in pairs)
    protocol = make_protocol(scale, lr_given=lr_given, round_luma=round_luma)
    protocol["engines"] = {name: upscaler.runner.name for name, upscaler in upscalers.items()}
    result = Evaluation(protocol, {name: {} for name in (BICUBIC, *upscalers)}, failed)
    for index, pair in enumerate(good):
        try:
            rows = _measure_pair(pair, upscalers, scale, round_luma, result.notes)
        except ModelError:
            raise
        except (UpresError, MemoryError) as error:
            result.failed[pair.name] = str(error) or "not enough free memory"
        else:
            for name, scores in rows.items():
                result.scores[name][pair.name] = scores
        if progress is not None:
            progress(index + 1, len(good))
    if not result.scores[BICUBIC]:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in list(result.failed.items())[:_NAMED])
        raise InputError(f"none of the {len(pairs)} pictures could be measured: {reasons}")
    protocol["pictures"] = len(result.scores[BICUBIC])
    return result


def _measure_pair(pair: Pair, upscalers: Mapping[str, Upscaler], scale: int, round_luma: bool, notes: list[str]) -> dict[str, Scores]:
    high = read_picture(pair.hr)
    if high.alpha is not None:
        notes.append(f"{pair.name}: its transparency is not measured")
    notes += [f"{pair.name}: {note}" for note in high.notes]
    hr = crop_to_multiple(_levels(high), scale)
    size = (hr.shape[0] // scale, hr.shape[1] // scale)
    lr = imresize(hr, size=size) if pair.lr is None else _levels(read_picture(pair.lr))
    rows = {BICUBIC: measure(imresize(lr, size=(hr.shape[0], hr.shape[1])), hr, border=scale, round_luma=round_luma)}
    for name, upscaler in upscalers.items():
        try:
            rows[name] = measure(_upscale(upscaler, lr), hr, border=scale, round_luma=round_luma)
        except ModelError:
            raise
        except UpresError as error:
            raise InputError(f"{name}: {error}") from error
    return rows


def format_table(evaluation: Evaluation) -> str:
    """The figures per picture and mean, with the protocol above them and in the column heads. PSNR in dB; infinite is `inf`."""
    protocol = evaluation.protocol
    border = protocol["border_px"]
    rounded = ", rounded" if protocol["round_luma"] else ""
    heads = [f"{measure} ({channel}, border {border})" for channel in (f"Y{rounded}", "RGB") for measure in ("PSNR", "SSIM")]
    files = list(evaluation.scores[BICUBIC])
    means = evaluation.means()
    rows = [["picture", "model", *heads]]
    for file in [*files, None]:
        for position, (name, images) in enumerate(evaluation.scores.items()):
            scores = means[name] if file is None else images[file]
            label = ("mean" if file is None else file) if position == 0 else ""
            figures = [f"{scores.psnr_y:.2f}", f"{scores.ssim_y:.4f}", f"{scores.psnr_rgb:.2f}", f"{scores.ssim_rgb:.4f}"]
            rows.append([label, name, *figures])
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        "  ".join(cell.ljust(width) if i < 2 else cell.rjust(width) for i, (cell, width) in enumerate(zip(row, widths, strict=True)))
        for row in rows
    ]
    pictures = "1 picture" if len(files) == 1 else f"{len(files)} pictures"
    head = [
        f"x{protocol['scale']}, {pictures}; HR {protocol['hr']}; LR: {protocol['lr']}; SR: {protocol['sr']}",
        f"Y: {protocol['y']}; SSIM: {protocol['ssim']}; gray {protocol['gray']}",
        "",
    ]
    return "\n".join(head + [line.rstrip() for line in lines])
