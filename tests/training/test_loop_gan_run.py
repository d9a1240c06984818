"""Whole adversarial runs: what they begin with, what they ship, and how they end when stopped, out of disk or damaged
(docs/traps.md).
"""

from __future__ import annotations

import dataclasses
import logging
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("tensorboard")

from torch import Tensor  # noqa: E402

from tests.training.made import draw_photographs, features_file  # noqa: E402
from upres.cli.main import app  # noqa: E402
from upres.training import loop, run_folder  # noqa: E402
from upres.training.checkpoint import Checkpoint, latest_checkpoint, list_checkpoints  # noqa: E402
from upres.training.data.images import find_pictures, make_pair, read_rgb  # noqa: E402
from upres.training.distributed.ranks import Ranks  # noqa: E402
from upres.training.loop import train  # noqa: E402
from upres.training.monitoring.validation import validate  # noqa: E402
from upres.training.networks.generators import build_generator  # noqa: E402
from upres.training.plan import PretrainedFiles, RunPlan  # noqa: E402
from upres.training.recipes import resolve_recipe  # noqa: E402
from upres.training.run import Progress, Run  # noqa: E402
from upres.training.state import TrainState, build_state  # noqa: E402
from upres.weights.read import read_weights, write_safetensors  # noqa: E402

SETTINGS = {
    "steps": 8, "width": 4, "depth": 1, "branched": False, "batch": 2, "patch_px": 16, "hr_scales": (1.0,),
    "warmup_steps": 0, "threads": 1, "discriminator_width": 2, "judge": "", "niqe": False, "validate_every": 4,
    "checkpoint_every": 2, "convolutions": "torch",
}  # fmt: skip
GAN = dataclasses.replace(resolve_recipe("compact-gan-x2"), **SETTINGS)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`pictures/` and `features.safetensors`."""
    folder = tmp_path_factory.mktemp("traps")
    draw_photographs(folder / "pictures")
    features_file(folder / "features.safetensors")
    return folder


@pytest.fixture(scope="module")
def straight(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the whole run, never stopped. Who trains on in it copies it."""
    out = tmp_path_factory.mktemp("straight") / "run"
    train(RunPlan(GAN, folder / "pictures", out, sources=PretrainedFiles(features=folder / "features.safetensors")))
    return out


