"""The operations of recipes, one Struct each: its keys, their types, ranges and defaults.

Values that depend on the scale have a second key `KEY_per_scale`: the value is KEY + KEY_per_scale * scale.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Final

from msgspec import Meta, Struct

from upres.degradation.codecs import FORMATS
from upres.degradation.filters import MODES
from upres.errors import nearest
from upres.system.structs import check_fields

KINDS: Final = (
    "isotropic", "anisotropic", "generalised-isotropic", "generalised-anisotropic", "plateau-isotropic",
    "plateau-anisotropic",
)  # fmt: skip
_GREATEST_SCALE: Final = 16  # of `upres degrade`


class Within:
    """Checks the bounds of a range [least, greatest].

    `ordered=False`: for one of two summands of a range, which may be descending.
    """

    def __init__(
        self, low: float, high: float, *, odd: bool = False, whole: bool = False, ordered: bool = True
    ) -> None:
        self._low, self._high, self._odd, self._whole, self._ordered = low, high, odd, whole or odd, ordered

    def __call__(self, bounds: tuple[float, float]) -> str:
        least, greatest = bounds
        got = f"got [{least:g}, {greatest:g}]"
        for bound in bounds:
            if not math.isfinite(bound):
                return f"must be finite numbers, {got}"
        if self._ordered and least > greatest:
            return f"is upside down: expected [least, greatest], {got}"
        if not self._low <= min(bounds) or not max(bounds) <= self._high:
            return f"must lie in [{self._low:g}, {self._high:g}], {got}"
        if self._whole and not (least.is_integer() and greatest.is_integer()):
            return f"must be whole numbers, {got}"
        if self._odd and not (least % 2 and greatest % 2):
            return f"must be odd numbers (kernel sizes), {got}"
        return ""


class Named:
    """Checks a table of chances: its names, and that the chances add up to 1."""

    def __init__(self, *names: str) -> None:
        self._names = names

    def __call__(self, chances: Mapping[str, float]) -> str:
        for name, value in chances.items():
            if name not in self._names:
                return f"has the unknown name {name!r}{nearest(name, self._names)}; there are {', '.join(self._names)}"
            if not 0.0 <= value <= 1.0:
                return f"must hold chances in [0, 1], got {name} = {value:g}"
        return add_up(list(chances.values()))


def add_up(chances: list[float]) -> str:
    """An error message unless `chances`, of mutually exclusive options, add up to 1."""
    total = sum(chances)
    return "" if math.isclose(total, 1.0, abs_tol=1e-6) else f"must hold chances that add up to 1, got {total:g}"


def _odd(value: int) -> str:
    return "" if value >= 1 and value % 2 else f"must be an odd whole number, got {value}"


def _finite(value: float) -> str:
    return "" if math.isfinite(value) else f"must be a finite number, got {value}"


def _input_or_target(value: str) -> str:
    return "" if value in ("input", "target") else f'must be "input" or "target", got {value!r}'


Chance = Annotated[float, Meta(ge=0.0, le=1.0, description="a chance in [0, 1]")]
Positive = Annotated[float, Meta(gt=0.0, description="a number above 0"), _finite]
Odd = Annotated[int, Meta(description="an odd whole number"), _odd]
Range = Annotated[tuple[float, float], Meta(description="a range [least, greatest] of numbers")]
Sizes = Annotated[Range, Within(1, 201, odd=True)]
Sigma = Annotated[Range, Within(0.0, 1000.0)]
Part = Annotated[Range, Within(0.0, 1000.0, ordered=False)]
Beta = Annotated[Range, Within(0.01, 100.0)]
_Chances = Annotated[dict[str, float], Meta(min_length=1, description="a table of chances")]
Modes = Annotated[_Chances, Named(*MODES)]
Scales = Annotated[
    tuple[Annotated[int, Meta(ge=1)], ...], Meta(description="a list of scales, whole numbers of 1 or more")
]  # fmt: skip


class Sharpen(Struct, frozen=True, forbid_unknown_fields=True):
    """`[target]`: unsharp masking of the target (upres/degradation/filters.py)."""

    amount: Positive
    radius_px: Odd
    threshold_255: Annotated[float, _finite]

    def __post_init__(self) -> None:
        check_fields(self)


class _Stage(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="op"):
    """chance: probability of the stage. scales: those at which it applies; empty: all."""

    chance: Chance = 1.0
    scales: Scales = ()

    def __post_init__(self) -> None:
        check_fields(self)
        self.check()

    def check(self) -> None:
        """Check combinations of keys. Raises `ValueError`."""

    def scaled(self, key: str, scale: int) -> tuple[float, float]:
        """The range of `key` at `scale`, including `KEY_per_scale`."""
        low, high = getattr(self, key) or (0.0, 0.0)
        more = getattr(self, f"{key}_per_scale") or (0.0, 0.0)
        return low + more[0] * scale, high + more[1] * scale

    def check_order(self, key: str) -> None:
        """Check that `key` is ascending at every scale; it is linear, so the smallest and the largest suffice."""
        for scale in self.scales or (1, _GREATEST_SCALE):
            low, high = self.scaled(key, scale)
            if low > high:
                raise ValueError(f"{key} is upside down at scale {scale}: {low:g} to {high:g}")

    def need(self, *keys: str) -> None:
        if all(getattr(self, key) is None for key in keys):
            raise ValueError(f"{keys[0]} is missing")


class Blur(_Stage, frozen=True, kw_only=True, tag="blur"):
    """Blur with a kernel of `kinds`, or with chance `sinc` a low-pass.

    `variance`: of both axes of anisotropic kernels.
    """

    size: Sizes
    kinds: Annotated[_Chances, Named(*KINDS)]
    sigma: Part | None = None
    sigma_per_scale: Part | None = None
    variance: Part | None = None
    variance_per_scale: Part | None = None
    theta: Annotated[Range, Within(-math.pi, math.pi)] = (-math.pi, math.pi)
    beta_generalised: Beta = (0.5, 4.0)
    beta_plateau: Beta = (1.0, 2.0)
    sinc: Chance = 0.0

    def check(self) -> None:
        if self.variance is None and self.variance_per_scale is not None:
            raise ValueError("variance is missing, to which variance_per_scale adds")
        turned_only = all("anisotropic" in kind for kind, chance in self.kinds.items() if chance > 0.0)
        if self.variance is None or not turned_only:
            self.need("sigma", "sigma_per_scale")
        self.check_order("sigma")
        self.check_order("variance")
        for key, (low, high) in (("beta_generalised", self.beta_generalised), ("beta_plateau", self.beta_plateau)):
            if not low <= 1.0 <= high:
                raise ValueError(f"{key} must be a range that contains 1, got [{low:g}, {high:g}]")


class Sinc(_Stage, frozen=True, kw_only=True, tag="sinc"):
    size: Sizes
    cutoff: Annotated[Range, Within(0.01, math.pi)]


class _Reduction(_Stage, frozen=True, kw_only=True):
    modes: Modes
    antialias: Chance = 0.0


class Resize(_Reduction, frozen=True, kw_only=True, tag="resize"):
    """Resize by a factor of the input's size, or of the final LR size."""

    of: Annotated[str, _input_or_target] = "input"
    directions: Annotated[_Chances, Named("up", "down", "keep")]
    factor: Annotated[Range, Within(0.01, 16.0)]

    def check(self) -> None:
        low, high = self.factor
        for direction, side, wrong in (("up", "above", high < 1.0), ("down", "below", low > 1.0)):
            if wrong and self.directions.get(direction, 0.0) > 0.0:
                raise ValueError(f"factor must reach {side} 1 for directions.{direction}, got [{low:g}, {high:g}]")


