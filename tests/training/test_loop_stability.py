"""Runs that go wrong: what is undone, at what rate they continue, and that stopping at any step changes no bit."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("tensorboard")

from tests.training.made import draw_photographs  # noqa: E402
from upres.errors import DataError  # noqa: E402
from upres.training import loop, run_folder  # noqa: E402
from upres.training.checkpoint import latest_checkpoint, list_checkpoints  # noqa: E402
from upres.training.config import TrainConfig  # noqa: E402
from upres.training.distributed.ranks import Ranks  # noqa: E402
from upres.training.loop import train  # noqa: E402
from upres.training.monitoring.validation import Quality  # noqa: E402
from upres.training.plan import RunPlan  # noqa: E402
from upres.training.recipes import resolve_recipe  # noqa: E402
from upres.training.run import Progress  # noqa: E402
from upres.training.state import TrainState, learning_rate_at  # noqa: E402

SETTINGS: dict[str, Any] = {
    "steps": 14, "width": 4, "depth": 1, "branched": False, "batch": 2, "patch_px": 16, "hr_scales": (1.0,),
    "warmup_steps": 0, "threads": 1, "discriminator_width": 2, "judge": "", "niqe": False, "validate_every": 3,
    "checkpoint_every": 2, "convolutions": "torch", "keep_checkpoints": 1, "feature_weight": 0.0,
}  # fmt: skip
GAN = dataclasses.replace(resolve_recipe("compact-gan-x2"), **SETTINGS)
WELL = Quality(30.0, 28.0, 0.9, 48.0, (0.0, 0.0, 0.0), 1.0, 1.0, 1.0, 1.0)
LOST = dataclasses.replace(WELL, lr_psnr=20.0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of pictures."""
    return draw_photographs(tmp_path_factory.mktemp("guard"))


class World:
    """What the loop sees instead of its own: validations that are lost where `lost(step, rate)` says so, and no
    pictures drawn.

    A validation at step 9 is lost at the full learning rate: the good one before it is that of step 6, with the
    checkpoint of step 6.
    """

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, lost: Callable[[int, bool], bool] = lambda step, full: full and step == 9
    ) -> None:
        self.trained: list[tuple[int, float, float]] = []  # step, and what the rates of G and D are of the schedule's
        average = loop.average

        def noted(state: TrainState, config: TrainConfig, step: int, ranks: Ranks) -> None:
            assert state.discriminator_optimizer is not None
            rates = (optimizer.param_groups[0]["lr"] for optimizer in (state.optimizer, state.discriminator_optimizer))
            usual = learning_rate_at(config, step)
            usual_of_both = usual, usual * config.discriminator_learning_rate / config.learning_rate
            factors = [rate / full for rate, full in zip(rates, usual_of_both, strict=True)]
            self.trained.append((step + 1, *factors))
            average(state, config, step, ranks)

        def validated(*_: object, **__: object) -> Quality:
            step, factor, _ = self.trained[-1]
            return LOST if lost(step, factor > 0.75) else WELL

        monkeypatch.setattr(loop, "average", noted)
        monkeypatch.setattr(loop, "validate", validated)
        monkeypatch.setattr(loop.TrainingMonitor, "validation", lambda *_: None)


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    return World(monkeypatch)


def go(folder: Path, out: Path, config: TrainConfig = GAN, guard: bool = True, **others: Any) -> list[str]:
    """Train, with --guard where nothing else is said; what was said."""
    said: list[str] = []
    train(RunPlan(config, folder, out, guard=guard), say=said.append, **others)
    return [words for words in said if words.startswith("guard")]


def state(out: Path) -> dict[str, Any]:
    """All that must not depend on whether a run was stopped."""
    newest = latest_checkpoint(out / "checkpoints")
    assert newest is not None
    rows = [json.loads(line) for line in (out / "validation.jsonl").read_text().splitlines()]
    return {
        "step": newest.step, "tensors": {name: array.tobytes() for name, array in newest.tensors.items()},
        "facts": newest.facts, "rows": [{key: value for key, value in row.items() if key != "time"} for row in rows],
        "model": (out / "model.safetensors").read_bytes(),
    }  # fmt: skip


