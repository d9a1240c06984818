"""A cluster of two nodes on this machine, one of which is killed in the middle."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.batch.collected import Watching
from tests.tiny import noise, picture
from upres.batch.collection import Collection
from upres.batch.collection_run import CollectionRun
from upres.batch.job import Encoding, Outcome, Summary
from upres.batch.journal import NAME
from upres.batch.paths import Destination
from upres.batch.pool_run import PoolRun, setup_of
from upres.batch.ray_pool import RayPool
from upres.batch.request import CollectionOptions, Request
from upres.batch.tasks import Setup
from upres.errors import EngineError
from upres.images.io import write_picture
from upres.upscaling.options import UpscaleOptions
from upres.upscaling.output_size import OutputSize


@pytest.fixture
def cluster() -> Iterator[Any]:
    pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "object_store_memory": 100 << 20})
    yield made
    made.shutdown()


def opened(folder: Path, out: str, model: Path) -> Collection:
    options = UpscaleOptions().replace(threads=1, engine="ncnn", device="cpu", precision="fp32")
    request = Request(
        (str(folder),), out=str(folder.parent / out), model=str(model), options=options, size=OutputSize(factor=4.0)
    )
    place = Destination("png", folder=folder.parent / out)
    return Collection(request, Encoding(), place, lambda: b"", CollectionOptions())


def rows(folder: Path) -> list[tuple[Any, ...]]:
    journal = sqlite3.connect(folder / NAME)
    columns = "source, target, state, content, model, result, pixels, code, reason"
    found = journal.execute(f"SELECT {columns} FROM pictures ORDER BY source").fetchall()
    journal.close()
    return found


@pytest.mark.extras
@pytest.mark.filterwarnings("ignore")  # of ray and what it imports
def test_a_lost_node_costs_nothing_but_time(tmp_path: Path, model: Path, cluster: Any) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for index in range(40):
        write_picture(picture(noise(60, 60, seed=index)), folder / f"{index:02}.png")
    (folder / "bad.png").write_bytes(b"no picture")
    collection = opened(folder, "alone", model)
    alone = CollectionRun(collection).run(Watching())
    collection.close()

    node = cluster.add_node(num_cpus=1, object_store_memory=100 << 20)
    killed = threading.Event()

    class Killing(Watching):
        def finished(self, outcome: Outcome) -> None:
            super().finished(outcome)
            if len(self.outcomes) == 8:
                cluster.remove_node(node, allow_graceful=False)
                killed.set()

    collection = opened(folder, "cluster", model)
    pool = RayPool(cluster.address, setup_of(collection, 1))
    try:
        together: Summary = PoolRun(collection, pool).run(Killing())
    finally:
        pool.close()
        collection.close()
    assert killed.is_set()
    assert (together.done, together.failed, together.left) == (alone.done, alone.failed, alone.left) == (40, 1, 0)
    assert rows(tmp_path / "cluster") == rows(tmp_path / "alone")
    for path in (tmp_path / "alone").glob("*.png"):
        assert (tmp_path / "cluster" / path.name).read_bytes() == path.read_bytes()


def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:

    monkeypatch.setattr("upres.system.packages.has_module", lambda module: False)
    with pytest.raises(EngineError, match=r"`ray` needs ray, which.*pip install 'upres\[ray\]'"):
        RayPool("auto", Setup(replace(Request(()), out="out"), {}, "out", "png"))
