"""A user's `.param` and `.bin`, run by ncnn as they are: for graphs that are not made of our nodes alone (`upres.ncnn_graph`)."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportMissingTypeStubs=false, reportAttributeAccessIssue=false, reportPrivateUsage=false

from __future__ import annotations

from pathlib import Path
from typing import Any

import ncnn  # pyright: ignore[reportMissingImports]
import numpy as np

from upres.engines.base import threads_or_default
from upres.engines.ncnn import _Chunks
from upres.engines.program import Cost, live_bytes
from upres.errors import EngineError, ModelError
from upres.ncnn_file import find_pair, program, read_ncnn
from upres.nodes import Array


class NcnnProgram:
    """See `Program`."""

    name = f"ncnn {ncnn.__version__}"
    family = "ncnn"
    fixed = None
    takes_bytes = False

    def __init__(self, path: Path, *, threads: int = 0, exact: bool = False) -> None:
        """exact: no convolution whose sums depend on where in a tile a pixel lies. Raises ModelError for what is wrong with the files."""
        pair = find_pair(path)
        if pair is None:
            raise ModelError(f"model file {path}: it is no ncnn .param file")
        self._model = read_ncnn(*pair)
        self.channels = (self._model.in_channels,) if self._model.in_channels else (3, 1)
        self.parameters = self._model.parameters
        self.sha256 = self._model.sha256
        self.memory_factor = 15.0 if exact else 6.0  # as of `engines.ncnn`, whose layers these are
        self.grid_px = 1 if exact else 12
        self._net: Any = ncnn.Net()
        options = self._net.opt
        options.num_threads = threads_or_default(threads)
        options.use_vulkan_compute = False
        options.use_winograd_convolution = not exact
        options.use_sgemm_convolution = not exact
        for feature in ("fp16_packed", "fp16_storage", "fp16_arithmetic", "bf16_storage", "bf16_packed"):
            if hasattr(options, f"use_{feature}"):  # options come and go with ncnn's versions
                setattr(options, f"use_{feature}", False)
        text, chunks = program(self._model)
        reader = _Chunks(chunks)
        if self._net.load_param_mem(text) != 0 or self._net.load_model(reader) != 0 or reader.left:
            raise ModelError(f"model file {path}: {self.name} refused it; another version of ncnn may have made it")

    def __call__(self, lr: Array) -> Array:
        if self._net is None:
            raise EngineError("this ncnn program is closed")
        extractor = self._net.create_extractor()
        mat: Any = None
        try:
            # Mat(array) borrows numpy's memory without holding it; the clone is ncnn's own, whatever becomes of the array.
            extractor.input(self._model.input, ncnn.Mat(np.ascontiguousarray(lr[0])).clone())
            failed, mat = extractor.extract(self._model.output)
            if failed or mat.dims != 3:
                size = f"{lr.shape[1]} channels of {lr.shape[2]} x {lr.shape[3]} pixels"
                raise EngineError(f"{self.name} failed (code {failed}) on {size}; if memory was short, try a smaller --tile")
            return np.array(mat, dtype=np.float32)[None]  # a copy: the blob goes with the extractor
        finally:
            del mat, extractor

    def cost(self, lr: Array) -> Cost:
        """Each layer's result is asked for once, with none thrown away."""
        extractor = self._net.create_extractor()
        extractor.set_light_mode(False)
        extractor.input(self._model.input, ncnn.Mat(np.ascontiguousarray(lr[0])).clone())
        shapes: dict[str, tuple[int, int]] = {self._model.input: (lr.shape[1], lr.shape[2] * lr.shape[3])}
        macs = 0.0
        for layer, arrays in zip(self._model.layers, self._model.weights, strict=True):
            for name in layer.outputs:
                failed, mat = extractor.extract(name)
                if not failed:
                    shapes[name] = (max(1, mat.c), max(1, mat.w) * max(1, mat.h) * max(1, mat.d))
            of = layer.inputs[0] if layer.kind.startswith("Deconvolution") else layer.outputs[0]
            if "Convolution" in layer.kind or "Deconvolution" in layer.kind:
                macs += arrays[0].size * shapes.get(of, (0, 0))[1]
            elif layer.kind == "InnerProduct":
                macs += arrays[0].size
        sizes = {name: channels * area for name, (channels, area) in shapes.items()}
        steps = [(layer.inputs, layer.outputs) for layer in self._model.layers if layer.kind not in ("Input", "Split")]
        alias = {name: layer.inputs[0] for layer in self._model.layers if layer.kind == "Split" for name in layer.outputs}
        steps = [(tuple(alias.get(name, name) for name in inputs), outputs) for inputs, outputs in steps]
        return Cost(macs, live_bytes(steps, sizes, self._model.input, self._model.output))

    def close(self) -> None:
        """Free the weights."""
        if self._net is not None:
            self._net.clear()
            self._net = None
