"""From a torch module to graph nodes, by torch.fx: what can be expressed runs on every engine, as a house network does.

Convolutions, the usual activations, sums, products, concatenation, nearest enlarging, pixel shuffles and max pooling
are expressed. Anything else is `Inexpressible`, with the reason; the module then stays with torch.
"""

from __future__ import annotations

# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false, reportUnknownVariableType=false
import copy
import operator
from collections.abc import Callable, Mapping
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, fx, nn
from torch.nn import functional as F

from upres.errors import ModelError
from upres.graph.architectures.described import KEY, description, find

NodeData = dict[str, Any]


class Inexpressible(Exception):
    """The message says which part of a module no graph node expresses."""


class _Tracer(fx.Tracer):
    """Stops at torch's own layers, and at subclasses of them, such as the house's convolution."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, tuple(_MODULES)) or super().is_leaf_module(m, module_qualified_name)


def describe_module(net: nn.Module, channels: int, family: str) -> NDArray[np.uint8]:
    """The tensor `upres.graph` of `net`, with which its `state_dict` is a whole model file.

    Raises `Inexpressible`.
    """
    net = copy.deepcopy(net).eval()
    try:
        trace = _Tracer().trace(net)
    except Exception as error:  # whatever a forward does with the stand-ins that fx gives it
        raise Inexpressible(f"its forward cannot be traced ({type(error).__name__}: {error})") from error
    modules = dict(net.named_modules())
    nodes: list[NodeData] = []
    names: dict[fx.Node, str] = {}
    output = ""
    for node in trace.nodes:
        if node.op == "placeholder":
            if names:
                raise Inexpressible("its forward takes more than one argument")
            names[node] = "input"
        elif node.op == "output":
            (result,) = node.args
            if not isinstance(result, fx.Node) or result not in names:
                raise Inexpressible("it returns something other than one tensor")
            output = names[result]
        else:
            data = _data(node, names, modules)
            if isinstance(data, str):  # passed on unchanged
                names[node] = data
            else:
                names[node] = node.name
                nodes.append({**data, "output": node.name})
    if not nodes:
        raise Inexpressible("it does nothing")
    described = description(family, channels, output, nodes)
    _check(net, channels, described)
    return described


def _data(node: fx.Node, names: Mapping[fx.Node, str], modules: Mapping[str, nn.Module]) -> NodeData | str:
    """A node as `described.py` writes it, without its output; or the name of the value that it passes on."""
    if node.op == "get_attr":
        raise Inexpressible(f"{node.target} is a weight that belongs to no layer")
    args = [names.get(one, one) if isinstance(one, fx.Node) else one for one in node.args]
    kwargs = {key: names.get(one, one) if isinstance(one, fx.Node) else one for key, one in node.kwargs.items()}
    if node.op == "call_module":
        module = modules[str(node.target)]
        for kind, make in _MODULES.items():
            if isinstance(module, kind):
                return make(module, str(node.target), str(args[0]))
        raise Inexpressible(f"{node.target} is a {type(module).__name__}")
    function = _METHODS.get(str(node.target)) if node.op == "call_method" else _FUNCTIONS.get(cast(Any, node.target))
    if function is None:
        target = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", node.target)
        raise Inexpressible(f"it uses {target}")
    if function in (_concat,):
        args = [[names[one] for one in cast("list[fx.Node]", node.args[0])], *args[1:]]
    try:
        return function(*args, **kwargs)
    except TypeError as error:
        raise Inexpressible(f"it uses {node.name} with other arguments ({error})") from error


def _conv(module: nn.Module, name: str, source: str) -> NodeData:
    conv = cast(nn.Conv2d, module)
    kernel, stride, padding = conv.kernel_size, conv.stride, conv.padding
    plain = conv.groups == 1 and conv.dilation == (1, 1) and conv.padding_mode == "zeros" and padding != "valid"
    if padding == "same" and kernel[0] % 2:
        padding = (kernel[0] // 2, kernel[1] // 2)
    if not plain or kernel[0] != kernel[1] or stride[0] != stride[1] or isinstance(padding, str):
        raise Inexpressible(f"{name} is a convolution with groups, dilation, other padding or an oblong kernel")
    if padding[0] != padding[1]:
        raise Inexpressible(f"{name} is padded differently on its sides")
    return {"op": "conv", "source": source, "weights": name, "stride": stride[0], "padding": int(padding[0])}


def _activation(kind: str) -> Callable[..., NodeData]:
    def make(module: nn.Module, name: str, source: str) -> NodeData:
        data: NodeData = {"op": "activate", "source": source, "kind": kind}
        if kind == "leaky_relu":
            data["slope"] = float(cast(nn.LeakyReLU, module).negative_slope)
        if kind == "prelu":
            data["weights"] = name
        return data

    return make


def _upsample(module: nn.Module, name: str, source: str) -> NodeData:
    layer = cast(nn.Upsample, module)
    return _interpolate(source, scale_factor=layer.scale_factor, mode=layer.mode, size=layer.size)


def _pool(module: nn.Module, name: str, source: str) -> NodeData:
    pool = cast(nn.MaxPool2d, module)
    numbers = (pool.kernel_size, pool.stride, pool.padding, pool.dilation)
    if not all(isinstance(number, int) for number in numbers) or pool.padding or pool.dilation != 1 or pool.ceil_mode:
        raise Inexpressible(f"{name} is a max pooling with padding, dilation or an oblong window")
    return {"op": "max_pool", "source": source, "kernel": pool.kernel_size, "stride": pool.stride}


_MODULES: dict[type[nn.Module], Callable[[nn.Module, str, str], NodeData | str]] = {
    nn.Conv2d: _conv,
    nn.ReLU: _activation("relu"),
    nn.LeakyReLU: _activation("leaky_relu"),
    nn.PReLU: _activation("prelu"),
    nn.Sigmoid: _activation("sigmoid"),
    nn.SiLU: _activation("silu"),
    nn.PixelShuffle: lambda m, _, x: _shuffle(x, cast(nn.PixelShuffle, m).upscale_factor),
    nn.PixelUnshuffle: lambda m, _, x: _unshuffle(x, cast(nn.PixelUnshuffle, m).downscale_factor),
    nn.Upsample: _upsample,
    nn.MaxPool2d: _pool,
    nn.Identity: lambda _m, _n, x: x,
    nn.Dropout: lambda _m, _n, x: x,
}


def _activate(kind: str) -> Callable[..., NodeData]:
    def make(x: object, inplace: bool = False) -> NodeData:
        return {"op": "activate", "source": _value(x), "kind": kind}

    return make


def _leaky(x: object, negative_slope: float = 0.01, inplace: bool = False) -> NodeData:
    return {"op": "activate", "source": _value(x), "kind": "leaky_relu", "slope": float(negative_slope)}


def _add(a: object, b: object, *, alpha: float = 1.0) -> NodeData:
    return {"op": "add", "inputs": [_value(a), _value(b)], "coefficients": [1.0, float(alpha)]}


def _subtract(a: object, b: object, *, alpha: float = 1.0) -> NodeData:
    return _add(a, b, alpha=-alpha)


def _multiply(a: object, b: object) -> NodeData:
    if isinstance(a, str) and isinstance(b, str):
        return {"op": "mul", "inputs": [a, b]}
    value, factor = (a, b) if isinstance(a, str) else (b, a)
    return {"op": "scale", "source": _value(value), "factor": _number(factor)}


def _divide(a: object, b: object) -> NodeData:
    return {"op": "scale", "source": _value(a), "factor": 1.0 / _number(b)}


def _negate(a: object) -> NodeData:
    return {"op": "scale", "source": _value(a), "factor": -1.0}


def _concat(tensors: list[str], dim: int = 0) -> NodeData:
    if dim not in (1, -3) or len(tensors) < 2:
        raise Inexpressible(f"it concatenates along axis {dim}")
    return {"op": "concat", "inputs": tensors}


def _shuffle(x: object, upscale_factor: int) -> NodeData:
    return {"op": "resample", "kind": "pixel_shuffle", "source": _value(x), "factor": upscale_factor}


def _unshuffle(x: object, downscale_factor: int) -> NodeData:
    return {"op": "resample", "kind": "pixel_unshuffle", "source": _value(x), "factor": downscale_factor}


def _interpolate(x: object, size: object = None, scale_factor: Any = None, mode: str = "nearest", **_: Any) -> NodeData:
    factors = scale_factor if isinstance(scale_factor, tuple) else (scale_factor,)
    whole = all(isinstance(factor, int | float) and factor == int(factor) for factor in factors)
    if size is not None or mode not in ("nearest", "nearest-exact") or not whole or len(set(factors)) != 1:
        raise Inexpressible(f"it enlarges in another way than to nearest neighbors by a whole number ({mode})")
    return {"op": "resample", "kind": "upsample_nearest", "source": _value(x), "factor": int(factors[0])}


def _value(x: object) -> str:
    if not isinstance(x, str):
        raise Inexpressible(f"it adds or combines the constant {x!r}")
    return x


def _number(x: object) -> float:
    if not isinstance(x, int | float):
        raise Inexpressible(f"it multiplies by {x!r}")
    return float(x)


_FUNCTIONS: dict[Any, Callable[..., NodeData | str]] = {
    operator.add: _add, operator.iadd: _add, torch.add: _add, operator.sub: _subtract, torch.sub: _subtract,
    operator.mul: _multiply, operator.imul: _multiply, torch.mul: _multiply, operator.truediv: _divide,
    operator.neg: _negate, torch.cat: _concat, torch.concat: _concat, torch.relu: _activate("relu"),
    F.relu: _activate("relu"), F.silu: _activate("silu"), torch.sigmoid: _activate("sigmoid"),
    F.sigmoid: _activate("sigmoid"), F.leaky_relu: _leaky, F.pixel_shuffle: _shuffle, F.pixel_unshuffle: _unshuffle,
    F.interpolate: _interpolate,
}  # fmt: skip
_METHODS: dict[str, Callable[..., NodeData | str]] = {
    "add": _add, "add_": _add, "sub": _subtract, "mul": _multiply, "mul_": _multiply, "div": _divide,
    "relu": _activate("relu"), "relu_": _activate("relu"), "sigmoid": _activate("sigmoid"),
}  # fmt: skip


def _check(net: nn.Module, channels: int, described: NDArray[np.uint8]) -> None:
    """The described network must be the module: both are run on a small picture of noise."""
    from upres.engines.torch import TorchRunner

    state: dict[str, NDArray[np.generic]] = {name: t.numpy() for name, t in net.state_dict().items()}
    try:
        graph = find(state | {KEY: described})
        assert graph is not None
        lr = torch.rand(1, channels, 16, 20, generator=torch.Generator().manual_seed(0))
        with torch.no_grad():
            expected = cast(Tensor, net(lr)).numpy()
        found = TorchRunner(graph, threads=1, device="cpu")(lr.numpy())
    except (ModelError, ValueError, RuntimeError) as error:
        raise Inexpressible(str(error)) from error
    scale = max(1.0, float(np.abs(expected).max()))
    if found.shape != expected.shape or not np.allclose(found, expected, rtol=0, atol=1e-4 * scale):
        raise Inexpressible("its nodes, run on noise, do not give what it gives")
