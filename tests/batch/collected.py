"""Collections of small pictures with a network whose answer is known, for the tests of this folder."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.tiny import FakeRunner, compact_file, noise, picture
from upres.batch import upscalers
from upres.batch.collection import Collection
from upres.batch.collection_run import CollectionRun
from upres.batch.job import Encoding, Job, Outcome, Summary
from upres.batch.journal import NAME
from upres.batch.paths import Destination
from upres.batch.request import CollectionOptions, Request
from upres.images.io import write_picture
from upres.upscaling.upscaler import Upscaler


class Watching:
    """Counts what it is told."""

    def __init__(self) -> None:
        self.pixels = 0
        self.outcomes: list[Outcome] = []
        self.left: list[tuple[float, int]] = []

    def failed(self, outcomes: Sequence[Outcome]) -> None:
        self.outcomes += outcomes

    def planned(self, jobs: Sequence[Job], pixels_left: float, pictures_left: int) -> None:
        self.left.append((pixels_left, pictures_left))

    def advanced(self, pixels: int) -> None:
        self.pixels += pixels

    def dropped(self, pixels: int) -> None: ...

    def finished(self, outcome: Outcome) -> None:
        self.outcomes.append(outcome)


class Folder:
    """Pictures in `inputs`, results in `out`; every run is a new one, as of a new process."""

    def __init__(self, top: Path, monkeypatch: pytest.MonkeyPatch, count: int) -> None:
        self.inputs, self.out, self.patch = top / "in", top / "out", monkeypatch
        self.inputs.mkdir()
        self.model = str(compact_file(top / "tiny.safetensors", 2))
        self.runner = FakeRunner(2)
        self.last = Watching()
        monkeypatch.setattr(upscalers, "Upscaler", lambda networks, _: Upscaler(networks, runner=self.runner))
        for index in range(count):
            self.add(f"{index}.png", seed=index)

    def add(self, name: str, seed: int = 0) -> Path:
        path = self.inputs / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_picture(picture(noise(6, 7 + seed, seed=seed)), path)
        return path

    def open(self, out: Path | None = None, encoding: Encoding | None = None, **fields: Any) -> Collection:
        own = {name: fields.pop(name) for name in ("shard", "retry_failed") if name in fields}
        inputs = fields.pop("inputs", (str(self.inputs),))
        request = Request(inputs, out=str(out or self.out), **{"recursive": True, "model": self.model} | fields)
        place = Destination("png", folder=out or self.out)
        return Collection(request, encoding or Encoding(), place, lambda: b"", CollectionOptions(**own))

    def run(self, out: Path | None = None, **fields: Any) -> tuple[Collection, Summary]:
        """Run it to its end."""
        collection = self.open(out, **fields)
        try:
            self.last = Watching()
            return collection, CollectionRun(collection).run(self.last)
        finally:
            collection.close()

    def results(self, out: Path | None = None) -> dict[str, bytes]:
        """The bytes of all results, by path."""
        top = out or self.out
        files = [path for path in sorted(top.rglob("*")) if path.is_file() and not path.name.startswith(".upres")]
        assert not [path for path in files if path.name.startswith(".")], "something temporary is left"
        return {str(path.relative_to(top)): path.read_bytes() for path in files}

    def undisturbed(self) -> dict[str, bytes]:
        """The results of a run into an empty folder."""
        place = self.out.parent / f"undisturbed-{len(list(self.out.parent.iterdir()))}"
        self.run(place)
        return self.results(place)

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """Rows of the journal, read by SQLite alone."""
        connection = sqlite3.connect(self.out / NAME)
        try:
            return connection.execute(sql).fetchall()
        finally:
            connection.close()
