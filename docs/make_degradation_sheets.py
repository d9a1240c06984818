"""A contact sheet of each degradation recipe: docs/pictures/degrade_NAME.png.

    python docs/make_degradation_sheets.py [--seed 1]

32 crops of examples/astronaut.png: the first is its clean reduction by 4, the others are degraded under the indices 1
to 31. Each pixel of LR is shown as 3 x 3.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from upres.degradation.apply import BUILT_IN, draw_plan, load_recipe, run_plan, sharpened
from upres.images.io import Picture, read_picture, write_picture

ROOT = Path(__file__).resolve().parent.parent
COLUMNS, ROWS, CELL_PX, ENLARGED, GAP_PX = 8, 4, 40, 3, 2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    pixels = read_picture(ROOT / "examples" / "astronaut.png").pixels
    side = 4 * CELL_PX
    top, left = ((length - side) // 2 for length in pixels.shape[:2])
    hr = np.ascontiguousarray(pixels[top : top + side, left : left + side])
    for name in BUILT_IN[:-1]:
        cells = [run_plan(hr, draw_plan(load_recipe("bicubic"), seed=0, index=0, scale=4))]
        for index in range(1, COLUMNS * ROWS):
            plan = draw_plan(load_recipe(name), seed=options.seed, index=index, scale=4)
            cells.append(run_plan(sharpened(hr, plan), plan))
        step = CELL_PX * ENLARGED + GAP_PX
        sheet = np.ones((ROWS * step - GAP_PX, COLUMNS * step - GAP_PX, 3), np.float32)
        for index, cell in enumerate(cells):
            row, column = divmod(index, COLUMNS)
            large = cell.repeat(ENLARGED, axis=0).repeat(ENLARGED, axis=1)
            sheet[row * step : row * step + len(large), column * step : column * step + len(large)] = large
        target = ROOT / "docs" / "pictures" / f"degrade_{name}.png"
        write_picture(Picture(sheet), target, png_level=9)
        print(target.relative_to(ROOT))


if __name__ == "__main__":
    main()
