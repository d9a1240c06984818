"""ncnn: the program is written in memory from the graph, no converter and no files.

Facts that this file rests on, each tested in `tests/test_engines.py`: PixelShuffle mode 0 and Reorg mode 0 have torch's order of
channels; Eltwise takes more than two inputs and a coefficient for each; Pooling pad mode 1 is torch's floor mode; `ncnn.Mat(array)`
borrows the array's memory without holding it.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportMissingTypeStubs=false, reportAttributeAccessIssue=false, reportUntypedBaseClass=false

from __future__ import annotations

import ctypes
from collections import Counter
from collections.abc import Iterator
from typing import Any

import ncnn  # pyright: ignore[reportMissingImports]
import numpy as np

from upres.engines.base import Precision, check_input, check_output, threads_or_default
from upres.errors import EngineError
from upres.graph import Graph
from upres.nodes import Activate, Activation, Add, Array, Concat, Conv, MaxPool, Mul, Node, Resample, Scale

_MAGIC = "7767517"
_RAW_FLOAT32 = np.zeros(1, np.float32)  # the tag before a layer's weights: stored as they are
_NO_SGEMM = 1 << 5  # in a layer's mask of features to leave off
_FUSED = {"relu": 1, "leaky_relu": 2, "sigmoid": 4}  # Convolution's own activations; prelu is a layer of its own

_capsule_pointer = ctypes.pythonapi.PyCapsule_GetPointer
_capsule_pointer.restype = ctypes.c_void_p
_capsule_pointer.argtypes = (ctypes.py_object, ctypes.c_char_p)


def program(graph: Graph, *, exact: bool = False) -> tuple[str, list[Array]]:
    """The text of ncnn's program for this graph, and the chunks that its layers read, in order.

    exact: no convolution whose sums depend on where in a tile a pixel lies. Winograd is switched off for the whole net by the caller.
    What is left is the matrix product, which sums the last columns of a tile in another order where the output channels are no multiple
    of 4 (measured: no value differs at multiples of 4, up to 0.6 % elsewhere); those layers get ncnn's direct convolution.
    """
    reads = Counter(name for node in graph.nodes for name in node.inputs)
    blobs: Counter[str] = Counter()  # how many readers of a value have been served: each reads its own branch of the Split
    lines: list[str] = []
    chunks: list[Array] = []

    def written(name: str) -> None:
        if reads[name] > 1:
            branches = " ".join(f"{name}_{i}" for i in range(reads[name]))
            lines.append(f"Split split_{name} 1 {reads[name]} {name} {branches}")

    def taken(name: str) -> str:
        if reads[name] == 1:
            return name
        blobs[name] += 1
        return f"{name}_{blobs[name] - 1}"

    lines.append(f"Input input 0 1 {graph.input}")
    written(graph.input)
    for node in graph.nodes:
        sources = [taken(name) for name in node.inputs]
        for kind, inputs, output, settings, data in _layers(node, sources, exact):
            lines.append(f"{kind} {output} {len(inputs)} 1 {' '.join(inputs)} {output} {settings}")
            chunks.extend(data)
        written(node.output)
    names = {word for line in lines for word in _blob_names(line)}
    return "\n".join([_MAGIC, f"{len(lines)} {len(names)}", *lines, ""]), chunks


def _blob_names(line: str) -> list[str]:
    words = line.split()
    return words[4 : 4 + int(words[2]) + int(words[3])]


_Layer = tuple[str, list[str], str, str, list[Array]]


def _layers(node: Node, sources: list[str], exact: bool) -> Iterator[_Layer]:
    """(type, inputs, output, settings, weights) of each ncnn layer that this node becomes."""
    match node:
        case Conv():
            yield from _conv(node, sources, exact)
        case Activate():
            yield _activation(node.activation, sources[0], node.output)
        case Add():
            settings = "0=1"
            if any(c != 1.0 for c in node.coefficients):
                settings += f" -23301={len(sources)}," + ",".join(_number(c) for c in node.coefficients)
            yield "Eltwise", sources, node.output, settings, []
        case Mul():
            yield "BinaryOp", sources, node.output, "0=2", []
        case Scale():
            yield "BinaryOp", sources, node.output, f"0=2 1=1 2={_number(node.factor)}", []
        case Concat():
            yield "Concat", sources, node.output, "0=0", []
        case MaxPool():
            yield "Pooling", sources, node.output, f"0=0 1={node.kernel} 2={node.stride} 5=1", []
        case Resample("upsample_nearest"):
            yield "Interp", sources, node.output, f"0=1 1={_number(node.factor)} 2={_number(node.factor)}", []
        case Resample("pixel_shuffle"):
            yield "PixelShuffle", sources, node.output, f"0={node.factor} 1=0", []
        case Resample():
            yield "Reorg", sources, node.output, f"0={node.factor} 1=0", []


def _conv(node: Conv, sources: list[str], exact: bool) -> Iterator[_Layer]:
    out, _, kernel, _ = node.weight.shape
    settings = f"0={out} 1={kernel} 3={node.stride} 4={node.padding} 5={int(node.bias is not None)} 6={node.weight.size}"
    if (exact and out % 4) or (kernel > 5 and out < 16):
        settings += f" 31={_NO_SGEMM}"
    data: list[Array] = [_RAW_FLOAT32, node.weight]
    if node.bias is not None:
        data.append(node.bias)
    activation = node.activation
    if activation is None or activation.kind in _FUSED:
        if activation is not None:
            settings += f" 9={_FUSED[activation.kind]}"
            settings += f" -23310=1,{_number(activation.slope)}" if activation.kind == "leaky_relu" else ""
        yield "Convolution", sources, node.output, settings, data
    else:
        yield "Convolution", sources, f"{node.output}_linear", settings, data
        yield _activation(activation, f"{node.output}_linear", node.output)


def _activation(activation: Activation, source: str, output: str) -> _Layer:
    if activation.kind == "sigmoid":
        return "Sigmoid", [source], output, "", []
    if activation.kind == "prelu":
        assert activation.slopes is not None  # checked when the graph was made
        return "PReLU", [source], output, f"0={activation.slopes.size}", [activation.slopes]
    slope = activation.slope if activation.kind == "leaky_relu" else 0.0
    return "ReLU", [source], output, f"0={_number(slope)}", []


def _number(value: float) -> str:
    """As ncnn reads floats: always with a point or an exponent, all digits of a float32."""
    return f"{value:.9e}"


class _Chunks(ncnn.DataReader):
    """Hands the weights to ncnn, which copies them: nothing of ours has to outlive the loading."""

    def __init__(self, chunks: list[Array]) -> None:
        super().__init__()
        self._parts = iter(chunks)
        self._part = np.zeros(0, np.uint8)
        self.left = sum(chunk.nbytes for chunk in chunks)

    def read(self, buffer: Any, size: int) -> int:
        target: int = _capsule_pointer(buffer, None)
        done = 0
        while done < size and self.left:
            if not self._part.size:
                self._part = np.ascontiguousarray(next(self._parts)).reshape(-1).view(np.uint8)
            part = self._part[: size - done]
            ctypes.memmove(target + done, part.ctypes.data, part.size)
            self._part = self._part[part.size :]
            done += part.size
            self.left -= part.size
        return done


class NcnnRunner:
    """A graph in ncnn, float32, on the CPU. See `Runner`."""

    name = f"ncnn {ncnn.__version__}"
    device = "cpu"
    precision: Precision = "fp32"
    notes: tuple[str, ...] = ()

    def __init__(self, graph: Graph, *, threads: int = 0, exact: bool = False) -> None:
        """exact: a pixel's value does not depend on where in a tile it lies (see `program`). Raises EngineError if ncnn refuses."""
        self._graph = graph
        # Measured on compact networks and on both parts of RRDB: 4.7 to 6.0 with Winograd (padded copies, transformed tiles, the pools'
        # spare blocks), 11.6 to 14.9 with the matrix product, which unfolds nine times the input.
        self.memory_factor = 15.0 if exact else 6.0
        # Winograd's output blocks are 2, 4 or 6 values wide, as ncnn sees fit for each convolution.
        self.grid_px = 1 if exact else 12
        self._blobs = ncnn.PoolAllocator()
        self._workspace = ncnn.PoolAllocator()
        self._net: Any = ncnn.Net()
        options = self._net.opt
        options.num_threads = threads_or_default(threads)
        options.lightmode = True
        options.use_vulkan_compute = False
        options.use_winograd_convolution = not exact
        for name in ("fp16_packed", "fp16_storage", "fp16_arithmetic", "bf16_storage", "bf16_packed"):
            if hasattr(options, f"use_{name}"):  # options come and go with ncnn's versions
                setattr(options, f"use_{name}", False)
        text, chunks = program(graph, exact=exact)
        reader = _Chunks(chunks)
        if self._net.load_param_mem(text) != 0 or self._net.load_model(reader) != 0 or reader.left:
            raise EngineError(f"{self.name} refused the program of this {graph.family} network; please report it with the model's name")

    def __call__(self, lr: Array) -> Array:
        if self._net is None:
            raise EngineError("this ncnn runner is closed")
        check_input(self._graph, lr)
        failed, sr = self._run(np.ascontiguousarray(lr[0]))
        if sr is None:
            size = f"{lr.shape[2]} x {lr.shape[3]} pixels"
            raise EngineError(f"{self.name} failed (code {failed}) on {size}; if memory was short, try a smaller --tile")
        return check_output(self.name, lr, sr[None], self._graph.scale)

    def _run(self, lr: Array) -> tuple[int, Array | None]:
        """(0, result), both (c, h, w), or ncnn's error code and None.

        Nothing of ncnn's may outlive this call: a value of the pools that is freed after them (kept by a traceback, say) would crash.
        """
        extractor = self._net.create_extractor()
        mat: Any = None
        try:
            # The pools are given to the extractor, not to the net, whose weights would then come from them too.
            extractor.set_blob_allocator(self._blobs)
            extractor.set_workspace_allocator(self._workspace)
            # Mat(lr) borrows numpy's memory, without a count of its users: a layer that works in place would change the caller's picture,
            # or crash. The clone is ncnn's own, aligned and counted; three channels of LR pixels cost nothing beside the features.
            extractor.input(self._graph.input, ncnn.Mat(lr).clone())
            failed, mat = extractor.extract(self._graph.output)
            return failed, None if failed else np.array(mat, dtype=np.float32)  # a copy: the blob goes back to its pool
        finally:
            del mat, extractor

    def close(self) -> None:
        """Free weights and pools."""
        if self._net is not None:
            self._net.clear()
            self._net = None
            self._blobs.clear()
            self._workspace.clear()