@pytest.fixture
def verb(folder: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """`upres train` for the run GAN inside this process; checks the exit code and returns stderr."""

    def inside(out: Path, *arguments: str, code: int) -> str:
        words = ["train", "compact-gan-x2", "--data", str(folder / "pictures"), "--out", str(out)]
        words += ["--features", str(folder / "features.safetensors"), "--init", "random", "--device", "cpu", *arguments]
        for key, value in SETTINGS.items():
            words += ["--set", f"{key}={','.join(map(str, value)) if isinstance(value, tuple) else value}"]
        with pytest.raises(SystemExit) as end:
            app(words)
        said = capsys.readouterr().err
        assert end.value.code == code, said
        assert "Traceback" not in said
        return said

    return inside


def newest(out: Path) -> Checkpoint:
    found = latest_checkpoint(out / "checkpoints")
    assert found is not None
    return found


def state_bytes(out: Path) -> dict[str, bytes]:
    return {name: array.tobytes() for name, array in newest(out).tensors.items()}


def test_an_adversarial_recipe_asks_for_a_network_that_was_trained_on_pixels(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Trap 29."""
    with pytest.raises(SystemExit) as end:
        app(
            [
                "train",
                "esrgan-x4",
                "--data",
                str(folder / "pictures"),
                "--out",
                str(tmp_path / "run"),
                "--device",
                "cpu",
            ]
        )
    assert (
        end.value.code == 2
        and "esrgan-x4 starts from a network trained with a pixel loss: give --init" in capsys.readouterr().err
    )
    assert not (tmp_path / "run").exists()


def plain_file(path: Path, seed: int) -> Path:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        state = build_generator(GAN).merged_state_dict()
    write_safetensors(path, {name: tensor.numpy() for name, tensor in state.items()}, {})
    return path


def test_a_run_begins_with_its_parent(folder: Path, tmp_path: Path, unplotted: None) -> None:
    """Trap 29: both the raw and the averaged network do."""
    parent = plain_file(tmp_path / "parent.safetensors", 77)
    config = dataclasses.replace(GAN, steps=1, learning_rate=1e-9, final_learning_rate=0.0)
    sources = PretrainedFiles(init=parent, features=folder / "features.safetensors")
    result = train(RunPlan(config, folder / "pictures", tmp_path / "run", sources=sources))
    expected, found = read_weights(parent), read_weights(result)
    raw = {
        name.removeprefix("net/"): array
        for name, array in newest(tmp_path / "run").tensors.items()
        if name.startswith("net/")
    }
    assert all(np.allclose(found[name], array, rtol=0, atol=1e-7) for name, array in expected.items())
    assert np.allclose(raw["convs.0.weight"], expected["body.0.weight"], rtol=0, atol=1e-7)


def test_the_average_follows_each_update_and_is_what_is_measured_and_shipped(
    folder: Path, tmp_path: Path, unplotted: None
) -> None:
    """Trap 31.

    After one step the average has moved by 9/10 (its warm-up) of the way to weights that have already moved.
    """
    said: list[Progress] = []
    config = dataclasses.replace(GAN, steps=1, validate_every=1, learning_rate=5e-3)
    sources = PretrainedFiles(features=folder / "features.safetensors")
    result = train(
        RunPlan(config, folder / "pictures", tmp_path / "run", validation=folder / "pictures", sources=sources),
        report=said.append,
    )
    arrays, kinds = newest(tmp_path / "run").tensors, ("net/", "ema/")
    states = {
        kind: {n.removeprefix(kind): torch.from_numpy(a) for n, a in arrays.items() if n.startswith(kind)}
        for kind in kinds
    }
    begun = build_state(config, Ranks()).net.state_dict()
    for name, raw in states["net/"].items():
        assert (raw - begun[name]).abs().max() > 1e-4, name
        torch.testing.assert_close(states["ema/"][name], torch.lerp(begun[name], raw, 0.9), rtol=1e-5, atol=1e-7)
    nets = {kind: build_generator(config) for kind in kinds}
    for kind, net in nets.items():
        net.load_state_dict(states[kind])
    shipped = read_weights(result)
    for name, tensor in nets["ema/"].merged_state_dict().items():
        np.testing.assert_array_equal(shipped[name], tensor.numpy())
    pairs = [make_pair(path.name, read_rgb(path), 2) for path in find_pictures(folder / "pictures")]
    qualities = {kind: validate(net, pairs, scale=2) for kind, net in nets.items()}
    assert said[-1].quality == qualities["ema/"] != qualities["net/"]


@pytest.mark.slow
def test_a_full_disk_ends_a_gan_run_with_5_and_keeps_the_last_good_checkpoint(
    tmp_path: Path, straight: Path, verb: Callable[..., str], monkeypatch: pytest.MonkeyPatch, unplotted: None
) -> None:
    """Trap 44.

    The system itself refuses to write: a limit on the size of files, lowered once the first checkpoint is there.
    """
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    save = run_folder.save_checkpoint

    def save_and_fill(*arguments: object, **options: object) -> Path:
        path = save(*arguments, **options)  # type: ignore[arg-type]
        resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size - 2000, before[1]))  # the next has fewer facts
        return path

    with monkeypatch.context() as patch:
        patch.setattr(run_folder, "save_checkpoint", save_and_fill)
        try:
            words = verb(tmp_path / "full", code=5)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert "step_000000004.safetensors: the disk is full" in words
    assert [path.name for path in (tmp_path / "full" / "checkpoints").iterdir()] == ["step_000000002.safetensors"]
    assert newest(tmp_path / "full").step == 2
    verb(tmp_path / "full", "--resume", code=0)
    assert state_bytes(tmp_path / "full") == state_bytes(straight)


@pytest.mark.slow
def test_ctrl_c_saves_both_networks_raw_and_averaged_and_the_run_goes_on(
    tmp_path: Path, straight: Path, verb: Callable[..., str], monkeypatch: pytest.MonkeyPatch, unplotted: None
) -> None:
    """Trap 31: a resumed run has its raw weights again, not the average in their place."""
    step = loop.gan_step

    def interrupted(
        run: Run, state: TrainState, lr: Tensor, hr: Tensor, number: int, target: Tensor
    ) -> dict[str, float]:
        if number == 4:
            signal.raise_signal(signal.SIGINT)
        return step(run, state, lr, hr, number, target)

    with monkeypatch.context() as patch:
        patch.setattr(loop, "gan_step", interrupted)
        words = verb(tmp_path / "stopped", code=130)
    assert "stopped after step 5; the checkpoint is saved" in words
    saved = newest(tmp_path / "stopped")
    assert saved.step == 5  # in between of what is saved anyway
    assert {name.split("/")[0] for name in saved.tensors} == {
        "net",
        "ema",
        "discriminator",
        "net.adam",
        "discriminator.adam",
    }
    assert not np.array_equal(saved.tensors["net/convs.0.weight"], saved.tensors["ema/convs.0.weight"])
    assert "continuing after step 5" in verb(tmp_path / "stopped", "--resume", code=0)
    assert state_bytes(tmp_path / "stopped") == state_bytes(straight)


def test_a_damaged_checkpoint_of_a_gan_run_costs_the_steps_since_the_one_before(
    folder: Path, tmp_path: Path, straight: Path, caplog: pytest.LogCaptureFixture, unplotted: None
) -> None:
    sources, said, run = (
        PretrainedFiles(features=folder / "features.safetensors"),
        list[str](),
        shutil.copytree(straight, tmp_path / "run"),
    )
    path = list_checkpoints(run / "checkpoints")[-1]
    data = path.read_bytes()
    # as a crash leaves it: the length, but not the blocks
    path.write_bytes(data[: len(data) // 2] + bytes(len(data) - len(data) // 2))
    with caplog.at_level(logging.WARNING):
        train(RunPlan(GAN, folder / "pictures", run, sources=sources), resume=True, say=said.append)
    assert (
        "step_000000008" in caplog.text
        and "trying the previous one" in caplog.text
        and "continuing after step 6" in said
    )
    assert state_bytes(run) == state_bytes(straight)
