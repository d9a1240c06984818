"""Model files that are programs of their own: an ncnn graph, an ONNX file of unknown make, a network that spandrel knows.

Nothing in such a file says what it does to a picture, so it is measured: a process of its own (`upres.engines.opaque.probe`) opens the
file, runs it on small pictures, and reports. What such a file may break, it breaks there. The facts are an `UnknownModel`, with which
pictures are planned as with a `Graph`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, TypeAlias, cast

from upres.errors import ModelError
from upres.graph.graph import Graph

Kind: TypeAlias = Literal["ncnn", "onnx", "spandrel"]
WHOLE_PICTURE_PX = 1 << 16  # the receptive field of a network that sees all of any picture
_PROBE = "upres.engines.opaque.probe"  # by name: it lies above this module and is run as a program
_TIMEOUT_S = 300.0
_NAMES = {"ncnn": "ncnn graph", "onnx": "ONNX file", "spandrel": "file known to spandrel"}


@dataclass(frozen=True)
class UnknownModel:
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
        found = [f"{Path(self.path).name} is an {_NAMES[self.kind]} of unknown make, run as it is by {self.engine}: {', '.join(parts)}"]
        if self.kind == "spandrel":
            found = [f"{Path(self.path).name} is a {self.family} network, run by spandrel: {', '.join(parts)}"]
        overlap = self.window_overlap
        if overlap is not None and overlap < self.receptive_field:
            found.append(f"its windows overlap by {overlap} px, less than it sees: values near their borders can differ")
        if self.tile_error > 1e-4:
            found.append(f"tiles of {Path(self.path).name} differ from the untiled picture by up to {self.tile_error:.2g} of the range")
        return tuple(found)


Network: TypeAlias = Graph | UnknownModel  # what pictures can be planned with and run through


def probe(path: Path, kind: Kind) -> UnknownModel:
    """Measure the file in a process of its own. Raises ModelError with its words, or with the way in which it died."""
    command = [sys.executable, "-P", "-m", _PROBE, kind, str(path.absolute())]
    try:
        done = subprocess.run(command, capture_output=True, timeout=_TIMEOUT_S, stdin=subprocess.DEVNULL, env=_environment(), check=False)
    except subprocess.TimeoutExpired as error:
        raise ModelError(f"model file {path}: running it on a small picture took more than {_TIMEOUT_S:.0f} seconds") from error
    lines = done.stdout.decode(errors="replace").splitlines()
    try:
        answer: Any = json.loads(lines[-1]) if lines else None
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        how = f"was ended by signal {-done.returncode}" if done.returncode < 0 else f"ended with code {done.returncode}"
        said = done.stderr.decode(errors="replace").strip().splitlines()
        last = f" ({said[-1][:200]})" if said else ""
        raise ModelError(f"model file {path}: trying it on a small picture {how}{last}. The file is damaged, or not for pictures")
    if "error" in answer:
        raise ModelError(f"model file {path}: {answer['error']}")
    return from_answer(cast("dict[str, Any]", answer))


def from_answer(answer: dict[str, Any]) -> UnknownModel:
    """The model whose fields came through JSON."""
    values: dict[str, Any] = {field.name: answer[field.name] for field in fields(UnknownModel)}
    for name in ("value_range", "output_range", "fixed"):
        values[name] = None if values[name] is None else tuple(values[name])
    return UnknownModel(**values)


def _environment() -> dict[str, str]:
    """Ours, with the folder of this package first among those where the probe looks for it."""
    package = str(Path(__file__).resolve().parents[2])
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [package, os.environ.get("PYTHONPATH", "")]))}
