"""One ESRGAN training step the plain way, as BasicSR's ESRGANModel goes about it: the yardstick of bench_train.py.

Written from the papers and from what is known of that trainer, not from its source. Float32, eager, NCHW, dense blocks
by `torch.cat`, five passes through the discriminator an iteration, two separate backward passes of it,
`torch.optim.Adam` as it comes, the average updated parameter by parameter. Nothing of upres is imported here.

    python benchmarks/reference_basicsr_step.py --profile [--batch 4] [--blocks 23] [--threads 2]
"""

from __future__ import annotations

import argparse
import copy
import time
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

PIXEL_WEIGHT, FEATURE_WEIGHT, GAN_WEIGHT = 1e-2, 1.0, 5e-3
LEARNING_RATE, BETAS, EMA_DECAY = 1e-4, (0.9, 0.99), 0.999
_VGG19 = (64, 64, 0, 128, 128, 0, 256, 256, 256, 256, 0, 512, 512, 512, 512, 0, 512, 512, 512, 512)  # 0: pooling


class DenseBlock(nn.Module):
    """Residual dense block: five convolutions, each sees all before it (Wang et al., ESRGAN, section 3.1)."""

    def __init__(self, features: int, growth: int) -> None:
        super().__init__()
        for i in range(1, 5):
            self.add_module(f"conv{i}", nn.Conv2d(features + (i - 1) * growth, growth, 3, 1, 1))
        self.conv5 = nn.Conv2d(features + 4 * growth, features, 3, 1, 1)
        self.lrelu = nn.LeakyReLU(0.2, inplace=True)
        for conv in self.children():
            if isinstance(conv, nn.Conv2d):  # "residual scaling" needs a small start: He et al.'s normal, a tenth of it
                nn.init.kaiming_normal_(conv.weight, a=0)
                conv.weight.data.mul_(0.1)
                nn.init.zeros_(conv.bias)

    def forward(self, x: Tensor) -> Tensor:
        x1 = self.lrelu(self.conv1(x))
        x2 = self.lrelu(self.conv2(torch.cat((x, x1), 1)))
        x3 = self.lrelu(self.conv3(torch.cat((x, x1, x2), 1)))
        x4 = self.lrelu(self.conv4(torch.cat((x, x1, x2, x3), 1)))
        x5 = self.conv5(torch.cat((x, x1, x2, x3, x4), 1))
        return x5 * 0.2 + x


