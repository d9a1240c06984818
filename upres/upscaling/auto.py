"""The networks of `Upscaler("auto")`: opened when the first picture needs them, and used again."""

from __future__ import annotations

from typing import final

from upres.engines.runner import Runner
from upres.images.io import Picture
from upres.upscaling.chain import open_chain
from upres.upscaling.checked_network import CheckedNetwork
from upres.upscaling.choose_model import DEFAULT_FACTOR, choose_model
from upres.upscaling.options import UpscaleOptions
from upres.upscaling.output_size import OutputSize


@final
class AutoModel:
    """Chooses a bundled model for each picture. Arguments as those of `open_chain`."""

    def __init__(self, options: UpscaleOptions, runner: Runner | None = None, reference: Runner | None = None) -> None:
        self._options, self._runner, self._reference = options, runner, reference
        self._opened: dict[str, tuple[CheckedNetwork, ...]] = {}

    def open_for(self, picture: Picture, size: OutputSize | None) -> tuple[tuple[CheckedNetwork, ...], str]:
        """(networks, note) of the model that fits `picture`; the note names it and the reason."""
        from upres.inspection.inspect import inspect_decoded  # who names a model does not pay for it

        factor = None if size is None else size.factor_for(*picture.pixels.shape[:2])
        choice = choose_model(inspect_decoded(picture), DEFAULT_FACTOR if factor is None else factor)
        if choice.name not in self._opened:
            self._opened[choice.name] = open_chain(choice.name, self._options, self._runner, self._reference)
        return self._opened[choice.name], f"{choice.reason}: {choice.name}"

    def close(self) -> None:
        """Free the memory of all engines."""
        for networks in self._opened.values():
            for network in networks:
                network.close()
