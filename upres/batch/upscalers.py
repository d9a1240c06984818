"""The models of a request, loaded once: their scale, their records, their engines."""

from __future__ import annotations

import hashlib
import math
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

from upres.batch import record
from upres.batch.request import Request
from upres.engines.options import EngineOptions
from upres.graph.opaque import Network, OpaqueModel
from upres.models.expression import parse
from upres.models.load import ModelFile, load_model
from upres.system.files import sha256_of
from upres.upscaling.tiled_run import TURNS
from upres.upscaling.upscaler import Upscaler


class Upscalers:
    """One upscaler per model of a request. Networks are loaded at first use, engines only for jobs."""

    def __init__(self, request: Request) -> None:
        self._request = request
        self.engines: dict[str, EngineOptions] = {}  # of models that must run as before; else as requested
        self._networks: dict[str, tuple[Network, ...]] = {}
        self._model_notes: list[str] = []
        self._labels: dict[str, str] = {}
        self._expected: defaultdict[str, list[tuple[int, float]]] = defaultdict(list)  # (LR pixels, times)
        self._hashes: dict[str, dict[str, str]] = {}
        self._files: dict[str, tuple[ModelFile, ...]] = {}
        self._loaded: dict[str, Upscaler] = {}
        composed = request.model is not None or request.options.denoise is not None
        self._asked = request.composition() if composed else None

    @property
    def notes(self) -> tuple[str, ...]:
        """Notes for the user: on the model, on the measured properties of an unknown architecture, on the engines."""
        networks = [network for upscaler in self._loaded.values() for network in upscaler.networks]
        measured = tuple(
            note for network in networks if isinstance(network.graph, OpaqueModel) for note in network.graph.notes
        )
        engines = tuple(note for network in networks for note in network.runner.notes)
        return (*self._model_notes, *measured, *engines)

    @property
    def asked(self) -> str | None:
        """The requested model as an expression; None: one is chosen for each picture."""
        return None if self._asked is None else str(self._asked)

    def _load(self, model: str) -> tuple[Network, ...]:
        """The networks of `model`, loaded once. Raises as `load_model` does."""
        if model not in self._networks:
            composition = self._asked or parse(model)
            loaded = load_model(composition)
            self._networks[model], self._files[model] = loaded.networks, loaded.files
            self._model_notes += loaded.notes
            self._labels[model] = record.label(composition)
        return self._networks[model]

    def scale_of(self, model: str) -> int:
        """Scale of `model`. Raises `ModelError`, and `UsageError` for a malformed expression."""
        return math.prod(network.scale for network in self._load(model))

    def record(self, model: str, height: int, width: int, source: Path | bytes) -> dict[str, str]:
        """The record of the result for a picture of (height, width) in `source`. Raises as `scale_of` does."""
        size = self._request.size.resolve(height, width, native=self.scale_of(model))
        return record.make_record(self._request.settings() | {"model": self._labels[model]}, *size, source)

    def expect(self, model: str, height: int, width: int, times: float = 1.0) -> None:
        """Announce a job for a picture of (height, width): the engine is chosen for all jobs of a model together.

        times: How many such pictures to expect in all.
        """
        self._expected[model].append((height * width, times))

    def open(self, model: str) -> Upscaler:
        """The upscaler for `model`, for which a job was announced. Raises as `scale_of` does, `EngineError`, and
        `UsageError` for its options.
        """
        if model not in self._loaded:
            expected = sorted(self._expected[model])
            options = self._request.options.replace(
                denoise=None,  # the networks are blended already
                denoise_with=None,
                engine_options=self.engines.get(model, self._request.options.engine_options),
            ).replace(
                expected_px=round(sum(px * times for px, times in expected))
                * (TURNS if self._request.options.tta else 1),
                picture_px=expected[len(expected) // 2][0],
            )
            self._loaded[model] = Upscaler(self._load(model), options)
        return self._loaded[model]

    @property
    def loaded(self) -> Mapping[str, Upscaler]:
        """Those that are open, by model."""
        return self._loaded

    @property
    def engine_options(self) -> EngineOptions:
        """As the request has them."""
        return self._request.options.engine_options

    def sha256(self, model: str) -> str:
        """Of the model: of its only file, or of the hashes and shares of several. Raises as `scale_of` does."""
        files, hashes = self.files(model), self.hashes(model)
        if len(files) == 1:
            return hashes[files[0].path.name]
        return hashlib.sha256("".join(f"{hashes[one.path.name]} {one.share!r} " for one in files).encode()).hexdigest()

    def hashes(self, model: str) -> Mapping[str, str]:
        """SHA-256 of the files of `model`, by name. Raises as `scale_of` does."""
        if model not in self._hashes:
            self._hashes[model] = {file.path.name: sha256_of(file.path) for file in self.files(model)}
        return self._hashes[model]

    def files(self, model: str) -> tuple[ModelFile, ...]:
        """The files of `model`. Raises as `scale_of` does."""
        self._load(model)
        return self._files[model]
