"""Winograd convolutions for training on a CPU: `conv2d` and `Conv2d` in place of torch's, and ESRGAN's dense block.

Inside `with winograd():`, float32 convolutions on the CPU of 3x3 (stride 1, padding 1 or none) and 4x4 (stride 2,
padding 1), with channels in multiples of 16, use Winograd's minimal filtering (winograd.cpp), forward and backward,
with about twice the rounding error of direct summation. All others are torch's. Second derivatives (`create_graph`) are
torch's, too.
"""

from __future__ import annotations

# pyright: reportUnknownMemberType=false
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from upres.training.winograd.build import load_kernel
from upres.training.winograd.kernel import Kernel, Kind, Share, suits

_SLOPE: Final = 0.2
_RESIDUAL: Final = 0.2
_active: ContextVar[Kernel | None] = ContextVar("winograd", default=None)


@contextmanager
def winograd(active: bool = True) -> Generator[None]:
    """Let this module's convolutions, in this thread, use Winograd's filtering where it applies (with False: torch's
    alone).

    Compiles the kernel on first use. Raises `EngineError` if that fails.
    """
    token = _active.set(load_kernel() if active else None)
    try:
        yield
    finally:
        _active.reset(token)


def conv2d(x: Tensor, weight: Tensor, bias: Tensor | None = None, stride: int = 1, padding: int = 0) -> Tensor:
    """torch's conv2d; x `b i h w`, weight `o i k k`."""
    kind, kernel = _KINDS.get((tuple(weight.shape[2:]), stride, padding)), _kernel()
    if kernel is None or kind is None or not suits(kind, x, weight, bias):
        return F.conv2d(x, weight, bias, stride, padding)
    return cast(Tensor, _Conv.apply(x, weight, bias, kind, kernel))


_KINDS: Final[dict[tuple[tuple[int, ...], int, int], Kind]] = {
    ((3, 3), 1, 1): "3x3", ((3, 3), 1, 0): "3x3/valid", ((4, 4), 2, 1): "4x4/2",
}  # fmt: skip
_STRIDE_AND_PADDING: Final = {kind: (stride, padding) for (_, stride, padding), kind in _KINDS.items()}


class Conv2d(nn.Conv2d):
    """torch's Conv2d, using `conv2d` where it supports the arguments."""

    def forward(self, input: Tensor) -> Tensor:
        stride, padding = self.stride[0], self.padding[0]
        ordinary = self.groups == 1 and self.dilation == (1, 1) and self.padding_mode == "zeros"
        if ordinary and self.stride == (stride, stride) and self.padding == (padding, padding):
            return conv2d(input, self.weight, self.bias, stride, int(padding))
        return super().forward(input)


def dense_block(x: Tensor, weights: Sequence[Tensor], biases: Sequence[Tensor]) -> Tensor:
    """x + 0.2 conv5([x, y1..y4]), where yk = LeakyReLU(convk([x, y1..yk-1])): the residual dense block of ESRGAN,
    figure 4.

    x `b c h w`; five 3x3 kernels, `growth, c + k growth, 3, 3` for k = 0..3 and `c, c + 4 growth, 3, 3`, each with its
    bias. The fifth has no activation. With Winograd [x, y1..y4] is one buffer that all five read and write in place,
    kept for the backward pass.
    """
    kernel = _kernel()
    if kernel is None or not _suits_dense_block(x, weights, biases):
        return _plain_dense_block(x, *weights, *biases)
    return cast(Tensor, _DenseBlock.apply(kernel, x, *weights, *biases))


def _suits_dense_block(x: Tensor, weights: Sequence[Tensor], biases: Sequence[Tensor]) -> bool:
    inputs = x.shape[1]
    for weight, bias in zip(weights, biases, strict=True):
        if not suits("3x3", x, weight, bias, inputs):
            return False
        inputs += weight.shape[0]
    return len(weights) == 5 and weights[4].shape[0] == x.shape[1]


def _plain_dense_block(x: Tensor, *tensors: Tensor) -> Tensor:
    seen = [x]
    for weight, bias in zip(tensors[:4], tensors[5:9], strict=True):
        y = F.conv2d(torch.cat(seen, 1), weight, bias, padding=1)
        seen.append(F.leaky_relu(y, _SLOPE, inplace=True))
    y = F.conv2d(torch.cat(seen, 1), tensors[4], tensors[9], padding=1)
    return torch.add(x, y, alpha=_RESIDUAL)


def _kernel() -> Kernel | None:
    return None if torch.is_autocast_enabled("cpu") else _active.get()


def _nhwc(x: Tensor) -> Tensor:
    """`b c h w` -> `b h w c` as the kernel reads it: a view if possible, else a copy."""
    return x.contiguous(memory_format=torch.channels_last).permute(0, 2, 3, 1)


def _empty(like: Tensor, channels: int, height: int, width: int) -> Tensor:
    """`b c h w`, channels last. Not a view, so that activations can work in place."""
    return torch.empty((like.shape[0], channels, height, width), dtype=like.dtype, memory_format=torch.channels_last)


