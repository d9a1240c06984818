"""A user's `.param` and `.bin`, run by ncnn as they are: for graphs that are not made of our nodes alone
(`upres.graph.from_ncnn`).
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportMissingTypeStubs=false, reportAttributeAccessIssue=false

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from upres.engines.ncnn.arrays import own_mat
from upres.engines.ncnn.library import ncnn
from upres.engines.ncnn.net import NAME, NcnnNet
from upres.engines.opaque.program import Cost, live_bytes
from upres.engines.runner import threads_or_default
from upres.errors import EngineError, ModelError
from upres.graph.nodes import Array
from upres.weights.ncnn_file import find_pair, program, read_ncnn
from upres.weights.ncnn_shapes import MisfitError, check_sizes


class NcnnProgram:
    """See `Program`."""

    name = NAME
    family = "ncnn"
    fixed = None
    takes_bytes = False

    def __init__(self, path: Path, *, threads: int = 0, exact: bool = False) -> None:
        """exact: no convolution whose sums depend on where in a tile a pixel lies. Raises ModelError for what is wrong
        with the files.
        """
        pair = find_pair(path)
        if pair is None:
            raise ModelError(f"model file {path}: it is not an ncnn .param file")
        self._model = read_ncnn(*pair)
        self.channels = (self._model.in_channels,) if self._model.in_channels else (3, 1)
        self.parameters = self._model.parameters
        self.sha256 = self._model.sha256
        self.memory_factor = 4.0 if exact else 8.5  # as of `NcnnRunner` for dense blocks
        self.grid_px = 1 if exact else 12
        self._fitting: set[tuple[int, int, int]] = set()
        text, chunks = program(self._model)
        refusal = ModelError(f"model file {path}: {NAME} refused it; another version of ncnn may have made it")
        self._net = NcnnNet(text, chunks, threads=threads, exact=exact, sgemm=not exact, refusal=refusal)
        self._net.load()  # the files may be damaged

    def __call__(self, lr: Array) -> Array:
        self._check(lr)
        return self._net(lr[0], self._model.input, self._model.output)[None]

    def _check(self, lr: Array) -> None:
        """Raises EngineError where the sides do not fit: ncnn would read beyond its memory."""
        shape = (int(lr.shape[1]), int(lr.shape[2]), int(lr.shape[3]))
        if shape not in self._fitting:
            try:
                check_sizes(self._model.layers, self._model.input, shape)
            except MisfitError as error:
                raise EngineError(f"{shape[2]} x {shape[1]} pixels do not fit this network: {error}") from error
            self._fitting.add(shape)

    def cost(self, lr: Array) -> Cost:
        """Each layer's result is asked for once, with none thrown away."""
        self._check(lr)
        model = self._model
        shapes = {model.input: (lr.shape[1], lr.shape[2] * lr.shape[3])}
        shapes |= self._net.shapes(lr[0], model.input, [name for layer in model.layers for name in layer.outputs])
        macs = 0.0
        for layer, arrays in zip(model.layers, model.weights, strict=True):
            of = layer.inputs[0] if layer.kind.startswith("Deconvolution") else layer.outputs[0]
            if "Convolution" in layer.kind or "Deconvolution" in layer.kind:
                macs += arrays[0].size * shapes.get(of, (0, 0))[1]
            elif layer.kind == "InnerProduct":
                macs += arrays[0].size
        sizes = {name: channels * area for name, (channels, area) in shapes.items()}
        steps = [(layer.inputs, layer.outputs) for layer in model.layers if layer.kind not in ("Input", "Split")]
        alias = {name: layer.inputs[0] for layer in model.layers if layer.kind == "Split" for name in layer.outputs}
        steps = [(tuple(alias.get(name, name) for name in inputs), outputs) for inputs, outputs in steps]
        return Cost(macs, live_bytes(steps, sizes, model.input, model.output))

    def close(self) -> None:
        """Free weights and pools."""
        self._net.close()


class NcnnPair:
    """Two files given to ncnn as other programs give them: loaded by their paths, run by the names of their blobs. For
    what we export.
    """

    name = NAME

    def __init__(self, param: Path, weights: Path, names: tuple[str, str], *, threads: int = 0) -> None:
        """On the CPU, in float32. names: of input and output. Raises `EngineError` if ncnn refuses a file."""
        self._names = names
        self._net: Any = ncnn.Net()
        options = self._net.opt
        options.num_threads = threads_or_default(threads)
        options.use_vulkan_compute = False
        for feature in ("fp16_packed", "fp16_storage", "fp16_arithmetic", "bf16_storage", "bf16_packed"):
            if hasattr(options, f"use_{feature}"):  # options come and go with ncnn's versions
                setattr(options, f"use_{feature}", False)
        if self._net.load_param(str(param)) != 0 or self._net.load_model(str(weights)) != 0:
            raise EngineError(f"{NAME} refuses {param.name} or {weights.name}")

    def __call__(self, lr: Array) -> Array:
        """(1, c, h, w) to (1, c, h', w'). Raises EngineError."""
        extractor = self._net.create_extractor()
        mat: Any = None
        try:
            failed = extractor.input(self._names[0], own_mat(lr[0]))
            if failed == 0:
                failed, mat = extractor.extract(self._names[1])
            if failed or mat.dims != 3:
                raise EngineError(f"{NAME} failed (code {failed}) on {lr.shape[2]} x {lr.shape[3]} pixels")
            return np.array(mat, dtype=np.float32)[None]  # a copy: the blob goes with the extractor
        finally:
            del mat, extractor

    def close(self) -> None:
        """Free the weights."""
        self._net.clear()
