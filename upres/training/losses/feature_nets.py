"""A frozen classification network that gives the features of any of its layers (families: feature_families.py)."""

from __future__ import annotations

# pyright: reportUnknownMemberType=false
import contextlib
from collections.abc import Callable, Iterable, Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from upres.errors import InputError, UsageError
from upres.training.losses.feature_families import FAMILIES, Pool, Step

PRECISIONS = (torch.float32, torch.bfloat16)  # activations of a VGG can exceed the range of float16


class FeatureNetwork(nn.Module):
    """A frozen network of the family `name`; `sha256` is that of its file, or "random weights".

    Computes in `precision`, float32 or bfloat16, also inside autocast.
    """

    def __init__(
        self, name: str, state: Mapping[str, NDArray[np.generic]], sha256: str, precision: torch.dtype = torch.float32
    ) -> None:
        super().__init__()
        if precision not in PRECISIONS:
            raise UsageError(f"feature networks compute in {' or '.join(map(str, PRECISIONS))}, got {precision}")
        family = FAMILIES[name]
        self.name, self.sha256, self.precision = name, sha256, precision
        self._steps = family.steps
        self.layers = tuple(step.name for step in family.steps if step.name)
        if isinstance(family.color, str):
            matrix, shift = (torch.from_numpy(state[f"{family.color}.{part}"]) for part in ("weight", "bias"))
        else:
            matrix, shift = torch.tensor(family.color[0])[:, :, None, None], torch.tensor(family.color[1])
        self.color, self.shift = _frozen(matrix, torch.float32), _frozen(shift, torch.float32)
        keys = (key for step in family.steps for key in step.shapes())
        # Names of parameters must not contain dots.
        self._weights = nn.ParameterDict(
            {key.replace(".", "/"): _frozen(torch.from_numpy(state[key]), precision) for key in keys}
        )
        super().train(False)

    def train(self, mode: bool = True) -> FeatureNetwork:
        """Do nothing: the network stays in eval mode, whatever contains it."""
        return self

    def forward(
        self, x: Tensor, layers: Iterable[str], pool: Callable[[Tensor], Tensor] | None = None
    ) -> dict[str, Tensor]:
        """The features, float32, of each of `layers`, in the network's order.

        x: RGB in [0,1], `b 3 h w`, or gray `b 1 h w`, taken as R = G = B; any memory format.
        pool: in place of the network's own pooling.

        Runs up to the deepest of `layers`; gradients flow to x, not to the weights. Raises `UsageError` for an unknown
        layer, `InputError` for an x of another shape or too small for the deepest layer.
        """
        steps, wanted = self._steps_to(layers)
        x = x.expand(-1, 3, -1, -1) if x.dim() == 4 and x.shape[1] == 1 else x
        self._check(x, steps)
        found: dict[str, Tensor] = {}
        with _no_autocast(x.device.type):
            # bfloat16 cannot hold 0..255 before the mean is subtracted
            x = F.conv2d(x.float(), self.color, self.shift).to(self.precision)
            for step in steps:
                x = pool(x) if pool is not None and isinstance(step, Pool) else step(x, self._weight)
                if step.name in wanted:
                    found[step.name] = x.float()
        return found

    def _weight(self, key: str) -> Tensor:
        return self._weights[key.replace(".", "/")]

    def _steps_to(self, layers: Iterable[str]) -> tuple[tuple[Step, ...], frozenset[str]]:
        wanted = frozenset(layers)
        unknown = sorted(wanted - set(self.layers))
        if unknown or not wanted:
            found = f"no layer {', '.join(map(repr, unknown))}" if unknown else "no layers to return: name at least one"
            raise UsageError(f"feature network {self.name} has {found}. Its layers: {', '.join(self.layers)}")
        last = max(i for i, step in enumerate(self._steps) if step.name in wanted)
        return self._steps[: last + 1], wanted

    def _check(self, x: Tensor, steps: tuple[Step, ...]) -> None:
        smallest = 1
        for step in reversed(steps):
            smallest = step.needs(smallest)
        if x.dim() != 4 or x.shape[1] != 3 or not x.is_floating_point() or min(x.shape[2:]) < smallest:
            raise InputError(
                f"layer {steps[-1].name} of feature network {self.name} needs RGB pictures `b 3 h w` of floats in "
                "[0,1], at least "
                f"{smallest}x{smallest} pixels, got {tuple(x.shape)} of {x.dtype}"
            )


def _frozen(tensor: Tensor, precision: torch.dtype) -> nn.Parameter:
    return nn.Parameter(tensor.to(precision), requires_grad=False)


def _no_autocast(device_type: str) -> contextlib.AbstractContextManager[object]:
    return (
        torch.autocast(device_type, enabled=False)
        if torch.amp.is_autocast_available(device_type)
        else contextlib.nullcontext()
    )
