"""The torch engine: interprets a graph node by node, in float32, float16 or bfloat16.

On the CPU in float32 this is the reference. It runs without oneDNN, which chooses kernels by input size, so that sums
are ordered differently and tiles differ by up to 1e-6. torch's native convolution, im2col and one matrix product, makes
tiles bit-identical to the untiled result, at 0.4 times the speed. On other devices torch chooses the kernels, in
channels_last, and tiles agree to rounding. Half precision on the CPU is slower, and only for comparisons.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from upres.engines.failures import failure, reason_of
from upres.engines.runner import Precision, check_input, check_output, threads_or_default
from upres.errors import EngineError, OutOfMemoryError, UsageError
from upres.graph.graph import Graph
from upres.graph.nodes import Activate, Activation, Add, Array, Concat, Conv, MaxPool, Mul, Node, Resample, Scale
from upres.system.packages import import_failure

if TYPE_CHECKING:
    from torch import Tensor

try:
    import torch
    import torch.nn.functional as F
except ImportError as error:
    raise import_failure("engine 'torch'", "torch", "torch", error) from error


_TYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
_DEVICES = ("cpu", "cuda", "mps", "xpu")  # of torch's devices, those that can run a convolution and return it
_VECTOR = 64  # values: a multiple of the vector length of torch's loops on every CPU


class TorchRunner:
    """Runs a graph in torch. See `Runner`.

    Args:
        graph: The network.
        threads: On the CPU; 0 is one per available core.
        exact: Has no effect: on the CPU this engine is always exact, on other devices never.
        device: "auto" (CUDA if present, else MPS, else the CPU) or a torch device such as "cuda:1".
        precision: Of weights and activations.

    Raises:
        EngineError: torch cannot use the device.
        OutOfMemoryError: The weights do not fit on the device.
        UsageError: The precision is unknown.
    """

    name = f"torch {torch.__version__}"
    notes: tuple[str, ...] = ()
    grid_px = 1
    memory_factor = 7.0  # measured 5.6 to 6.5: im2col holds nine times the input of a 3x3 convolution

    def __init__(
        self,
        graph: Graph,
        *,
        threads: int = 0,
        exact: bool = False,
        device: str = "auto",
        precision: Precision = "fp32",
    ) -> None:
        if precision not in _TYPES:
            raise UsageError(f"engine 'torch' has precisions {', '.join(_TYPES)}; got {precision!r}")
        self._graph = graph
        self._closed = False
        self._threads = threads_or_default(threads)
        self.precision: Precision = precision
        self._type = _TYPES[precision]
        try:
            self._device = _device(device)
            self.device = str(self._device)
            self._layout = torch.contiguous_format if self._device.type == "cpu" else torch.channels_last
            self._weights = {id(array): self._tensor(array) for node in graph.nodes for array in _arrays(node)}
        except (RuntimeError, AssertionError) as error:
            if isinstance(error, torch.OutOfMemoryError):
                raise OutOfMemoryError(
                    f"{self.name}: the weights do not fit on device {device!r}: {reason_of(error)}"
                ) from error
            raise EngineError(
                f"torch cannot use device {device!r}: {reason_of(error)}; it has {', '.join(_present())}"
            ) from error
        self._reads = Counter(name for node in graph.nodes for name in node.inputs)
        self._reads[graph.output] += 1

    def _tensor(self, array: Array) -> Tensor:
        tensor = _tensor_of(array).to(self._device, self._type)
        return tensor.contiguous(memory_format=self._layout) if tensor.ndim == 4 else tensor

    def device_bytes(self) -> int | None:
        """Free memory of a CUDA device, including torch's unused cache; else None. See `runner.device_bytes_of`."""
        if self._device.type != "cuda":
            return None
        free, _ = torch.cuda.mem_get_info(self._device)
        return free + torch.cuda.memory_reserved(self._device) - torch.cuda.memory_allocated(self._device)

    def __call__(self, lr: Array) -> Array:
        if self._closed:
            raise EngineError("this torch runner is closed")
        check_input(self._graph, lr)
        try:
            with torch.inference_mode(), _settings(self._threads):
                sr = self._run(_tensor_of(lr).to(self._device, self._type))
                result = sr.float().contiguous().cpu().numpy()
        except (RuntimeError, MemoryError) as error:
            told = failure(self.name, lr, error)
            if self._device.type != "cpu":
                getattr(torch, self._device.type).empty_cache()  # after `failure` has released the activations
            raise told from error
        return check_output(self.name, lr, result, self._graph.scale)

    def of_tensor(self, lr: Tensor) -> Tensor:
        """The network over lr `b c h w`, in the dtype and on the device of `lr`, without a gradient and with torch's
        fastest kernels.

        For programs that hold tensors: tiles need not be equal to the bit there.
        """
        with torch.no_grad():
            return self._run(lr.to(self._device, self._type)).to(lr)

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
            return _sigmoid(value)
        if activation.kind == "silu":
            return value * _sigmoid(value)
        if activation.kind == "leaky_relu":
            return F.leaky_relu(value, activation.slope)
        assert activation.slopes is not None  # checked by `infer_shapes`
        return F.prelu(value, self._weights[id(activation.slopes)])

    def close(self) -> None:
        """Free the weights."""
        self._closed = True
        self._weights = {}


