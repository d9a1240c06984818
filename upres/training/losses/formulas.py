"""Losses as pure functions, with their sources. `sr`, `hr`: `b c h w` float32 in [0,1]; each returns a scalar mean.

Discriminators return tuples of logits (one tensor, or one per scale); a loss averages over the scales. Everything is
computed in at least float32, also under autocast.

Each rank returns the mean of its share of the batch; gradients are averaged over the ranks afterwards, so that the loss
of the whole batch is minimized. Only the relativistic loss has a mean inside its formula, and takes `ranks.mean` for
it.
"""

from __future__ import annotations

# pyright: reportUnknownMemberType=false
from collections.abc import Callable, Mapping
from typing import cast

import torch
from torch import Tensor
from torch.nn import functional as F

from upres.errors import UsageError
from upres.training.losses.downscale import imresize

Logits = tuple[Tensor, ...]
Mean = Callable[[Tensor], Tensor]  # mean over all elements: of this process (torch.mean), or of all ranks (ranks.mean)
_WINDOW = 7  # LDL: side of the window of the local variance
_UNKNOWN_BORDER = 2  # LR pixels whose cubic kernel (2 LR pixels to either side) exceeds the HR patch


def _wide(x: Tensor) -> Tensor:
    """Half precision to float32; float32 and float64 unchanged."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


# ---- pictures


def l1(sr: Tensor, hr: Tensor) -> Tensor:
    """mean |sr - hr|."""
    return (sr - hr).abs().mean()


def mse(sr: Tensor, hr: Tensor) -> Tensor:
    """mean (sr - hr)^2, the quantity behind PSNR."""
    return (sr - hr).square().mean()


def charbonnier(sr: Tensor, hr: Tensor, epsilon: float = 1e-3) -> Tensor:
    """mean sqrt((sr - hr)^2 + epsilon^2) (Charbonnier et al., ICIP 1994; epsilon of Lai et al., LapSRN, CVPR 2017)."""
    return torch.sqrt((sr - hr).square() + epsilon**2).mean()


LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"l1": l1, "mse": mse, "charbonnier": charbonnier}


def perceptual(sr: Mapping[str, Tensor], hr: Mapping[str, Tensor], weights: Mapping[str, float]) -> Tensor:
    """sum over layers of weight * mean |phi(sr) - phi(hr)|, phi before the activation (Wang et al., ESRGAN, ECCVW 2018,
    section 3.3).

    `sr` and `hr` are the features of a network, by layer; no gradient flows to `hr`. Raises `UsageError` for no layers,
    or for layers that the features lack.
    """
    missing = sorted(weights.keys() - (sr.keys() & hr.keys()))
    if missing or not weights:
        wanted = ", ".join(missing) or "at least one layer"
        raise UsageError(f"the perceptual loss needs features of {wanted}, got those of {', '.join(sr) or 'none'}")
    terms = [weight * (_wide(sr[name]) - _wide(hr[name]).detach()).abs().mean() for name, weight in weights.items()]
    return torch.stack(terms).sum()


def frequency(sr: Tensor, hr: Tensor) -> Tensor:
    """mean |FFT(sr) - FFT(hr)|, over real and imaginary parts of the half plane of a real picture (Cho et al.,
    MIMO-UNet, ICCV 2021).

    The transform is orthonormal, so the value does not grow with the patch, and linear, so one transform of the
    difference suffices.
    """
    spectrum = cast(Tensor, torch.fft.rfft2(_wide(sr) - _wide(hr), norm="ortho"))
    return torch.view_as_real(spectrum).abs().mean()


def lattice(sr: Tensor, hr: Tensor, scale: int) -> Tensor:
    """A penalty on checkerboards, patterns with the period of the LR pixels, as pixel shuffles and strided
    discriminators make them.

    With d = sr - hr split into its scale^2 phases d_p (pixel-unshuffle) and a local mean A over 8 x 8 LR pixels: the
    mean over places and phases of |A d_p - mean over q of A d_q|. Texture has no fixed phase and averages out; a
    checkerboard does not. The artifact is that of Odena et al., "Deconvolution and checkerboard artifacts" (Distill,
    2016); the penalty is ours. Sizes are multiples of `scale`.
    """
    phases = F.pixel_unshuffle(sr - hr, scale)
    height, width = (min(8, size) for size in phases.shape[2:])
    means = F.avg_pool2d(phases, (height, width), stride=(max(1, height // 2), max(1, width // 2)))
    means = means.reshape(means.shape[0], sr.shape[1], scale * scale, -1)
    return (means - means.mean(2, keepdim=True)).abs().mean()


def lr_consistency(sr: Tensor, lr: Tensor, scale: int) -> Tensor:
    """mean |imresize(sr, 1 / scale) - lr|: the downscaled `sr` must equal the LR (LR-PSNR: Lugmayr et al., NTIRE 2021).

    The outer 2 LR pixels do not count: they depend on HR pixels outside of the patch. Raises `UsageError` if the sizes
    do not fit or nothing remains.
    """
    height, width = lr.shape[2:]
    if sr.shape[2:] != (height * scale, width * scale) or min(height, width) <= 2 * _UNKNOWN_BORDER:
        raise UsageError(
            f"LR consistency at x{scale} needs an LR of more than {2 * _UNKNOWN_BORDER} px a side and an SR {scale} "
            "times as large, "
            f"got {height}x{width} and {sr.shape[2]}x{sr.shape[3]} (h x w)"
        )
    inner = slice(_UNKNOWN_BORDER, -_UNKNOWN_BORDER)
    return (imresize(sr, 1.0 / scale) - lr)[..., inner, inner].abs().mean()


def artifact(sr: Tensor, hr: Tensor, sr_ema: Tensor) -> Tensor:
    """LDL: mean |M * (sr - hr)|, M the map of `artifact_map` (Liang et al., "Details or Artifacts", CVPR 2022).

    M is a constant: no gradient flows through it. The authors' program lets it flow, which also rewards uniform
    residuals and gives no number where sr = hr, since the slope of var^(1/5) at 0 is infinite.
    """
    return (artifact_map(sr, hr, sr_ema) * (_wide(sr) - _wide(hr)).abs()).mean()


@torch.no_grad()
def artifact_map(sr: Tensor, hr: Tensor, sr_ema: Tensor) -> Tensor:
    """M, `b 1 h w` (h and w at least 4): var(R)^(1/5) of the whole patch times the variance of R in the 7x7 around each
    pixel.

    R = sum over channels |hr - sr|; both variances are unbiased, the border is reflected. M is 0 where the residual of
    `sr_ema`, the averaged generator's output, exceeds R: there the generator beats its average, and its details are
    kept.
    """
    sr, hr, sr_ema = _wide(sr), _wide(hr), _wide(sr_ema)
    residual = (hr - sr).abs().sum(1, keepdim=True)
    patch = residual.var((1, 2, 3), keepdim=True) ** 0.2
    centered = residual - residual.mean((1, 2, 3), keepdim=True)  # reduces cancellation in E[x^2] - E[x]^2
    padded = F.pad(centered, (_WINDOW // 2,) * 4, mode="reflect")
    local = F.avg_pool2d(padded.square(), _WINDOW, 1) - F.avg_pool2d(padded, _WINDOW, 1).square()
    local = local.clamp(min=0.0) * (_WINDOW**2 / (_WINDOW**2 - 1))
    return torch.where(residual < (hr - sr_ema).abs().sum(1, keepdim=True), 0.0, patch * local)


# ---- adversaries


def _says_real(logits: Tensor) -> Tensor:
    """BCE(logits, 1) = mean -log sigmoid(x) = mean softplus(-x)."""
    return F.softplus(-logits).mean()


def _says_fake(logits: Tensor) -> Tensor:
    """BCE(logits, 0) = mean -log(1 - sigmoid(x)) = mean softplus(x)."""
    return F.softplus(logits).mean()


def _standard_generator(real: Tensor, fake: Tensor, mean: Mean) -> Tensor:
    """BCE(fake, 1), the non-saturating form (Goodfellow et al., NIPS 2014, section 3)."""
    return _says_real(fake)


def _standard_discriminator(real: Tensor, fake: Tensor, mean: Mean) -> Tensor:
    """BCE(real, 1) + BCE(fake, 0) (Goodfellow et al., NIPS 2014, equation 1)."""
    return _says_real(real) + _says_fake(fake)


def _least_squares_generator(real: Tensor, fake: Tensor, mean: Mean) -> Tensor:
    """1/2 mean (fake - 1)^2 (Mao et al., LSGAN, ICCV 2017, equation 9).

    BasicSR and KAIR omit the 1/2, here and below.
    """
    return 0.5 * (fake - 1.0).square().mean()


def _least_squares_discriminator(real: Tensor, fake: Tensor, mean: Mean) -> Tensor:
    """1/2 mean (real - 1)^2 + 1/2 mean fake^2 (Mao et al., LSGAN, ICCV 2017, equation 9)."""
    return 0.5 * (real - 1.0).square().mean() + 0.5 * fake.square().mean()


def _hinge_generator(real: Tensor, fake: Tensor, mean: Mean) -> Tensor:
    """-mean fake (Lim and Ye, "Geometric GAN", 2017; Miyato et al., ICLR 2018, equation 17)."""
    return -fake.mean()


def _hinge_discriminator(real: Tensor, fake: Tensor, mean: Mean) -> Tensor:
    """mean max(0, 1 - real) + mean max(0, 1 + fake) (Lim and Ye, 2017; Miyato et al., ICLR 2018, equation 16)."""
    return F.relu(1.0 - real).mean() + F.relu(1.0 + fake).mean()


def _relativistic_generator(real: Tensor, fake: Tensor, mean: Mean) -> Tensor:
    """1/2 [BCE(real - mean(fake), 0) + BCE(fake - mean(real), 1)] (Jolicoeur-Martineau, ICLR 2019; ESRGAN, equation 2;
    1/2 from BasicSR).

    `real` is a constant. The gradient flows through `mean(fake)` in the first half, too.
    """
    real = real.detach()
    return 0.5 * (_says_fake(real - mean(fake)) + _says_real(fake - mean(real)))


def _relativistic_discriminator(real: Tensor, fake: Tensor, mean: Mean) -> Tensor:
    """1/2 [BCE(real - mean(fake), 1) + BCE(fake - mean(real), 0)] (ESRGAN, equation 1; 1/2 from BasicSR), with constant
    means.

    In the paper the gradient flows through the means. BasicSR, which made the published weights, computes the halves
    one after the other with the other's mean detached; this is that gradient, in one backward pass.
    """
    return 0.5 * (_says_real(real - mean(fake.detach())) + _says_fake(fake - mean(real.detach())))


GanForm = Callable[[Tensor, Tensor, Mean], Tensor]
GAN_LOSSES: dict[str, tuple[GanForm, GanForm]] = {  # generator, discriminator
    "standard": (_standard_generator, _standard_discriminator),
    "least_squares": (_least_squares_generator, _least_squares_discriminator),
    "hinge": (_hinge_generator, _hinge_discriminator),
    "relativistic": (_relativistic_generator, _relativistic_discriminator),
}


def gan_generator_loss(kind: str, real: Logits, fake: Logits, mean: Mean = torch.mean) -> Tensor:
    """The generator's adversarial loss, a `kind` of `GAN_LOSSES`; only "relativistic" uses `real` = D(hr), as a
    constant.
    """
    return _over_scales(_forms(kind)[0], real, fake, mean)


def gan_discriminator_loss(kind: str, real: Logits, fake: Logits, mean: Mean = torch.mean) -> Tensor:
    """The discriminator's loss, a `kind` of `GAN_LOSSES`; `fake` = D(sr) with `sr` detached."""
    return _over_scales(_forms(kind)[1], real, fake, mean)


