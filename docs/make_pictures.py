"""The pictures of the README, of the GAN's card and of the tutorial, from the example photograph: `python docs/make_pictures.py`.

astronaut_x4.png: LR | bicubic | compact-x4. astronaut_gan_x4.png: LR | compact-x4 | compact-gan-x4.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from upres.catalog import load_graph
from upres.picture import read_picture, write_picture
from upres.resize import imresize
from upres.upscale import Upscaler

ROOT = Path(__file__).resolve().parent.parent
TOP, LEFT, SIDE = 0, 60, 80  # of the crop, in LR pixels


def main() -> None:
    picture = read_picture(ROOT / "examples" / "astronaut.png")
    # The whole picture is enlarged and then cut, so that each panel shows what a user gets, not what a cut-out gets.
    nearest = picture.pixels.repeat(4, axis=0).repeat(4, axis=1)
    bicubic = imresize(picture.pixels, 4.0)
    compact, gan = (Upscaler(load_graph(name))(picture).pixels for name in ("compact-x4", "compact-gan-x4"))
    box = np.s_[4 * TOP : 4 * (TOP + SIDE), 4 * LEFT : 4 * (LEFT + SIDE)]
    gap = np.ones((4 * SIDE, 8, 3), np.float32)

    def write(name: str, *panels: NDArray[np.float32]) -> None:
        row = [part for panel in panels for part in (gap, panel[box])][1:]
        target = ROOT / "docs" / "pictures" / name
        target.parent.mkdir(exist_ok=True)
        write_picture(replace(picture, pixels=np.concatenate(row, axis=1)), target)
        print(target)

    write("astronaut_x4.png", nearest, bicubic, compact)
    write("astronaut_gan_x4.png", nearest, compact, gan)


if __name__ == "__main__":
    main()
