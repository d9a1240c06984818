"""Pairs of LR and target on disk, so that a teacher enlarges each picture once instead of beside every step.

    python benchmarks/make_pairs.py OUT --photographs DIR --teacher NAME|FILE
        [--degradations clean:1] [--sizes 1,0.75,0.5] [--crop-px 0] [--share 0.5] [--color-px 0] [--seed 1]
        [--leave-out benchmarks/holdout_photos.txt]

    upres train standard-x4 --data OUT/targets --lr OUT/lr --out RUN

A target is S T(lr) + (1 - S) hr with S = --share and T the teacher, in bfloat16 where the processor has it and
float32 elsewhere; with --color-px P, T's mean colors over squares of P pixels are HR's first (training/teacher.py).
Each photograph is taken at every size of --sizes; each of those gets one degradation (a recipe of `upres degrade`, or
`clean`), drawn by the shares behind the names, under --seed and its own index. --crop-px cuts a square at a drawn
place, 0 takes all of it. What lies in OUT already is not made again.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import numpy as np
import torch
from rich.progress import track

from upres.degradation.apply import draw_plan, load_recipe, run_plan, sharpened
from upres.degradation.recipe import Recipe
from upres.engines.torch import TorchRunner
from upres.images.io import quantize, write_picture
from upres.images.picture import Picture
from upres.models.load import load_model
from upres.training.config import TrainConfig
from upres.training.data.images import find_pictures, make_pair, on_grid, read_rgb, reduced
from upres.training.pretrained import choose_precision
from upres.training.teacher import with_colors_of


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--photographs", type=Path, required=True)
    parser.add_argument("--teacher", required=True)
    parser.add_argument("--degradations", default="clean:1")
    parser.add_argument("--sizes", default="1,0.75,0.5")
    parser.add_argument("--crop-px", type=int, default=0)
    parser.add_argument("--share", type=float, default=0.5)
    parser.add_argument("--color-px", type=int, default=0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--leave-out", type=Path)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)

    teacher = load_model(options.teacher)
    fast = choose_precision(TrainConfig("", teacher.scale, precision="auto"), torch.device("cpu")) == "bfloat16"
    runner = TorchRunner(teacher.graph, device="cpu", precision="bf16" if fast else "fp32")
    names, shares = shares_of(options.degradations)
    recipes = {name: None if name == "clean" else load_recipe(name) for name in names}
    left_out = set(options.leave_out.read_text(encoding="utf-8").split()) if options.leave_out else set[str]()
    paths = [path for path in find_pictures(options.photographs) if path.name not in left_out]
    sizes = [float(size) for size in options.sizes.split(",")]
    for folder in ("lr", "targets"):
        (options.out / folder).mkdir(parents=True, exist_ok=True)
    for index, path in enumerate(track(paths, "photographs")):
        image = read_rgb(path)
        for number, size in enumerate(sizes):
            position = index * len(sizes) + number
            draw = np.random.default_rng((options.seed, position))
            chosen = names[int(draw.choice(len(names), p=shares))]
            name = f"{path.stem}_{size:g}_{chosen}.png"
            files = options.out / "lr" / name, options.out / "targets" / name
            if all(file.exists() for file in files):
                continue
            hr = image if size == 1.0 else reduced(image, size)
            hr = on_grid(cut(hr, options.crop_px, draw), math.lcm(teacher.scale, options.color_px or 1))
            if min(hr.shape[:2]) < 48 * teacher.scale:
                continue
            lr, hr = made(hr, recipes[chosen], scale=teacher.scale, seed=options.seed, index=position)
            sr = enlarged(runner, lr, hr, options.color_px)
            target = quantize(options.share * sr + (1.0 - options.share) * (hr / np.float32(255.0)), 8)
            for file, pixels in zip(files, (lr, target), strict=True):
                write_picture(Picture(pixels.astype(np.float32) / np.float32(255.0)), file)


def shares_of(text: str) -> tuple[list[str], list[float]]:
    """`real-esrgan:0.4,clean:0.6` -> names and shares that sum to 1."""
    parts = [part.split(":") for part in text.split(",")]
    total = sum(float(share) for _, share in parts)
    return [name for name, _ in parts], [float(share) / total for _, share in parts]


def cut(image: np.ndarray, side_px: int, draw: np.random.Generator) -> np.ndarray:
    if not side_px:
        return image
    top, left = (int(draw.integers(0, max(1, size - side_px + 1))) for size in image.shape[:2])
    return image[top : top + side_px, left : left + side_px]


def made(hr: np.ndarray, recipe: Recipe | None, *, scale: int, seed: int, index: int) -> tuple[np.ndarray, np.ndarray]:
    """uint8 LR, and HR as the recipe wants it learned (some sharpen it)."""
    if recipe is None:
        return make_pair("", hr, scale).stored_lr, hr
    plan = draw_plan(recipe, seed=seed, index=index, scale=scale)
    target = sharpened(hr.astype(np.float32) / np.float32(255.0), plan)
    return quantize(run_plan(target, plan), 8), quantize(target, 8)


def enlarged(runner: TorchRunner, lr: np.ndarray, hr: np.ndarray, color_px: int) -> np.ndarray:
    """float32 `h w c` in about [0,1]."""
    with torch.no_grad():
        batches = [
            torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1)[None].float() / 255.0 for image in (lr, hr)
        ]
        sr = runner.of_tensor(batches[0]).float()
        if color_px:
            sr = with_colors_of(batches[1], sr, color_px)
    return sr[0].permute(1, 2, 0).clamp(0.0, 1.0).numpy()


if __name__ == "__main__":
    main()
