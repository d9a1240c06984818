"""The requested output size (a factor, a side, a box or an area), resolved to (height, width) for each picture."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

from upres.errors import InputError, UsageError
from upres.system.memory import PROCESS_BYTES
from upres.system.text import words_for_bytes

MAX_FACTOR = 64.0  # a larger factor is taken for a typing mistake
MAX_SIDE_PX = 1_000_000


@dataclass(frozen=True, slots=True)
class OutputSize:
    """The size of the output. With every field None it is the model's own scale.

    Only `width` and `height` can be combined. Raises `UsageError` for a value out of range, and for fields that exclude
    each other.
    """

    factor: float | None = None  # ratio of output to input side, in (0, 64]; 1 cleans: the network runs, then a resize
    width: int | None = None  # in pixels; alone it keeps the proportions, with `height` the picture fits inside the box
    height: int | None = None  # as `width`
    long_side: int | None = None  # longer side, in pixels
    megapixels: float | None = None  # area, in millions of pixels
    exact: tuple[int, int] | None = None  # (height, width) in pixels, whatever the proportions

    def __post_init__(self) -> None:
        given = [field.name for field in fields(self) if getattr(self, field.name) is not None]
        if len(given) > 1 and given != ["width", "height"]:
            names = " and ".join(f"`{name}`" for name in given)
            raise UsageError(f"{names} exclude each other; set one of them (only `width` and `height` can be combined)")
        if self.factor is not None and not 0.0 < self.factor <= MAX_FACTOR:  # a nan fails every comparison
            raise UsageError(f"`factor` must be in (0, {MAX_FACTOR:g}], got {self.factor:g}")
        for name, side in (("width", self.width), ("height", self.height), ("long_side", self.long_side)):
            if side is not None and not 1 <= side <= MAX_SIDE_PX:
                raise UsageError(f"`{name}` must be between 1 and {MAX_SIDE_PX:,} pixels, got {side:,}")
        if self.exact is not None and not all(1 <= side <= MAX_SIDE_PX for side in self.exact):
            raise UsageError(f"`exact` must be (height, width) between 1 and {MAX_SIDE_PX:,} pixels, got {self.exact}")
        if self.megapixels is not None and not 0.0 < self.megapixels <= MAX_SIDE_PX:
            raise UsageError(f"`megapixels` must be in (0, {MAX_SIDE_PX:,}], got {self.megapixels:g}")

    def factor_for(self, height: int, width: int) -> float | None:
        """Output side / input side for a picture of (height, width); None for the model's own scale."""
        if self.factor is not None:
            return self.factor
        if self.exact is not None:
            return max(self.exact[0] / height, self.exact[1] / width)
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
        """(height, width) of the output for a picture of (height, width), rounded, at least 1; `native` is the model's
        scale.
        """
        if self.exact is not None:
            return self.exact
        factor = self.factor_for(height, width)
        if factor is None:
            factor = float(native)
        return max(1, math.floor(height * factor + 0.5)), max(1, math.floor(width * factor + 0.5))

    def suffix(self, height: int, width: int, *, native: int) -> str:
        """Suffix of a result's name beside its input: `_x4`, `_x2.5`, or `_1920x1080` (width x height)."""
        if self == OutputSize():
            return f"_x{native}"
        if self.factor is not None:
            return f"_x{self.factor:g}"
        out_height, out_width = self.resolve(height, width, native=native)
        return f"_{out_width}x{out_height}"


def too_large(height: int, width: int, needed: int, budget_bytes: int) -> InputError:
    """The refusal of an output of (height, width) that needs more bytes than it may take."""
    needs, may, own = map(words_for_bytes, (needed, max(0, budget_bytes), PROCESS_BYTES))
    return InputError(
        f"an output of {width} x {height} needs {needs} of memory, and {may} may be used (beside {own} of the program "
        "itself); request a smaller output, close other programs, or raise `memory_bytes`"
    )