class ToTarget(_Reduction, frozen=True, kw_only=True, tag="to-target"):
    """Resize to the final LR size."""


class Halve(_Reduction, frozen=True, kw_only=True, tag="halve"):
    """Resize to half the size, which halves the remaining scale."""


class Divide(_Reduction, frozen=True, kw_only=True, tag="divide"):
    factor: Part | None = None
    factor_per_scale: Part | None = None

    def check(self) -> None:
        self.need("factor", "factor_per_scale")
        self.check_order("factor")


class Decimate(_Stage, frozen=True, kw_only=True, tag="decimate"):
    """Blur with a Gaussian and keep every n-th pixel, n the remaining scale."""

    size: Odd
    sigma: Part | None = None
    sigma_per_scale: Part | None = None

    def check(self) -> None:
        self.need("sigma", "sigma_per_scale")
        self.check_order("sigma")


class Noise(_Stage, frozen=True, kw_only=True, tag="noise"):
    kinds: Annotated[_Chances, Named("gaussian", "poisson", "correlated")]
    sigma_255: Sigma | None = None
    whole_sigma: bool = False
    strength: Sigma | None = None
    gray: Chance = 0.0
    correlated_sigma_255: Positive = 25.0

    def check(self) -> None:
        for kind, key in (("gaussian", "sigma_255"), ("poisson", "strength")):
            chance = self.kinds.get(kind, 0.0)
            if chance > 0.0 and getattr(self, key) is None:
                raise ValueError(f"{key} is missing, but kinds.{kind} is {chance:g}")
        if self.whole_sigma and not all(sigma.is_integer() for sigma in self.sigma_255 or ()):
            raise ValueError(
                f"sigma_255 must be whole numbers if whole_sigma is true, got {list(self.sigma_255 or ())}"
            )


class Codec(_Stage, frozen=True, kw_only=True, tag="codec"):
    """subsample: chance of 4:2:0. shifted: chance of a grid of blocks that does not start in the corner."""

    formats: Annotated[_Chances, Named(*FORMATS)]
    quality: Annotated[Range, Within(1, 100, whole=True)]
    subsample: Chance = 1.0
    shifted: Chance = 0.0


class Camera(_Stage, frozen=True, kw_only=True, tag="camera"):
    """Add sensor noise, undoing and redoing a camera's processing."""


class Clip(_Stage, frozen=True, kw_only=True, tag="clip"):
    """Clip to [0, 1]."""


class Option(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One option of `choose`; does nothing if it has no stages."""

    chance: Chance
    stage: tuple[Stage, ...] = ()


class Choose(_Stage, frozen=True, kw_only=True, tag="choose"):
    """Apply exactly one of the options."""

    option: Annotated[tuple[Option, ...], Meta(min_length=2, description="at least two [[...option]]")]

    def check(self) -> None:
        if problem := add_up([option.chance for option in self.option]):
            raise ValueError(f"option {problem}")


class Shuffle(_Stage, frozen=True, kw_only=True, tag="shuffle"):
    """Apply all stages in random order."""

    stage: Stages


Stage = Blur | Sinc | Resize | ToTarget | Halve | Divide | Decimate | Noise | Codec | Camera | Clip | Choose | Shuffle
Stages = Annotated[tuple[Stage, ...], Meta(min_length=1, description="at least one [[stage]]")]
