"""VMAF by an ffmpeg: what it is given, what it answers, and what it is told when there is none."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from upres.errors import EngineError
from upres.evaluation.vmaf import Vmaf, find_ffmpeg

_FAKE = """#!{python}
import json, sys
if "-filters" in sys.argv:
    print(" .. libvmaf VV->V" if {has} else " .. scale V->V")
    sys.exit()
data = sys.stdin.buffer.read()
if {broken}:
    print("it broke", file=sys.stderr)
    sys.exit(1)
size = sys.argv[sys.argv.index("-s") + 1].split("x")
frame = int(size[0]) * int(size[1]) * 3
found = []
for at in range(0, len(data), frame):
    whole = data[at : at + frame]
    found.append(dict(metrics=dict(vmaf=whole[0] - whole[frame // 2])))  # reference above, result below
json.dump(dict(frames=found), open("vmaf.json", "w"))
"""


def fake(path: Path, *, has: bool = True, broken: bool = False) -> Path:
    path.write_text(_FAKE.format(python=sys.executable, has=has, broken=broken))
    path.chmod(0o755)
    return path


def flat(level: int) -> np.ndarray:
    return np.full((5, 7, 3), level, np.uint8)


@pytest.mark.skipif(sys.platform == "win32", reason="the stand-in is a script with a first line")
def test_frames_go_in_pairs(tmp_path: Path) -> None:
    found = find_ffmpeg(fake(tmp_path / "ffmpeg"))
    assert found.path is not None
    with Vmaf(found.path, 5, 7) as meter:
        for sr, hr in ((10, 90), (20, 60)):
            meter.add(flat(sr), flat(hr))
        assert meter.finish() == [80.0, 40.0]


@pytest.mark.skipif(sys.platform == "win32", reason="the stand-in is a script with a first line")
def test_what_fails_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without = fake(tmp_path / "ffmpeg", has=False)
    with pytest.raises(EngineError, match=r"it has no filter libvmaf; name one that has it"):
        find_ffmpeg(without)
    monkeypatch.setattr(shutil, "which", lambda _: str(without))
    assert "it has no filter libvmaf" in find_ffmpeg().reason
    monkeypatch.setattr(shutil, "which", lambda _: None)
    assert find_ffmpeg().reason == "no ffmpeg is in the search path"
    with pytest.raises(EngineError, match="does not start"):
        find_ffmpeg(tmp_path / "none")
    broken = fake(tmp_path / "broken", broken=True)
    with Vmaf(str(broken), 5, 7) as meter:
        meter.add(flat(1), flat(2))
        with pytest.raises(EngineError, match="ffmpeg failed to measure VMAF: it broke"):
            meter.finish()
    with pytest.raises(RuntimeError, match="stop"), Vmaf(str(fake(tmp_path / "other")), 5, 7) as meter:
        meter.add(flat(1), flat(2))
        raise RuntimeError("stop")  # the process is ended


def test_a_real_ffmpeg_agrees_that_equal_is_best() -> None:
    found = find_ffmpeg()
    if found.path is None:
        pytest.skip(found.reason)
    rng = np.random.default_rng(0)
    base = rng.integers(0, 256, (64, 64, 3)).astype(np.uint8)
    with Vmaf(found.path, 64, 64) as meter:
        for _ in range(3):
            meter.add(base, base)
        equal = meter.finish()
    with Vmaf(found.path, 64, 64) as meter:
        for number in range(3):
            meter.add(np.roll(base, number + 1, 0), base)
        assert np.mean(meter.finish()) < np.mean(equal)
