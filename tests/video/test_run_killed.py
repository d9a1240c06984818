"""A process that is killed: the next one goes on. `benchmarks/kill_video.py` is the long form, with random moments."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.tiny import compact_file
from tests.video.made import hashes_of, make_video, packets_of, times_of
from upres.video.journal import folder_of

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform == "win32", reason="has no SIGKILL")]
FRAMES, SEGMENT = 200, 8


def command(source: Path, model: Path, out: Path) -> list[str]:
    options = ["-n", str(model), "--engine", "ncnn", "--threads", "1", "--segment", str(SEGMENT)]
    return [sys.executable, "-m", "upres", "video", str(source), "-o", str(out), *options]


def kept(out: Path) -> int:
    try:
        return sum(one["frames"] for one in json.loads((folder_of(out) / "job.json").read_text())["segments"])
    except FileNotFoundError:
        return 0


def test_kills_cost_one_segment_each_and_change_nothing(tmp_path: Path) -> None:
    source = make_video(tmp_path / "in.mp4", FRAMES, size=(96, 128), sound=True)
    model = compact_file(tmp_path / "tiny.safetensors")
    straight, out = tmp_path / "straight.mp4", tmp_path / "out.mp4"
    subprocess.run(command(source, model, straight), check=True, capture_output=True)
    before = 0
    for _ in range(2):
        process = subprocess.Popen(command(source, model, out), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        end = time.monotonic() + 60
        while kept(out) < before + 2 * SEGMENT and process.poll() is None:
            assert time.monotonic() < end, "no segment in a minute"
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert not out.exists()
        assert kept(out) >= before + 2 * SEGMENT
        before = kept(out)
    last = subprocess.run(command(source, model, out), check=True, capture_output=True, text=True)
    assert f"going on after {before} of about {FRAMES} frames" in last.stderr
    assert hashes_of(out) == hashes_of(straight)
    assert times_of(out) == times_of(straight)
    assert packets_of(out, "audio") == packets_of(source, "audio")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.mp4", "out.mp4", "straight.mp4", "tiny.safetensors"]
