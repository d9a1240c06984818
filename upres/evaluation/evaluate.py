"""Measure models as papers do: PSNR and SSIM of networks on pairs of pictures, with the protocol.

The protocol is part of every table and JSON file. HR is cropped to a multiple of the scale from the top left. LR is HR
reduced by the MATLAB-compatible cubic resize and rounded to 8 bit, unless a folder of LR is given. SR is rounded to 8
bit. A border as wide as the scale is excluded. Y is BT.601 studio range. Gray pictures are run and measured as R = G =
B. Alpha is not measured. The row `bicubic` (the same resize upwards) is always included, because it shows whether two
tables used the same protocol.

Two more measures are optional. NIQE needs no HR: it is computed on rounded Y without the border, and HR's own NIQE is
reported for comparison. LR-PSNR shows whether SR still is an enlargement of LR: the PSNR (RGB) of LR and SR reduced
again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from upres.errors import InputError, ModelError, UpresError, UsageError
from upres.evaluation.pictures import Levels, load_test_picture, upscale
from upres.evaluation.tables import BICUBIC, REFERENCE, Evaluation, Scores
from upres.images.pairing import FilePair, check_scale, check_sizes
from upres.images.resize import imresize
from upres.metrics.niqe import PARAMETERS, NiqeParameters, niqe
from upres.metrics.psnr_ssim import psnr, ssim
from upres.upscaling.upscaler import Upscaler

_NAMED = 8  # failures named in one message

Progress = Callable[[int, int], None]


def measure(sr: Levels, hr: Levels, *, border: int, round_luma: bool = False) -> Scores:
    """PSNR and SSIM of 8-bit `sr` and `hr` `h w 3`.

    border: Pixels to exclude on each side.
    round_luma: Round Y to whole levels.
    """
    return Scores(
        psnr_y=psnr(sr, hr, border=border, luma=True, round_luma=round_luma),
        ssim_y=ssim(sr, hr, border=border, luma=True, round_luma=round_luma),
        psnr_rgb=psnr(sr, hr, border=border, luma=False),
        ssim_rgb=ssim(sr, hr, border=border, luma=False),
    )


def lr_psnr(sr: Levels, lr: Levels) -> float:
    """PSNR in dB of 8-bit RGB `lr` `h w 3` and `sr` reduced to its size by the MATLAB-compatible cubic resize; no
    border.
    """
    return psnr(imresize(sr, size=(lr.shape[0], lr.shape[1])), lr, border=0, luma=False)


@dataclass(frozen=True, slots=True)
class Measures:
    """What to measure.

    border: Pixels to exclude on each side.
    round_luma: Round Y to whole levels.
    niqe: Parameters for NIQE; None: not measured.
    lr_psnr: Measure LR-PSNR.
    """

    border: int
    round_luma: bool = False
    niqe: NiqeParameters | None = None
    lr_psnr: bool = False

    def score(self, sr: Levels, hr: Levels, lr: Levels) -> Scores:
        """All measures of 8-bit RGB `h w 3`. Raises `InputError` for a picture that is too small."""
        scores = measure(sr, hr, border=self.border, round_luma=self.round_luma)
        return replace(scores, niqe=self.quality(sr), lr_psnr=lr_psnr(sr, lr) if self.lr_psnr else None)

    def quality(self, image: Levels) -> float | None:
        """NIQE without the border; None if it is not measured."""
        return None if self.niqe is None else niqe(image, self.niqe, self.border)


def check_models(upscalers: Mapping[str, Upscaler], scale: int) -> None:
    """Raise `UsageError` for a model whose scale is not `scale`."""
    for name, upscaler in upscalers.items():
        if name == BICUBIC:
            raise UsageError(f"a model cannot be named {BICUBIC}, which is always measured")
        if upscaler.scale != scale:  # for a chain, of all its networks
            raise UsageError(
                f"model {name} has scale {upscaler.scale}, but `scale` is {scale}; "
                f"use `scale={upscaler.scale}`, or a model of scale {scale}"
            )


def make_protocol(scale: int, measures: Measures, *, lr_given: bool) -> dict[str, Any]:
    """Describe the protocol, for the table and the JSON file."""
    round_luma = measures.round_luma
    given = f"read from a folder, cropped to HR / {scale}"
    protocol: dict[str, Any] = {
        "scale": scale,
        "border_px": scale,
        "hr": f"cropped to a multiple of {scale}, top left kept",
        "lr": given if lr_given else "MATLAB-equal cubic resize with antialiasing, 8 bit",
        "sr": "8 bit",
        "y": "BT.601 studio range, " + ("rounded to whole levels" if round_luma else "not rounded"),
        "round_luma": round_luma,
        "ssim": "Gaussian window 11x11, sigma 1.5, valid region, mean over channels",
        "gray": "as R = G = B",
    }
    if measures.niqe is not None:
        known = measures.niqe.sha256 == PARAMETERS.sha256
        parameters = "the authors' parameters" if known else f"parameters with the SHA-256 {measures.niqe.sha256}"
        protocol["niqe"] = f"Y rounded, border {measures.border}, blocks 96x96, {parameters}; {REFERENCE} is HR itself"
    if measures.lr_psnr:
        protocol["lr_psnr"] = "RGB, LR against the MATLAB-equal cubic reduction of SR in 8 bit, no border"
    return protocol


def evaluate(
    pairs: Sequence[FilePair],
    upscalers: Mapping[str, Upscaler],
    *,
    scale: int,
    round_luma: bool = False,
    niqe: NiqeParameters | None = None,
    lr_psnr: bool = False,
    progress: Progress | None = None,
) -> Evaluation:
    """Measure `bicubic` and all models on all pairs.

    pairs: HR and LR files.
    upscalers: Models by name.
    scale: Of all models and pairs.
    round_luma: Round Y to whole levels.
    niqe: Parameters for NIQE; None: not measured.
    lr_psnr: Measure LR-PSNR.
    progress: Called as `progress(done, total)` in pictures.

    A picture that fails with any model is left out of all rows, so that all means are over the same pictures; `failed`
    has the reason.

    Raises `UsageError` for a model of another scale and a scale out of range, and `InputError` for sizes that do not
    fit, both before any model runs; `InputError` if no picture can be measured.
    """
    check_scale(scale)
    check_models(upscalers, scale)
    good, failed = check_sizes(pairs, scale)
    lr_given = any(pair.lr is not None for pair in pairs)
    measures = Measures(scale, round_luma, niqe, lr_psnr)
    protocol = make_protocol(scale, measures, lr_given=lr_given)
    protocol["engines"] = {name: upscaler.runner.name for name, upscaler in upscalers.items()}
    result = Evaluation(protocol, {name: {} for name in (BICUBIC, *upscalers)}, failed)
    for index, pair in enumerate(good):
        try:
            rows, reference = _measure_pair(pair, upscalers, scale, measures, result.notes)
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


def _measure_pair(
    pair: FilePair, upscalers: Mapping[str, Upscaler], scale: int, measures: Measures, notes: list[str]
) -> tuple[dict[str, Scores], float | None]:
    """The scores by model, and the NIQE of HR if measured."""
    loaded = load_test_picture(pair.hr, pair.lr, scale)
    hr, lr = loaded.hr, loaded.lr
    assert hr is not None
    notes += loaded.notes
    reference = measures.quality(hr)
    rows = {BICUBIC: measures.score(imresize(lr, size=(hr.shape[0], hr.shape[1])), hr, lr)}
    for name, upscaler in upscalers.items():
        try:
            rows[name] = measures.score(upscale(upscaler, lr), hr, lr)
            notes += [f"{pair.name}, {name}: {note}" for note in upscaler.notes]
        except ModelError:
            raise
        except UpresError as error:
            raise InputError(f"{name}: {error}") from error
    return rows, reference
