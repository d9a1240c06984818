"""`upres train`: options, run files and folders of runs become one plan, and what contradicts itself is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from upres.cli.train_plan import folders
from upres.errors import UsageError
from upres.training.run_file import Folder

Command = Callable[..., tuple[str, str]]


def test_the_command_line_pairs_each_data_with_its_lr() -> None:
    assert folders(["a", "b=2"], [], None, None) == ((Folder(hr="a"), Folder(hr="b", weight=2.0)), ())
    trained, shown = folders(["a", "b=2"], [Path("x"), Path("y")], "v", Path("w"))
    assert trained == (Folder(hr="a", lr="x"), Folder(hr="b", lr="y", weight=2.0))
    assert shown == (Folder(hr="v", lr="w"),)
    with pytest.raises(
        UsageError, match="--lr must be given once for each --data, in the same order, or not at all: got 1 for 2"
    ):
        folders(["a", "b"], [Path("x")], None, None)
    with pytest.raises(UsageError, match="--validation-lr needs --validation"):
        folders(["a"], [], None, Path("w"))


def test_a_written_file_holds_what_was_typed_and_is_read_again(
    tmp_path: Path, upres: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    from upres.training.recipes import resolve_recipe
    from upres.training.run_file import read_run_file

    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    target = Path("runs") / "mine.toml"
    typed = ("compact-gan-x4", "--data", "a=2", "--lr", "b", "--out", "run", "--init", "compact-x4", "--processes", "2")
    changes = ("--steps", "20", "--set", "betas=0.8,0.9", "--set", "clip_norm=inf", "--shrink", "2")
    out, _ = upres("train", *typed, *changes, "--write", target)
    assert out == f"wrote {target}: upres train {target}\n"
    file, config = read_run_file(target)
    assert config == resolve_recipe("compact-gan-x4", ["steps=20", "betas=0.8,0.9", "clip_norm=inf"], 2)
    assert [Path(one.hr).resolve() for one in file.data] == [tmp_path / "a"]
    assert (file.data[0].weight, file.init, file.processes) == (2.0, "compact-x4", 2)
    assert Path(file.out or "").resolve() == tmp_path / "run"
    text = target.read_text()
    assert '\nhr = "../a"\n' in text and "\n# batch = 8  # samples per update, over all ranks\n" in text
    _, err = upres("train", *typed, "--write", target, code=5)
    assert "exists already" in err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("run", "--resume", "--again", "--out", "b"), "--resume and --again exclude each other"),
        (("nothere", "--resume"), "nothere is not a folder: --resume takes the folder of a run"),
        (("folder", "--again", "--out", "b"), "folder is not the folder of a run: it holds neither run.toml nor"),
        (("folder",), "folder is a folder: --resume continues the run in it"),
        (("compact-x4", "--nodes", "3:1"), "--nodes takes a number of machines, or LEAST:MOST such as 1:4, got '3:1'"),
        (("compact-x4", "--nodes", "two"), "--nodes takes a number of machines, or LEAST:MOST such as 1:4, got 'two'"),
        (("compact-x4", "--branch", "--out", "b"), "--branch takes the folder of a run, got compact-x4"),
        (("compac-x4", "--dry-run"), "unknown recipe 'compac-x4', did you mean 'compact-x4'?"),
        (("nothere.toml", "--dry-run"), "the run file nothere.toml cannot be read: No such file"),
        (("compact-gan-x4", "--data", "folder", "--out", "b"), "give --init NAME|FILE"),
        (("compact-x4", "--data", "folder"), "needs --data FOLDER and --out FOLDER"),
        (("compact-x4", "--data", "folder", "--out", "b", "--init", "nothere.pth"), "nothere.pth: no such file"),
    ],
)
def test_what_cannot_be_is_refused_by_the_names_of_the_options(
    tmp_path: Path, upres: Command, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], message: str
) -> None:
    pytest.importorskip("torch")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    monkeypatch.setattr("sys.argv", ["upres"])
    code = 4 if "nothere.pth" in words else 3 if "folder of a run: it" in message or "nothere" in words[0] else 2
    _, err = upres("train", *words, code=code)
    assert message in err


def test_each_run_keeps_its_file_by_which_it_goes_on_branches_and_begins_again(
    tmp_path: Path, upres: Command, unplotted: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("torch")
    pytest.importorskip("tensorboard")
    from tests.training.made import draw_photographs
    from upres.training.checkpoint import latest_checkpoint

    def bytes_of(run: Path) -> dict[str, bytes]:
        end = latest_checkpoint(run / "checkpoints")
        assert end is not None
        return {name: array.tobytes() for name, array in end.tensors.items()}

    monkeypatch.chdir(tmp_path)
    draw_photographs(tmp_path / "photographs")
    settings = ("width=8", "depth=2", "batch=2", "patch_px=12", "threads=1", "schedule=multistep", "milestones=0.99")
    small = [word for setting in settings for word in ("--set", setting)]
    upres("train", "compact-x2", "--data", "photographs", *small, "--steps", 4, "--out", "long")
    upres("train", "compact-x2", "--data", "photographs", *small, "--steps", 2, "--out", "short")
    monkeypatch.chdir(tmp_path / "photographs")  # the file names its folders wherever one stands
    _, err = upres("train", "--resume", tmp_path / "short", "--steps", 4, "--set", "validate_every=3")
    assert "continuing after step 2" in err and "step 3 of 4" in err
    assert bytes_of(tmp_path / "short") == bytes_of(tmp_path / "long")
    upres("train", "--again", tmp_path / "short", "--out", tmp_path / "again")
    assert bytes_of(tmp_path / "again") == bytes_of(tmp_path / "long")

    _, err = upres("train", "--branch", tmp_path / "long", "--out", tmp_path / "wide", "--set", "width=4", code=3)
    assert "the checkpoint is of another network: ema/convs.0.full has shape (8, 3, 3, 3), expected (4, 3, 3, 3)" in err
    assert not (tmp_path / "wide").exists()
    change = ("--steps", 6, "--set", "loss=mse")
    _, err = upres("train", "--resume", tmp_path / "long", *change, code=3)
    assert "loss was 'l1' and is 'mse'" in err and "with --branch a new run goes on" in err
    _, err = upres("train", "--branch", tmp_path / "long", "--out", tmp_path / "branch", *change)
    assert "continuing after step 4" in err
    end = latest_checkpoint(tmp_path / "branch" / "checkpoints")
    assert end is not None and end.step == 6
    facts = {name: dict(value) for name, value in (("now", end.facts["config"]), ("before", end.facts["halves"][0]))}  # type: ignore
    assert facts["now"]["loss"] == "mse" and facts["before"]["config"]["loss"] == "l1"
    assert (facts["before"]["until"], facts["before"]["run"]) == (4, str(tmp_path / "long"))
    _, err = upres("train", "--resume", tmp_path / "branch", "--steps", 7, "--set", "loss=l1", code=3)
    assert "loss was 'mse' and is 'l1'" in err
    upres("train", "--resume", tmp_path / "branch", "--steps", 7)
