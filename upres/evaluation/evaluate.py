"""Measure models on the pictures of a set as papers do, by one protocol.

The protocol is part of every table and JSON file. HR is cropped to a multiple of the scale from the top left. LR is HR
reduced by the MATLAB-compatible cubic resize and rounded to 8 bit, unless a folder of LR is given. SR is rounded to 8
bit. A border as wide as the scale is excluded. Y is BT.601 studio range. Gray pictures are run and measured as R = G =
B. Alpha is not measured. The row `bicubic` (the same resize upwards) is always included, because it shows whether two
tables used the same protocol. The results of other programs are measured in the same way.

Pictures without HR have only the scores that need none: NIQE, and LR-PSNR, which shows whether SR still is an
enlargement of LR: the PSNR (RGB) of LR and SR reduced again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from upres.errors import InputError, ModelError, UpresError, UsageError
from upres.evaluation.costs import Costs
from upres.evaluation.measures import Measures
from upres.evaluation.pictures import Levels, load_test_picture, to_levels, upscale
from upres.evaluation.scores import Scores
from upres.evaluation.sets import LowFile
from upres.evaluation.tables import BICUBIC, REFERENCE, Evaluation
from upres.images.io import read_picture
from upres.images.pairing import FilePair, check_scale, check_sizes
from upres.images.resize import imresize
from upres.metrics.niqe import NiqeParameters
from upres.upscaling.upscaler import Upscaler

_NAMED = 8  # failures named in one message

Progress = Callable[[int, int], None]
Others = Mapping[str, Mapping[str, Path]]  # program, picture -> its SR


@dataclass(frozen=True, slots=True)
class _Judged:
    """What is measured, and what with."""

    upscalers: Mapping[str, Upscaler]
    others: Others
    scale: int
    measures: Measures
    notes: list[str]
    costs: dict[str, Costs] = field(default_factory=dict[str, Costs])


def check_models(upscalers: Mapping[str, Upscaler], scale: int, others: Sequence[str] = ()) -> None:
    """Raise `UsageError` for a model whose scale is not `scale`, and for a name that is taken."""
    for name in (*upscalers, *others):
        if name in (BICUBIC, REFERENCE):
            raise UsageError(f"a model cannot be named {name}, which is always measured")
    twice = [name for name in others if name in upscalers]
    if twice:
        raise UsageError(f"{twice[0]} is both a model and a folder of results; choose another name")
    for name, upscaler in upscalers.items():
        if upscaler.scale != scale:  # for a chain, of all its networks
            raise UsageError(
                f"model {name} has scale {upscaler.scale}, but `scale` is {scale}; "
                f"use `scale={upscaler.scale}`, or a model of scale {scale}"
            )


def evaluate(
    pairs: Sequence[FilePair | LowFile],
    upscalers: Mapping[str, Upscaler],
    *,
    scale: int,
    round_luma: bool = False,
    niqe: NiqeParameters | None = None,
    lr_psnr: bool = False,
    measures: Measures | None = None,
    others: Others | None = None,
    progress: Progress | None = None,
) -> Evaluation:
    """Measure `bicubic`, all models and the results of other programs on all pictures.

    pairs: HR and LR files, or LR files alone: all of one kind.
    upscalers: Models by name.
    scale: Of all models and pairs.
    round_luma: Round Y to whole levels.
    niqe: Parameters for NIQE; None: not measured.
    lr_psnr: Measure LR-PSNR.
    measures: All of the last three and more; replaces them.
    others: SR files of other programs, by their names and then by the names of the pictures.
    progress: Called as `progress(done, total)` in pictures.

    A picture that fails with any model is left out of all rows, so that all means are over the same pictures; `failed`
    has the reason.

    Raises `UsageError` for a model of another scale and a scale out of range, and `InputError` for sizes that do not
    fit, both before any model runs; `InputError` if no picture can be measured.
    """
    check_scale(scale)
    others = others or {}
    check_models(upscalers, scale, tuple(others))
    with_truth = [pair for pair in pairs if isinstance(pair, FilePair)]
    checked, failed = check_sizes(with_truth, scale)
    good = [*checked, *(pair for pair in pairs if not isinstance(pair, FilePair))]
    truth = bool(with_truth)
    measures = measures or Measures(scale, round_luma, niqe, lr_psnr)
    if not measures.columns(truth=truth):
        raise UsageError("without HR there is nothing to measure but `niqe` and `lr_psnr`; choose at least one")
    protocol = measures.protocol(scale, truth=truth, lr_given=any(pair.lr is not None for pair in pairs))
    protocol["engines"] = {name: upscaler.runner.name for name, upscaler in upscalers.items()}
    names = (BICUBIC, *upscalers, *others)
    judged = _Judged(upscalers, others, scale, measures, [], {name: Costs() for name in upscalers})
    result = Evaluation(protocol, {name: {} for name in names}, failed, judged.notes, costs=judged.costs)
    for index, pair in enumerate(good):
        try:
            rows, reference = _measure_picture(pair, judged)
        except ModelError:
            raise
        except (UpresError, MemoryError) as error:
            result.failed[pair.name] = str(error) or "not enough free memory"
        else:
            for name, scores in rows.items():
                result.scores[name][pair.name] = scores
            if reference is not None:
                result.reference[pair.name] = reference
        if progress is not None:
            progress(index + 1, len(good))
    if not result.scores[BICUBIC]:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in list(result.failed.items())[:_NAMED])
        raise InputError(f"none of the {len(pairs)} pictures could be measured: {reasons}")
    protocol["pictures"] = len(result.scores[BICUBIC])
    return result


def _measure_picture(pair: FilePair | LowFile, judged: _Judged) -> tuple[dict[str, Scores], float | None]:
    """The scores by model, and the NIQE of HR if measured."""
    loaded = load_test_picture(pair.hr, pair.lr, judged.scale)
    hr, lr, measures = loaded.hr, loaded.lr, judged.measures
    judged.notes.extend(loaded.notes)
    size = (lr.shape[0] * judged.scale, lr.shape[1] * judged.scale)
    reference = None if hr is None else measures.quality(hr)
    rows = {BICUBIC: measures.score(imresize(lr, size=size), hr, lr)}
    for name, upscaler in judged.upscalers.items():
        try:
            with judged.costs[name].measure(size[0] * size[1]):
                sr = upscale(upscaler, lr)
            rows[name] = measures.score(sr, hr, lr)
            judged.notes.extend(f"{pair.name}, {name}: {note}" for note in upscaler.notes)
        except ModelError:
            raise
        except UpresError as error:
            raise InputError(f"{name}: {error}") from error
    for name, files in judged.others.items():
        rows[name] = measures.score(_read_result(name, files[pair.name], size, judged.scale), hr, lr)
    return rows, reference


def _read_result(name: str, path: Path, size: tuple[int, int], scale: int) -> Levels:
    """SR of another program: of the size of HR, cropped as HR is."""
    levels = to_levels(read_picture(path))
    height, width = levels.shape[:2]
    if height // scale * scale != size[0] or width // scale * scale != size[1]:
        raise InputError(f"{name}: {path.name} is {width} x {height}, expected {size[1]} x {size[0]}")
    return levels[: size[0], : size[1]]
