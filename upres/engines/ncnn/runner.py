"""The ncnn engine: a graph is converted to an ncnn program in memory.

Relies on these facts, tested in `tests/engines/test_engines.py`: PixelShuffle mode 0 and Reorg mode 0 use torch's
channel order; Eltwise accepts more than two inputs, each with a coefficient; Pooling pad mode 1 is torch's floor mode.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import numpy as np

from upres.engines.ncnn.arena import IN_ARENAS, Arena
from upres.engines.ncnn.net import NAME, NcnnNet
from upres.engines.runner import Precision, check_input, check_output
from upres.errors import EngineError
from upres.graph.graph import Graph
from upres.graph.nodes import Activate, Activation, Add, Array, Concat, Conv, MaxPool, Mul, Node, Resample, Scale

_MAGIC = "7767517"
_RAW_FLOAT32 = np.zeros(1, np.float32)  # the tag before a layer's weights: uncompressed float32
_NO_SGEMM = 1 << 5  # in a layer's feature mask: disables matrix products
_PROGRAM_BYTES = 6 << 20  # of a loaded program, beside its weights
_FUSED = {"relu": 1, "leaky_relu": 2, "sigmoid": 4}  # activations of Convolution; prelu and silu need a layer


def program(graph: Graph, *, exact: bool = False) -> tuple[str, list[Array]]:
    """Convert a graph to ncnn.

    Args:
        graph: The network.
        exact: Avoid convolutions whose sums depend on a pixel's position in a tile. The caller turns off Winograd and,
            on the CPU, the matrix product, which sums the last columns of a tile in another order unless the number of
            output channels is a multiple of 4 (measured: no difference for multiples of 4, up to 0.6 % for others).

    Returns:
        The text of the program (.param), and the arrays that its layers read, in order.
    """
    reads = Counter(name for node in graph.nodes for name in node.inputs)
    blobs: Counter[str] = Counter()  # Split branches of each value that have been assigned to readers
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
    """(type, inputs, output, settings, weights) of each ncnn layer for this node."""
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
    settings = (
        f"0={out} 1={kernel} 3={node.stride} 4={node.padding} 5={int(node.bias is not None)} 6={node.weight.size}"
    )
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
    if activation.kind == "silu":
        return "Swish", [source], output, "", []
    if activation.kind == "prelu":
        assert activation.slopes is not None  # checked by `infer_shapes`
        return "PReLU", [source], output, f"0={activation.slopes.size}", [activation.slopes]
    slope = activation.slope if activation.kind == "leaky_relu" else 0.0
    return "ReLU", [source], output, f"0={_number(slope)}", []


def _number(value: float) -> str:
    """All digits of a float32, with an exponent, without which ncnn would parse an integer."""
    return f"{value:.9e}"


class NcnnRunner:
    """Runs a graph in ncnn, on the CPU or on a GPU through Vulkan. See `Runner`.

    Args:
        graph: The network.
        threads: On the CPU; 0 is one per available core.
        exact: Make values independent of their position in a tile (see `program`), by direct convolution: at half the
            speed for networks 64 wide, 0.85 of it for 32 wide ones.
        device: "cpu" (also "auto"), "vulkan" or "vulkan:N".
        precision: "fp32", or "fp16" or "bf16" if the device has it.
        arenas: As for `NcnnNet`.

    Raises:
        EngineError: The device is missing, or ncnn rejects the graph.
        OutOfMemoryError: The weights do not fit on the device.
        UsageError: The device or the precision is not supported.
    """

    name = NAME

    def __init__(
        self,
        graph: Graph,
        *,
        threads: int = 0,
        exact: bool = False,
        device: str = "auto",
        precision: str = "fp32",
        arenas: list[Arena] | None = None,
    ) -> None:
        self._graph = graph
        text, chunks = program(graph, exact=exact)
        refusal = EngineError(f"{NAME} rejected this {graph.family} network; please report it with the model's name")
        self._net = NcnnNet(
            text,
            chunks,
            threads=threads,
            exact=exact,
            device=device,
            precision=precision,
            # Direct convolution takes a third of the matrix product's memory, and 0.7 (stacks, 32 wide) to 1.1 times
            # (RRDB with 6 blocks) its time; docs/log.md, 2026-11-30.
            sgemm=not exact or device not in ("auto", "cpu"),
            arenas=arenas,
            refusal=refusal,
        )
        self.device = self._net.device
        self.precision: Precision = self._net.precision
        self.notes = self._net.notes
        self.parallel_calls = self._net.threads if self._net.gpu is None else 1
        # Measured with Winograd 2.2 to 3.6 in an arena; in ncnn's pools 4.4 to 6.0 for plain stacks of convolutions and
        # 7.5 to 8.5 for dense blocks (padded copies, transformed tiles). With direct convolution 1.3 to 2.0; 2.0 to 2.4
        # and 3.6. ncnn chooses Winograd output blocks of 2, 4 or 6 values per layer. On Vulkan: 3.4 to 4.4, 1.6 without
        # Winograd; blocks of 2 or 4.
        # Measured: Winograd transforms weights to 4.3 to 5.5 times their size; the arrays of the graph stay beside.
        packed = 2.0 if exact or self._net.gpu is not None else 5.5
        self.fixed_bytes = int((1.0 + packed) * sum(chunk.nbytes for chunk in chunks)) + _PROGRAM_BYTES
        if self._net.gpu is None:
            dense = any(isinstance(node, Concat) for node in graph.nodes)
            pooled = (4.0 if dense else 2.75) if exact else (8.5 if dense else 6.0)
            self.memory_factor = pooled if not IN_ARENAS else 2.4 if exact else 4.2
            self.grid_px = 1 if exact else 12
        else:
            self.memory_factor = (3.0 if exact else 6.0) * (1.0 if self.precision == "fp32" else 0.5)
            self.grid_px = 1 if exact else 4

    def device_bytes(self) -> int | None:
        """GPU memory available to a call; None on the CPU. See `runner.device_bytes_of`."""
        return None if self._net.gpu is None else self._net.gpu.free_bytes

    def __call__(self, lr: Array) -> Array:
        return self._run(lr, alone=False)

    def in_one_thread(self, lr: Array) -> Array:
        """See `runner.parallel_of`."""
        return self._run(lr, alone=True)

    def _run(self, lr: Array, *, alone: bool) -> Array:
        check_input(self._graph, lr)
        needed = self.memory_factor * self._graph.activation_bytes_per_pixel * lr.shape[2] * lr.shape[3]
        sr = self._net(lr[0], self._graph.input, self._graph.output, needed_bytes=int(needed), alone=alone)
        return check_output(self.name, lr, sr[None], self._graph.scale)

    def close(self) -> None:
        """Free weights and working memory."""
        self._net.close()
