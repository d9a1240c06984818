"""Frozen classification networks as published, each a list of steps that gives the features of any of its layers.

| family | what it is | input | layers |
|---|---|---|---|
| vgg19, vgg16 | torchvision's (Simonyan and Zisserman, ICLR 2015) | as for ImageNet | conv1_1 ... conv5_4 (conv5_3) |
| vgg19-conv3_1 | VGG-19, mean activations of 1 (Gatys et al., NIPS 2015) | by its layer `0` | conv1_1 ... conv3_1 |
| vgg19-16x | VGG-19, a sixteenth of its weights (Wang et al., CVPR 2020) | by its `conv0` | conv1_1 ... conv5_1 |
| squeezenet1_1 | trained in Caffe (Iandola et al., 2016) | B G R in 0..255, less their means | conv1, fire2 ... fire9 |
| squeezenet1_1-torchvision | torchvision's training of the same layers | as vgg19 | the same |

The names stand for outputs before the activation (of a `fire`, both branches concatenated); with `relu` instead of
`conv` or `fire`, as in relu3_1 and relu9, after it. The second and third VGG reflect the border (they come from style
transfer), all others pad with 0.
"""

from __future__ import annotations

# pyright: reportUnknownMemberType=false
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from upres.errors import ModelError
from upres.training.winograd.conv import conv2d

Weights = Callable[[str], Tensor]  # name of a tensor in the file -> the tensor


@dataclass(frozen=True, slots=True)
class Conv:
    """A 3x3 convolution with the weights `key`.weight and `key`.bias, padded by 1 pixel or not at all."""

    name: str
    key: str
    channels: tuple[int, int]  # in, out
    padding: Literal["zeros", "reflect", "none"] = "zeros"
    stride: int = 1

    def shapes(self) -> dict[str, tuple[int, ...]]:
        return {
            f"{self.key}.weight": (self.channels[1], self.channels[0], 3, 3),
            f"{self.key}.bias": (self.channels[1],),
        }

    def needs(self, size: int) -> int:
        if self.padding == "none":
            return (size - 1) * self.stride + 3
        return max(size, 2) if self.padding == "reflect" else size

    def __call__(self, x: Tensor, weights: Weights) -> Tensor:
        if self.padding == "reflect":
            x = F.pad(x, (1, 1, 1, 1), mode="reflect")
        return conv2d(
            x, weights(f"{self.key}.weight"), weights(f"{self.key}.bias"), self.stride, int(self.padding == "zeros")
        )


