"""The guard of a run from the command line, and of several processes."""

from __future__ import annotations

from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("tensorboard")

from tests.training.forked import run_ranks_of  # noqa: E402
from tests.training.made import draw_photographs  # noqa: E402
from tests.training.test_loop_stability import SETTINGS, World, state  # noqa: E402
from upres.cli.main import app  # noqa: E402


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of pictures."""
    return draw_photographs(tmp_path_factory.mktemp("guard"))


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    return World(monkeypatch)


@pytest.mark.slow
def test_the_verb_hands_on_guard(
    folder: Path, tmp_path: Path, world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [
        "train",
        "compact-gan-x2",
        "--data",
        str(folder),
        "--out",
        str(tmp_path),
        "--init",
        "random",
        "--device",
        "cpu",
        "--guard",
    ]
    for key, value in SETTINGS.items():
        words += ["--set", f"{key}={','.join(map(str, value)) if isinstance(value, tuple) else value}"]
    with pytest.raises(SystemExit) as end:
        app(words)
    said = capsys.readouterr().err
    assert end.value.code == 0, said
    assert "guard: step 9: LR-PSNR is 20.0 dB" in said and len(world.trained) == 17


TWO = """
import sys
from pathlib import Path
import pytest
from tests.training.test_loop_stability import World, draw_photographs, go  # noqa: E402
from upres.training.distributed.ranks import join_ranks
folder, out = Path(sys.argv[1], "pictures"), Path(sys.argv[1], "run")
with join_ranks() as ranks:
    if ranks.rank == 0:
        draw_photographs(folder)
    ranks.barrier()
    world = World(pytest.MonkeyPatch())
    said = go(folder, out, ranks=ranks)
    steps = [step for step, _, _ in world.trained]
    assert steps == [*range(1, 10), *range(7, 15)], steps
    assert len(said) == (ranks.rank == 0), said
"""


def test_two_processes_go_back_together(tmp_path: Path) -> None:
    ends = run_ranks_of(TWO, 2, tmp_path)
    assert [code for code, _ in ends] == [0, 0], ends
    assert state(tmp_path / "run")["step"] == 14
