"""Bands of a TIFF beyond its colors: only what is declared as transparency is transparency, others are bands."""

from __future__ import annotations

import numpy as np

from upres.images.icc_matrix import Levels
from upres.images.ifd import SHORT, Entry, entry

EXTRA_SAMPLES = 338
ASSOCIATED, UNASSOCIATED = 1, 2  # values of ExtraSamples: colors multiplied by the alpha, or not
_ALPHA = (ASSOCIATED, UNASSOCIATED)


def kinds_of(extra: int, declared: list[int]) -> tuple[int, ...]:
    """The values of ExtraSamples of all `extra` samples beyond the colors; those that the file leaves out are 0."""
    return tuple([*declared[:extra], *[0] * (extra - len(declared))])


def count_bands(kinds: tuple[int, ...]) -> int:
    """How many of the samples are bands, not transparency."""
    return len(kinds) - has_transparency(kinds)


def has_transparency(kinds: tuple[int, ...]) -> bool:
    """Whether one of the samples is declared as transparency."""
    return any(kind in _ALPHA for kind in kinds)


def split_bands(levels: Levels, kinds: tuple[int, ...]) -> tuple[Levels, Levels | None]:
    """(colors h w c with the alpha last, if there is one; bands h w k or None) of levels h w with all samples."""
    if not count_bands(kinds):
        return levels, None
    colors = levels.shape[2] - len(kinds)
    alpha = [colors + place for place, kind in enumerate(kinds) if kind in _ALPHA]
    bands = [colors + place for place, kind in enumerate(kinds) if kind not in _ALPHA]
    return levels[:, :, [*range(colors), *alpha]], levels[:, :, bands]


def joined_bands(levels: Levels, bands: Levels, kinds: tuple[int, ...]) -> Levels:
    """The reverse of `split_bands`: alpha and bands in the order of `kinds`."""
    colors = levels.shape[2] - has_transparency(kinds)
    left = iter(range(bands.shape[2]))
    parts = [levels[:, :, :colors]]
    for kind in kinds:
        place = None if kind in _ALPHA else next(left)
        parts.append(levels[:, :, colors:] if place is None else bands[:, :, place : place + 1])
    return np.concatenate(parts, axis=2)


def kinds_in(tags: dict[int, Entry], bands: int, has_alpha: bool) -> tuple[int, ...]:
    """The order of the samples beyond the colors in a result: that of the source, in `tags`, else the alpha first."""
    found = tags.get(EXTRA_SAMPLES)
    kinds = () if found is None else tuple(int(number) for number in found.numbers)
    if count_bands(kinds) == bands and has_transparency(kinds) == has_alpha:
        return kinds
    return (*[UNASSOCIATED] * has_alpha, *[0] * bands)


def extra_samples(kinds: tuple[int, ...]) -> Entry:
    """The field for TIFF."""
    return entry(SHORT, tuple(float(kind) for kind in kinds))
