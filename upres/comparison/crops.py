"""Where to look: the parts of a picture on which models differ most."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from upres.comparison.compare import ComparedPicture
from upres.errors import InputError, UsageError
from upres.evaluation.pictures import Levels
from upres.images.color import rgb_to_y

Map = NDArray[np.float64]  # h w


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle of a picture, in pixels of SR."""

    top: int
    left: int
    height: int
    width: int

    def cut(self, levels: Levels) -> Levels:
        """This part of `h w c`."""
        return levels[self.top : self.top + self.height, self.left : self.left + self.width]


def parse_box(text: str) -> Box:
    """`x,y,w,h` in pixels of SR. Raises `UsageError`."""
    match = re.fullmatch(r"\s*(\d+)\s*,\s*(\d+)\s*,\s*(\d+)\s*,\s*(\d+)\s*", text)
    if match is None or int(match[3]) < 2 or int(match[4]) < 2:
        raise UsageError(f"`at` must be X,Y,W,H in pixels of the enlarged picture, such as 640,320,256,256; got {text}")
    left, top, width, height = map(int, match.groups())
    return Box(top, left, height, width)


def check_inside(box: Box, compared: ComparedPicture) -> None:
    """Raises `InputError` for a box that reaches beyond the picture."""
    height, width = compared.size
    if box.top + box.height > height or box.left + box.width > width:
        raise InputError(
            f"the crop {box.left},{box.top},{box.width},{box.height} reaches beyond {compared.name}, "
            f"which is {width} x {height} when enlarged"
        )


def difference_map(compared: ComparedPicture) -> Map:
    """How much the models differ at each pixel: the standard deviation of their luma. One model is held against
    bicubic.
    """
    versions = compared.models if len(compared.models) > 1 else (compared.versions[1], *compared.models)
    total = np.zeros(compared.size)
    squares = np.zeros(compared.size)
    for version in versions:
        luma = rgb_to_y(version.levels.astype(np.float64) / 255.0)
        total += luma
        squares += luma * luma
    count = len(versions)
    return np.sqrt(np.maximum(squares / count - (total / count) ** 2, 0.0))


def choose_box(differences: Map, size: tuple[int, int], inside: Box | None = None) -> Box:
    """The window with the largest mean difference; the first one from the top left where several have it.

    size: Height and width of the window; cut down to what it is looked for in.
    inside: Look here only.
    """
    whole = inside or Box(0, 0, *differences.shape)
    part = differences[whole.top : whole.top + whole.height, whole.left : whole.left + whole.width]
    height, width = min(size[0], whole.height), min(size[1], whole.width)
    sums = np.zeros((whole.height + 1, whole.width + 1))
    sums[1:, 1:] = part.cumsum(axis=0).cumsum(axis=1)
    windows = sums[height:, width:] - sums[:-height, width:] - sums[height:, :-width] + sums[:-height, :-width]
    windows = np.round(windows, 9)  # differences of sums that are equal must be equal
    top, left = divmod(int(windows.argmax()), windows.shape[1])
    return Box(whole.top + top, whole.left + left, height, width)
