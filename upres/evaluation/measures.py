"""Which scores are computed of a picture, how, and in which words the protocol says so."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from upres.evaluation.pictures import Levels
from upres.evaluation.scores import Scores
from upres.evaluation.tables import REFERENCE
from upres.images.resize import imresize
from upres.metrics.ms_ssim import ms_ssim
from upres.metrics.niqe import PARAMETERS, NiqeParameters, niqe
from upres.metrics.psnr_ssim import psnr, ssim
from upres.metrics.spectrum import high_band_ratio


@dataclass(frozen=True, slots=True)
class Distance:
    """A distance in the features of a network.

    name: As it may be called: "LPIPS (alex)", or "feature-distance (FILE)".
    compute: Of 8-bit RGB `sr` and `hr` `h w 3`.
    description: For the protocol, with hashes.
    """

    name: str
    compute: Callable[[Levels, Levels], float]
    description: str


@dataclass(frozen=True, slots=True)
class Measures:
    """What to measure.

    border: Pixels to exclude on each side.
    round_luma: Round Y to whole levels.
    niqe: Parameters for NIQE; None: not measured.
    lr_psnr: Measure LR-PSNR.
    ms_ssim: Measure MS-SSIM.
    high_band: Measure the energy above the band of LR.
    lpips, dists: None: not measured.
    """

    border: int
    round_luma: bool = False
    niqe: NiqeParameters | None = None
    lr_psnr: bool = False
    ms_ssim: bool = False
    high_band: bool = False
    lpips: Distance | None = None
    dists: Distance | None = None

    def score(self, sr: Levels, hr: Levels | None, lr: Levels) -> Scores:
        """All measures of 8-bit RGB `h w 3`, without `hr` those that need none.

        Raises `InputError` for a picture that is too small.
        """
        blind = Scores(niqe=self.quality(sr), lr_psnr=lr_psnr(sr, lr) if self.lr_psnr else None)
        if hr is None:
            return blind
        scores = measure(sr, hr, border=self.border, round_luma=self.round_luma)
        inside = (slice(self.border, -self.border or None),) * 2
        return replace(
            scores,
            niqe=blind.niqe,
            lr_psnr=blind.lr_psnr,
            ms_ssim_y=ms_ssim(sr, hr, border=self.border, luma=True) if self.ms_ssim else None,
            high_band=high_band_ratio(sr[inside], hr[inside], hr.shape[0] // lr.shape[0]) if self.high_band else None,
            lpips=None if self.lpips is None else self.lpips.compute(sr[inside], hr[inside]),
            dists=None if self.dists is None else self.dists.compute(sr[inside], hr[inside]),
        )

    def quality(self, image: Levels) -> float | None:
        """NIQE without the border; None if it is not measured."""
        return None if self.niqe is None else niqe(image, self.niqe, self.border)

    def columns(self, *, truth: bool) -> dict[str, str]:
        """The head of each score, by its field. truth: There is HR."""
        border, rounded = self.border, ", rounded" if self.round_luma else ""
        heads: dict[str, str] = {}
        if truth:
            heads["psnr_y"] = f"PSNR (Y{rounded}, border {border})"
            heads["ssim_y"] = f"SSIM (Y{rounded}, border {border})"
            heads["psnr_rgb"] = f"PSNR (RGB, border {border})"
            heads["ssim_rgb"] = f"SSIM (RGB, border {border})"
        if self.niqe is not None:
            heads["niqe"] = f"NIQE (Y rounded, border {border})"
        if self.lr_psnr:
            heads["lr_psnr"] = "LR-PSNR (RGB)"
        if truth and self.ms_ssim:
            heads["ms_ssim_y"] = f"MS-SSIM (Y, border {border})"
        if truth and self.high_band:
            heads["high_band"] = f"high band (border {border})"
        for field, distance in (("lpips", self.lpips), ("dists", self.dists)):
            if truth and distance is not None:
                heads[field] = f"{distance.name} (border {border})"
        return heads

    def words(self, *, truth: bool) -> dict[str, str]:
        """How the optional scores are computed, by their fields."""
        words: dict[str, str] = {}
        if self.niqe is not None:
            known = self.niqe.sha256 == PARAMETERS.sha256
            parameters = "the authors' parameters" if known else f"parameters with the SHA-256 {self.niqe.sha256}"
            reference = f"; {REFERENCE} is HR itself" if truth else ""
            words["niqe"] = f"Y rounded, border {self.border}, blocks 96x96, {parameters}{reference}"
        if self.lr_psnr:
            words["lr_psnr"] = "RGB, LR against the MATLAB-equal cubic reduction of SR in 8 bit, no border"
        if truth and self.ms_ssim:
            words["ms_ssim_y"] = "Wang 2003, five scales, window as for SSIM, mean of 2x2 between scales"
        if truth and self.high_band:
            words["high_band"] = "energy of Y above LR's band, SR / HR; 1 is as much as HR has"
        for field, distance in (("lpips", self.lpips), ("dists", self.dists)):
            if truth and distance is not None:
                words[field] = distance.description
        return words

    def protocol(self, scale: int, *, truth: bool, lr_given: bool) -> dict[str, Any]:
        """The protocol, for tables and JSON."""
        given = "read from a folder" + (f", cropped to HR / {scale}" if truth else "")
        return {
            "scale": scale,
            "border_px": self.border,
            "hr": f"cropped to a multiple of {scale}, top left kept" if truth else "none",
            "lr": given if lr_given else "MATLAB-equal cubic resize with antialiasing, 8 bit",
            "sr": "8 bit",
            "y": "BT.601 studio range, " + ("rounded to whole levels" if self.round_luma else "not rounded"),
            "round_luma": self.round_luma,
            "ssim": "Gaussian window 11x11, sigma 1.5, valid region, mean over channels",
            "gray": "as R = G = B",
            "columns": self.columns(truth=truth),
            **self.words(truth=truth),
        }


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
