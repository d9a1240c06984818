"""The loop: it learns, it resumes bit for bit, it refuses what cannot be resumed."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("tensorboard")

from safetensors import safe_open  # noqa: E402

from tests.training.forked import start  # noqa: E402
from tests.training.made import draw_photographs  # noqa: E402
from upres.errors import DataError, EngineError, UsageError  # noqa: E402
from upres.training.checkpoint import latest_checkpoint, list_checkpoints  # noqa: E402
from upres.training.config import TrainConfig  # noqa: E402
from upres.training.loop import train  # noqa: E402
from upres.training.losses import formulas  # noqa: E402
from upres.training.plan import RunPlan  # noqa: E402
from upres.training.run import Progress  # noqa: E402

CONFIG = TrainConfig(
    recipe="compact-x2", scale=2, width=8, depth=2, steps=12, batch=2, patch_px=12, warmup_steps=2, hr_scales=(1.0,),
    threads=1, validate_every=6, checkpoint_every=3, ema_decay=0.9,
)  # fmt: skip


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_photographs(tmp_path_factory.mktemp("photographs"))


@pytest.fixture(scope="module")
def finished(photographs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a whole run of CONFIG. Who trains on in it copies it."""
    out = tmp_path_factory.mktemp("finished") / "run"
    train(RunPlan(CONFIG, photographs, out))
    return out


def _tensors(out: Path) -> dict[str, bytes]:
    checkpoint = latest_checkpoint(out / "checkpoints")
    assert checkpoint is not None
    return {name: array.tobytes() for name, array in checkpoint.tensors.items()} | {
        "step": str(checkpoint.step).encode()
    }


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_stopped_and_resumed_equals_never_stopped_in_every_tensor(
    photographs: Path, finished: Path, tmp_path: Path, precision: str, unplotted: None
) -> None:
    config, straight_run = dataclasses.replace(CONFIG, precision=precision), finished
    if precision != CONFIG.precision:
        straight_run = tmp_path / "straight"
        train(RunPlan(config, photographs, straight_run))
    seen: list[int] = []
    with pytest.raises(KeyboardInterrupt):
        train(
            RunPlan(config, photographs, tmp_path / "halved"),
            report=lambda p: seen.append(p.step),
            should_stop=lambda: len(seen) == 6,
        )
    assert seen[-1] < config.steps
    train(RunPlan(config, photographs, tmp_path / "halved"), resume=True)
    straight, halved = _tensors(straight_run), _tensors(tmp_path / "halved")
    assert straight.keys() == halved.keys() and any(name.startswith("net.adam/exp_avg_sq/") for name in straight)
    assert [name for name in straight if straight[name] != halved[name]] == []
    models = [(run / "model.safetensors").read_bytes() for run in (straight_run, tmp_path / "halved")]
    assert models[0] == models[1]


@pytest.mark.slow
def test_killed_and_resumed_equals_never_stopped(photographs: Path, tmp_path: Path, unplotted: None) -> None:
    """A real process, a real SIGKILL at a moment that nobody chose."""
    config = dataclasses.replace(CONFIG, steps=200, validate_every=200, ema_decay=0.999)
    straight, killed = tmp_path / "straight", tmp_path / "killed"
    train(RunPlan(config, photographs, straight))
    program = (
        "import sys; from pathlib import Path; from upres.training.loop import train; from upres.training.config "
        "import TrainConfig; from upres.training.plan import RunPlan;"
        "inf = float('inf');"
        f"train(RunPlan(TrainConfig(**{dataclasses.asdict(config)!r}), Path(sys.argv[1]), Path(sys.argv[2])))"
    )
    process = start(program, str(photographs), str(killed))
    while process.is_alive() and not list_checkpoints(killed / "checkpoints"):
        time.sleep(0.01)
    process.kill()
    process.join()
    before = latest_checkpoint(killed / "checkpoints")
    assert before is not None and before.step < config.steps
    train(RunPlan(config, photographs, killed), resume=True)
    digests = [
        hashlib.sha256(b"".join(v for _, v in sorted(_tensors(run).items()))).hexdigest() for run in (straight, killed)
    ]
    assert digests[0] == digests[1]


@pytest.mark.slow
def test_training_beats_the_start_and_writes_what_it_says(photographs: Path, tmp_path: Path) -> None:
    reports: list[Progress] = []
    config = dataclasses.replace(CONFIG, steps=150, validate_every=50, learning_rate=3e-3, batch=4)
    path = train(RunPlan(config, photographs, tmp_path / "run"), report=reports.append)
    assert path.is_file() and [r.step for r in reports] == list(range(1, 151))
    assert np.mean([r.loss for r in reports[:10]]) > 1.2 * np.mean([r.loss for r in reports[100:110]])
    curve = [json.loads(line) for line in (tmp_path / "run" / "validation.jsonl").read_text().splitlines()]
    assert [c["step"] for c in curve] == [50, 100, 150] and curve[-1]["psnr_y"] > curve[0]["psnr_y"]
    best = max(curve, key=lambda c: c["psnr_y"])["step"]
    with safe_open(tmp_path / "run" / "best.safetensors", "np") as file:
        assert file.metadata()["step"] == str(best)
    assert json.loads((tmp_path / "run" / "config.json").read_text())["width"] == 8
    assert list((tmp_path / "run" / "tensorboard").iterdir())


