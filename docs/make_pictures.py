"""The README's picture: LR | bicubic | ours, from the example photograph. `python docs/make_pictures.py` makes it again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from upres.catalog import load_graph
from upres.picture import read_picture, write_picture
from upres.resize import imresize
from upres.upscale import Upscaler

ROOT = Path(__file__).resolve().parent.parent
TOP, LEFT, SIDE = 0, 60, 80  # of the crop, in LR pixels


def main() -> None:
    picture = read_picture(ROOT / "examples" / "astronaut.png")
    # The whole picture is enlarged and then cut, so that each panel shows what a user gets, not what a cut-out gets.
    ours = Upscaler(load_graph("compact-x4"))(picture).pixels
    bicubic = imresize(picture.pixels, 4.0)
    nearest = picture.pixels.repeat(4, axis=0).repeat(4, axis=1)
    box = np.s_[4 * TOP : 4 * (TOP + SIDE), 4 * LEFT : 4 * (LEFT + SIDE)]
    gap = np.ones((4 * SIDE, 8, 3), np.float32)
    panels = np.concatenate([nearest[box], gap, bicubic[box], gap, ours[box]], axis=1)
    target = ROOT / "docs" / "pictures" / "astronaut_x4.png"
    target.parent.mkdir(exist_ok=True)
    write_picture(replace(picture, pixels=panels), target)
    print(target)


if __name__ == "__main__":
    main()
