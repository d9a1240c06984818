"""The size that the user asked for, as one value: a factor, a side, a box or a number of pixels, turned into (height, width)."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

from upres.errors import UsageError

MAX_FACTOR = 64.0  # beyond this nothing of the picture is left to see, and the number is taken for a slip of the hand
MAX_SIDE_PX = 1_000_000


@dataclass(frozen=True, slots=True)
class OutputSize:
    """What the output should measure; with every field None it is the model's native scale.

    Only `width` and `height` go together. Raises `UsageError` for a value out of range and for two that contradict each other.
    """

    factor: float | None = None  # ratio of the sides, above 0, at most 64
    width: int | None = None  # in pixels; alone it keeps the proportions, with `height` the picture is fitted inside that box
    height: int | None = None  # as `width`
    long_side: int | None = None  # the longer of the two sides, in pixels
    megapixels: float | None = None  # the area, in millions of pixels

    def __post_init__(self) -> None:
        given = [field.name for field in fields(self) if getattr(self, field.name) is not None]
        if len(given) > 1 and given != ["width", "height"]:
            names = " and ".join(f"`{name}`" for name in given)
            raise UsageError(f"{names} contradict each other: give one of them (only `width` and `height` go together)")
        if self.factor is not None and not 0.0 < self.factor <= MAX_FACTOR:  # a nan fails every comparison
            raise UsageError(f"`factor` must be above 0 and at most {MAX_FACTOR:g}, got {self.factor:g}")
        for name, side in (("width", self.width), ("height", self.height), ("long_side", self.long_side)):
            if side is not None and not 1 <= side <= MAX_SIDE_PX:
                raise UsageError(f"`{name}` must be between 1 and {MAX_SIDE_PX:,} pixels, got {side:,}")
        if self.megapixels is not None and not 0.0 < self.megapixels <= MAX_SIDE_PX:
            raise UsageError(f"`megapixels` must be above 0 and at most {MAX_SIDE_PX:,}, got {self.megapixels:g}")

    def factor_for(self, height: int, width: int) -> float | None:
        """The ratio output / input for a picture of that size; None when the model's native scale is meant."""
        if self.factor is not None:
            return self.factor
        if self.width is not None and self.height is not None:
            return min(self.width / width, self.height / height)
        if self.width is not None:
            return self.width / width
        if self.height is not None:
            return self.height / height
        if self.long_side is not None:
            return self.long_side / max(height, width)
        if self.megapixels is not None:
            return math.sqrt(self.megapixels * 1e6 / (height * width))
        return None

    def resolve(self, height: int, width: int, *, native: int) -> tuple[int, int]:
        """(height, width) of the output for a picture of that size; sides are rounded to the nearest pixel and are at least 1."""
        factor = self.factor_for(height, width)
        if factor is None:
            factor = float(native)
        return max(1, math.floor(height * factor + 0.5)), max(1, math.floor(width * factor + 0.5))

    def suffix(self, height: int, width: int, *, native: int) -> str:
        """What is added to the name of a result that lies beside its source: `_x4`, `_x2.5`, or `_1920x1080` (width x height)."""
        if self == OutputSize():
            return f"_x{native}"
        if self.factor is not None:
            return f"_x{self.factor:g}"
        out_height, out_width = self.resolve(height, width, native=native)
        return f"_{out_width}x{out_height}"
