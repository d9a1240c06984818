"""Loads the pictures of a run from its roots.

All pictures are converted to one number of channels and one bit depth. Single unusable pictures are left out, and
named.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from upres.errors import InputError
from upres.training.config import TrainConfig
from upres.training.data.images import (
    SMALLEST_PX,
    VALIDATION_PX,
    Levels,
    Pair,
    TrainingSet,
    center,
    draw_weights,
    load_pairs,
    make_pair,
    on_grid,
    read_levels,
    usable,
)
from upres.training.data.roots import File, Kind, Opened, Root, as_roots, common_kind, open_root
from upres.training.data.shards import Shards

_HELD_OUT = 5  # pictures held out for validation if no folder is given


def load_training_set(
    config: TrainConfig,
    roots: Path | Sequence[Root],
    validation: Path | Sequence[Root] | None,
    say: Callable[[str], None] = lambda _: None,
) -> TrainingSet:
    """Load all pictures of a run. Without `validation`, five pictures of the folders and the validation pictures of
    shards are held out. say: told how far shards at URLs are fetched.

    Training pairs have `lr` None if the recipe degrades, and those of shards always; validation pairs have the
    MATLAB-equal LR, or the LR file. Raises `DataError` for unusable data, `UsageError` for options that contradict each
    other.
    """
    opened = [open_root(root, config, "data", "lr", say) for root in as_roots(roots)]
    given = (
        [open_root(root, config, "validation", "validation_lr", say) for root in as_roots(validation)]
        if validation is not None
        else None
    )
    kind = common_kind(config, opened)
    held_out = _hold_out([file for source in opened for file in source.files]) if given is None else []

    loaded: list[list[Pair]] = []
    weights: list[NDArray[np.float64]] = []
    left_out: list[str] = []
    shifts: list[tuple[str, float]] = []
    notes = [note for source in (*opened, *(given or ())) for note in source.notes]
    total = sum(source.root.weight for source in opened)
    for source in opened:
        if source.shards is not None:
            new, out = _shard_pairs(source, source.shards, config, kind, notes)
        elif source.root.lr is not None:
            from upres.training.data.pairs import load_paired

            files = [(hr, lr) for hr, lr in source.files if lr is not None and (hr, lr) not in held_out]
            new, out = load_paired(
                files,
                scale=config.scale,
                patch_px=config.patch_px,
                channels=kind.channels,
                depth=kind.depth,
                shifts=shifts,
            )
            if config.hr_scales != (1.0,):
                notes.append(f"{source.root.hr}: hr_scales does not apply to pictures with LR files")
        else:
            paths = [hr for hr, _ in source.files if (hr, None) not in held_out]
            new, out = load_pairs(
                paths, scale=config.scale, patch_px=config.patch_px, hr_scales=config.hr_scales, channels=kind.channels,
                depth=kind.depth, reduce=not config.degradation,
            )  # fmt: skip
        loaded.append(new)
        left_out += out
        weights.append(draw_weights(new) * (source.root.weight / total))

    shown = _validation_pairs(
        opened if given is None else given, held_out if given is None else None, config, kind, left_out, shifts
    )
    if shifts:
        from upres.training.data.pairs import words_of_shifts

        notes += words_of_shifts(shifts)
    return TrainingSet(
        [pair for new in loaded for pair in new], np.concatenate(weights), shown, left_out,
        _fingerprint(opened, loaded), kind.channels, kind.depth, any(source.root.lr is not None for source in opened),
        tuple(notes),
    )  # fmt: skip


def _hold_out(files: list[File]) -> list[File]:
    """Five pictures spread over the folders; at most a quarter of all."""
    count = min(_HELD_OUT, len(files) // 4)
    return [files[len(files) * i // count] for i in range(count)]


def _shard_pairs(
    source: Opened, shards: Shards, config: TrainConfig, kind: Kind, notes: list[str]
) -> tuple[list[Pair], list[str]]:
    """Crops mapped from the files; copied into memory only to convert channels or depth."""
    needed = config.patch_px * config.scale
    same = (shards.channels, shards.depth) == (kind.channels, kind.depth)
    if not same:
        notes.append(
            f"{source.root.hr}: converting its crops from {shards.channels} channels of {shards.depth} bits to "
            f"{kind.channels} of "
            f"{kind.depth}, in memory"
        )
    if config.hr_scales != (1.0,):
        notes.append(f"{source.root.hr}: hr_scales does not apply to shards, whose crops have fixed sizes")
    pairs: list[Pair] = []
    for name, crop in shards.crops:
        if min(crop.shape[:2]) >= needed:
            pairs.append(Pair(name, on_grid(crop if same else kind.of(crop), config.scale), None))
    small = len(shards.crops) - len(pairs)
    words = f"{small} of {len(shards.crops)} crops of {source.root.hr} are smaller than one patch of {needed}x{needed}"
    return usable(pairs, [words] if small else [])


def _validation_pairs(
    sources: Sequence[Opened], only: list[File] | None, config: TrainConfig, kind: Kind, left_out: list[str],
    shifts: list[tuple[str, float]],
) -> list[Pair]:  # fmt: skip
    """Validation pairs.

    `only`: the files held out of the training folders, of which the center is used; None: all files, whole.
    """
    most_px = 1 << 30 if only is None else VALIDATION_PX
    pairs: list[Pair] = []

    def fits(image: Levels, what: str) -> bool:
        height, width = image.shape[:2]
        # after cropping to the LR grid
        needed = math.ceil(max(SMALLEST_PX, 2 * config.scale) / config.scale) * config.scale
        if min(height, width) < needed:
            left_out.append(
                f"{what} is {width}x{height}, too small to validate on at x{config.scale}: at least {needed} pixels a "
                "side"
            )
        return min(height, width) >= needed

    for source in sources:
        for name, image in source.shards.validation if source.shards is not None else ():
            if fits(image, f"{name} of {source.root.hr}"):
                pairs.append(make_pair(name, kind.of(center(image, most_px)), config.scale))
        for file in source.files:
            if only is not None and file not in only:
                continue
            try:
                if file[1] is None:
                    image = kind.of(read_levels(file[0]))
                    if fits(image, str(file[0])):
                        pairs.append(make_pair(file[0].name, center(image, most_px), config.scale))
                else:
                    from upres.training.data.pairs import center_pair, read_pair

                    pair = read_pair(file[0], file[1], config.scale, kind.channels, kind.depth, shifts)
                    if fits(pair.hr, str(file[0])):
                        pairs.append(center_pair(pair, most_px, config.scale))
            except InputError as error:
                left_out.append(str(error))
    return pairs


def _fingerprint(opened: Sequence[Opened], loaded: Sequence[Sequence[Pair]]) -> str:
    """SHA-256 over names, HR pixels and LR files, or the shards' own fingerprint; with several roots also over their
    weights.
    """
    state = hashlib.sha256()
    for source, pairs in zip(opened, loaded, strict=True):
        if len(opened) > 1:
            state.update(f"root {source.root.weight!r}|".encode())
        if source.shards is not None:
            state.update(f"shards {source.shards.fingerprint}|".encode())
            continue
        for pair in pairs:
            state.update(f"{pair.name}|{pair.hr.shape}|".encode(errors="surrogateescape"))
            state.update(pair.hr.data)
            if source.root.lr is not None:
                state.update(pair.stored_lr.data)
    return state.hexdigest()
