"""How long work takes on this machine: learned from each job, kept over restarts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# Before anything was measured: a fifth of the speed of two cores from 2020, and codecs as measured once.
_FIRST = {"macs": 20e9, "read": 20e-9, "write": 0.1e-6, "look": 0.1, "open": 0.1, "job": 1.0}
_WEIGHT = 0.3  # of the newest figure
_LEAST_S = 0.05  # shorter runs say nothing of speed
_LEAST_PIXELS = 100_000
_OPENING_S = 0.02  # less: the model was open


class Speeds:
    """Figures by name: "macs/MODEL" (multiply-adds a second), "read" and "write/FORMAT" (seconds a pixel), "look" and
    "open/MODEL" (seconds), "job" (seconds of a typical job). `changed` holds the names of new ones.
    """

    def __init__(self, values: Mapping[str, float]) -> None:
        self._values = dict(values)
        self.changed: set[str] = set()

    def __getitem__(self, name: str) -> float:
        return self._values.get(name, _FIRST[name.partition("/")[0]])

    def __contains__(self, name: str) -> bool:
        return name in self._values

    def items(self, names: set[str]) -> dict[str, float]:
        return {name: self._values[name] for name in names}

    def estimate(self, facts: Mapping[str, Any], format: str, *, chosen: bool, opened: bool = True) -> float:
        """Seconds of work on a picture.

        facts: Of a worker's answer "planned".
        format: Of the result.
        chosen: The model is chosen by the picture, which takes a look at it.
        opened: The model is open; else that takes its time too.
        """
        size = facts["size"]
        return (
            facts["macs"] / self[f"macs/{facts['model']['name']}"]
            + facts["pixels"] * self["read"]
            + size["width"] * size["height"] * self[f"write/{format}"]
            + (self["look"] if chosen else 0.0)
            + (0.0 if opened else self[f"open/{facts['model']['name']}"])
        )

    def learn(
        self, facts: Mapping[str, Any], times: Mapping[str, float], format: str, *, chosen: bool, alone: bool = True
    ) -> None:
        """Take in the times of a job that is done, by its steps in seconds. Those of one that did not run `alone` are
        longer, and only stand in for what is not known yet.
        """
        model, pixels = facts["model"]["name"], facts["pixels"]
        pixels_out = facts["size"]["width"] * facts["size"]["height"]
        if times["open"] >= _OPENING_S:
            self.note(f"open/{model}", times["open"])
        if not alone and f"macs/{model}" in self:
            return
        if times["run"] >= _LEAST_S and facts["macs"]:
            self.note(f"macs/{model}", facts["macs"] / times["run"])
        if pixels >= _LEAST_PIXELS:
            self.note("read", times["read"] / pixels)
        if pixels_out >= _LEAST_PIXELS:
            self.note(f"write/{format}", times["write"] / pixels_out)
        if chosen:
            self.note("look", times["look"])
        self.note("job", sum(times.values()))

    def note(self, name: str, value: float) -> None:
        """A new figure."""
        before = self._values.get(name)
        self._values[name] = value if before is None else (1 - _WEIGHT) * before + _WEIGHT * value
        self.changed.add(name)
