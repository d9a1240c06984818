"""Losses and schedules of one's own: what they must return, and a run that goes on with the code it was begun with."""

from __future__ import annotations

import dataclasses
import hashlib
import shutil
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("tensorboard")

from tests.training.made import draw_photographs  # noqa: E402
from upres.errors import DataError, EngineError, UsageError  # noqa: E402
from upres.training.checkpoint import latest_checkpoint  # noqa: E402
from upres.training.config import TrainConfig  # noqa: E402
from upres.training.config_changes import change_config  # noqa: E402
from upres.training.loop import train  # noqa: E402
from upres.training.losses.generator_loss import own_term  # noqa: E402
from upres.training.own_code import code_files, sha256_of_code  # noqa: E402
from upres.training.plan import RunPlan  # noqa: E402
from upres.training.references import parse_term, without_folder  # noqa: E402
from upres.training.state import schedule_factor  # noqa: E402

LOSSES = """
import torch
from torch import nn
from torch.nn import functional as F
def good(sr, lr): return (F.avg_pool2d(sr, 2) - lr).square().mean()
def vector(sr, hr): return (sr - hr).abs().mean((1, 2, 3))
def number(sr, hr): return (sr - hr).abs().mean().item()
def detached(sr, hr): return (sr.detach() - hr).abs().mean()
def infinite(sr, hr): return (sr - hr).abs().mean() / 0.0
def broken(sr): return sr @ sr.new_zeros(7, 7)
class Module(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("window", torch.ones(3, 1, 3, 3) / 9)
    def forward(self, sr, hr): return F.conv2d(sr - hr, self.window, groups=3).abs().mean()
def ramp(step, steps): return step / steps
def negative(step): return -1.0
"""
CONFIG = TrainConfig(
    recipe="mine", scale=2, width=4, depth=1, steps=4, batch=2, patch_px=12, warmup_steps=0, hr_scales=(1.0,),
    threads=1, validate_every=4, checkpoint_every=2, convolutions="torch",
)  # fmt: skip


@pytest.fixture
def code(tmp_path: Path) -> Path:
    path = tmp_path / "my.py"
    path.write_text(LOSSES)
    return path


def test_a_term_is_a_number_that_depends_on_sr(code: Path) -> None:
    sr, hr, lr = torch.rand(2, 3, 8, 8).requires_grad_(), torch.rand(2, 3, 8, 8), torch.rand(2, 3, 4, 4)
    value = own_term(f"{code}:good", sr, hr, lr)
    expected = (torch.nn.functional.avg_pool2d(sr, 2) - lr).square().mean()
    assert value.shape == () and value.item() == expected.item()
    assert own_term(f"{code}:Module", sr, hr, lr).requires_grad
    for name, words in {
        "vector": r"vector must return a tensor of one number, got a tensor of shape \(2,\)",
        "number": r"number must return a tensor of one number, got float",
        "detached": r"detached does not depend on sr",
        "broken": r"broken: RuntimeError: .*\(my.py, line 10\)",
    }.items():
        with pytest.raises(UsageError, match=words):
            own_term(f"{code}:{name}", sr, hr, lr)


def test_terms_are_written_with_their_weights() -> None:
    assert parse_term("/a:b/my.py:edges:0.25") == ("/a:b/my.py:edges", 0.25) and parse_term("a.py:f") == ("a.py:f", 1.0)
    assert without_folder("/a/b.py:f:2") == "b.py:f:2" and without_folder("l1") == "l1"
    for text in ("edges", "my.py:edges:much", "my.py:edges:-1", "my.py"):
        with pytest.raises(UsageError, match=r"`own_terms` takes FILE.py:NAME or FILE.py:NAME:WEIGHT"):
            change_config(CONFIG, [f"own_terms={text}"])


def test_a_schedule_is_a_factor(code: Path) -> None:
    config = dataclasses.replace(CONFIG, schedule=f"{code}:ramp", steps=8)
    assert [schedule_factor(config, step) for step in (0, 2, 8)] == [0.0, 0.25, 1.0]
    with pytest.raises(UsageError, match=r"negative must return a finite number of 0 or more, got -1.0 for step 3"):
        schedule_factor(dataclasses.replace(config, schedule=f"{code}:negative"), 3)


def test_a_run_goes_on_with_the_code_that_it_was_begun_with(code: Path, tmp_path: Path, unplotted: None) -> None:
    pictures = draw_photographs(tmp_path / "pictures")
    config = dataclasses.replace(CONFIG, own_terms=(f"{code}:good:0.5", f"{code}:Module"), loss=f"{code}:Module")
    told: dict[str, float] = {}
    train(RunPlan(config, pictures, tmp_path / "run"), report=lambda progress: told.update(progress.losses))
    assert {"pixel", "good", "Module"} <= told.keys()
    moved = tmp_path / "elsewhere" / "my.py"
    moved.parent.mkdir()
    shutil.copy(code, moved)
    longer = dataclasses.replace(config, own_terms=(f"{moved}:good:0.5", f"{moved}:Module"), loss=f"{moved}:Module")
    train(RunPlan(longer, pictures, tmp_path / "run"), resume=True)
    moved.write_text(LOSSES + "\n")
    with pytest.raises(DataError, match="was started with another code of its own"):
        train(RunPlan(longer, pictures, tmp_path / "run"), resume=True)
    start = latest_checkpoint(tmp_path / "run" / "checkpoints")
    assert start is not None and str(start.facts["code"]).count("good ") == 1

    with pytest.raises(EngineError, match=r"step 1: infinite is inf"):
        train(RunPlan(dataclasses.replace(CONFIG, own_terms=(f"{code}:infinite",)), pictures, tmp_path / "other"))


def test_the_code_is_the_file_and_what_it_imports_beside_it(tmp_path: Path) -> None:
    def write(name: str, text: str) -> Path:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        return path

    mine = write("mine.py", "import torch\nfrom parts import block\ndef f(sr): return sr.sum()\n")
    alone = hashlib.sha256(mine.read_bytes()).hexdigest()
    assert sha256_of_code(f"{mine}:f") == alone  # nothing of that name beside it
    parts = write("parts.py", "import blocks.deep, mine\n")
    files = [parts, write("blocks/__init__.py", ""), write("blocks/deep.py", "from . import other\n")]
    files.append(write("blocks/other.py", ""))
    write("unused.py", "")
    assert set(code_files(mine)) == {mine, *files} and code_files(mine)[0] == mine
    before = sha256_of_code(f"{mine}:f")
    assert before != alone
    for path in files:
        text = path.read_text()
        path.write_text(text + "# changed\n")
        assert sha256_of_code(f"{mine}:f") != before
        path.write_text(text)
    assert sha256_of_code(f"{mine}:f") == before
    parts.write_text("this is not Python")
    assert code_files(mine) == [mine, parts]
