"""Measure what a model file does on small test images, in a child process (`measure.probe`).

The answer has the fields of `OpaqueModel`, or "error". Deterministic up to the machine's rounding.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import cast

import numpy as np

from upres.engines.opaque.program import Program
from upres.engines.opaque.runner import from_range, open_program, run_once, run_program
from upres.errors import EngineError, ModelError, UpresError
from upres.graph.nodes import Array
from upres.graph.opaque import WHOLE_PICTURE_PX, Kind, OpaqueModel
from upres.system.child import tell
from upres.system.files import model_bytes
from upres.system.memory import limit_memory

_FIRST = (64, 128)
_ALIGNMENTS = (1, 2, 4, 8, 16, 32, 64)
_MAX_SCALE = 16
_PROBE_MACS = 0.15e12  # for one run: a second or two on two cores
_MAX_PROBE_PX = 256
_KEPT, _KEPT_OTHER = 0.08, 0.03  # tolerated mean error on a smooth image: for [0, 1], the likely range, and for others
# Another range is taken if its error is below this share of the error for [0, 1]: networks are nearly linear, so
# ranges are seldom told apart by less. Measured for known networks: 0.003 for the right range, 3 to 6 for wrong ones.
_CLEARLY = 0.125
_RANGE = ((0.0, 1.0), (0.0, 255.0), (-1.0, 1.0))
_RANGES = sorted(((low_high, given) for low_high in _RANGE for given in _RANGE), key=lambda pair: pair[0] != pair[1])
_SIZES_TRIED = 16  # a network may accept only every so many sides
_TILE_ERROR = 1e-4
_RESERVED_BYTES = 8 * 2**30  # addresses that engines reserve and never touch
# Memory of a probe: an engine with its activations on a small image, and a few copies of the weights.
_MOST_BYTES, _COPIES = 3 * 2**30, 12


@dataclass(frozen=True, slots=True)
class _Size:
    """Channels and sizes: h_out = scale * (h_in - 2 * cut_px), where h_in - 2 * cut_px is a multiple of `alignment`."""

    channels: int
    out_channels: int
    scale: int
    cut_px: int
    alignment: int


def measure(program: Program, kind: Kind, path: Path) -> OpaqueModel:
    """Measure a program. Raises ModelError if it does not upscale images."""
    size = _find_size(program)
    seed = np.random.default_rng(0)
    side = program.fixed or (_multiple(64, size.alignment),) * 2
    inner = (side[0] - 2 * size.cut_px * bool(program.fixed), side[1] - 2 * size.cut_px * bool(program.fixed))
    noise = seed.random((1, size.channels, *inner), dtype=np.float32)
    try:
        cost = program.cost(
            noise if program.fixed is None else np.zeros((1, size.channels, *program.fixed), np.float32)
        )
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
        activation_bytes_per_pixel=max(
            cost.live_bytes / area, 4.0 * (size.channels + size.out_channels * size.scale**2)
        ),
        value_range=(0.0, 1.0),
        output_range=(0.0, 1.0),
        residual=False,
        cut_px=size.cut_px,
        fixed=program.fixed,
        probed_px=0,
        tile_error=0.0,
    )
    model = _with_range(program, model, inner)
    model = _with_reach(program, model, inner)
    return model if program.fixed else _with_tiles(program, model)


def _multiple(least: int, alignment: int) -> int:
    """The smallest odd multiple of `alignment`, at least `least`; an even one would be aligned to 2 alignment too."""
    count = -(-least // alignment)
    return (count + (count + 1) % 2) * alignment


def _find_size(program: Program) -> _Size:
    channels, (height, width), sr = _first_run(program)
    if sr.shape[0] != 1 or sr.shape[1] not in (1, 3):
        raise ModelError(f"expected a result of 3 or 1 channels, got shape {sr.shape}")
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
        raise ModelError(
            f"it turns {width} x {height} pixels into {found[1]} x {found[0]}; expected an integer scale from 1 to "
            f"{_MAX_SCALE}"
        )
    size = _Size(channels, sr.shape[1], scale, cut, 1)
    if program.fixed:
        return size
    alignment = next((a for a in _ALIGNMENTS if _fits(program, size, a)), None)
    if alignment is None:
        raise ModelError(
            "its output size is not proportional to its input size, even for sides that are multiples of "
            f"{_ALIGNMENTS[-1]}"
        )
    return replace(size, alignment=alignment)


def _first_run(program: Program) -> tuple[int, tuple[int, int], Array]:
    """(channels, (h, w), result) of a run on the first input that the program accepts."""
    reasons: list[str] = []
    for more in range(1 if program.fixed else _SIZES_TRIED):
        height, width = program.fixed or (_FIRST[0] + more, _FIRST[1] + more)
        for channels in program.channels:
            try:
                return channels, (height, width), program(np.full((1, channels, height, width), 0.5, np.float32))
            except EngineError as error:
                reasons.append(str(error))
    height, width = program.fixed or _FIRST
    raise ModelError(f"it does not run on {width} x {height} pixels: {reasons[0]}")


def _fits(program: Program, size: _Size, alignment: int) -> bool:
    """Whether images whose sides are odd multiples of `alignment` are scaled by `scale`."""
    height = _multiple(33, alignment)
    width = height + 2 * alignment
    lr = np.full((1, size.channels, height + 2 * size.cut_px, width + 2 * size.cut_px), 0.5, np.float32)
    try:
        return program(lr).shape[2:] == (height * size.scale, width * size.scale)
    except EngineError:  # it does not accept this size
        return False


def _with_range(program: Program, model: OpaqueModel, inner: tuple[int, int]) -> OpaqueModel:
    """Find the value ranges that preserve a smooth image best, as it is or as a difference to it.

    Raises ModelError if none does.
    """
    y, x = np.meshgrid(np.linspace(0.0, np.pi, inner[0]), np.linspace(0.0, np.pi, inner[1]), indexing="ij")
    planes = [0.5 + 0.35 * np.sin(x + shift) * np.cos(y - shift) for shift in range(model.in_channels)]
    smooth = np.stack(planes)[None].astype(np.float32)
    edge = min(8, min(inner) // 4)
    inside = (slice(None), slice(None), slice(edge, -edge), slice(edge, -edge))
    tried = [replace(model, value_range=low_high, output_range=given) for low_high, given in _RANGES]
    if program.takes_bytes:
        tried = [candidate for candidate in tried if candidate.value_range == _RANGE[1]]
    if model.in_channels == model.out_channels:
        tried += [replace(tried[0], residual=True)]
    errors: list[float] = []
    ran: dict[tuple[float, float], Array] = {}  # a run costs seconds, and only what is given in makes one
    for candidate in tried:
        if candidate.value_range not in ran:
            ran[candidate.value_range] = run_program(program, candidate, smooth)
        found = _pooled(from_range(ran[candidate.value_range], candidate, smooth), model.scale)
        expected = smooth if found.shape[1] == model.in_channels else smooth.mean(1, keepdims=True)
        errors.append(float(np.abs(found - expected)[inside].mean()) if np.isfinite(found).all() else np.inf)
    place = int(np.argmin(errors))
    if errors[0] < _KEPT and errors[place] > _CLEARLY * errors[0]:
        place = 0
    best, least = tried[place], errors[place]
    if least >= (_KEPT if best.value_range == best.output_range == _RANGE[0] and not best.residual else _KEPT_OTHER):
        raise ModelError(
            "it does not give a smooth picture back, with values from 0 to 1, 0 to 255 or -1 to 1; expected a network "
            f"that enlarges pictures (the nearest result differs by {least:.0%} on the average)"
        )
    return best


def _pooled(sr: Array, scale: int) -> Array:
    """The mean of each block of `scale` x `scale` pixels: 1 c h*scale w*scale -> 1 c h w."""
    _, channels, height, width = sr.shape
    return sr.reshape(1, channels, height // scale, scale, width // scale, scale).mean((3, 5))


def _with_reach(program: Program, model: OpaqueModel, inner: tuple[int, int]) -> OpaqueModel:
    """Find the receptive field: how far a change of one pixel reaches, in noise and in flat images.

    The image grows while changes reach its border.
    """
    side = min(inner)
    while True:
        shape = inner if model.fixed else (side, side)
        # The pixel in the center is at least side // 2 - 1 from each border.
        border, reach = min(shape) // 2 - model.alignment, 0
        for found in _reaches(program, model, shape):
            reach = max(reach, found)
            if reach >= border:  # further runs would tell no more
                break
        seen_all = reach >= border
        larger = _multiple(2 * side, model.alignment)
        affordable = larger <= _MAX_PROBE_PX + model.alignment and model.macs_per_pixel * larger**2 <= _PROBE_MACS
        if not seen_all or model.fixed or not affordable:
            break
        side = larger
    # The position within a block of `alignment` may matter, and not all positions were tried.
    field = WHOLE_PICTURE_PX if seen_all else reach + model.alignment - 1
    return replace(model, receptive_field=field, probed_px=min(shape))


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
    """Compare tiles with a whole image. If they differ (blocks counted from the corner), try larger alignments."""
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
    """Largest difference in a tile that begins at `alignment`, an odd multiple, with the receptive field as overlap."""
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
    """Probe the file PATH of kind KIND, the arguments.

    Errors caused by the file are part of the answer; other exceptions end the process, which the parent reports.
    """
    kind, path = cast(Kind, arguments[0]), Path(arguments[1])
    try:
        limit_memory(_RESERVED_BYTES, _MOST_BYTES + _COPIES * model_bytes(path))  # against hostile files
        program = open_program(kind, path, threads=0, exact=True)
        answer: dict[str, object] = asdict(measure(program, kind, path))
    except (UpresError, MemoryError) as error:
        answer = {"error": str(error).removeprefix(f"model file {path}: ") or "it needs more memory than is available"}
    tell(**answer)
