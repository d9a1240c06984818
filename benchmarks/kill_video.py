"""Kill `upres video` at random moments, run it again until it is done, and compare its frames with those of a straight
run.

    python benchmarks/kill_video.py [--kills 20] [--frames 600] [--seed 0] [--codec h264] [--size 160x120]

Prints what each run found done, and "equal" or "DIFFERENT" at the end (exit code 1). Needs the extra `video`.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import signal
import subprocess
import sys
import tempfile
import time
from fractions import Fraction
from pathlib import Path

import av
import numpy as np


def make_source(path: Path, frames: int, height: int, width: int) -> None:
    """A moving picture with noise and a tone, whose frames do not come at a constant rate."""
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[0:height, 0:width]
    with av.open(str(path), "w") as file:
        track = file.add_stream("libx264", rate=25, options={"crf": "14"})
        track.height, track.width, track.pix_fmt = height, width, "yuv420p"
        track.codec_context.time_base = Fraction(1, 12800)
        tone = file.add_stream("aac", rate=44100)
        for number in range(frames):
            picture = np.empty((height, width, 3), np.uint8)
            for channel in range(3):
                wave = 120 + 60 * np.sin(0.1 * (rows + number) + channel) + 40 * np.cos(0.07 * (columns - 2 * number))
                picture[:, :, channel] = np.clip(wave + rng.normal(0, 6, wave.shape), 0, 255)
            frame = av.VideoFrame.from_ndarray(picture, "rgb24")
            frame.pts, frame.time_base = number * 512 + number % 3, Fraction(1, 12800)
            file.mux(track.encode(frame))
        file.mux(track.encode())
        for start in range(0, 44100 * frames // 25, 1024):
            sound = av.AudioFrame.from_ndarray(
                (0.2 * np.sin(0.05 * np.arange(start, start + 1024)))[None].astype(np.float32), "fltp", "mono"
            )
            sound.sample_rate, sound.pts = 44100, start
            file.mux(tone.encode(sound))
        file.mux(tone.encode())


def frame_hashes(path: Path) -> list[tuple[Fraction, str]]:
    with av.open(str(path)) as file:
        return [
            (frame.pts * frame.time_base, hashlib.md5(frame.to_ndarray().tobytes()).hexdigest())
            for frame in file.decode(video=0)
        ]


def audio_hashes(path: Path) -> list[str]:
    with av.open(str(path)) as file:
        return [hashlib.md5(bytes(packet)).hexdigest() for packet in file.demux(audio=0) if packet.size]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--frames", type=int, default=600)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--codec", default="h264")
    parser.add_argument("--size", default="160x120")
    parser.add_argument("--segment", type=int, default=10)
    arguments = parser.parse_args()
    width, height = map(int, arguments.size.split("x"))
    rng = random.Random(arguments.seed)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source, straight, out = folder / "in.mp4", folder / "straight.mkv", folder / "out.mkv"
        make_source(source, arguments.frames, height, width)

        def command(target: Path) -> list[str]:
            options = ["-n", "compact-x2", "--codec", arguments.codec, "--segment", str(arguments.segment)]
            return [sys.executable, "-m", "upres", "video", str(source), "-o", str(target), *options]

        def kept() -> int:
            """Frames in closed segments, of the unfinished job."""
            journal = folder / f".{out.name}.upres-video" / "job.json"
            try:
                return sum(one["frames"] for one in json.loads(journal.read_text())["segments"])
            except FileNotFoundError:  # none yet, or done
                return 0

        subprocess.run(command(straight), check=True)
        kills = 0
        while kills < arguments.kills and not out.exists():
            process = subprocess.Popen(command(out))
            # One kill in four strikes anywhere in the first seconds; the others some time after some more segments.
            wanted = kept() + rng.randrange(1, 3) * arguments.segment
            early = rng.uniform(0.0, 3.0) if rng.random() < 0.25 else None
            start = time.monotonic()
            while process.poll() is None:
                if early is not None and time.monotonic() - start > early:
                    break
                if early is None and kept() >= wanted:
                    time.sleep(rng.uniform(0.0, 0.5))
                    break
                time.sleep(0.005)
            process.send_signal(signal.SIGKILL)
            process.wait()
            kills += 1
            print(f"kill {kills}: {kept()} of {arguments.frames} frames kept", flush=True)
        if not out.exists():
            subprocess.run(command(out), check=True)
        same = frame_hashes(out) == frame_hashes(straight) and audio_hashes(out) == audio_hashes(source)
        left = [path.name for path in folder.iterdir() if path.name.startswith(".")]
        print(f"{kills} kills: {'equal' if same else 'DIFFERENT'}; left behind: {left or 'nothing'}")
        return 0 if same and not left else 1


if __name__ == "__main__":
    sys.exit(main())
