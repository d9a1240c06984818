"""What `upres video --steady` does to flicker and to the picture, with an HR video to hold against.

    python benchmarks/measure_steady.py PHOTO [--frames 26] [--model compact-x2] [--noise 1.5]

HR is a window that moves over the photograph: still, by 2 pixels of HR a frame (1 of LR), by 3 (1.5 of LR),
or with a part that is replaced (new content). LR is HR reduced by the cubic resize with Gaussian noise, other in each
frame. Everything is lossless (FFV1). Printed: flicker relative to bicubic, PSNR and SSIM of Y against HR.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import av
import numpy as np

from upres.evaluation.videos import measure_videos
from upres.images.io import quantize, read_picture
from upres.images.resize import imresize
from upres.upscaling.options import UpscaleOptions
from upres.video.plan import prepare
from upres.video.request import VideoRequest
from upres.video.run import run_video

SIZE = 128  # of HR


class Quiet:
    """Shows nothing."""

    def done(self, frames: float) -> None: ...
    def putting_together(self) -> None: ...


def hr_frame(photo: np.ndarray, number: int, kind: str) -> np.ndarray:
    step = {"still": 0, "2 px": 2, "3 px": 3, "new content": 2}[kind]
    top, left = 20, 20 + number * step
    frame = photo[top : top + SIZE, left : left + SIZE].copy()
    if kind == "new content":  # a square of another place, which changes every fourth frame
        other = 20 + 17 * (number // 4)
        frame[32:96, 32:96] = photo[other : other + 64, other : other + 64]
    return frame


def write(path: Path, frames: list[np.ndarray]) -> None:
    with av.open(str(path), "w") as file:
        track = file.add_stream("ffv1", rate=25)
        track.height, track.width, track.pix_fmt = *frames[0].shape[:2], "bgr0"
        for frame in frames:
            file.mux(track.encode(av.VideoFrame.from_ndarray(frame, "rgb24").reformat(format="bgr0")))
        file.mux(track.encode())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photo", type=Path)
    parser.add_argument("--frames", type=int, default=26)
    parser.add_argument("--model", default="compact-x2")
    parser.add_argument("--noise", type=float, default=1.5)
    arguments = parser.parse_args()
    photo = quantize(read_picture(arguments.photo).pixels, 8)
    rng = np.random.default_rng(0)
    options = UpscaleOptions().replace(engine="ncnn", threads=1)
    print(f"{arguments.photo.name}, {arguments.model}, {arguments.frames} frames, noise {arguments.noise} levels")
    print("| motion | steady | flicker | PSNR (Y) | SSIM (Y) |\n|---|---|---|---|---|")
    for kind in ("still", "2 px", "3 px", "new content"):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            frames = [hr_frame(photo, number, kind) for number in range(arguments.frames)]
            low = [
                np.clip(np.rint(one + rng.normal(0, arguments.noise, one.shape)), 0, 255).astype(np.uint8)
                for one in (imresize(frame, size=(SIZE // 2, SIZE // 2)).astype(np.float64) for frame in frames)
            ]
            write(folder / "hr.mkv", frames)
            write(folder / "lr.mkv", low)
            results: dict[str, Path] = {}
            for steady in (0.0, 0.3, 0.5, 0.7):
                out = folder / f"{steady}.mkv"
                job = prepare(
                    VideoRequest(
                        str(folder / "lr.mkv"),
                        str(out),
                        model=arguments.model,
                        options=options,
                        codec="ffv1",
                        steady=steady,
                    )
                )
                report = run_video(job, Quiet())
                job.upscaler.close()
                if report.error is not None:
                    raise report.error
                results[f"{steady:g}"] = out
            scores = measure_videos(folder / "hr.mkv", folder / "lr.mkv", results, {}, scale=2).scores
            for version, row in scores.items():
                figures = "| | |" if row.psnr_y is None else f"| {row.psnr_y:.2f} | {row.ssim_y:.4f} |"
                flicker = "-" if row.flicker is None else f"{row.flicker:.2f}"
                print(f"| {kind} | {version} | {flicker} {figures}", flush=True)


if __name__ == "__main__":
    main()
