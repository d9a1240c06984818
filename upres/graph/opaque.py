"""Model files that run as they are: an ncnn graph with layers of its own, an ONNX file, a network that spandrel runs.

Nothing in such a file says what it does to a picture, so it is measured (`upres.engines.opaque.measure`). The facts are an `OpaqueModel`,
with which pictures are planned as with a `Graph`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal, TypeAlias

from upres.graph.graph import Graph

Kind: TypeAlias = Literal["ncnn", "onnx", "spandrel"]
WHOLE_PICTURE_PX = 1 << 16  # the receptive field of a network that sees all of any picture
_NAMES = {"ncnn": "ncnn graph", "onnx": "ONNX file", "spandrel": "file known to spandrel"}


@dataclass(frozen=True)
class OpaqueModel:
    """What was measured of a model file, as JSON carries it from the probe. Sizes are in LR pixels, words as of `upres.graph.graph.Graph`.

    `receptive_field` is the farthest change that was seen, or `WHOLE_PICTURE_PX` where changes reached the border of the probe, `probed_px`
    wide. `value_range` is [low, high] of its input, `output_range` of its result. `cut_px` is what it cuts off at each side, `fixed` the
    only size (h, w) that it takes. `tile_error` is the largest difference of a tile from the untiled picture, in shares of the range.
    """

    kind: Kind
    path: str
    sha256: str
    engine: str
    family: str
    scale: int
    in_channels: int
    out_channels: int
    alignment: int
    receptive_field: int
    macs_per_pixel: float
    parameters: int
    activation_bytes_per_pixel: float
    value_range: tuple[float, float]
    output_range: tuple[float, float]
    range_is_certain: bool
    cut_px: int
    fixed: tuple[int, int] | None
    probed_px: int
    tile_error: float

    @property
    def window_overlap(self) -> int | None:
        """Of a file of one fixed size: all that the network sees, but a quarter of the shorter side at most."""
        return None if self.fixed is None else min(self.receptive_field, (min(self.fixed) - 2 * self.cut_px) // 4)

    @cached_property
    def notes(self) -> tuple[str, ...]:
        """What was found, for the user, in one line, and what it means for tiles in another, if anything."""
        low, high = self.value_range
        values = f"values {low:g} to {high:g}" + ("" if self.range_is_certain else " (assumed: its answers do not show it)")
        if self.receptive_field >= WHOLE_PICTURE_PX:
            reach = f"sees farther than the {self.probed_px // 2} px that were tried"
        else:
            reach = f"sees {self.receptive_field} px (measured)"
        parts = [f"scale {self.scale}", f"{self.in_channels} channel{'s' if self.in_channels > 1 else ''}, {values}", reach]
        if self.alignment > 1:
            parts.append(f"sides are multiples of {self.alignment}")
        if self.cut_px:
            parts.append(f"cuts off {self.cut_px} px at each side, which are mirrored")
        if self.fixed:
            parts.append(f"takes {self.fixed[1]} x {self.fixed[0]} px only, so it runs in windows of that size")
        what = f"an {_NAMES[self.kind]} of unknown architecture, run as it is by {self.engine}"
        if self.kind == "spandrel":
            what = f"a {self.family} network, run by spandrel"
        found = [f"{Path(self.path).name} is {what}: {', '.join(parts)}"]
        overlap = self.window_overlap
        if overlap is not None and overlap < self.receptive_field:
            found.append(f"its windows overlap by {overlap} px, less than it sees: values near their borders can differ")
        if self.tile_error > 1e-4:
            found.append(f"tiles of {Path(self.path).name} differ from the untiled picture by up to {self.tile_error:.2g} of the range")
        return tuple(found)


Network: TypeAlias = Graph | OpaqueModel  # what pictures can be planned with and run through