@pytest.fixture(scope="module")
def straight(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The state of a run that went back from step 9 to step 6 and was never stopped."""
    out = tmp_path_factory.mktemp("straight")
    with pytest.MonkeyPatch.context() as patch:
        World(patch)
        go(folder, out)
    return state(out)


@pytest.mark.slow
def test_goes_back_with_half_the_rates_and_what_came_after_is_gone(folder: Path, tmp_path: Path, world: World) -> None:
    said = go(folder, tmp_path)
    assert [step for step, _, _ in world.trained] == [*range(1, 10), *range(7, 15)]
    assert [factor for _, factor, _ in world.trained] == pytest.approx([1.0] * 9 + [0.5] * 8)
    assert [factor for _, _, factor in world.trained] == pytest.approx([1.0] * 9 + [0.5] * 8)
    (words,) = said
    assert (
        words.startswith("guard: step 9: LR-PSNR is 20.0 dB")
        and "Going back to the good checkpoint of step 6, with half" in words
    )
    rows = state(tmp_path)["rows"]
    assert [(row["step"], row["lr_psnr"], row["guard"], row["went_back"]) for row in rows] == [
        (3, 48.0, [], []), (6, 48.0, [], []), (9, 48.0, [], [9, 6]), (12, 48.0, [], [9, 6]), (14, 48.0, [], [9, 6]),
    ]  # fmt: skip
    assert [path.name for path in list_checkpoints(tmp_path / "checkpoints")] == ["step_000000014.safetensors"]


@pytest.mark.slow
def test_tensorboard_shows_no_step_twice(folder: Path, tmp_path: Path, world: World) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    go(folder, tmp_path)
    log = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    rates = {event.step: event.value for event in log.Scalars("learning_rate")}
    assert [event.step for event in log.Scalars("learning_rate")] == list(range(1, 15))
    expected = {step: learning_rate_at(GAN, step - 1) * (1.0 if step < 7 else 0.5) for step in range(1, 15)}
    assert rates == pytest.approx(expected)


@pytest.mark.slow
def test_what_follows_is_the_checkpoint_trained_on_with_half_the_rates(
    folder: Path, tmp_path: Path, straight: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Against a run that never went wrong and whose rates were halved from step 7 on by hand."""
    plain = loop.set_rates
    monkeypatch.setattr(
        loop, "set_rates", lambda state, config, step, _: plain(state, config, step, 0.5 if step >= 6 else 1.0)
    )
    go(folder, tmp_path)
    assert straight["tensors"] == state(tmp_path)["tensors"]


@pytest.mark.slow
@pytest.mark.parametrize("trained", [7, 8, 9, 10, 12])
def test_stopped_before_at_or_after_going_back_equals_never_stopped(
    trained: int, folder: Path, tmp_path: Path, world: World, straight: dict[str, Any]
) -> None:
    with pytest.raises(KeyboardInterrupt):
        go(folder, tmp_path, should_stop=lambda: len(world.trained) == trained)
    if trained == 9:
        assert [path.name for path in list_checkpoints(tmp_path / "checkpoints")] == ["step_000000006.safetensors"]
    said = go(folder, tmp_path, resume=True)
    assert len(said) == 1 and ("Going back" if trained < 9 else "this run went back from step 9 to step 6") in said[0]
    assert state(tmp_path) == straight


@pytest.mark.slow
@pytest.mark.parametrize(
    "moment", ["before anything is gone", "after one checkpoint is", "before the rows are gone", "before it is saved"]
)
def test_killed_while_it_goes_back_equals_never_killed(
    moment: str, folder: Path, tmp_path: Path, world: World, straight: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*_: object, **__: object) -> None:
        raise SystemExit

    def die_after_one(checkpoints: Path, step: int) -> None:
        list_checkpoints(checkpoints)[-1].unlink()
        die()

    with monkeypatch.context() as patch, pytest.raises(SystemExit):
        if moment == "before it is saved":
            save = run_folder.save_checkpoint
            patch.setattr(
                run_folder,
                "save_checkpoint",
                lambda *a, **k: die() if a[1].facts["health"]["went_back"] else save(*a, **k),
            )
        elif moment == "before the rows are gone":
            patch.setattr(run_folder, "drop_after", lambda *a, plain=run_folder.drop_after: (plain(*a), die()))
        else:
            patch.setattr(run_folder, "drop_after", die if moment == "before anything is gone" else die_after_one)
        go(folder, tmp_path)
    go(folder, tmp_path, resume=True)
    assert state(tmp_path) == straight


@pytest.mark.slow
def test_the_good_checkpoint_outlives_those_that_are_only_newer(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(monkeypatch, lambda step, full: full and step == 14)
    config = dataclasses.replace(GAN, validate_every=7, checkpoint_every=1)
    go(folder, tmp_path, config)  # the good one is that of step 7; those of 8 to 13 came after it, and one is kept
    assert [step for step, _, _ in world.trained] == [*range(1, 15), *range(8, 15)]


@pytest.mark.slow
def test_without_guard_it_only_warns_and_writes_it_down(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    World(monkeypatch, lambda step, full: step in (9, 12))
    (words,) = go(folder, tmp_path / "warned", guard=False)
    assert "started with `guard=True` it would go back" in words
    rows = state(tmp_path / "warned")["rows"]
    assert [(row["step"], bool(row["guard"])) for row in rows] == [
        (3, False),
        (6, False),
        (9, True),
        (12, True),
        (14, False),
    ]
    World(monkeypatch, lambda step, full: False)
    assert go(folder, tmp_path / "well", guard=False) == []
    assert state(tmp_path / "warned")["tensors"] == state(tmp_path / "well")["tensors"]


@pytest.mark.slow
def test_the_second_time_it_only_warns(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch, lambda step, full: step >= 9)
    said = go(folder, tmp_path)
    assert [step for step, _, _ in world.trained] == [*range(1, 10), *range(7, 15)]
    assert len(said) == 2 and "Training continues: it went back from step 9 to step 6" in said[1]


def test_before_there_is_a_good_checkpoint_it_says_so(folder: Path, tmp_path: Path, world: World) -> None:
    (words,) = go(folder, tmp_path, dataclasses.replace(GAN, checkpoint_every=100))
    assert words.endswith("Training continues: no checkpoint was good yet") and len(world.trained) == 14


@pytest.mark.slow
def test_a_damaged_good_checkpoint_is_named_and_training_goes_on(folder: Path, tmp_path: Path, world: World) -> None:
    def damage(progress: Progress) -> None:
        if progress.step == 8:
            (tmp_path / "checkpoints" / "step_000000006.safetensors").write_bytes(b"torn")

    said = go(folder, tmp_path, report=damage)
    assert (
        len(said) == 2
        and "step_000000006.safetensors cannot be read" in said[1]
        and "training continues at step 9" in said[1]
    )
    assert [step for step, _, _ in world.trained] == list(range(1, 15))


def test_a_run_is_resumed_as_it_was_begun(folder: Path, tmp_path: Path, world: World) -> None:
    with pytest.raises(KeyboardInterrupt):
        go(folder, tmp_path, should_stop=lambda: len(world.trained) == 3)
    with pytest.raises(DataError, match=r"another `guard` \(on, now none\)"):
        go(folder, tmp_path, guard=False, resume=True)
