"""Kill `upres video` at random moments, run it again until it is done, and compare its frames with those of a straight
run.

    python benchmarks/kill_video.py [--kills 20] [--frames 400] [--seed 0] [--codec h264] [--size 64x48] [--segment 5]

Three kills in four strike a moment after a segment was closed, one in four anywhere in the first seconds. For each kill
it prints the frames kept, how many of its frames the run had to make again, and whether the closed segments are the
same files as before the run (inode and time of writing). At the end: "equal" or "DIFFERENT" (exit code 1), of the
frames with their time stamps, and of the sound. Needs the extra `video`.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import re
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
    parser.add_argument("--frames", type=int, default=400)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--codec", default="h264")
    parser.add_argument("--size", default="64x48")
    parser.add_argument("--segment", type=int, default=5)
    arguments = parser.parse_args()
    width, height = map(int, arguments.size.split("x"))
    rng = random.Random(arguments.seed)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source, straight, out = folder / "in.mp4", folder / "straight.mkv", folder / "out.mkv"
        make_source(source, arguments.frames, height, width)

        def command(target: Path) -> list[str]:
            options = ["-n", "compact-x2", "--codec", arguments.codec, "--segment", str(arguments.segment)]
            one_thread = ["--engine", "ncnn", "--threads", "1"]
            return [sys.executable, "-m", "upres", "video", str(source), "-o", str(target), *options, *one_thread]

        unfinished = folder / f".{out.name}.upres-video"

        def kept() -> int:
            """Frames in closed segments, of the unfinished job."""
            try:
                return sum(one["frames"] for one in json.loads((unfinished / "job.json").read_text())["segments"])
            except FileNotFoundError:  # none yet, or done
                return 0

        def files() -> dict[str, tuple[int, int]]:
            """Inode and time of writing of each segment."""
            stats = {path.name: path.stat() for path in unfinished.glob("segment-*.upres")}
            return {name: (one.st_ino, one.st_mtime_ns) for name, one in stats.items()}

        subprocess.run(command(straight), check=True, stderr=subprocess.DEVNULL)
        kills, untouched = 0, True
        same, left = True, list[str]()

        def compare() -> None:
            """The finished result with the straight one; then it is removed, for the next round."""
            nonlocal same, left
            same = same and frame_hashes(out) == frame_hashes(straight) and audio_hashes(out) == audio_hashes(source)
            left += [path.name for path in folder.iterdir() if path.name.startswith(".")]
            out.unlink()

        while kills < arguments.kills:
            if out.exists():
                compare()
            before, had = files(), kept()
            words = folder / "words.txt"
            with words.open("w") as told:
                process = subprocess.Popen(command(out), stderr=told)
                # One kill in four strikes anywhere in the first seconds; the others some time after some more segments.
                wanted = had + rng.randrange(1, 4) * arguments.segment
                early = rng.uniform(0.0, 3.0) if rng.random() < 0.25 else None
                start = time.monotonic()
                while process.poll() is None:
                    if early is not None and time.monotonic() - start > early:
                        break
                    if early is None and kept() >= wanted:
                        time.sleep(rng.uniform(0.0, 0.2))
                        break
                    time.sleep(0.005)
                process.send_signal(signal.SIGKILL)
                process.wait()
            if process.returncode != -signal.SIGKILL:
                print("finished before the kill, which does not count", flush=True)
                continue
            kills += 1
            after = files()
            same_files = all(after.get(name) == one for name, one in before.items())
            untouched = untouched and same_files
            began = re.search(r"going on after ([\d,]+)", words.read_text())
            again = had - int(began[1].replace(",", "")) if began else None
            redone = (
                "killed before it began" if again is None and had else f"{again or 0} of {had} closed frames redone"
            )
            untouched = untouched and not again
            print(
                f"kill {kills}: {kept()} of {arguments.frames} frames kept; {redone}; "
                f"{'closed segments untouched' if same_files else 'CLOSED SEGMENTS CHANGED'}",
                flush=True,
            )
        if not out.exists():
            subprocess.run(command(out), check=True, stderr=subprocess.DEVNULL)
        compare()
        same = same and untouched
        print(f"{kills} kills: {'equal' if same else 'DIFFERENT'}; left behind: {left or 'nothing'}")
        return 0 if same and not left else 1


if __name__ == "__main__":
    sys.exit(main())