@dataclass(frozen=True, slots=True)
class Fire:
    """Squeeze by a 1x1 convolution and ReLU, then expand by 1x1 and 3x3 convolutions, concatenated."""

    name: str
    key: str
    channels: tuple[int, int, int]  # in, squeezed, out

    def shapes(self) -> dict[str, tuple[int, ...]]:
        wide, narrow, out = self.channels
        kernels = {
            "squeeze": (narrow, wide, 1, 1),
            "expand1x1": (out // 2, narrow, 1, 1),
            "expand3x3": (out // 2, narrow, 3, 3),
        }
        weights = {f"{self.key}.{part}.weight": shape for part, shape in kernels.items()}
        return weights | {f"{self.key}.{part}.bias": shape[:1] for part, shape in kernels.items()}

    def needs(self, size: int) -> int:
        return size

    def __call__(self, x: Tensor, weights: Weights) -> Tensor:
        def part(y: Tensor, name: str, padding: int = 0) -> Tensor:
            return conv2d(y, weights(f"{self.key}.{name}.weight"), weights(f"{self.key}.{name}.bias"), padding=padding)

        x = F.relu(part(x, "squeeze"))
        return torch.cat([part(x, "expand1x1"), part(x, "expand3x3", 1)], dim=1)


@dataclass(frozen=True, slots=True)
class Relu:
    """Never in place: the output of the preceding convolution may be wanted, too."""

    name: str

    def shapes(self) -> dict[str, tuple[int, ...]]:
        return {}

    def needs(self, size: int) -> int:
        return size

    def __call__(self, x: Tensor, weights: Weights) -> Tensor:
        return F.relu(x)


@dataclass(frozen=True, slots=True)
class Pool:
    """Maximum over `kernel` x `kernel`, stride 2; `ceil`: also for windows that exceed the edge."""

    kernel: int = 2
    ceil: bool = False
    name: str = ""

    def shapes(self) -> dict[str, tuple[int, ...]]:
        return {}

    def needs(self, size: int) -> int:
        return 2 * size - int(self.ceil and self.kernel == 2)

    def __call__(self, x: Tensor, weights: Weights) -> Tensor:
        return F.max_pool2d(x, self.kernel, 2, ceil_mode=self.ceil)


Step = Conv | Fire | Relu | Pool


def _vgg(
    blocks: Iterable[tuple[int, ...]], keys: Iterable[str], padding: Literal["zeros", "reflect"], ceil: bool
) -> tuple[Step, ...]:
    """`blocks`: the output channels of each block's convolutions; a pool separates blocks."""
    steps: list[Step] = []
    last, key = 3, iter(keys)
    for i, block in enumerate(blocks, 1):
        steps += [Pool(ceil=ceil)] if i > 1 else []
        for j, width in enumerate(block, 1):
            steps += [Conv(f"conv{i}_{j}", next(key), (last, width), padding), Relu(f"relu{i}_{j}")]
            last = width
    return tuple(steps)


def _squeezenet(prefix: str) -> tuple[Step, ...]:
    steps: list[Step] = [Conv("conv1", f"{prefix}0", (3, 64), "none", 2), Relu("relu1")]
    last = 64
    for number, key, squeezed, out in (
        (2, 3, 16, 128), (3, 4, 16, 128), (4, 6, 32, 256), (5, 7, 32, 256),
        (6, 9, 48, 384), (7, 10, 48, 384), (8, 11, 64, 512), (9, 12, 64, 512),
    ):  # fmt: skip
        steps += [Pool(3, ceil=True)] if number in (2, 4, 6) else []
        steps += [Fire(f"fire{number}", f"{prefix}{key}", (last, squeezed, out)), Relu(f"relu{number}")]
        last = out
    return tuple(steps)


# out = matrix @ (R, G, B in [0,1]) + shift: the input a network was trained on.
Color = tuple[tuple[tuple[float, float, float], ...], tuple[float, float, float]]
_IMAGENET: Color = (
    ((1 / 0.229, 0.0, 0.0), (0.0, 1 / 0.224, 0.0), (0.0, 0.0, 1 / 0.225)),
    (-0.485 / 0.229, -0.456 / 0.224, -0.406 / 0.225),
)
_CAFFE: Color = (((0.0, 0.0, 255.0), (0.0, 255.0, 0.0), (255.0, 0.0, 0.0)), (-104.0, -117.0, -123.0))


@dataclass(frozen=True, slots=True)
class Family:
    """A kind of network. `color` converts its input: fixed, or the key of a 1x1 convolution in the file."""

    steps: tuple[Step, ...]
    color: Color | str
    ignored: str = "(?!)"  # regular expression of other tensors in its files; this one matches nothing

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shape of each tensor that a file must have, by name."""
        shapes = {name: shape for step in self.steps for name, shape in step.shapes().items()}
        return shapes | (
            {f"{self.color}.weight": (3, 3, 1, 1), f"{self.color}.bias": (3,)} if isinstance(self.color, str) else {}
        )


_WIDTHS_19 = ((64,) * 2, (128,) * 2, (256,) * 4, (512,) * 4, (512,) * 4)
_WIDTHS_16 = ((64,) * 2, (128,) * 2, (256,) * 3, (512,) * 3, (512,) * 3)
_WIDTHS_16X = ((16,) * 2, (32,) * 2, (64,) * 4, (128,) * 4, (128,))
_AT_19 = (0, 2, 5, 7, 10, 12, 14, 16, 19, 21, 23, 25, 28, 30, 32, 34)
_AT_16 = (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)
_KEYS_16X = tuple(f"conv{i}{j}" for i, block in enumerate(_WIDTHS_16X, 1) for j in range(1, len(block) + 1))

FAMILIES: dict[str, Family] = {
    "vgg19": Family(_vgg(_WIDTHS_19, (f"features.{i}" for i in _AT_19), "zeros", False), _IMAGENET, r"classifier\."),
    "vgg16": Family(_vgg(_WIDTHS_16, (f"features.{i}" for i in _AT_16), "zeros", False), _IMAGENET, r"classifier\."),
    "vgg19-conv3_1": Family(_vgg(((64, 64), (128, 128), (256,)), ("2", "5", "9", "12", "16"), "reflect", True), "0"),
    "vgg19-16x": Family(_vgg(_WIDTHS_16X, _KEYS_16X, "reflect", False), "conv0", r"conv\d\d_aux\."),
    "squeezenet1_1": Family(_squeezenet(""), _CAFFE, r"classifier\."),
    "squeezenet1_1-torchvision": Family(_squeezenet("features."), _IMAGENET, r"classifier\."),
}


def recognize(state: Mapping[str, NDArray[np.generic]], origin: str) -> str:
    """The family of a state dict, by names and shapes.

    Raises `ModelError`, naming the file `origin`, for any other network.
    """
    name = next((name for name, family in FAMILIES.items() if family.shapes().keys() <= state.keys()), None)
    if name is None:
        raise ModelError(
            f"feature network {origin}: expected the tensors of one of {', '.join(FAMILIES)}, found {len(state)} "
            "others: "
            f"{', '.join(repr(key[:60]) for key in list(state)[:4])} ... Give the published file of one of these "
            "networks"
        )
    shapes = FAMILIES[name].shapes()
    for key, tensor in state.items():
        if key in shapes and (tensor.shape != shapes[key] or tensor.dtype.kind != "f"):
            raise ModelError(
                f"feature network {origin}: {key!r} of {name} should have shape {shapes[key]} and floating point "
                "values, found "
                f"{tensor.shape} of {tensor.dtype}. Give the published file"
            )
        if key not in shapes and not re.match(FAMILIES[name].ignored, key):
            raise ModelError(
                f"feature network {origin}: expected only the tensors of {name}, found also {key[:60]!r}. Give the "
                "published file"
            )
    return name


def random_state(name: str, seed: int) -> dict[str, NDArray[np.float32]]:
    """Weights of the family `name` that preserve the scale of activations (He et al., ICCV 2015), from their own
    generator.
    """
    generator = torch.Generator().manual_seed(seed)
    family = FAMILIES[name]
    state: dict[str, Tensor] = {}
    for key, shape in family.shapes().items():
        drawn = torch.randn(shape, generator=generator) if len(shape) == 4 else torch.zeros(shape)
        state[key] = drawn * (2.0 / max(1, int(np.prod(shape[1:])))) ** 0.5
    if isinstance(family.color, str):
        state |= {
            f"{family.color}.weight": torch.tensor(_CAFFE[0])[:, :, None, None],
            f"{family.color}.bias": torch.tensor(_CAFFE[1]),
        }
    return {key: tensor.numpy() for key, tensor in state.items()}
