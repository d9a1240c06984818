"""Models that run as is: ncnn and ONNX files of unknown architecture, and networks that only spandrel knows.

Such a file does not state its scale, receptive field or value range, so these are measured
(`upres.engines.opaque.measure`). An `OpaqueModel` holds the result and can replace a `Graph` in planning.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal, TypeAlias

from upres.graph.graph import Graph

Kind: TypeAlias = Literal["ncnn", "onnx", "spandrel"]
WHOLE_PICTURE_PX = 1 << 16  # stands for a receptive field of the whole picture, as with global attention
_NAMES = {"ncnn": "ncnn graph", "onnx": "ONNX file"}


@dataclass(frozen=True)
class OpaqueModel:
    """The measured properties of a model file. Lengths are in LR pixels; other terms are those of `Graph`.

    Args:
        kind: Which engine runs it.
        path: Of the file.
        sha256: Of the file.
        engine: Engine and version that measured it.
        family: Architecture, or file format if unknown.
        scale: Integer scale factor.
        in_channels: 3 (RGB) or 1 (gray).
        out_channels: 3 or 1.
        alignment: Sides must be multiples of this.
        receptive_field: Farthest effect of a change, or `WHOLE_PICTURE_PX` if it reached the border of the probe.
        macs_per_pixel: Multiply-adds per LR pixel.
        parameters: Number of weights.
        activation_bytes_per_pixel: Peak memory of activations per LR pixel.
        value_range: (low, high) of its input.
        output_range: (low, high) of its result.
        residual: Whether it computes only the difference to the input, repeated to the output's size.
        cut_px: Pixels that it crops on each side.
        fixed: The only size (h, w) that it accepts; None if any.
        probed_px: Shorter side of the largest probe image.
        tile_error: Largest difference of a tile from the untiled picture, for pixels in [0, 1].
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
    residual: bool
    cut_px: int
    fixed: tuple[int, int] | None
    probed_px: int
    tile_error: float

    @property
    def window_overlap(self) -> int | None:
        """Overlap of windows of `fixed` size: the receptive field, at most a quarter of the shorter side.

        None if any size is accepted.
        """
        return None if self.fixed is None else min(self.receptive_field, (min(self.fixed) - 2 * self.cut_px) // 4)

    @cached_property
    def notes(self) -> tuple[str, ...]:
        """Messages for the user: the measured properties, and their consequences for tiles, if any."""
        low, high = self.value_range
        values = f"values {low:g} to {high:g}"
        if self.output_range != self.value_range:
            values += " ({:g} to {:g} in the result)".format(*self.output_range)
        if self.receptive_field >= WHOLE_PICTURE_PX:
            reach = f"receptive field over {self.probed_px // 2} px"
        else:
            reach = f"receptive field {self.receptive_field} px (measured)"
        channels = f"{self.in_channels} channel{'s' if self.in_channels > 1 else ''}"
        parts = [f"scale {self.scale}", channels, values, reach]
        if self.residual:
            parts.append("gives the difference to the enlarged picture, which is added")
        if self.alignment > 1:
            parts.append(f"sides multiples of {self.alignment}")
        if self.cut_px:
            parts.append(f"crops {self.cut_px} px on each side, so pictures are mirrored there")
        if self.fixed:
            parts.append(f"accepts only {self.fixed[1]} x {self.fixed[0]} px, so it runs in windows of that size")
        name = Path(self.path).name
        if self.kind == "spandrel":
            what = f"{name} is a {self.family} network, run by spandrel"
        else:
            what = f"{name} is an {_NAMES[self.kind]} of unknown architecture, run as is by {self.engine}"
        found = [f"{what}: {', '.join(parts)}"]
        overlap = self.window_overlap
        if overlap is not None and overlap < self.receptive_field:
            found.append(
                f"windows overlap by {overlap} px, less than the receptive field: pixels near borders may differ"
            )
        if self.tile_error > 1e-4:
            found.append(
                f"tiles of {name} differ from the untiled picture by up to {self.tile_error:.2g} (range 0 to 1)"
            )
        return tuple(found)


Network: TypeAlias = Graph | OpaqueModel  # anything that pictures can be planned for and run through