def _wanted(ctx: Any, index: int) -> bool:
    """Whether the gradient of tensor argument `index` will be used: `autograd.grad` and `backward(inputs=...)` want
    only some, which `ctx.needs_input_grad` does not reflect.
    """
    node = ctx.next_functions[index][0]
    if node is None:
        return False
    try:
        return bool(torch._C._will_engine_execute_node(node))  # pyright: ignore[reportPrivateUsage, reportAttributeAccessIssue]
    except RuntimeError:  # a leaf requested by autograd.grad
        return True


def _differentiable(
    ctx: Any, function: Callable[..., Tensor], inputs: Sequence[Tensor | None], gradient: Tensor
) -> list[Tensor | None]:
    """Differentiable gradients."""
    wanted = [x is not None and _wanted(ctx, index) for index, x in enumerate(inputs)]
    sought = [x for x, flag in zip(inputs, wanted, strict=True) if x is not None and flag]
    with torch.enable_grad():
        found = iter(torch.autograd.grad(function(*inputs), sought, gradient, create_graph=True))
    return [next(found) if flag else None for flag in wanted]


class _Conv(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, kind: Kind, kernel: Kernel) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx.save_for_backward(x, weight, bias)
        ctx.kind, ctx.kernel = kind, kernel
        stride, padding = _STRIDE_AND_PADDING[kind]
        height, width = (
            (size + 2 * padding - taps) // stride + 1 for size, taps in zip(x.shape[2:], weight.shape[2:], strict=True)
        )
        out = _empty(x, weight.shape[0], height, width)
        kernel.convolve(kind, _nhwc(x), weight, _nhwc(out), bias=bias)
        return out

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        x, weight, bias = cast("tuple[Tensor, Tensor, Tensor | None]", ctx.saved_tensors)
        kind, kernel = cast(Kind, ctx.kind), cast(Kernel, ctx.kernel)
        if torch.is_grad_enabled():

            def plain(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
                return F.conv2d(x, weight, bias, *_STRIDE_AND_PADDING[kind])

            return (*_differentiable(ctx, plain, (x, weight, bias), gradient), None, None)
        received = _nhwc(gradient)
        by_x = by_weight = by_bias = None
        if _wanted(ctx, 0):
            by_x = _empty(x, *x.shape[1:])
            kernel.input_gradient(kind, received, weight, _nhwc(by_x))
        if _wanted(ctx, 1) or (bias is not None and _wanted(ctx, 2)):
            by_weight = torch.empty_like(weight)
            by_bias = None if bias is None else torch.empty_like(bias)
            kernel.weight_gradients(kind, _nhwc(x), [Share(received, by_weight, by_bias)])
        return by_x, by_weight, by_bias, None, None


class _DenseBlock(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, kernel: Kernel, x: Tensor, *tensors: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        weights, biases = tensors[:5], tensors[5:]
        batch, width, height, across = x.shape
        seen = x.new_empty(batch, height, across, weights[4].shape[1])
        view = _nhwc(x)
        seen[..., :width] = view
        end = width
        for weight, bias in zip(weights[:4], biases[:4], strict=True):
            start, end = end, end + weight.shape[0]
            kernel.convolve("3x3", seen[..., :start], weight, seen[..., start:end], bias=bias, slope=_SLOPE)
        out = _empty(x, width, height, across)
        kernel.convolve("3x3", seen, weights[4], _nhwc(out), bias=biases[4], scale=_RESIDUAL, first=view)
        ctx.save_for_backward(x, seen, *tensors)
        ctx.kernel = kernel
        return out

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        x, seen, *tensors = cast("tuple[Tensor, ...]", ctx.saved_tensors)
        kernel = cast(Kernel, ctx.kernel)
        if torch.is_grad_enabled():
            return (None, *_differentiable(ctx, _plain_dense_block, (x, *tensors), gradient))
        weights, biases = tensors[:5], tensors[5:]
        # by_seen[..., :n] accumulates the gradients of the first n channels, from the last convolution to the first.
        # Once convolution k + 1 has added its share, that of y_k is complete, and passes through y_k's activation.
        received, by_seen, by_x = _nhwc(gradient), torch.empty_like(seen), _empty(x, *x.shape[1:])
        incoming, scale = received, _RESIDUAL
        shares: list[Share] = []
        for k in range(4, -1, -1):
            shares.append(Share(incoming, torch.empty_like(weights[k]), torch.empty_like(biases[k]), scale))
            start, end = weights[k - 1].shape[1] if k else 0, weights[k].shape[1]
            so_far = by_seen[..., :end]
            kernel.input_gradient(
                "3x3", incoming, weights[k], so_far if k else _nhwc(by_x), scale=scale,
                first=None if k == 4 else so_far, second=None if k else received, mask=seen if k else None,
                mask_from=start, slope=_SLOPE,
            )  # fmt: skip
            incoming, scale = by_seen[..., start:end], 1.0
        if not any(_wanted(ctx, index) for index in range(1, 11)):
            return (None, by_x, *[None] * 10)
        kernel.weight_gradients("3x3", seen, shares)
        return (None, by_x, *(share.weight for share in reversed(shares)), *(share.bias for share in reversed(shares)))
