"""The models that a worker keeps open, so that the next picture does not wait for them."""

from __future__ import annotations

from collections import OrderedDict

from upres.models.expression import parse
from upres.models.load import load_model
from upres.system.files import sha256_of
from upres.upscaling.options import UpscaleOptions
from upres.upscaling.upscaler import Upscaler

_MOST = 4


class OpenModels:
    """Upscalers by model and options; the one that was used longest ago is closed first."""

    def __init__(self) -> None:
        self._upscalers: OrderedDict[tuple[str, UpscaleOptions], Upscaler] = OrderedDict()
        self._hashes: dict[str, dict[str, str]] = {}

    def open(self, model: str, options: UpscaleOptions) -> Upscaler:
        """The upscaler for an expression. Raises as `Upscaler` does."""
        key = (model, options)
        if key not in self._upscalers:
            self._upscalers[key] = Upscaler(model, options)
            while len(self._upscalers) > _MOST:
                self._upscalers.popitem(last=False)[1].close()
        self._upscalers.move_to_end(key)
        return self._upscalers[key]

    def hashes(self, model: str) -> dict[str, str]:
        """SHA-256 of the files of an expression, by name. Raises as `load_model` does."""
        if model not in self._hashes:
            files = load_model(parse(model)).files
            self._hashes[model] = {file.path.name: sha256_of(file.path) for file in files}
        return self._hashes[model]

    def close(self) -> None:
        """Free their memory."""
        for upscaler in self._upscalers.values():
            upscaler.close()
        self._upscalers.clear()
