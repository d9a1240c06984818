"""How fast a run works, without its start: loading a model and measuring engines is done once, however long the job."""

from __future__ import annotations

import time


class Pace:
    """Measures one run, from now on, by a clock that never jumps."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._first_at: float | None = None
        self._first_pixels = self._pixels = 0

    def add(self, pixels: int) -> float:
        """A result of `pixels` output pixels is made; 0 is one that was taken over.

        Returns the seconds that all results so far take at the pace since the first of them, which pays for the start.
        """
        now = time.monotonic()
        self._pixels += pixels
        if self._first_at is None:
            if pixels:
                self._first_at, self._first_pixels = now, pixels
            return now - self._began
        after = self._pixels - self._first_pixels
        return (now - self._first_at) * self._pixels / after if after else now - self._began
