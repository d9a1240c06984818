"""Measure what models make of a video, and finished videos, against HR: PSNR, SSIM, flicker, VMAF."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from upres.errors import InputError
from upres.evaluation.measures import measure
from upres.evaluation.pictures import Levels, crop_to_multiple, upscale
from upres.evaluation.scores import mean_scores
from upres.evaluation.tables import BICUBIC, REFERENCE
from upres.evaluation.vmaf import Vmaf
from upres.images.io import quantize
from upres.images.resize import imresize
from upres.system.text import shown
from upres.upscaling.upscaler import Upscaler
from upres.video.flicker import Flicker
from upres.video.opened import open_source
from upres.video.source import Video
from upres.video.yuv import to_rgb

FLICKER_EVERY = 8  # of so many frames one pair is measured
_Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class VideoScores:
    """Scores of one version. None: not measured, or not defined.

    psnr_y, ssim_y, psnr_rgb, ssim_rgb: Means over all frames.
    flicker: Relative to bicubic interpolation of LR, see `video.flicker`.
    vmaf: Mean over all frames.
    """

    psnr_y: float | None = None
    ssim_y: float | None = None
    psnr_rgb: float | None = None
    ssim_rgb: float | None = None
    flicker: float | None = None
    vmaf: float | None = None


@dataclass(slots=True)
class VideoEvaluation:
    """The results of `measure_videos`: scores by version, how they were measured, and notes for the user."""

    protocol: dict[str, Any]
    frames: int = 0
    scores: dict[str, VideoScores] = field(default_factory=dict[str, VideoScores])
    notes: list[str] = field(default_factory=list[str])

    def to_json(self) -> dict[str, Any]:
        """Infinity becomes None; JSON has none."""
        return {
            "protocol": self.protocol,
            "frames": self.frames,
            "versions": {
                name: {key: _finite(value) for key, value in asdict(row).items()} for name, row in self.scores.items()
            },
        }


def _finite(value: float | None) -> float | None:
    return value if value is None or math.isfinite(value) else None


@dataclass(slots=True)
class _Source:
    """A video, frame by frame, as pixels h w 3 with their times."""

    path: Path
    video: Video
    frames: Iterator[tuple[Fraction, _Floats]]
    notes: Callable[[], tuple[str, ...]]


def _open(path: Path) -> _Source:
    opened = open_source(str(path), None)
    reader = opened.reader()
    base, start = opened.video.time_base, opened.video.start

    def frames() -> Iterator[tuple[Fraction, _Floats]]:
        for frame in reader:
            pixels, _ = to_rgb(frame.planes, frame.coding)
            yield (frame.pts - start) * base, np.repeat(pixels, 3, axis=2) if pixels.shape[2] == 1 else pixels

    return _Source(path, opened.video, frames(), lambda: (*opened.video.notes, *reader.counts.notes))


def measure_videos(
    hr: Path,
    lr: Path | None,
    others: Mapping[str, Path],
    upscalers: Mapping[str, Upscaler],
    *,
    scale: int,
    ffmpeg: str | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> VideoEvaluation:
    """Measure bicubic interpolation, every model of `upscalers` and the finished videos `others` against `hr`.

    lr: None: LR is HR reduced by the MATLAB-compatible cubic resize, frame by frame.
    ffmpeg: One with libvmaf; None: VMAF is not measured.
    progress: Called as `progress(done, total)` in frames; total is 0 where it is unknown.

    Raises `InputError` for videos that cannot be read, or whose frames are not as many, as large or at the same times.
    """
    truth, low = _open(hr), None if lr is None else _open(lr)
    finished = {name: _open(path) for name, path in others.items()}
    names = [BICUBIC, *upscalers, *finished]
    rows: dict[str, list[Any]] = {name: [] for name in names}
    flickers = {name: Flicker(FLICKER_EVERY) for name in (*names, REFERENCE)}
    height, width = truth.video.height // scale * scale, truth.video.width // scale * scale
    if not height or not width:
        raise InputError(f"{shown(str(hr))} is {truth.video.width} x {truth.video.height}, smaller than {scale}")
    count = 0
    with ExitStack() as stack:
        meters = {name: stack.enter_context(Vmaf(ffmpeg, height, width)) for name in names} if ffmpeg else {}
        for time, pixels in truth.frames:
            levels = crop_to_multiple(quantize(pixels, 8), scale)
            if low is None:
                source: Levels = imresize(levels, size=(height // scale, width // scale))
            else:
                source = quantize(_same(low, time, truth, (height // scale, width // scale)), 8)
            made = {BICUBIC: imresize(source, size=(height, width))}
            made |= {name: upscale(upscaler, source) for name, upscaler in upscalers.items()}
            for name, one in finished.items():
                made[name] = quantize(_same(one, time, truth, (height, width)), 8)
            for name, sr in made.items():
                rows[name].append(measure(sr, levels, border=scale))
                if meters:
                    meters[name].add(sr, levels)
            for name, sr in (*made.items(), (REFERENCE, levels)):
                flickers[name].add(_floats(source), _floats(sr))
            count += 1
            if progress is not None:
                progress(count, truth.video.frames)
        if not count:
            raise InputError(f"{shown(str(hr))} has no frames")
        for one in (low, *finished.values()):
            if one is not None and next(one.frames, None) is not None:
                raise InputError(f"{shown(str(one.path))} has more frames than {shown(str(hr))}, which has {count:,}")
        vmafs = {name: float(np.mean(meter.finish())) for name, meter in meters.items()}
    evaluation = VideoEvaluation(_protocol(scale, lr is not None, ffmpeg is not None), count)
    for name in names:
        mean = mean_scores(rows[name])
        evaluation.scores[name] = VideoScores(
            mean.psnr_y, mean.ssim_y, mean.psnr_rgb, mean.ssim_rgb, flickers[name].ratio, vmafs.get(name)
        )
    evaluation.scores[REFERENCE] = VideoScores(flicker=flickers[REFERENCE].ratio)
    for one in (truth, low, *finished.values()):
        if one is not None:
            evaluation.notes += [f"{shown(str(one.path))}: {note}" for note in one.notes()]
    return evaluation


def _same(one: _Source, time: Fraction, truth: _Source, size: tuple[int, int]) -> _Floats:
    """The next frame of a video, which must be at this time (within half a frame) and of this size (h, w) or larger by
    less than a chroma sample.
    """
    name, hr = shown(str(one.path)), shown(str(truth.path))
    found = next(one.frames, None)
    if found is None:
        raise InputError(f"{name} ends at {float(time):.3f} s, before {hr}")
    if abs(found[0] - time) * truth.video.rate > Fraction(1, 2):
        raise InputError(
            f"{name} has a frame at {float(found[0]):.3f} s where {hr} has one at {float(time):.3f} s; measure "
            "videos of the same frames"
        )
    (tall, wide), (height, width) = found[1].shape[:2], size
    if not (height <= tall <= height + 1 and width <= wide <= width + 1):
        raise InputError(f"{name} is {wide} x {tall}, expected {width} x {height}")
    return found[1][:height, :width]


def _floats(levels: Levels) -> _Floats:
    return levels.astype(np.float32) / np.float32(255.0)


def _protocol(scale: int, lr_given: bool, vmaf: bool) -> dict[str, Any]:
    columns = {
        "psnr_y": f"PSNR (Y, border {scale})",
        "ssim_y": f"SSIM (Y, border {scale})",
        "psnr_rgb": f"PSNR (RGB, border {scale})",
        "ssim_rgb": f"SSIM (RGB, border {scale})",
        "flicker": "flicker",
    }
    words: dict[str, Any] = {
        "scale": scale,
        "border_px": scale,
        "frames": "8 bit, RGB by each video's own matrix, range and siting; means over all frames",
        "lr": "read from a video" if lr_given else "MATLAB-equal cubic resize with antialiasing, 8 bit",
        "flicker": f"error along the motion of LR, relative to bicubic; one pair of frames in {FLICKER_EVERY}",
    }
    if vmaf:
        columns["vmaf"] = "VMAF"
        words["vmaf"] = "ffmpeg's libvmaf with its default model, yuv420p, mean over all frames"
    return words | {"columns": columns}
