"""Layers of the discriminators: the two normalizations, and what they share."""

from __future__ import annotations

# pyright: reportUnknownMemberType=false
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from upres.errors import UsageError
from upres.training.distributed.ranks import Ranks
from upres.training.winograd.conv import conv2d

_FIRST_ITERATIONS = 15  # of the power method on creation, so that an untrained network is normalized in eval mode, too
_EPSILON = 1e-12


class RankBatchNorm(nn.BatchNorm2d):
    """Batch normalization over the batch of all ranks (Ioffe and Szegedy, ICML 2015, algorithm 1); torch's own for a
    single process.

    x `b c h w`, the same shape on every rank. `ranks` may be set after construction.
    """

    def __init__(self, channels: int, ranks: Ranks = Ranks()) -> None:  # noqa: B008  # immutable
        super().__init__(channels)
        self.ranks = ranks

    def forward(self, input: Tensor) -> Tensor:
        if self.ranks.count == 1 or not self.training:
            return super().forward(input)
        x = input.to(torch.promote_types(input.dtype, torch.float32))
        mean = self.ranks.mean_over_ranks(x.mean((0, 2, 3)))
        centered = x - mean[:, None, None]
        variance = self.ranks.mean_over_ranks(centered.square().mean((0, 2, 3)))  # E[x^2] - E[x]^2 would cancel
        assert self.running_mean is not None and self.running_var is not None and self.num_batches_tracked is not None
        with torch.no_grad():
            count = self.ranks.count * x.numel() / x.shape[1]
            self.running_mean.lerp_(mean.to(self.running_mean.dtype), self.momentum or 0.0)
            self.running_var.lerp_(
                (variance * (count / (count - 1.0))).to(self.running_var.dtype), self.momentum or 0.0
            )
            self.num_batches_tracked.add_(1)
        gain = self.weight * torch.rsqrt(variance + self.eps)
        return (centered * gain[:, None, None] + self.bias[:, None, None]).to(input.dtype)


class SpectralConv2d(nn.Module):
    """A convolution with weight W / sigma(W), sigma the largest singular value of W as an `out x (in * k * k)` matrix.

    Miyato et al., "Spectral normalization for GANs", ICLR 2018, algorithm 1: each forward in training mode takes one
    step of the power method, v = W^T u / |W^T u|, u = W v / |W v|, and sigma = u^T W v with u and v constant in the
    gradient. Eval mode keeps u and v. Keys are those of torch.nn.utils.spectral_norm, so that published discriminators
    load: weight_orig, weight_u, weight_v, bias.
    """

    weight_u: Tensor
    weight_v: Tensor

    def __init__(
        self, channels_in: int, channels_out: int, kernel: int, *, stride: int = 1, padding: int, bias: bool
    ) -> None:
        super().__init__()
        plain = nn.Conv2d(channels_in, channels_out, kernel, bias=bias)
        self.weight_orig, self.bias = plain.weight, plain.bias
        self.stride, self.padding = stride, padding
        matrix = self.weight_orig.detach().flatten(1)
        self.register_buffer("weight_u", F.normalize(torch.randn(matrix.shape[0]), dim=0, eps=_EPSILON))
        self.register_buffer("weight_v", torch.empty(matrix.shape[1]))
        with torch.no_grad():
            for _ in range(_FIRST_ITERATIONS):
                self.normalized_weight()

    def normalized_weight(self) -> Tensor:
        """W / sigma, `out in k k`; takes a step of the power method in training mode."""
        with torch.autocast(self.weight_orig.device.type, enabled=False):  # in bfloat16 sigma would have two digits
            matrix = self.weight_orig.flatten(1)
            if self.training:
                with torch.no_grad():
                    v = F.normalize(matrix.mT @ self.weight_u, dim=0, eps=_EPSILON)
                along = matrix @ v
                u = F.normalize(along.detach(), dim=0, eps=_EPSILON)
                # the graph must not refer to the buffers: another forward may precede the backward
                with torch.no_grad():
                    self.weight_u.copy_(u)
                    self.weight_v.copy_(v)
            else:
                u, along = self.weight_u.clone(), matrix @ self.weight_v.clone()
            return self.weight_orig / torch.dot(u, along)

    def forward(self, x: Tensor) -> Tensor:
        return conv2d(x, self.normalized_weight(), self.bias, self.stride, self.padding)


def leaky(x: Tensor) -> Tensor:
    """LeakyReLU 0.2, in place: nothing else uses its input, the output of a convolution or normalization."""
    return F.leaky_relu(x, 0.2, inplace=True)


def check_size(x: Tensor, channels: int, smallest: int, name: str) -> None:
    """Raises `UsageError` for a batch that a discriminator cannot judge."""
    if x.dim() != 4 or x.shape[1] != channels:
        raise UsageError(f"the discriminator takes batches b {channels} h w, got shape {tuple(x.shape)}")
    height, width = x.shape[2:]
    if min(height, width) < smallest:
        raise UsageError(
            f"the {name} discriminator takes pictures of at least {smallest}x{smallest} px, got {height}x{width} (h x "
            "w): "
            "use larger patches, or another discriminator"
        )


def enlarge(x: Tensor, like: Tensor) -> Tensor:
    """`x` at the height and width of `like`, bilinearly."""
    return F.interpolate(x, size=like.shape[2:], mode="bilinear", align_corners=False)
