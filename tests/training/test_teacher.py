"""What a run aims at with a teacher, its gradient, and that a student of its teacher's shape becomes it."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
from torch import Tensor  # noqa: E402

from tests.training.made import draw_photographs, run_of  # noqa: E402
from upres.errors import DataError, UsageError  # noqa: E402
from upres.images.resize import imresize  # noqa: E402
from upres.training.config import TrainConfig  # noqa: E402
from upres.training.config_changes import change_config  # noqa: E402
from upres.training.data.images import read_levels  # noqa: E402
from upres.training.loop import pixel_step, train  # noqa: E402
from upres.training.networks.residual import Residual  # noqa: E402
from upres.training.plan import PretrainedFiles, RunPlan  # noqa: E402
from upres.training.state import build_state  # noqa: E402
from upres.training.teacher import open_teacher, share_at, with_colors_of  # noqa: E402
from upres.weights.read import read_weights, write_safetensors  # noqa: E402

CONFIG = TrainConfig(
    recipe="test", scale=2, channels=3, network="residual", width=8, depth=4, batch=4, patch_px=12, hr_scales=(1.0,),
    steps=100, warmup_steps=0, convolutions="torch", validate_every=1000, checkpoint_every=1000,
)  # fmt: skip


def teacher_file(path: Path, scale: int = 2, seed: int = 5) -> Path:
    """A network that does something: the fresh weights of another seed, its tail ten times as strong."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        state = Residual(width=8, depth=4, scale=scale).merged_state_dict()
    state["tail.bias"] += 0.5
    write_safetensors(path, {name: tensor.numpy() for name, tensor in state.items()}, {})
    return path


def enlarged(path: Path, lr: Tensor) -> Tensor:
    net = Residual(width=8, depth=4, scale=2)
    net.load_plain({name: torch.from_numpy(np.array(array)) for name, array in read_weights(path).items()})
    with torch.no_grad():
        return net(lr)


def batch() -> tuple[Tensor, Tensor]:
    random = torch.Generator().manual_seed(3)
    return torch.rand(4, 3, 12, 12, generator=random), torch.rand(4, 3, 24, 24, generator=random)


def test_the_share_stands_or_goes_down() -> None:
    assert [share_at(CONFIG, step) for step in (0, 99)] == [1.0, 1.0]
    ramp = dataclasses.replace(CONFIG, teacher_share=0.8, teacher_ramp_steps=50)
    assert [share_at(ramp, step) for step in (0, 25, 50, 99)] == pytest.approx([0.8, 0.4, 0.0, 0.0])


def test_large_areas_take_the_colors_of_hr_and_detail_stays() -> None:
    """A shift of color goes, whatever it is; a pattern finer than the areas, with a mean of 0 in each, stays to the bit
    of rounding.
    """
    random = torch.Generator().manual_seed(4)
    hr = torch.rand(2, 3, 1, 1, generator=random).expand(2, 3, 32, 32)
    pattern = torch.tensor([0.1, -0.1]).repeat(16)[:, None] * torch.tensor([1.0, -1.0]).repeat(16)
    sr = hr + torch.tensor([0.02, -0.03, 0.05])[:, None, None] + pattern
    torch.testing.assert_close(with_colors_of(hr, sr, 8), hr + pattern, rtol=0, atol=1e-6)
    ramp = hr + torch.linspace(-0.1, 0.1, 32)
    inner = with_colors_of(hr, ramp, 8)[:, :, :, 4:28] - hr[:, :, :, 4:28]
    assert float(inner.abs().max()) < 1e-6  # bilinear between the middles of squares: a ramp is taken away too
    with pytest.raises(UsageError, match=r"`teacher_color_px` must divide the side of an HR patch \(24\), got 7"):
        change_config(CONFIG, ["teacher_color_px=7"])


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_the_target_and_its_gradient_are_those_of_the_formula(tmp_path: Path, share: float) -> None:
    """d/dsr of mean |sr - (s T(lr) + (1 - s) hr)|, through the network, with T worked out by a network of its own."""
    path = teacher_file(tmp_path / "teacher.safetensors")
    config = dataclasses.replace(CONFIG, teacher_share=share)
    said: list[str] = []
    teacher = open_teacher(str(path), config, torch.device("cpu"), said.append)
    assert said == [f"teacher: {path}, {share:.0%} of the target"]
    lr, hr = batch()
    target = teacher.target(config, 0, lr, hr)
    wanted = share * enlarged(path, lr) + (1.0 - share) * hr
    torch.testing.assert_close(target, wanted, rtol=0, atol=1e-6)
    assert not target.requires_grad
    run = run_of(config)
    ours, theirs = (build_state(config, run.ranks) for _ in range(2))
    (theirs.net(lr) - wanted).abs().mean().backward()
    norm = torch.nn.utils.clip_grad_norm_(theirs.net.parameters(), config.clip_norm)
    told = pixel_step(run, ours, lr, target, 0)
    assert told["gradient norm/generator"] == pytest.approx(float(norm), rel=1e-5)
    for one, other in zip(ours.net.parameters(), theirs.net.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad, rtol=1e-4, atol=1e-7)


def test_a_student_of_its_teachers_shape_becomes_it(tmp_path: Path) -> None:
    path = teacher_file(tmp_path / "teacher.safetensors")
    pictures = draw_photographs(tmp_path / "pictures")
    config = dataclasses.replace(
        CONFIG,
        steps=400,
        learning_rate=1e-2,
        final_learning_rate=1e-4,
        schedule="wsd",
        decay_fraction=0.5,
        ema_decay=0.9,
        clip_norm=1.0,
    )
    model = train(
        RunPlan(config, pictures, tmp_path / "run", validation=pictures, sources=PretrainedFiles(teacher=str(path)))
    )
    levels = imresize(read_levels(sorted(pictures.iterdir())[0]), 0.5)
    lr = torch.from_numpy(levels).permute(2, 0, 1)[None].float() / 255.0
    start = Residual(width=8, depth=4, scale=2)(lr).detach()
    wanted, found = enlarged(path, lr), enlarged(model, lr)
    before, after = (float((x - wanted).abs().mean()) for x in (start, found))
    assert after < 0.01 and after < 0.1 * before


def test_a_resumed_run_has_the_same_teacher(tmp_path: Path) -> None:
    path, other = (teacher_file(tmp_path / f"{seed}.safetensors", seed=seed) for seed in (5, 6))
    pictures = draw_photographs(tmp_path / "pictures")
    config = dataclasses.replace(CONFIG, steps=1)
    train(RunPlan(config, pictures, tmp_path / "run", validation=pictures, sources=PretrainedFiles(teacher=str(path))))
    with pytest.raises(DataError, match="was started with another `teacher`"):
        train(
            RunPlan(
                config, pictures, tmp_path / "run", validation=pictures, sources=PretrainedFiles(teacher=str(other))
            ),
            resume=True,
        )


def test_teachers_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    path = teacher_file(tmp_path / "teacher.safetensors", scale=4)
    with pytest.raises(UsageError, match=r"enlarges by 4 and the recipe by 2: they must be of one scale"):
        open_teacher(str(path), CONFIG, torch.device("cpu"), print)
    with pytest.raises(UsageError, match=r"teacher_share must be a number in \[0, 1\], got .1.5."):
        change_config(CONFIG, ["teacher_share=1.5"])
