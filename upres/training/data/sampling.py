"""Draws the samples of a step; each is a pure function of (seed, step, position): crop, flips, degradation and mixing.

There is no shuffled pool, so samples do not depend on the number of workers or ranks, and no state has to be saved.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from threading import Lock
from typing import Any, Final, cast

import numpy as np
from numpy.typing import NDArray

from upres.degradation.apply import Recipe, draw_plan, run_plan, sharpened
from upres.training.config import TrainConfig
from upres.training.data.augment import Sample, cutblur, cutmix, mixup
from upres.training.data.images import Levels, Pair, reduced
from upres.training.data.shares import share_of

Mapper = Callable[[Callable[[int], "Sample"], Iterable[int]], Iterable["Sample"]]

_AROUND_PX: Final = 8  # LR pixels degraded beyond a patch on each side, so that its edges have true surroundings
# maximum offset of a patch from the center of its region, so that every phase of JPEG's 8x8 grid occurs
_JITTER_PX: Final = 4
_CUBIC_PX: Final = 3  # LR pixels around a patch that its cubic downscaling depends on
_VALIDATION_SEED: Final = 20_251_125  # of the degradation of validation pictures, whatever the run's seed
_PARTNER: Final = 1 << 40  # offset of the degradation index of a mixing partner, beyond all samples of a run


@dataclass(frozen=True)
class Batch:
    """Stacked samples: lr `b p p c`, hr `b p*scale p*scale c`, target like hr or None."""

    lr: Levels
    hr: Levels
    target: NDArray[np.float32] | None = None


def draw_batch(
    config: TrainConfig,
    pairs: Sequence[Pair],
    weights: NDArray[np.float64],
    step: int,
    *,
    recipe: Recipe | None = None,
    rank: int = 0,
    ranks: int = 1,
    mapper: Mapper = map,
    regions: DegradedRegionCache | None = None,
) -> Batch:
    """Draw the share of rank `rank` in the batch of `step`; `config.batch` counts all ranks (`share_of`).

    config: sizes, seed and augmentation. pairs, weights: the pictures and their relative probabilities. recipe: the
    degradation, if any. mapper: maps over samples, for example in threads. regions: caches degraded regions for later
    steps (`config.reuse`); without it the samples are the same, but take longer.
    """
    edges = np.cumsum(weights)
    edges /= edges[-1]  # as in Generator.choice, but once for all samples
    regions = DegradedRegionCache() if regions is None else regions
    drawn = list(
        mapper(
            lambda i: draw_sample(config, pairs, edges, step, i, recipe, regions),
            share_of(config, rank, ranks),
        )
    )
    targets = [sample.target for sample in drawn if sample.target is not None]
    lr, hr = (cast(Levels, np.stack(list(levels))) for levels in zip(*((s.lr, s.hr) for s in drawn), strict=True))
    return Batch(lr, hr, np.stack(targets) if targets else None)


class DegradedRegionCache:
    """The latest degraded regions by number, from which `config.reuse` steps cut their patches. Thread-safe."""

    def __init__(self) -> None:
        self._kept: OrderedDict[int, _Region] = OrderedDict()
        self._lock = Lock()

    def get(self, number: int, most: int, make: Callable[[], _Region]) -> _Region:
        with self._lock:
            found = self._kept.get(number)
        if found is None:
            found = make()
            with self._lock:
                self._kept[number] = found
                while len(self._kept) > most:
                    self._kept.popitem(last=False)
        return found


@dataclass(frozen=True)
class _Region:
    """A degraded piece of a picture: lr float `h w c`, hr and target `h*scale w*scale c`, and the order in which it is
    cut.
    """

    lr: NDArray[np.float32]
    hr: Levels
    target: NDArray[np.float32] | None
    order: tuple[int, ...] = ()


def draw_sample(
    config: TrainConfig,
    pairs: Sequence[Pair],
    edges: NDArray[np.float64],
    step: int,
    index: int,
    recipe: Recipe | None,
    regions: DegradedRegionCache | None = None,
) -> Sample:
    """Draw sample `index` of the batch of `step`; `edges` are the cumulative probabilities of the pictures.

    The degradation is `draw_plan(recipe, seed=config.seed, index=step // config.reuse * config.batch + index)`.
    """
    if config.reuse > 1 and recipe is not None:  # `check_config` rules out mixing here
        return _of_region(
            config, pairs, edges, step, index, recipe, DegradedRegionCache() if regions is None else regions
        )
    number = step * config.batch + index
    sample = _one(config, pairs, edges, np.random.default_rng((config.seed, step, index)), recipe, number)
    if not config.mixup + config.cutmix + config.cutblur:
        return sample
    # a separate stream: mixing leaves other samples unchanged
    rng = np.random.default_rng((config.seed, step, index, 1))
    chance = rng.random()
    if chance < config.mixup:
        return mixup(sample, _one(config, pairs, edges, rng, recipe, _PARTNER + number), rng)
    if chance < config.mixup + config.cutmix:
        return cutmix(sample, _one(config, pairs, edges, rng, recipe, _PARTNER + number), rng, config.scale)
    if chance < config.mixup + config.cutmix + config.cutblur:
        return cutblur(sample, rng, config.scale)
    return sample


def degrade_pairs(pairs: Sequence[Pair], recipe: Recipe | None, scale: int) -> list[Pair]:
    """Validation pairs with the LR that `recipe` makes, the same in every run; `reference` keeps the clean LR."""
    if recipe is None:
        return list(pairs)
    degraded: list[Pair] = []
    for index, pair in enumerate(pairs):
        plan = draw_plan(recipe, seed=_VALIDATION_SEED, index=index, scale=scale)
        lr = run_plan(sharpened(_as_float(pair.hr), plan), plan)
        degraded.append(Pair(pair.name, pair.hr, _store(lr, pair.hr.dtype), pair.lr))
    return degraded


def _pick(pairs: Sequence[Pair], edges: NDArray[np.float64], rng: np.random.Generator) -> Pair:
    return pairs[int(edges.searchsorted(rng.random(), side="right"))]


def _one(
    config: TrainConfig,
    pairs: Sequence[Pair],
    edges: NDArray[np.float64],
    rng: np.random.Generator,
    recipe: Recipe | None,
    number: int,
) -> Sample:
    """An unmixed sample, randomly flipped (`config.turns`) and recolored (`config.color_augment`)."""
    pair = _pick(pairs, edges, rng)
    scale, patch = config.scale, config.patch_px
    sides = [side // scale for side in pair.hr.shape[:2]]
    if pair.lr is not None:
        y, x = (_below(side - patch + 1, rng) for side in sides)
        lr, hr = pair.lr[y : y + patch, x : x + patch], _cut(pair.hr, y * scale, x * scale, patch * scale)
        turn = _turn_of(config, rng)
        return Sample(np.ascontiguousarray(turn(lr)), np.ascontiguousarray(turn(hr)))
    if recipe is None:
        return _reduced(config, pair, sides, rng)
    region = _degraded(config, pair, patch, rng, recipe, number)
    top, left = (_offset(size - patch, rng) for size in region.lr.shape[:2])
    return _patch_of(region, config, top, left)


def _of_region(
    config: TrainConfig,
    pairs: Sequence[Pair],
    edges: NDArray[np.float64],
    step: int,
    index: int,
    recipe: Recipe,
    regions: DegradedRegionCache,
) -> Sample:
    """One quarter of a region that is degraded once for four steps: a third of the cost, since the surroundings are
    shared.
    """
    patch, group = config.patch_px, step // config.reuse
    number = group * config.batch + index

    def make() -> _Region:
        rng = np.random.default_rng((config.seed, group, index))
        region = _degraded(config, _pick(pairs, edges, rng), 2 * patch, rng, recipe, number)
        return replace(region, order=tuple(int(i) for i in rng.permutation(config.reuse)))

    region = regions.get(number, 4 * config.batch, make)
    rng = np.random.default_rng((config.seed, step, index, 2))
    place = region.order[step % config.reuse]
    top, left = (
        _near(half, size, patch, rng) for half, size in zip(divmod(place, 2), region.lr.shape[:2], strict=True)
    )
    return _patch_of(region, config, top, left)


def _degraded(
    config: TrainConfig, pair: Pair, inner_px: int, rng: np.random.Generator, recipe: Recipe, number: int
) -> _Region:
    """A random piece of a picture, flipped and degraded: `inner_px` LR pixels a side plus a margin, as far as the
    picture allows.
    """
    scale = config.scale
    sides = [side // scale for side in pair.hr.shape[:2]]
    large = [min(inner_px + 2 * _AROUND_PX, side) for side in sides]
    y, x = (_below(side - size + 1, rng) for side, size in zip(sides, large, strict=True))
    turned = np.ascontiguousarray(
        _turn_of(config, rng)(pair.hr[y * scale : (y + large[0]) * scale, x * scale : (x + large[1]) * scale])
    )
    plan = draw_plan(recipe, seed=config.seed, index=number, scale=scale)
    hr = sharpened(_as_float(turned), plan)
    return _Region(run_plan(hr, plan), turned, None if recipe.target is None else hr)


def _patch_of(region: _Region, config: TrainConfig, top: int, left: int) -> Sample:
    """The sample whose LR starts at (top, left) of the region."""
    scale, patch = config.scale, config.patch_px
    hr = np.ascontiguousarray(_cut(region.hr, top * scale, left * scale, patch * scale))
    target = None if region.target is None else _cut(region.target, top * scale, left * scale, patch * scale)
    return Sample(_store(_cut(region.lr, top, left, patch), region.hr.dtype), hr, target)


def _near(half: int, size: int, patch: int, rng: np.random.Generator) -> int:
    """Where a patch of the first or second half starts, jittered by up to `_JITTER_PX` within the margin."""
    around = min(_AROUND_PX, max(0, size - patch) // 2)
    wanted = around if half == 0 else max(around, size - around - patch)
    jitter = min(_JITTER_PX, around)
    return min(max(0, wanted + int(rng.integers(-jitter, jitter + 1))), size - patch)


def _reduced(config: TrainConfig, pair: Pair, sides: Sequence[int], rng: np.random.Generator) -> Sample:
    """A patch of the MATLAB-equal downscaled picture, computed only where needed."""
    scale, patch = config.scale, config.patch_px
    y, x = (_below(side - patch + 1, rng) for side in sides)
    top, left = max(0, y - _CUBIC_PX), max(0, x - _CUBIC_PX)
    bottom, right = min(sides[0], y + patch + _CUBIC_PX), min(sides[1], x + patch + _CUBIC_PX)
    region = np.ascontiguousarray(pair.hr[top * scale : bottom * scale, left * scale : right * scale])
    small = region if scale == 1 else reduced(cast(Levels, region), size=(bottom - top, right - left))
    turn = _turn_of(config, rng)
    lr, hr = _cut(small, y - top, x - left, patch), _cut(pair.hr, y * scale, x * scale, patch * scale)
    return Sample(np.ascontiguousarray(turn(lr)), np.ascontiguousarray(turn(hr)))


def _below(count: int, rng: np.random.Generator) -> int:
    return int(rng.integers(count))


def _as_float(levels: Levels) -> NDArray[np.float32]:
    return levels.astype(np.float32) / np.float32(np.iinfo(levels.dtype).max)


def _cut(image: Any, top: int, left: int, size: int) -> Any:
    return image[top : top + size, left : left + size]


def _offset(slack: int, rng: np.random.Generator) -> int:
    """Where a patch starts in its degraded region: within `_JITTER_PX` of the center."""
    nearest = max(0, slack // 2 - _JITTER_PX)
    return int(rng.integers(nearest, slack - nearest + 1))


def _store(image: NDArray[np.float32], dtype: np.dtype[Any]) -> Levels:
    """Float [0,1] to `dtype`, clipped and rounded."""
    return cast("Levels", np.rint(np.clip(image, 0.0, 1.0) * np.float64(np.iinfo(dtype).max)).astype(dtype))


def _turn_of(config: TrainConfig, rng: np.random.Generator) -> Callable[[Any], Any]:
    """The flips and color changes of one sample, for lr and hr alike.

    With probability `color_augment` the channels are permuted and each is inverted or not. Linear resizing commutes
    with both, so `lr` remains the downscaled `hr`; edges between equally bright colors become as common as others.
    """
    flip_h, flip_w, transpose = cast("list[int]", rng.integers(2, size=3).tolist())
    if config.turns == "mirror":
        flip_h = transpose = 0
    order = inverted = None
    if config.color_augment and rng.random() < config.color_augment:
        order, inverted = rng.permutation(3), rng.integers(2, size=3).astype(bool)

    def turn(patch: Any) -> Any:
        patch = patch[::-1] if flip_h else patch
        patch = patch[:, ::-1] if flip_w else patch
        patch = patch.transpose(1, 0, 2) if transpose else patch
        if order is None or patch.shape[2] == 1:
            return patch
        patch = patch[:, :, order]
        return cast(Any, np.where(cast("NDArray[np.bool_]", inverted), np.iinfo(patch.dtype).max - patch, patch))

    return turn