def _conv2d(x: Tensor, weight: Tensor, bias: Tensor | None, node: Conv) -> Tensor:
    """On the CPU large kernels are applied by groups of input channels: im2col takes at most nine times the input."""
    taken, area = weight.shape[1], weight.shape[2] ** 2
    step = max(1, 9 * taken // area) if x.device.type == "cpu" else taken
    if step >= taken:
        return F.conv2d(x, weight, bias, stride=node.stride, padding=node.padding)
    total = F.conv2d(x[:, :step], weight[:, :step], bias, stride=node.stride, padding=node.padding)
    for at in range(step, taken, step):
        part = slice(at, at + step)
        total += F.conv2d(x[:, part], weight[:, part], None, stride=node.stride, padding=node.padding)
    return total


def _tensor_of(array: Array) -> Tensor:
    # A copy: torch warns about read-only arrays.
    return torch.from_numpy(np.array(array))  # pyright: ignore[reportUnknownMemberType]


def _sigmoid(x: Tensor) -> Tensor:
    """Sigmoid; on the CPU independent of a value's position, so that tiles are exact.

    torch uses a vectorized formula and, for the remainder of each thread's share, a scalar one that differs in the last
    bit. One thread on whole vectors, with the last values padded to a vector, leaves no remainder.
    """
    if x.device.type != "cpu":
        return torch.sigmoid(x)
    flat = x.reshape(-1)
    result = torch.empty_like(flat)
    whole = flat.numel() // _VECTOR * _VECTOR
    last = flat.new_zeros(_VECTOR)
    last[: flat.numel() - whole] = flat[whole:]
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        torch.sigmoid(flat[:whole], out=result[:whole])
        result[whole:] = torch.sigmoid(last)[: flat.numel() - whole]
    finally:
        torch.set_num_threads(threads)
    return result.view(x.shape)


def _device(name: str) -> torch.device:
    """The device by name; "cuda" gets its number. Raises RuntimeError if torch does not know it."""
    device = torch.device(_present()[0] if name == "auto" else name)
    if device.type not in _DEVICES:
        raise RuntimeError(f"{device.type!r} is not supported")
    return torch.device("cuda", torch.cuda.current_device()) if name == "cuda" else device


def _present() -> list[str]:
    """The devices that "auto" may use here, fastest first."""
    return [*(device for device, kind, _ in present_devices() if kind != "xpu"), "cpu"]


def present_devices() -> list[tuple[str, str, str]]:
    """(device, kind, name) of each that torch finds beside the CPU. ROCm's torch calls its devices "cuda"."""
    kinds = (("cuda", "rocm" if torch.version.hip else "cuda", torch.cuda), ("xpu", "xpu", torch.xpu))
    found = [
        (f"{name}:{number}", kind, of.get_device_name(number))
        for name, kind, of in kinds
        for number in range(of.device_count())
    ]
    return [*found, *([("mps", "mps", "Apple GPU")] if torch.backends.mps.is_available() else [])]


@contextmanager
def _settings(threads: int) -> Generator[None]:
    """Apply this engine's process-wide torch settings, and restore them: the calling program may be training.

    TensorFloat-32, torch's default for cuDNN convolutions, has 10 mantissa bits instead of 23: results are off by 1e-3.
    cuDNN's benchmark mode tries every kernel for each new shape (tiles have several) with its workspace, and may choose
    another one, with other rounding, in the next process.
    """
    backends = torch.backends
    conv: Any = getattr(backends.cudnn, "conv", None)  # since torch 2.9, which warns if both names are used
    tf32, name, off = (backends.cudnn, "allow_tf32", False) if conv is None else (conv, "fp32_precision", "ieee")
    before = torch.get_num_threads(), backends.mkldnn.enabled, backends.cudnn.benchmark, getattr(tf32, name)
    torch.set_num_threads(threads)
    backends.mkldnn.enabled = False
    backends.cudnn.benchmark = False
    setattr(tf32, name, off)
    try:
        yield
    finally:
        torch.set_num_threads(before[0])
        backends.mkldnn.enabled = before[1]
        backends.cudnn.benchmark = before[2]
        setattr(tf32, name, before[3])


def _arrays(node: Node) -> list[Array]:
    """The parameters of a node."""
    found: list[Array | None] = []
    if isinstance(node, Conv):
        found += [node.weight, node.bias]
    if isinstance(node, Conv | Activate) and node.activation is not None:
        found.append(node.activation.slopes)
    return [array for array in found if array is not None]
