"""torch: the same graph, interpreted node by node, in float32.

On the CPU this engine is the reference: it runs without oneDNN, whose kernels change with the size of the picture (and so does the order
of their sums: tiles then differ by up to 1e-6). torch's own convolution, an unfolding and one matrix product, gives tiles equal to the
untiled picture to the bit, at 0.4 times the speed. On other devices torch chooses its kernels, in channels_last, and tiles are equal to
rounding only.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

from upres.engines.base import Precision, check_input, check_output, threads_or_default
from upres.errors import EngineError
from upres.graph import Graph
from upres.nodes import Activate, Activation, Add, Array, Concat, Conv, MaxPool, Mul, Node, Resample, Scale

if TYPE_CHECKING:
    from torch import Tensor

try:
    import torch
    import torch.nn.functional as F
except ImportError as error:
    raise EngineError("engine 'torch' needs torch, which is not installed; remedy: pip install 'upres[torch]'") from error


class TorchRunner:
    """A graph in torch. See `Runner`."""

    name = f"torch {torch.__version__}"
    precision: Precision = "fp32"
    notes: tuple[str, ...] = ()
    grid_px = 1
    memory_factor = 7.0  # measured 5.6 to 6.5: the unfolding holds nine times the input of a 3x3 convolution

    def __init__(self, graph: Graph, *, threads: int = 0, exact: bool = False, device: str = "cpu") -> None:
        """exact: nothing to do, on the CPU this engine always is. Raises EngineError for a device that torch does not have."""
        self._graph = graph
        self._closed = False
        self._threads = threads_or_default(threads)
        try:
            self._device = torch.device(device)
            self.device = str(self._device)
            self._layout = torch.contiguous_format if self._device.type == "cpu" else torch.channels_last
            self._weights = {id(array): self._tensor(array) for node in graph.nodes for array in _arrays(node)}
        except (RuntimeError, AssertionError) as error:
            reason = str(error).splitlines()[0]
            raise EngineError(f"torch cannot use device {device!r}: {reason}") from error
        self._reads = Counter(name for node in graph.nodes for name in node.inputs)
        self._reads[graph.output] += 1

    def _tensor(self, array: Array) -> Tensor:
        tensor = _tensor_of(array).to(self._device)
        return tensor.contiguous(memory_format=self._layout) if tensor.ndim == 4 else tensor

    def __call__(self, lr: Array) -> Array:
        if self._closed:
            raise EngineError("this torch runner is closed")
        check_input(self._graph, lr)
        try:
            with torch.inference_mode(), _settings(self._threads):
                sr = self._run(_tensor_of(lr).to(self._device))
                result = sr.contiguous().cpu().numpy()
        except (RuntimeError, MemoryError) as error:
            reason = str(error).splitlines()[0]
            raise EngineError(f"{self.name} failed on {lr.shape[2]} x {lr.shape[3]} pixels: {reason}; try a smaller --tile") from error
        return check_output(self.name, lr, result, self._graph.scale)

    def _run(self, lr: Tensor) -> Tensor:
        values = {self._graph.input: lr.contiguous(memory_format=self._layout)}
        left = Counter(self._reads)
        for node in self._graph.nodes:
            values[node.output] = self._apply(node, [values[name] for name in node.inputs])
            for name in node.inputs:
                left[name] -= 1
                if not left[name]:
                    del values[name]
        return values[self._graph.output]

    def _apply(self, node: Node, inputs: list[Tensor]) -> Tensor:
        first = inputs[0]
        match node:
            case Conv():
                bias = None if node.bias is None else self._weights[id(node.bias)]
                result = _conv2d(first, self._weights[id(node.weight)], bias, node)
                return result if node.activation is None else self._activate(node.activation, result)
            case Activate():
                return self._activate(node.activation, first)
            case Add():
                total = first if node.coefficients[0] == 1.0 else first * node.coefficients[0]
                for value, coefficient in zip(inputs[1:], node.coefficients[1:], strict=True):
                    total = torch.add(total, value, alpha=coefficient)
                return total
            case Mul():
                return first * inputs[1]
            case Scale():
                return first * node.factor
            case Concat():
                return torch.cat(inputs, 1)
            case MaxPool():
                return F.max_pool2d(first, node.kernel, node.stride)
            case Resample("upsample_nearest"):
                return F.interpolate(first, scale_factor=float(node.factor), mode="nearest")
            case Resample("pixel_shuffle"):
                return F.pixel_shuffle(first, node.factor)
            case Resample():
                return F.pixel_unshuffle(first, node.factor)

    def _activate(self, activation: Activation, value: Tensor) -> Tensor:
        if activation.kind == "relu":
            return F.relu(value)
        if activation.kind == "sigmoid":
            return torch.sigmoid(value)
        if activation.kind == "leaky_relu":
            return F.leaky_relu(value, activation.slope)
        assert activation.slopes is not None  # checked when the graph was made
        return F.prelu(value, self._weights[id(activation.slopes)])

    def close(self) -> None:
        """Free the weights."""
        self._closed = True
        self._weights = {}


def _conv2d(x: Tensor, weight: Tensor, bias: Tensor | None, node: Conv) -> Tensor:
    """On the CPU in groups of input channels where the kernel is large: the unfolding never holds more than nine times the input."""
    taken, area = weight.shape[1], weight.shape[2] ** 2
    step = max(1, 9 * taken // area) if x.device.type == "cpu" else taken
    if step >= taken:
        return F.conv2d(x, weight, bias, stride=node.stride, padding=node.padding)
    total = F.conv2d(x[:, :step], weight[:, :step], bias, stride=node.stride, padding=node.padding)
    for at in range(step, taken, step):
        total += F.conv2d(x[:, at : at + step], weight[:, at : at + step], None, stride=node.stride, padding=node.padding)
    return total


def _tensor_of(array: Array) -> Tensor:
    return torch.from_numpy(np.array(array))  # pyright: ignore[reportUnknownMemberType]  # a copy: torch wants to own what it may write


@contextmanager
def _settings(threads: int) -> Generator[None]:
    """torch's process-wide settings as this engine needs them, put back afterwards: the program around us may train."""
    before = torch.get_num_threads(), torch.backends.mkldnn.enabled
    torch.set_num_threads(threads)
    torch.backends.mkldnn.enabled = False
    try:
        yield
    finally:
        torch.set_num_threads(before[0])
        torch.backends.mkldnn.enabled = before[1]


def _arrays(node: Node) -> list[Array]:
    """All parameters of a node."""
    found: list[Array | None] = []
    if isinstance(node, Conv):
        found += [node.weight, node.bias]
    if isinstance(node, Conv | Activate) and node.activation is not None:
        found.append(node.activation.slopes)
    return [array for array in found if array is not None]
