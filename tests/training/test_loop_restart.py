"""Two processes, SIGKILL of one of them at five steps that a seed chose: the run restarts by itself and ends in the
same weights.
"""

from __future__ import annotations

import hashlib
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("tensorboard")

from tests.training.forked import run_ranks_of
from tests.training.made import draw_photographs, features_file
from upres.training.checkpoint import list_checkpoints, read_checkpoint

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="finds processes in /proc")
STEPS, SAVED_EVERY = 72, 3


def arguments(folder: Path, out: Path) -> list[str]:
    """Of the verb, for each of the two ranks."""
    settings = (
        f"steps={STEPS}", "width=4", "depth=1", "batch=2", "patch_px=16", "hr_scales=1", "discriminator_width=2",
        "judge=", "niqe=false", "validate_every=1000", f"checkpoint_every={SAVED_EVERY}", "threads=2",
    )  # fmt: skip
    words = ["train", "compact-gan-x2", "--data", str(folder / "pictures"), "--out", str(out)]
    words += ["--features", str(folder / "features.safetensors"), "--init", "random"]
    for setting in settings:
        words += ["--set", setting]
    return words


def workers(out: Path) -> dict[int, int]:
    """Process numbers of the ranks of the run in `out`, by rank."""
    found: dict[int, int] = {}
    for process in Path("/proc").iterdir():
        if not process.name.isdigit():
            continue
        try:
            if str(out) in (process / "cmdline").read_text().split("\0"):
                environment = (process / "environ").read_text().split("\0")
                found |= {
                    int(line.removeprefix("RANK=")): int(process.name)
                    for line in environment
                    if line.startswith("RANK=")
                }
        except OSError:  # it ended while it was looked at
            continue
    return found


def newest(out: Path) -> int:
    checkpoints = list_checkpoints(out / "checkpoints")
    return int(checkpoints[-1].stem.removeprefix("step_")) if checkpoints else -1


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.slow
def test_killed_five_times_equals_never_killed(tmp_path: Path) -> None:
    draw_photographs(tmp_path / "pictures")
    features_file(tmp_path / "features.safetensors")
    straight, killed = tmp_path / "straight", tmp_path / "killed"
    ends = run_ranks_of(
        f"import sys; from upres.__main__ import main; sys.argv[1:] = {arguments(tmp_path, straight)}; main()",
        2,
        tmp_path,
    )
    assert [code for code, _ in ends] == [0, 0], ends

    dice = random.Random(5)
    # apart, as attempts without progress are counted
    moments = [dice.randrange(start, start + 8) for start in range(8, 48, 8)]
    log = tmp_path / "killed.log"
    with log.open("w") as file:
        command = [sys.executable, "-m", "upres", *arguments(tmp_path, killed), "--processes", "2"]
        run = subprocess.Popen(command, stderr=file, stdout=file)
        deadline = time.monotonic() + 900  # for a busy machine; a quiet one takes about one minute
        kills = 0
        while run.poll() is None and time.monotonic() < deadline:
            if (
                kills < len(moments)
                and newest(killed) > moments[kills] - SAVED_EVERY
                and len(found := workers(killed)) == 2
            ):
                time.sleep(dice.uniform(0.0, 0.1))
                try:
                    os.kill(found[dice.randrange(2)], signal.SIGKILL)
                except ProcessLookupError:
                    break
                kills += 1
                time.sleep(0.1)
            time.sleep(0.01)
        run.kill()
        run.wait()
    words = log.read_text()
    assert run.returncode == 0, words
    assert kills == 5 and words.count("killed") >= 5, words
    assert digest(straight / "model.safetensors") == digest(killed / "model.safetensors")
    last = [read_checkpoint(list_checkpoints(run / "checkpoints")[-1]) for run in (straight, killed)]
    assert last[0].step == last[1].step == STEPS and last[0].tensors.keys() == last[1].tensors.keys()
    different = [name for name, array in last[0].tensors.items() if array.tobytes() != last[1].tensors[name].tobytes()]
    assert different == []  # both networks, the average, both optimizers