def test_the_trained_file_is_an_ordinary_compact_network(photographs: Path, tmp_path: Path, unplotted: None) -> None:
    from upres.engines import load
    from upres.graph.architectures import graph_from_state_dict
    from upres.metrics.psnr_ssim import psnr
    from upres.training.data.images import find_pictures, make_pair, read_rgb
    from upres.weights.read import read_weights

    reports: list[Progress] = []
    graph = graph_from_state_dict(
        read_weights(
            train(RunPlan(CONFIG, photographs, tmp_path / "run", validation=photographs), report=reports.append)
        )
    )
    assert (graph.family, graph.scale, graph.in_channels) == ("compact", 2, 3)
    # What was validated in training is what the file does in use: the weights are in their places, not only in their
    # shapes.
    runner = load(graph, threads=1)
    pairs = [make_pair(p.name, read_rgb(p), 2) for p in find_pictures(photographs)]
    batches = [np.ascontiguousarray(np.moveaxis(p.lr, 2, 0)[None], np.float32) / 255 for p in pairs]
    results = [np.moveaxis(runner(batch)[0], 0, 2) for batch in batches]
    values = [psnr(sr, p.hr, border=2, luma=True) for sr, p in zip(results, pairs, strict=True)]
    assert np.mean(values) == pytest.approx(reports[-1].quality.psnr_y, abs=1e-3)


def test_a_picture_that_cannot_be_read_is_left_out_also_where_it_would_validate(
    photographs: Path, tmp_path: Path, unplotted: None
) -> None:
    shutil.copytree(photographs, tmp_path / "copy")
    (tmp_path / "copy" / "0.png").write_bytes(b"torn")
    said: list[str] = []
    train(RunPlan(dataclasses.replace(CONFIG, steps=1), tmp_path / "copy", tmp_path / "run"), say=said.append)
    assert any("left out" in words and "0.png" in words for words in said)
    assert any("5 training pictures" in words and "0 validation pictures" in words for words in said)


def test_a_run_is_not_overwritten_and_not_continued_under_other_settings(
    photographs: Path, finished: Path, tmp_path: Path
) -> None:
    run = shutil.copytree(finished, tmp_path / "run")
    with pytest.raises(DataError, match="`resume=True`"):
        train(RunPlan(CONFIG, photographs, run))
    with pytest.raises(DataError, match=r"learning_rate was 0\.001 and is 0\.01"):
        train(RunPlan(dataclasses.replace(CONFIG, learning_rate=0.01), photographs, run), resume=True)


def test_other_pictures_are_refused_at_resume(photographs: Path, finished: Path, tmp_path: Path) -> None:
    copy, run = shutil.copytree(photographs, tmp_path / "copy"), shutil.copytree(finished, tmp_path / "run")
    train(RunPlan(CONFIG, copy, run), resume=True)  # the same pictures in another place are no others
    (copy / "1.png").unlink()
    with pytest.raises(DataError, match="other pictures"):
        train(RunPlan(CONFIG, copy, run), resume=True)


def test_a_loss_that_is_not_finite_stops_the_run(
    photographs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(formulas.LOSSES, "l1", lambda sr, hr: (sr - hr).abs().mean() * float("nan"))
    with pytest.raises(EngineError, match=r"step 1: pixel is nan"):
        train(RunPlan(CONFIG, photographs, tmp_path))
    assert (tmp_path / "not_finite_step_1.safetensors").is_file() and list_checkpoints(tmp_path / "checkpoints") == []


@pytest.mark.slow
@pytest.mark.parametrize("network", ["rrdb", "srresnet"])
def test_other_generators_train_and_resume(photographs: Path, tmp_path: Path, network: str, unplotted: None) -> None:
    config = dataclasses.replace(CONFIG, network=network, depth=1, growth=4, steps=6, validate_every=3)
    train(RunPlan(config, photographs, tmp_path / "straight"))
    seen: list[int] = []
    with pytest.raises(KeyboardInterrupt):
        train(
            RunPlan(config, photographs, tmp_path / "halved"),
            report=lambda p: seen.append(p.step),
            should_stop=lambda: len(seen) == 2,
        )
    train(RunPlan(config, photographs, tmp_path / "halved"), resume=True)
    straight, halved = _tensors(tmp_path / "straight"), _tensors(tmp_path / "halved")
    assert [name for name in straight if straight[name] != halved[name]] == []


def test_a_batch_beyond_the_memory_is_refused_before_step_1(
    photographs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("upres.training.memory.available_bytes", lambda: 108_000_000)
    with pytest.raises(UsageError, match=r"a step of 16 samples needs about .* are available: `accumulate=\d+`"):
        train(RunPlan(dataclasses.replace(CONFIG, batch=16, patch_px=24), photographs, tmp_path))


def test_a_batch_that_cannot_be_shared_is_refused(photographs: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="`batch` must be a multiple of `processes`"):
        train(RunPlan(dataclasses.replace(CONFIG, batch=3, accumulate=2), photographs, tmp_path))


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="POSIX signals")
def test_ctrl_c_saves_and_exits_with_130(photographs: Path, tmp_path: Path) -> None:
    settings = [
        "steps=100000",
        "width=8",
        "depth=1",
        "batch=1",
        "patch_px=8",
        "hr_scales=1",
        "threads=1",
        "checkpoint_every=100000",
    ]
    command = [
        sys.executable,
        "-m",
        "upres",
        "train",
        "compact-x2",
        "--data",
        str(photographs),
        "--out",
        str(tmp_path / "run"),
    ]
    for setting in settings:
        command += ["--set", setting]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    events = tmp_path / "run" / "tensorboard"
    deadline = time.monotonic() + 60
    while not (events.is_dir() and list(events.iterdir())) and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    _, words = process.communicate(timeout=60)
    assert process.returncode == 130, words
    saved = latest_checkpoint(tmp_path / "run" / "checkpoints")
    assert saved is not None and f"stopped after step {saved.step}" in words and "Traceback" not in words
