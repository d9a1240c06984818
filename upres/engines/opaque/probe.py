"""What a model file does, measured on small pictures in a process of its own (`measure.probe`).

It answers with the fields of `OpaqueModel`, or {"error": ...}. Everything is deterministic but the machine's rounding.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import cast

import numpy as np

from upres.engines.opaque.program import Program
from upres.engines.opaque.runner import open_program, run_once
from upres.errors import EngineError, ModelError, UpresError
from upres.graph.opaque import WHOLE_PICTURE_PX, Kind, OpaqueModel
from upres.system.child import tell
from upres.system.memory import limit_memory

_FIRST = (64, 128)
_ALIGNMENTS = (1, 2, 4, 8, 16, 32, 64)
_MAX_SCALE = 16
_PROBE_MACS = 0.15e12  # a second or two on two cores, for one run
_MAX_PROBE_PX = 256
_KEPT, _KEPT_OTHER = 0.08, 0.03  # by how much of the range a smooth picture may be missed: in [0,1], which is likely, and in another
_RANGES = (((0.0, 1.0), (0.0, 1.0)), ((0.0, 255.0), (0.0, 255.0)), ((-1.0, 1.0), (-1.0, 1.0)), ((0.0, 1.0), (0.0, 255.0)))
_TILE_ERROR = 1e-4
_RESERVED_BYTES = 8 * 2**30  # addresses that engines reserve and never touch


@dataclass(frozen=True, slots=True)
class _Size:
    """How sizes go in and come out: out = scale * in - cut, on multiples of `alignment` of what is left after the cut is put around."""

    channels: int
    out_channels: int
    scale: int
    cut_px: int
    alignment: int


def measure(program: Program, kind: Kind, path: Path) -> OpaqueModel:
    """Raises ModelError where what it does is no enlargement of pictures."""
    size = _find_size(program)
    seed = np.random.default_rng(0)
    side = program.fixed or (_multiple(64, size.alignment),) * 2
    inner = (side[0] - 2 * size.cut_px * bool(program.fixed), side[1] - 2 * size.cut_px * bool(program.fixed))
    noise = seed.random((1, size.channels, *inner), dtype=np.float32)
    try:
        cost = program.cost(noise if program.fixed is None else np.zeros((1, size.channels, *program.fixed), np.float32))
    except EngineError as error:
        raise ModelError(str(error)) from error
    area = inner[0] * inner[1]
    model = OpaqueModel(
        kind=kind,
        path=str(path),
        sha256=program.sha256,
        engine=program.name,
        family=program.family,
        scale=size.scale,
        in_channels=size.channels,
        out_channels=size.out_channels,
        alignment=size.alignment,
        receptive_field=0,
        macs_per_pixel=max(1.0, cost.macs / area),
        parameters=program.parameters,
        activation_bytes_per_pixel=max(cost.live_bytes / area, 4.0 * (size.channels + size.out_channels * size.scale**2)),
        value_range=(0.0, 1.0),
        output_range=(0.0, 1.0),
        range_is_certain=True,
        cut_px=size.cut_px,
        fixed=program.fixed,
        probed_px=0,
        tile_error=0.0,
    )
    model = _with_range(program, model, inner)
    model = _with_reach(program, model, inner)
    return model if program.fixed else _with_tiles(program, model)


def _multiple(least: int, alignment: int) -> int:
    """The smallest odd multiple of `alignment` that is not below `least`: an even one would be a multiple of more."""
    count = -(-least // alignment)
    return (count + (count + 1) % 2) * alignment


def _find_size(program: Program) -> _Size:
    height, width = program.fixed or _FIRST
    reasons: list[str] = []
    for channels in program.channels:
        try:
            sr = program(np.full((1, channels, height, width), 0.5, np.float32))
            break
        except EngineError as error:
            reasons.append(str(error))
    else:
        raise ModelError(f"it does not run on pictures of {width} x {height} pixels: {reasons[0]}")
    if sr.shape[0] != 1 or sr.shape[1] not in (1, 3):
        raise ModelError(f"its result has the shape {sr.shape}; expected a picture of 3 channels, or of 1")
    found = sr.shape[2:]
    if program.fixed:
        scale, left = divmod(found[0], height)
        cut = 0
        fits = not left and found[1] == width * scale
    else:
        scale, left = divmod(found[1] - found[0], width - height)
        cut, odd = divmod(scale * height - found[0], 2 * max(1, scale))
        fits = not left and cut >= 0 and not odd
    if not fits or not 1 <= scale <= _MAX_SCALE:
        raise ModelError(f"{width} x {height} pixels become {found[1]} x {found[0]}: no whole factor from 1 to {_MAX_SCALE}")
    size = _Size(channels, sr.shape[1], scale, cut, 1)
    if program.fixed:
        return size
    alignment = next((a for a in _ALIGNMENTS if _fits(program, size, a)), None)
    if alignment is None:
        raise ModelError(f"its results have no size that follows from the picture's, for sides of any multiple up to {_ALIGNMENTS[-1]}")
    return replace(size, alignment=alignment)


def _fits(program: Program, size: _Size, alignment: int) -> bool:
    """Whether pictures whose sides are odd multiples of `alignment` come back `scale` times as large."""
    height = _multiple(33, alignment)
    width = height + 2 * alignment
    lr = np.full((1, size.channels, height + 2 * size.cut_px, width + 2 * size.cut_px), 0.5, np.float32)
    try:
        return program(lr).shape[2:] == (height * size.scale, width * size.scale)
    except EngineError:  # this is the question
        return False


def _with_range(program: Program, model: OpaqueModel, inner: tuple[int, int]) -> OpaqueModel:
    """A smooth picture keeps its look in the right range of values, in whatever others it may be lost."""
    y, x = np.meshgrid(np.linspace(0.0, np.pi, inner[0]), np.linspace(0.0, np.pi, inner[1]), indexing="ij")
    planes = [0.5 + 0.35 * np.sin(x + shift) * np.cos(y - shift) for shift in range(model.in_channels)]
    smooth = np.stack(planes)[None].astype(np.float32)
    expected = smooth if model.out_channels == model.in_channels else smooth.mean(1, keepdims=True)
    edge = min(8, min(inner) // 4)
    inside = (slice(None), slice(None), slice(edge, -edge), slice(edge, -edge))
    tried = [replace(model, value_range=low_high, output_range=given) for low_high, given in _RANGES]
    if program.takes_bytes:
        tried = tried[1:2]
    for number, candidate in enumerate(tried):
        sr = run_once(program, candidate, smooth)
        scale = model.scale
        pooled = sr.reshape(1, sr.shape[1], inner[0], scale, inner[1], scale).mean((3, 5))
        error = float(np.abs(pooled - expected)[inside].mean()) if np.isfinite(pooled).all() else np.inf
        if error < (_KEPT_OTHER if number else _KEPT):
            return candidate
    return replace(tried[0], range_is_certain=program.takes_bytes)


def _with_reach(program: Program, model: OpaqueModel, inner: tuple[int, int]) -> OpaqueModel:
    """One pixel changed, on noise and on flat pictures: how far away anything changes. Larger pictures while changes reach the border."""
    side = min(inner)
    while True:
        shape = inner if model.fixed else (side, side)
        reach = max(_reaches(program, model, shape))
        # A pixel in the middle has side // 2 - 1 to each border at least.
        seen_all = reach >= min(shape) // 2 - model.alignment
        larger = _multiple(2 * side, model.alignment)
        affordable = larger <= _MAX_PROBE_PX + model.alignment and model.macs_per_pixel * larger**2 <= _PROBE_MACS
        if not seen_all or model.fixed or not affordable:
            break
        side = larger
    # Where a pixel stands in its block of `alignment` may matter, and not all places were tried.
    found = WHOLE_PICTURE_PX if seen_all else reach + model.alignment - 1
    return replace(model, receptive_field=found, probed_px=min(shape))


def _reaches(program: Program, model: OpaqueModel, shape: tuple[int, int]) -> Iterator[int]:
    rng = np.random.default_rng(1)
    noise = rng.random((1, model.in_channels, *shape), dtype=np.float32)
    gray = np.full_like(noise, 0.5)
    for base, changed in ((noise, 1.0 - np.rint(noise)), (gray, np.ones_like(gray)), (gray, np.zeros_like(gray))):
        before = run_once(program, model, base)
        for offset in {0, model.alignment - 1}:
            y, x = (size // 2 // model.alignment * model.alignment + offset for size in shape)
            lit = base.copy()
            lit[:, :, y, x] = changed[:, :, y, x]
            moved = np.nonzero((run_once(program, model, lit) != before).any((0, 1)))
            if moved[0].size:
                yield int(max(np.abs(moved[0] // model.scale - y).max(), np.abs(moved[1] // model.scale - x).max()))
            else:
                yield 0


def _with_tiles(program: Program, model: OpaqueModel) -> OpaqueModel:
    """Tiles against a whole picture. Where they differ, because blocks count from the corner, tiles must begin on larger multiples."""
    field = model.receptive_field
    if field >= WHOLE_PICTURE_PX:
        return model
    core = 16
    side = 2 * (field + core) + 2 * model.alignment
    if model.macs_per_pixel * side**2 > 2.0 * _PROBE_MACS:
        return model
    error = 0.0
    for alignment in [a for a in _ALIGNMENTS if a % model.alignment == 0 and a >= model.alignment]:
        error = _tile_error(program, model, alignment, core)
        if error <= _TILE_ERROR:
            return replace(model, alignment=alignment, tile_error=error)
    return replace(model, tile_error=error)


def _tile_error(program: Program, model: OpaqueModel, alignment: int, core: int) -> float:
    """Largest difference in a tile whose source begins at one odd multiple of `alignment`, with the receptive field around what is kept."""
    field = model.receptive_field
    begin = alignment
    source = _multiple(2 * field + core, alignment)
    side = _multiple(begin + source + alignment, alignment)
    lr = np.random.default_rng(2).random((1, model.in_channels, side, side), dtype=np.float32)
    whole = run_once(program, model, lr)
    tile = run_once(program, model, np.ascontiguousarray(lr[:, :, begin : begin + source, begin : begin + source]))
    kept, scale = slice(field * model.scale, (source - field) * model.scale), model.scale
    of_whole = slice((begin + field) * scale, (begin + source - field) * scale)
    return float(np.abs(whole[:, :, of_whole, of_whole] - tile[:, :, kept, kept]).max())


def main(arguments: list[str]) -> None:
    """The program; its arguments are KIND and PATH. What the file causes is an error in the answer; all else ends the process."""
    kind, path = cast(Kind, arguments[0]), Path(arguments[1])
    limit_memory(_RESERVED_BYTES)  # what a hostile file asks for is refused by the system, instead of being taken from everybody
    try:
        program = open_program(kind, path, threads=0, exact=True)
        answer: dict[str, object] = asdict(measure(program, kind, path))
    except (UpresError, MemoryError) as error:
        answer = {"error": str(error).removeprefix(f"model file {path}: ") or "it takes more memory than there is"}
    tell(**answer)
