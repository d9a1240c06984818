"""A `Runner` for model files of unknown architecture: adapts value range, borders and sizes to the file's program."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np

from upres.engines.opaque.program import Program
from upres.engines.runner import Precision, check_input, check_output
from upres.engines.tiles import plan_windows, run_tiles
from upres.errors import EngineError, ModelError
from upres.graph.nodes import Array
from upres.graph.opaque import Kind, OpaqueModel


def open_program(kind: Kind, path: Path, *, threads: int, exact: bool) -> Program:
    """Open a model file. Raises ModelError if the file is rejected, EngineError if its engine is not installed."""
    if kind == "ncnn":
        from upres.engines.ncnn.opaque import NcnnProgram

        return NcnnProgram(path, threads=threads, exact=exact)
    if kind == "onnx":
        from upres.engines.onnx.opaque import OnnxProgram

        return OnnxProgram(path, threads=threads)
    from upres.engines.opaque.spandrel import SpandrelProgram

    return SpandrelProgram(path, threads=threads)


class FileRunner:
    """Runs a probed model file on the CPU. See `Runner`. Raises ModelError if the file has changed since."""

    device = "cpu"
    precision: Precision = "fp32"
    notes: tuple[str, ...] = ()

    def __init__(self, model: OpaqueModel, *, threads: int = 0, exact: bool = False) -> None:
        self._model = model
        self._program: Program | None = open_program(model.kind, Path(model.path), threads=threads, exact=exact)
        if self._program.sha256 != model.sha256:
            self._program.close()
            raise ModelError(f"model file {model.path}: it changed while it was being read; try again")
        self.name = self._program.name
        self.memory_factor = self._program.memory_factor
        self.grid_px = 1 if model.fixed else self._program.grid_px

    def __call__(self, lr: Array) -> Array:
        if self._program is None:
            raise EngineError("this runner is closed")
        check_input(self._model, lr)
        fixed = self._model.fixed
        sr = run_once(self._program, self._model, lr) if fixed is None else self._run_windows(self._program, fixed, lr)
        return check_output(self.name, lr, sr, self._model.scale)

    def _run_windows(self, program: Program, fixed: tuple[int, int], lr: Array) -> Array:
        """Run overlapping windows of the only size that the file accepts."""
        model, scale = self._model, self._model.scale
        height, width = lr.shape[2:]
        rows, columns = (side - 2 * model.cut_px for side in fixed)
        below, right = max(0, rows - height), max(0, columns - width)
        margins = ((0, 0), (0, 0), (0, below), (0, right))
        padded = np.pad(lr, margins, mode="reflect" if min(height, width) > 1 else "edge")
        windows = plan_windows(*padded.shape[2:], size=(rows, columns), overlap_px=model.window_overlap or 0)
        run = partial(run_once, program, model)
        return run_tiles(run, padded, windows, scale=scale, channels=model.out_channels)[
            :, :, : height * scale, : width * scale
        ]

    def close(self) -> None:
        """Free the engine's memory."""
        if self._program is not None:
            self._program.close()
            self._program = None


def run_once(program: Program, model: OpaqueModel, lr: Array) -> Array:
    """Run the program on `lr` (1, c, h, w) in [0, 1]: convert to its value range and back, and pad what it crops."""
    return from_range(run_program(program, model, lr), model, lr)


def run_program(program: Program, model: OpaqueModel, lr: Array) -> Array:
    """What the program itself returns for `lr`, in its own range: the expensive half of `run_once`."""
    low, high = model.value_range
    x = lr if (low, high) == (0.0, 1.0) else (low + lr * np.float32(high - low)).astype(np.float32)
    if model.cut_px:
        frame = (model.cut_px, model.cut_px)
        x = np.pad(x, ((0, 0), (0, 0), frame, frame), mode="reflect" if min(lr.shape[2:]) > 1 else "edge")
    return program(np.ascontiguousarray(x))


def from_range(y: Array, model: OpaqueModel, lr: Array) -> Array:
    """A result of `run_program` in [0, 1]; of a network that gives a difference, with the picture added."""
    low, high = model.output_range
    if model.residual:  # a difference has no offset
        repeated = lr.repeat(model.scale, axis=2).repeat(model.scale, axis=3)
        return (y / np.float32(high - low) + repeated).astype(np.float32)
    if (low, high) == (0.0, 1.0):
        return y
    return ((y - np.float32(low)) / np.float32(high - low)).astype(np.float32)
