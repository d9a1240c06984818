"""What the models of a job are and run on, kept in its journal: results stay the same when the job is gone on with."""

from __future__ import annotations

from collections.abc import Sequence

from upres.batch.collection import Collection
from upres.batch.journal_rows import DONE
from upres.batch.plan import Planned
from upres.batch.tasks import engine_options
from upres.engines.options import EngineOptions
from upres.engines.registry import DEVICES
from upres.errors import EngineError, UsageError


class ModelMemory:
    """Opens the models of a collection as its journal says, and tells the journal of new ones."""

    def __init__(self, collection: Collection) -> None:
        self._collection = collection
        self._journal, self._upscalers = collection.journal, collection.planner.upscalers
        self._all: dict[str, tuple[str, str, str]] | None = None

    def open(self, planned: Sequence[Planned], times: float) -> None:
        """Open the models of these pictures, of which there are `times` as many in all.

        Raises `UsageError` for a model file that is not the one that the job began with, and as `Upscalers.open`.
        """
        for model in dict.fromkeys(one.model for one in planned):
            if model in self._upscalers.loaded:
                continue
            sha256 = self._upscalers.sha256(model)
            for one in planned:
                if one.model == model:
                    self._collection.planner.expect(one, times)
            known = self._recorded(model)
            if known is not None:
                self._check(model, known[0], sha256)
                self._upscalers.engines[model] = self._engine(model, *known[1:])
            runner = self._upscalers.open(model).runner
            self.note(model, sha256, runner.name, runner.device, runner.precision)

    def note(self, model: str, sha256: str, engine: str, device: str, precision: str) -> None:
        """Remember what a model of the job is and runs on, the first time. Raises `UsageError` as `open` does."""
        known = self._recorded(model)
        if known is not None:
            self._check(model, known[0], sha256)
        if known is None or known[0] != sha256:
            row = (self._journal.job, model, sha256, engine, device, precision)
            self._journal.data.write("INSERT OR REPLACE INTO models VALUES (?, ?, ?, ?, ?, ?)", row)
            self._all = None

    def all_recorded(self) -> dict[str, tuple[str, str, str]]:
        """Engine, device and precision of every model of the job."""
        if self._all is None:
            rows = self._journal.data.query(
                "SELECT name, engine, device, precision FROM models WHERE job = ?", (self._journal.job,)
            )
            self._all = {name: (engine, device, precision) for name, engine, device, precision in rows}
        return self._all

    def _recorded(self, model: str) -> tuple[str, str, str, str] | None:
        """(SHA-256, engine, device, precision) that the job began with."""
        rows = self._journal.data.query(
            "SELECT sha256, engine, device, precision FROM models WHERE job = ? AND name = ?",
            (self._journal.job, model),
        )
        return rows[0] if rows else None

    def _check(self, model: str, before: str, now: str) -> None:
        if before == now or self._collection.request.overwrite:
            return
        if self._journal.data.query(
            "SELECT 1 FROM pictures WHERE job = ? AND state = ? AND model = ? LIMIT 1", (self._journal.job, DONE, model)
        ):
            raise UsageError(
                f"{model} is another file than when the job in {self._collection.folder} began (SHA-256 {now[:12]}, it "
                f"was {before[:12]}); use that file, choose another folder with `out`, or replace all results with "
                "`overwrite=True`"
            )

    def _engine(self, model: str, name: str, device: str, precision: str) -> EngineOptions:
        """The options that open the engine of the job again, where the request leaves them open."""
        asked = self._collection.request.options.engine_options
        engine = name.partition(" ")[0].replace("onnxruntime", "onnx")
        if engine not in DEVICES:
            return asked
        if asked.engine not in ("auto", engine):
            self._note(f"{model} ran on {name} until now and runs on {asked.engine} from here, as requested")
            return asked
        same = engine_options(asked, name, device, precision)
        try:
            same.check_installed()
        except EngineError as error:
            self._note(f"{model} ran on {name} until now, which is not here: {error}; results may differ in rounding")
            return asked
        return same

    def _note(self, words: str) -> None:
        if words not in self._collection.notes:
            self._collection.notes.append(words)
