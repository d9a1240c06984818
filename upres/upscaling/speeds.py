"""How fast a chain of networks runs here, measured once for each number of tiles at once."""

from __future__ import annotations

from collections.abc import Sequence

from upres.upscaling.checked_network import MOST_PX as MOST_PX
from upres.upscaling.checked_network import CheckedNetwork, chain_speed

CALIBRATION_MACS = 8e9
_GLANCE_MACS = 1e9


class Speeds:
    """Multiply-adds per second, as far as they were asked for."""

    def __init__(self) -> None:
        self._measured: dict[tuple[int, int], float] = {}  # by tiles at once and their longest side
        self._glances: dict[tuple[int, int], float] = {}

    def macs_per_second(
        self, networks: Sequence[CheckedNetwork], macs: float, workers: int, most_px: int = MOST_PX
    ) -> float:
        """With gray tiles of about `macs` multiply-adds in all, `workers` at once, of at most `most_px` a side."""
        key = workers, most_px
        if key not in self._measured:
            # The first run also allocates memory, and other programs may disturb any run: take the fastest.
            self._measured[key] = max(chain_speed(networks, macs, workers, most_px) for _ in range(3))
        return self._measured[key]

    def glance(self, networks: Sequence[CheckedNetwork], workers: int, most_px: int = MOST_PX) -> float:
        """A lower bound, from small tiles in a tenth of the time; the better figure if measured."""
        key = workers, most_px
        known = self._measured.get(key) or self._glances.get(key)
        if known is None:
            known = self._glances[key] = chain_speed(networks, _GLANCE_MACS, workers, most_px)
        return known