class ResidualInResidual(nn.Module):
    def __init__(self, features: int, growth: int) -> None:
        super().__init__()
        self.rdb1, self.rdb2, self.rdb3 = (DenseBlock(features, growth) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        return self.rdb3(self.rdb2(self.rdb1(x))) * 0.2 + x


class RRDBNet(nn.Module):
    """x4 generator; lr `b 3 h w` -> sr `b 3 4h 4w`."""

    def __init__(self, features: int = 64, blocks: int = 23, growth: int = 32) -> None:
        super().__init__()
        self.conv_first = nn.Conv2d(3, features, 3, 1, 1)
        self.body = nn.Sequential(*(ResidualInResidual(features, growth) for _ in range(blocks)))
        self.conv_body = nn.Conv2d(features, features, 3, 1, 1)
        self.conv_up1 = nn.Conv2d(features, features, 3, 1, 1)
        self.conv_up2 = nn.Conv2d(features, features, 3, 1, 1)
        self.conv_hr = nn.Conv2d(features, features, 3, 1, 1)
        self.conv_last = nn.Conv2d(features, 3, 3, 1, 1)
        self.lrelu = nn.LeakyReLU(0.2, inplace=True)

    def forward(self, lr: Tensor) -> Tensor:
        x = self.conv_first(lr)
        x = x + self.conv_body(self.body(x))
        x = self.lrelu(self.conv_up1(F.interpolate(x, scale_factor=2, mode="nearest")))
        x = self.lrelu(self.conv_up2(F.interpolate(x, scale_factor=2, mode="nearest")))
        return self.conv_last(self.lrelu(self.conv_hr(x)))


class Discriminator(nn.Module):
    """VGG-style with batch normalization, for 128 x 128 pictures; `b 3 128 128` -> logits `b 1`."""

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(3, width, 3, 1, 1), nn.LeakyReLU(0.2, inplace=True)]
        widths = [width, 2 * width, 4 * width, 8 * width, 8 * width]
        for a, b in pairwise([width, *widths]):
            if len(layers) > 2:
                layers += [nn.Conv2d(a, b, 3, 1, 1, bias=False), nn.BatchNorm2d(b), nn.LeakyReLU(0.2, inplace=True)]
            layers += [nn.Conv2d(b, b, 4, 2, 1, bias=False), nn.BatchNorm2d(b), nn.LeakyReLU(0.2, inplace=True)]
        self.features = nn.Sequential(*layers)
        self.linear1 = nn.Linear(8 * width * 16, 100)
        self.linear2 = nn.Linear(100, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear2(F.leaky_relu(self.linear1(self.features(x).flatten(1)), 0.2))


class Vgg19(nn.Module):
    """VGG-19 up to conv5_4 before activation; x `b 3 h w` in [0,1]. Frozen. Random weights serve for timing."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 3
        for width in _VGG19:
            if width:
                layers += [nn.Conv2d(channels, width, 3, 1, 1), nn.ReLU(inplace=True)]
                nn.init.kaiming_normal_(layers[-2].weight)
                channels = width
            else:
                layers.append(nn.MaxPool2d(2, 2))
        self.features = nn.Sequential(*layers[:-1])
        self.register_buffer("mean", torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1))
        self.eval().requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        return self.features((x - self.mean) / self.std)


def adversarial(logits: Tensor, real: bool) -> Tensor:
    """Binary cross-entropy of logits, as softplus. torch's `binary_cross_entropy_with_logits` is (1 - y) x -
    logsigmoid(x), whose terms cancel for y = 0 and a loss near 0 (at 5e-5 it is wrong by 2e-3 of it), and a yardstick
    of losses must itself be right.
    """
    return F.softplus(-logits if real else logits).mean()


class ReferenceTrainer:
    """Networks, optimizers and average; `step` is one iteration and returns its losses."""

    def __init__(self, net_g: RRDBNet, net_d: Discriminator, vgg: Vgg19) -> None:
        self.net_g, self.net_d, self.vgg = net_g.train(), net_d.train(), vgg
        self.ema = copy.deepcopy(net_g).eval()
        self.optimizer_g = torch.optim.Adam(net_g.parameters(), lr=LEARNING_RATE, betas=BETAS)
        self.optimizer_d = torch.optim.Adam(net_d.parameters(), lr=LEARNING_RATE, betas=BETAS)

    def step(self, lr: Tensor, hr: Tensor) -> dict[str, float]:
        # generator
        for p in self.net_d.parameters():
            p.requires_grad = False
        self.optimizer_g.zero_grad()
        sr = self.net_g(lr)
        pixel = PIXEL_WEIGHT * F.l1_loss(sr, hr)
        features = FEATURE_WEIGHT * F.l1_loss(self.vgg(sr), self.vgg(hr.detach()))
        real_d = self.net_d(hr).detach()
        fake_d = self.net_d(sr)
        real_term = adversarial(real_d - torch.mean(fake_d), False)
        fake_term = adversarial(fake_d - torch.mean(real_d), True)
        gan = GAN_WEIGHT * (real_term + fake_term) / 2.0
        (pixel + features + gan).backward()
        self.optimizer_g.step()

        # discriminator
        for p in self.net_d.parameters():
            p.requires_grad = True
        self.optimizer_d.zero_grad()
        fake_d = self.net_d(sr).detach()
        real_d = self.net_d(hr)
        loss_real = adversarial(real_d - torch.mean(fake_d), True) * 0.5
        loss_real.backward()
        fake_d = self.net_d(sr.detach())
        loss_fake = adversarial(fake_d - torch.mean(real_d.detach()), False) * 0.5
        loss_fake.backward()
        self.optimizer_d.step()

        average = dict(self.ema.named_parameters())
        for name, p in self.net_g.named_parameters():
            average[name].data.mul_(EMA_DECAY).add_(p.data, alpha=1.0 - EMA_DECAY)
        losses = {"pixel": pixel, "features": features, "gan": gan, "d_real": loss_real, "d_fake": loss_fake}
        return {name: loss.item() for name, loss in losses.items()}


def make_networks(blocks: int, seed: int = 0) -> tuple[RRDBNet, Discriminator, Vgg19]:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return RRDBNet(blocks=blocks), Discriminator(), Vgg19()


def make_batch(step: int, batch: int, lr_px: int = 32) -> tuple[Tensor, Tensor]:
    """Smooth random pictures: lr is the 4 x 4 area mean of hr."""
    generator = torch.Generator().manual_seed(1000 + step)
    coarse = torch.rand(batch, 3, lr_px // 2, lr_px // 2, generator=generator)
    hr = F.interpolate(coarse, scale_factor=8, mode="bicubic") + 0.05 * torch.randn(
        batch, 3, 4 * lr_px, 4 * lr_px, generator=generator
    )
    hr = hr.clamp(0, 1)
    return F.avg_pool2d(hr, 4), hr


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--blocks", type=int, default=23)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--profile", action="store_true")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    trainer = ReferenceTrainer(*make_networks(options.blocks))
    for step in range(options.steps):
        begun, cpu = time.perf_counter(), time.process_time()
        losses = trainer.step(*make_batch(step, options.batch))
        seconds = f"{time.perf_counter() - begun:.2f} s, {time.process_time() - cpu:.2f} s of processor"
        print(step + 1, seconds, " ".join(f"{name} {value:.6f}" for name, value in losses.items()), flush=True)
    if options.profile:
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
            trainer.step(*make_batch(options.steps, options.batch))
        print(profile.key_averages().table(sort_by="self_cpu_time_total", row_limit=25, max_name_column_width=60))


if __name__ == "__main__":
    main()