def _forms(kind: str) -> tuple[GanForm, GanForm]:
    if kind not in GAN_LOSSES:
        raise UsageError(f"unknown adversarial loss {kind!r}: choose one of {', '.join(GAN_LOSSES)}")
    return GAN_LOSSES[kind]


def _over_scales(form: GanForm, real: Logits, fake: Logits, mean: Mean) -> Tensor:
    return torch.stack([form(_wide(r), _wide(f), mean) for r, f in zip(real, fake, strict=True)]).mean()


def r1_penalty(real: Logits, hr: Tensor) -> Tensor:
    """mean over samples of |dD/dhr|^2 (Mescheder et al., ICML 2018, equation 9, without gamma / 2, which is the
    caller's weight).

    `real` = D(hr), computed with `hr.requires_grad_()`; D of a sample is the mean of its logits over places and scales.
    Differentiable. Batch normalization mixes samples: the gradient is then that of the batch's sum.
    """
    return _slopes(real, hr).square().sum(1).mean()


def gradient_penalty(
    discriminator: Callable[[Tensor], Logits],
    hr: Tensor,
    sr: Tensor,
    generator: torch.Generator,
    rank: int = 0,
    ranks: int = 1,
) -> Tensor:
    """mean over samples of (|dD/dx| - 1)^2 at x = e hr + (1 - e) sr, e uniform in [0,1) per sample (Gulrajani et al.,
    WGAN-GP, NIPS 2017).

    Without the factor lambda, 10 in the paper. e is drawn from `generator`, on its device, for the samples of
    all `ranks`: the same however many they are. D of a sample as in
    `r1_penalty`; the paper advises against batch normalization here. Runs the discriminator forward, which updates
    spectral-norm vectors and running statistics.
    """
    samples = hr.shape[0]
    every = torch.rand((ranks * samples, 1, 1, 1), generator=generator, device=generator.device, dtype=hr.dtype)
    share = every[rank * samples : (rank + 1) * samples].to(hr.device)
    x = torch.lerp(sr.detach(), hr.detach(), share).requires_grad_(True)
    steepness = cast(Tensor, torch.linalg.vector_norm(_slopes(discriminator(x), x), dim=1))
    return (steepness - 1.0).square().mean()


def _slopes(logits: Logits, x: Tensor) -> Tensor:
    """dD/dx for every sample, `b chw`, differentiable."""
    score = torch.stack([_wide(scale).flatten(1).mean(1) for scale in logits]).mean(0)
    slope: Tensor = torch.autograd.grad(score.sum(), x, create_graph=True)[0]
    return _wide(slope).flatten(1)
