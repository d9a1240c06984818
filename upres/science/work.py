"""What a job of measured data takes: the protocol of its files, its windows, and its progress over all of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Protocol, cast

from upres.images.io import Header
from upres.science.enlarge import Box, Enlarger
from upres.upscaling.output_size import OutputSize
from upres.upscaling.plan import Plan
from upres.upscaling.upscaler import Upscaler

Progress = Callable[[int, int], None]
_BYTES_PER_PX = 40  # of a window's result, for each channel: floats of the network, of the correction, and values
_SHARE = 0.25  # of the memory for one window; the network's tiles take more
_LEAST_PX, _MOST_PX = 256, 4096  # side of a window of the result


class MeasuredFile(Protocol):
    """A file of measured data that was opened.

    name: For messages.
    kind: "geotiff", "dicom" or "nifti".
    ending: Of the name of a result, such as ".tif".
    header: Its size.
    """

    name: str
    kind: str
    ending: str
    header: Header

    def plan(self, upscaler: Upscaler, size: tuple[int, int]) -> Plan:
        """What a result of `size` (h, w) takes."""
        ...

    def run(
        self, upscaler: Upscaler, size: tuple[int, int], target: Path, made: Mapping[str, str], progress: Progress
    ) -> tuple[str, ...]:
        """Write the result to `target`, atomically; returns notes for the user.

        made: The record of its settings, with "generative" set for models that invent detail.
        """
        ...


def result_ending(kind: str, path: Path) -> str:
    """The ending of the result of a file of measured data: its own, where it is one of its kind."""
    own, name = path.suffix, path.name.lower()
    if kind == "geotiff":
        return own if own.lower() in (".tif", ".tiff") else ".tif"
    if kind == "dicom":
        return own if own.lower() in (".dcm", ".dicom", ".ima") else ".dcm"
    return ".nii.gz" if name.endswith(".nii.gz") else ".nii"


def as_record(found: object) -> dict[str, str] | None:
    """A record of settings that was read from a file; None for other values."""
    if not isinstance(found, dict):
        return None
    return {str(name): str(value) for name, value in cast("dict[object, object]", found).items()}


class Windows:
    """The windows of a result, in the order they are made.

    enlarger: Of the whole.
    step_px: Their sides are multiples of it: of the blocks of the file, so that each is written once.
    channels: Bands that are held at once.
    """

    def __init__(self, enlarger: Enlarger, step_px: int, channels: int) -> None:
        self._size = enlarger.rows.out, enlarger.columns.out
        room = _SHARE * enlarger.upscaler.budget_bytes() / (_BYTES_PER_PX * (3 + channels / 4))
        side = min(max(_LEAST_PX, math.isqrt(int(room))), _MOST_PX)
        self.side_px = max(step_px, side // step_px * step_px)

    def __iter__(self) -> Iterator[Box]:
        high, wide = self._size
        for top in range(0, high, self.side_px):
            for left in range(0, wide, self.side_px):
                yield Box(top, min(high, top + self.side_px), left, min(wide, left + self.side_px))

    @property
    def first(self) -> Box:
        return next(iter(self))

    def __len__(self) -> int:
        return math.ceil(self._size[0] / self.side_px) * math.ceil(self._size[1] / self.side_px)


def plan_windows(enlarger: Enlarger, windows: Windows, groups: list[int]) -> Plan:
    """The plan of all windows: each group of channels (1, or 3 for colors) runs through the network in each."""
    height, width = enlarger.source_box(windows.first).shape
    upscaler, factor = enlarger.upscaler, OutputSize(factor=float(enlarger.native))
    plans = [upscaler.plan(height, width, channels=channels, size=factor) for channels in set(groups)]
    one = max(plans, key=lambda plan: plan.needed_bytes)
    notes = tuple(dict.fromkeys((*enlarger.notes, *one.notes)))
    macs = one.macs * len(windows) * len(groups)
    return replace(one, height=enlarger.rows.out, width=enlarger.columns.out, macs=macs, notes=notes)


class Share:
    """Progress over the parts of a job, in pixels of its result: part `place` of `count` after the other."""

    def __init__(self, progress: Progress, pixels: int, count: int) -> None:
        self._progress, self._pixels, self._count, self._place = progress, pixels, max(1, count), 0

    def part(self, done: int, total: int) -> None:
        """Progress within the part under way."""
        share = (self._place + done / max(1, total)) / self._count
        self._progress(int(self._pixels * min(1.0, share)), self._pixels)

    def next(self) -> None:
        """The next part begins."""
        self._place += 1
        self.part(0, 1)
