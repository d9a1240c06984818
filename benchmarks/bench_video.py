"""Frames a second of `upres video` against other ways to make a video twice as large, and its memory.

    python benchmarks/bench_video.py [--size 854x480] [--frames 20] [--model compact-x2] [--content moving|still|noise]
    python benchmarks/bench_video.py --memory            # peak memory for N and for 4 N frames: it must not grow

The ways, alternated `--rounds` times:

- `ours`: `upres.video`, with segments on disk, flicker, and the file put together at the end;
- `loop`: decode, `Upscaler(frame)`, encode, one after the other: what a script would do;
- `disk`: every frame as PNG on disk, upscaled as pictures, then encoded: how most peers work;
- `bicubic`, `lanczos`: FFmpeg's own scaler (no network), decoded and encoded the same way.

Each makes a clip of `--short` frames and one of `--frames` with the same settings; frames a second are those of the
difference, so they are the speed of a long video, and what comes before the first frame stands beside as "start". Best
of the rounds. "cores" is CPU seconds a second: the number of cores is as busy as it gets. On a machine
with other work only ratios of CPU seconds mean something.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np

from upres.images.io import Picture, read_picture, write_picture
from upres.upscaling.options import UpscaleOptions
from upres.upscaling.upscaler import Upscaler
from upres.video.plan import prepare
from upres.video.request import VideoRequest
from upres.video.run import run_video


def make_source(path: Path, frames: int, height: int, width: int, content: str) -> None:
    """A smooth picture that moves, or of which only a part moves, or noise."""
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[0:height, 0:width]
    with av.open(str(path), "w") as file:
        track = file.add_stream("libx264", rate=25, options={"crf": "16", "preset": "veryfast"})
        track.height, track.width, track.pix_fmt = height, width, "yuv420p"
        for number in range(frames):
            picture = np.empty((height, width, 3), np.uint8)
            for channel in range(3):
                wave = 120 + 60 * np.sin(0.1 * (rows + number) + channel) + 40 * np.cos(0.07 * (columns - 2 * number))
                if content == "still":
                    fixed = 120 + 60 * np.sin(0.1 * rows + channel) + 40 * np.cos(0.07 * columns)
                    wave = np.where(rows < height // 4, wave, fixed)
                picture[:, :, channel] = wave + (rng.normal(0, 8, wave.shape) if content == "noise" else 0)
            file.mux(track.encode(av.VideoFrame.from_ndarray(picture, "rgb24")))
        file.mux(track.encode())


def encoder(file: av.container.OutputContainer, height: int, width: int) -> av.VideoStream:
    track = file.add_stream("libx264", rate=25, options={"crf": "16"})
    track.height, track.width, track.pix_fmt = height, width, "yuv420p"
    return track


def ours(source: Path, out: Path, model: str, options: UpscaleOptions) -> None:
    class Quiet:
        def done(self, frames: float) -> None: ...
        def putting_together(self) -> None: ...

    job = prepare(VideoRequest(str(source), out=str(out), model=model, options=options, overwrite=True))
    report = run_video(job, Quiet())
    job.upscaler.close()
    if report.error is not None:
        raise report.error


def loop(source: Path, out: Path, model: str, options: UpscaleOptions) -> None:
    with Upscaler(model, options) as upscaler, av.open(str(source)) as before, av.open(str(out), "w") as after:
        track = None
        for frame in before.decode(video=0):
            large = upscaler(frame.to_ndarray(format="rgb24"), scale=2)
            track = track or encoder(after, *large.shape[:2])
            after.mux(track.encode(av.VideoFrame.from_ndarray(large, "rgb24")))
        after.mux(track.encode())


def disk(source: Path, out: Path, model: str, options: UpscaleOptions) -> None:
    with tempfile.TemporaryDirectory() as name, Upscaler(model, options) as upscaler:
        folder = Path(name)
        count = 0
        with av.open(str(source)) as before:
            for count, frame in enumerate(before.decode(video=0), 1):
                pixels = frame.to_ndarray(format="rgb24").astype(np.float32) / 255
                write_picture(Picture(pixels), folder / f"{count}.png")
        for number in range(1, count + 1):
            write_picture(upscaler(read_picture(folder / f"{number}.png"), scale=2), folder / f"{number}-2.png")
        with av.open(str(out), "w") as after:
            track = None
            for number in range(1, count + 1):
                large = np.rint(read_picture(folder / f"{number}-2.png").pixels * 255).astype(np.uint8)
                track = track or encoder(after, *large.shape[:2])
                after.mux(track.encode(av.VideoFrame.from_ndarray(large, "rgb24")))
            after.mux(track.encode())


def scaler(kind: str) -> Callable[[Path, Path, str, UpscaleOptions], None]:
    def run(source: Path, out: Path, model: str, options: UpscaleOptions) -> None:
        with av.open(str(source)) as before, av.open(str(out), "w") as after:
            track = None
            for frame in before.decode(video=0):
                height, width = 2 * frame.height, 2 * frame.width
                track = track or encoder(after, height, width)
                large = frame.reformat(width=width, height=height, interpolation=kind)
                large.pts = None
                after.mux(track.encode(large))
            after.mux(track.encode())

    return run


WAYS = {"ours": ours, "loop": loop, "disk": disk, "bicubic": scaler("BICUBIC"), "lanczos": scaler("LANCZOS")}


def peak_memory(arguments: argparse.Namespace, frames: int) -> int:
    """Of a process of its own, in bytes."""
    command = [sys.executable, __file__, "--child", "--frames", str(frames), "--size", arguments.size]
    return int(
        subprocess.run([*command, "--model", arguments.model], check=True, capture_output=True, text=True).stdout
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", default="854x480")
    parser.add_argument("--frames", type=int, default=20)
    parser.add_argument("--short", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--ways", default=",".join(WAYS))
    parser.add_argument("--model", default="compact-x2")
    parser.add_argument("--content", choices=("moving", "still", "noise"), default="moving")
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    width, height = map(int, arguments.size.split("x"))
    options = UpscaleOptions()
    with tempfile.TemporaryDirectory() as name:
        source, out = Path(name) / "in.mp4", Path(name) / "out.mp4"
        if arguments.memory:
            counts = (arguments.frames, 4 * arguments.frames)
            found = {count: peak_memory(arguments, count) for count in counts}
            for count, size in found.items():
                print(f"{count} frames: peak {size / 2**20:.0f} MB")
            return
        if arguments.child:
            make_source(source, arguments.frames, height, width, arguments.content)
            ours(source, out, arguments.model, options)
            print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
            return
        clips = {count: Path(name) / f"{count}.mp4" for count in (arguments.short, arguments.frames)}
        for count, clip in clips.items():
            make_source(clip, count, height, width, arguments.content)
        with Upscaler(arguments.model, options):  # the choice of the engine is remembered from now on
            pass
        print(json.dumps({"size": arguments.size, "model": arguments.model, "cores": os.cpu_count()}), flush=True)
        best: dict[tuple[str, int], tuple[float, float]] = {}
        for _ in range(arguments.rounds):
            for way in arguments.ways.split(","):
                for count, clip in clips.items():
                    start, used = time.perf_counter(), time.process_time()
                    WAYS[way](clip, out, arguments.model, options)
                    took = time.perf_counter() - start, time.process_time() - used
                    best[way, count] = min(best.get((way, count), took), took)
                    out.unlink()
                tell(way, arguments, best)


def tell(way: str, arguments: argparse.Namespace, best: dict[tuple[str, int], tuple[float, float]]) -> None:
    """One row, as soon as it is known."""
    short, whole = best[way, arguments.short], best[way, arguments.frames]
    frames = arguments.frames - arguments.short
    wall, cpu = whole[0] - short[0], whole[1] - short[1]
    start = short[0] - arguments.short * wall / frames
    print(
        f"{way:8}{frames / wall:8.2f} frames/s   {cpu / frames:7.3f} CPU s a frame   {cpu / wall:5.2f} cores   "
        f"start {start:5.1f} s",
        flush=True,
    )


if __name__ == "__main__":
    main()
