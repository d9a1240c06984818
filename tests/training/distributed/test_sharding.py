"""A network divided between two ranks (FSDP2) trains as one that both hold whole, and its checkpoints are the same."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("tensorboard")

from tests.training.forked import run_ranks_of
from tests.training.made import draw_photographs, features_file
from tests.training.test_loop_elastic import plan
from upres.errors import UsageError
from upres.training.checkpoint import latest_checkpoint
from upres.training.config import TrainConfig
from upres.training.config_changes import check_config
from upres.training.loop import train
from upres.training.plan import RunPlan

if sys.platform == "win32":
    pytest.skip("several processes need Linux or macOS", allow_module_level=True)

RANKS = """
import sys
from pathlib import Path
from tests.training.distributed.test_sharding import divided
from upres.training.distributed.ranks import join_ranks
from upres.training.loop import train
with join_ranks() as ranks:
    for out, steps, resume in ({runs}):
        ranks.barrier()  # rank 0 has saved
        train(divided(Path(sys.argv[1]), out, steps), resume=resume, ranks=ranks)
"""


def divided(folder: Path, out: str, steps: int) -> RunPlan:
    """A tiny ESRGAN, whose blocks are gathered one after the other."""
    one = plan(folder, out, steps)
    config = replace(
        one.config, network="rrdb", depth=2, width=4, growth=2, accumulate=1, sharded=out != "whole", channels_last=True
    )
    check_config(config)
    return replace(one, config=config)


@pytest.mark.slow
def test_a_divided_network_trains_resumes_and_is_saved_whole(tmp_path: Path) -> None:
    draw_photographs(tmp_path / "pictures")
    features_file(tmp_path / "features.safetensors")
    runs = "('whole', 4, False), ('divided', 2, False), ('divided', 4, True)"
    ends = run_ranks_of(RANKS.format(runs=runs), 2, tmp_path)
    assert [code for code, _ in ends] == [0, 0], ends
    whole, parts = (latest_checkpoint(tmp_path / name / "checkpoints") for name in ("whole", "divided"))
    assert whole is not None and parts is not None and whole.step == parts.step == 4
    assert {name: array.shape for name, array in whole.tensors.items()} == {
        name: array.shape for name, array in parts.tensors.items()
    }
    apart = {
        name: float(np.abs(np.asarray(array, np.float64) - parts.tensors[name]).max())
        for name, array in whole.tensors.items()
        if not name.startswith("discriminator.adam/") and "last.bias" not in name
    }
    assert max(apart.values()) < 5e-6, max(apart, key=apart.__getitem__)

    said: list[str] = []  # and one process takes it over
    train(divided(tmp_path, "divided", 5), resume=True, say=said.append)
    assert any("saved by 2 processes, goes on with 1" in one for one in said)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"optimizer": "adan"}, "optimizer=adan"),
        ({"compile": True}, "compile=true"),
        ({"network": "srresnet", "scale": 4}, "network=srresnet"),
        ({"network": "rrdb", "gradient_checkpointing": True}, "gradient_checkpointing=true"),
        ({"convolutions": "winograd"}, "convolutions=winograd"),
        ({"artefact_weight": 1.0}, "artefact_weight"),
    ],
)
def test_what_cannot_be_divided_is_refused_by_name(changes: dict[str, object], words: str) -> None:
    config = replace(TrainConfig("", 2, sharded=True), **changes)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=rf"`sharded=true` cannot be combined with {words}"):
        check_config(config)
