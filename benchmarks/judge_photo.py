"""Models for damaged photographs, judged on photographs that none of them was trained on.

    python benchmarks/judge_photo.py photo-x4 RealESRGAN_General_x4_v3.param --photographs DIR --features FOLDER
        [--seeds 9001,9002] [--crop-px 256] [--write photo]

The pictures are those that benchmarks/holdout_photos.txt names, in DIR; of each the center. LR comes from the recipes
bsrgan and real-esrgan, once with each seed, and from a clean MATLAB-equal resize. FOLDER holds
squeezenet1_1_features.pth (the distance; never a loss of our models) and niqe_pris_params.npz. Each model is compared
with the last: mean paired difference and 95 % interval (Student's t; the seeds of a picture are averaged first).
`bicubic` is a model too. LR-PSNR: the result reduced again, against the clean LR. --badge PICTURE adds the spectrum of
the enlarged PICTURE in the window --window TOP,LEFT,SIDE (SR pixels): the energy around a period of 2 and of 4 pixels
over its neighbors.
"""

from __future__ import annotations

import argparse
import datetime
from functools import partial
from pathlib import Path

import numpy as np
import torch
from prove_gan import Measured, degraded, measure_network, paired, results_of

from upres.metrics.niqe import fetch_parameters
from upres.metrics.spectrum import lattice_contrast
from upres.models.load import load_model
from upres.system.hardware import processor
from upres.training.data.images import Pair, center, make_pair, read_rgb
from upres.training.losses import lpips
from upres.training.losses.feature_files import fetch_features

ROOT = Path(__file__).resolve().parent.parent
NAMES = ROOT / "benchmarks" / "holdout_photos.txt"
RECIPES = ("real-esrgan", "bsrgan", "")
JUDGE = "squeezenet1_1"
FIGURES = (("PSNR (Y)", "psnr_y", 2), ("LR-PSNR", "lr_psnr", 2), ("NIQE", "niqe", 3))


def row(found: Measured, name: str) -> str:
    cells = [name, *(f"{found.column(key).mean():.{digits}f}" for _, key, digits in FIGURES)]
    shifts = np.array([quality.color_shift_255 for quality in found.qualities])
    cells += [f"{found.distances[JUDGE].mean():.5f}", ", ".join(f"{value:+.2f}" for value in shifts.mean(axis=0))]
    return "| " + " | ".join([*cells, f"{np.abs(shifts).max():.1f}"]) + " |"


def compared(found: Measured, last: Measured, name: str, of_last: str, seeds: int) -> str:
    parts = [f"{title} {paired(found.column(key) - last.column(key), seeds)}" for title, key, _ in FIGURES]
    parts.append(f"{JUDGE} {paired(found.distances[JUDGE] - last.distances[JUDGE], seeds)}")
    return f"- {name} minus {of_last}: {', '.join(parts)}"


def badge(model: str, path: Path, window: tuple[int, int, int]) -> str:
    lr = read_rgb(path)
    (sr,) = results_of(model, [Pair(path.name, lr, lr, lr)], 4)
    top, left, side = window
    crop = sr[top : top + side, left : left + side].astype(np.float32) / np.float32(255.0)
    cells = [
        ", ".join(f"{lattice_contrast(np.ascontiguousarray(crop[:, :, color]), period):.2f}" for color in range(3))
        for period in (2, 4)
    ]
    return f"| {short(model)} | {cells[0]} | {cells[1]} |"


def short(model: str) -> str:
    path = Path(model)
    return f"{path.parent.name}/{path.name}" if path.suffix == ".safetensors" else path.stem if path.suffix else model


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", metavar="NAME|FILE")
    parser.add_argument("--photographs", type=Path, required=True)
    parser.add_argument("--features", type=Path, required=True)
    parser.add_argument("--seeds", default="9001,9002,9003,9004,9005")
    parser.add_argument("--crop-px", type=int, default=256)
    parser.add_argument("--badge", type=Path)
    parser.add_argument("--window", default="600,216,160")
    parser.add_argument("--threads", type=int, default=0, help="of torch; 0: as torch chooses")
    parser.add_argument("--write", help="keep the tables as benchmarks/results/NAME_yyyymm.md")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    (scale,) = {4 if name == "bicubic" else load_model(name).scale for name in options.models}
    niqe = fetch_parameters(options.features / "niqe_pris_params.npz")
    judges = {JUDGE: partial(lpips.distance, fetch_features(JUDGE, options.features), linear=None)}
    names = NAMES.read_text(encoding="utf-8").split()
    clean = [
        make_pair(name, center(read_rgb(options.photographs / name), options.crop_px), scale) for name in sorted(names)
    ]
    lines = [
        f"# Models for damaged photographs, {datetime.date.today()}",
        "",
        f"`python benchmarks/judge_photo.py {' '.join(map(short, options.models))} --seeds {options.seeds} "
        f"--crop-px {options.crop_px}`: {len(clean)} photographs (benchmarks/holdout_photos.txt); {processor().model}, "
        f"torch {torch.__version__}. The shift of each channel is in levels of 255: the mean, and the largest of one "
        "picture.",
    ]
    for recipe in RECIPES:
        seeds = [int(seed) for seed in options.seeds.split(",")] if recipe else [0]
        pairs = degraded(clean, recipe, seeds, scale) if recipe else clean
        found = [measure_network(name, pairs, scale, judges, niqe) for name in options.models]
        titles = ["", *(title for title, _, _ in FIGURES), JUDGE, "shift R, G, B", "largest"]
        told = [
            "",
            f"## LR by `{recipe}`" if recipe else "## Clean LR",
            "",
            "| " + " | ".join(titles) + " |",
            "|" + " --- |" * len(titles),
            *(row(one, short(name)) for one, name in zip(found, options.models, strict=True)),
            "",
            *(
                compared(one, found[-1], short(name), short(options.models[-1]), len(seeds))
                for one, name in zip(found[:-1], options.models[:-1], strict=True)
            ),
        ]
        print("\n".join(told), flush=True)
        lines += told
    if options.badge:
        top, left, side = map(int, options.window.split(","))
        told = ["", f"## The spectrum of {options.badge.name}, window {options.window}", ""]
        told += ["| | period 2: R, G, B | period 4: R, G, B |", "| --- | --- | --- |"]
        told += [badge(name, options.badge, (top, left, side)) for name in options.models]
        print("\n".join(told), flush=True)
        lines += told
    if options.write:
        target = ROOT / "benchmarks" / "results" / f"{options.write}_{datetime.date.today():%Y%m}.md"
        target.write_text("\n".join(lines) + "\n", encoding="utf-8")
        print(target)


if __name__ == "__main__":
    main()
