"""The weighted folders of photographs, pairs or shards that a run is trained on. Nothing is decoded here: problems of a
folder are reported before anything is loaded.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from upres.errors import DataError, InputError, UsageError
from upres.system.storage import is_url
from upres.training.config import TrainConfig
from upres.training.data.images import (
    Levels,
    convert,
    find_pictures,
)
from upres.training.data.remote_shards import open_remote
from upres.training.data.shards import Shards, is_shards, open_shards

_WEIGHT = re.compile(r"[0-9.]{1,8}")  # after a URL with a query, whose values may be any
File = tuple[Path, Path | None]  # the HR file and its LR file


@dataclass(frozen=True)
class Root:
    """A folder of training or validation pictures.

    hr: HR pictures or shards; a string is the URL of shards.
    lr: their LR pictures; None: made from HR.
    weight: how often it is sampled, relative to the other roots.
    """

    hr: Path | str
    lr: Path | None = None
    weight: float = 1.0


@dataclass(frozen=True)
class Opened:
    """A root and its contents: shards, or files."""

    root: Root
    shards: Shards | None
    files: list[File]
    notes: Sequence[str] = ()


@dataclass(frozen=True)
class Kind:
    """The channels and bit depth of all pictures of a run."""

    channels: int
    depth: int

    def of(self, levels: Levels) -> Levels:
        return convert(levels, self.channels, self.depth)


def parse_root(text: str, lr: Path | None = None) -> Root:
    """Parse `"photos"` or, with a weight, `"photos=3"`; an existing folder whose name holds a "=" counts whole, and so
    does the query of a URL. Raises `UsageError`.
    """
    folder, separator, weight = text.rpartition("=")
    if not separator or Path(text).exists() or (is_url(text) and "?" in text and not _WEIGHT.fullmatch(weight)):
        return Root(place_of(text), lr)
    try:
        value = float(weight)
    except ValueError:
        value = math.nan
    if not 0.0 < value < math.inf:
        raise UsageError(
            f"`data` takes DIR or DIR=WEIGHT with a weight above 0, got {text!r}, which is not a folder either"
        )
    return Root(place_of(folder), lr, value)


def place_of(text: str) -> Path | str:
    """A folder, or the URL of shards as it was given."""
    return text if is_url(text) else Path(text)


def as_roots(given: Path | Sequence[Root]) -> Sequence[Root]:
    return [Root(given)] if isinstance(given, Path) else given


def open_root(
    root: Root, config: TrainConfig, parameter: str, lr_parameter: str, say: Callable[[str], None] = lambda _: None
) -> Opened:
    """The contents of a root, names and sizes checked, nothing decoded yet. say: told how far shards are fetched."""
    if root.lr is not None and config.degradation:
        raise UsageError(
            f"`{lr_parameter}={root.lr}` cannot be combined with degradation={config.degradation}, which makes LR from "
            "HR"
        )
    if isinstance(root.hr, str) or (root.hr.is_dir() and is_shards(root.hr)):
        if root.lr is not None:
            raise UsageError(
                f"{root.hr} holds shards, whose LR is made from HR: give `{lr_parameter}` with folders of pictures only"
            )
        shards = open_remote(root.hr, say) if isinstance(root.hr, str) else open_shards(root.hr)
        if parameter == "validation" and not shards.validation:
            raise DataError(
                f"the shards in {root.hr} hold no validation pictures: give `{parameter}` a folder of pictures"
            )
        return Opened(root, shards, [])
    if root.lr is None:
        return Opened(root, None, [(path, None) for path in find_pictures(root.hr, parameter)])
    from upres.training.data.pairs import find_partners

    found, notes = find_partners(root.hr, root.lr, config.scale, (parameter, lr_parameter))
    return Opened(root, None, list(found), notes)


def common_kind(config: TrainConfig, opened: Sequence[Opened]) -> Kind:
    """Channels and bit depth of all training pictures. Raises `DataError` if gray and color are mixed."""
    if config.channels and config.bits:
        return Kind(config.channels, config.bits)
    found: dict[int, str] = {}
    depth = 8
    for name, channels, bits in (fact for source in opened for fact in _facts(source)):
        found.setdefault(channels, name)
        depth = max(depth, bits)
    if not config.channels and len(found) > 1:
        raise DataError(
            f"gray and color pictures are mixed: {found[1]} is gray, {found[3]} is color. Set channels=3 to train on "
            "color, with gray "
            "repeated to three channels, or channels=1 to train on the luma"
        )
    return Kind(config.channels or next(iter(found), 3), config.bits or depth)


def _facts(source: Opened) -> Iterable[tuple[str, int, int]]:
    """(name, channels, depth) of everything in a root; unreadable files are skipped here and reported when decoded."""
    if source.shards is not None:
        yield str(source.root.hr), source.shards.channels, source.shards.depth
        return
    from upres.images.io import read_header

    for file in source.files:
        for path in filter(None, file):
            try:
                header = read_header(path)
            except InputError:
                continue
            yield str(path), header.channels, header.depth
