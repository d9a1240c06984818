"""The pictures of the README, of the GAN's card and of the tutorial, from the example photograph: `python
docs/make_pictures.py`.

astronaut_x4.png: LR | bicubic | compact-x4. astronaut_gan_x4.png: LR | srvgg-x4 | compact-gan-x4.
astronaut_wild_x4.png: the same picture reduced and degraded by the recipe `wild` under three seeds, a row each: LR |
bicubic | srvgg-x4 | compact-wild-x4 | the picture itself. astronaut_photo_x4.png: the same by `real-esrgan`: LR |
bicubic | compact-x4 | compact-wild-x4 | photo-x4 | the picture itself.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from upres.degradation.apply import draw_plan, load_recipe, run_plan
from upres.images.io import Picture, read_picture, write_picture
from upres.images.resize import imresize
from upres.models.load import load_model
from upres.upscaling.upscaler import Upscaler

ROOT = Path(__file__).resolve().parent.parent
TOP, LEFT, SIDE = 0, 60, 80  # of the crop, in LR pixels
SEEDS = (3, 5, 8)  # of the degradations


def main() -> None:
    picture = read_picture(ROOT / "examples" / "astronaut.png")
    # The whole picture is enlarged and then cut, so that each panel shows what a user gets, not what a cut-out gets.
    nearest = picture.pixels.repeat(4, axis=0).repeat(4, axis=1)
    bicubic = imresize(picture.pixels, 4.0)
    house, compact, gan = (
        Upscaler(load_model(name).graph)(picture).pixels for name in ("compact-x4", "srvgg-x4", "compact-gan-x4")
    )
    box = np.s_[4 * TOP : 4 * (TOP + SIDE), 4 * LEFT : 4 * (LEFT + SIDE)]
    gap = np.ones((4 * SIDE, 8, 3), np.float32)

    def write(name: str, *panels: NDArray[np.float32]) -> None:
        row = [part for panel in panels for part in (gap, panel[box])][1:]
        target = ROOT / "docs" / "pictures" / name
        target.parent.mkdir(exist_ok=True)
        write_picture(replace(picture, pixels=np.concatenate(row, axis=1)), target)
        print(target)

    write("astronaut_x4.png", nearest, bicubic, house)
    write("astronaut_gan_x4.png", nearest, compact, gan)
    write_degraded(picture, "wild", ("srvgg-x4", "compact-wild-x4"), "astronaut_wild_x4.png")
    write_degraded(picture, "real-esrgan", ("compact-x4", "compact-wild-x4", "photo-x4"), "astronaut_photo_x4.png")


def write_degraded(picture: Picture, recipe: str, models: tuple[str, ...], name: str) -> None:
    hr = np.ascontiguousarray(picture.pixels)
    upscalers = [Upscaler(load_model(model).graph) for model in models]
    rows: list[NDArray[np.float32]] = []
    for seed in SEEDS:
        lr = run_plan(hr, draw_plan(load_recipe(recipe), seed=seed, index=0, scale=4))
        results = [upscaler.upscale_array(lr) for upscaler in upscalers]
        panels = [lr.repeat(4, axis=0).repeat(4, axis=1), imresize(lr, 4.0), *results, hr]
        gap = np.ones((hr.shape[0], 6, 3), np.float32)
        rows += [np.concatenate([part for panel in panels for part in (gap, panel)][1:], axis=1)]
    line = np.ones((6, rows[0].shape[1], 3), np.float32)
    target = ROOT / "docs" / "pictures" / name
    write_picture(replace(picture, pixels=np.concatenate([part for row in rows for part in (line, row)][1:])), target)
    print(target)


if __name__ == "__main__":
    main()
