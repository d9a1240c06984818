"""How the map of `upres compare --invented` goes with the true error.

    python benchmarks/measure_invented.py NAME|FILE... --photographs DIR [--crop-px 384] [--seed 9001] [--write]

The pictures are those that benchmarks/holdout_photos.txt names, in DIR; of each the center. LR comes from a clean
MATLAB-equal resize and from the recipes real-esrgan and bsrgan. For each picture: Spearman's rank correlation, over
blocks of 16 x 16 pixels of HR, of the mean of the map and the root of the mean squared error of luma; then the median,
and the quartiles, over the pictures. Networks run in torch, in bfloat16 where the processor can.
"""

from __future__ import annotations

import argparse
import datetime
from pathlib import Path

import numpy as np
import torch
from judge_photo import NAMES, RECIPES, ROOT, short
from prove_gan import degraded
from rich.progress import track
from scipy.stats import spearmanr

from upres.engines.torch import TorchRunner
from upres.images.io import quantize
from upres.models.load import load_model
from upres.system.hardware import processor
from upres.training.data.images import Pair, center, make_pair, read_rgb
from upres.upscaling.invented import invented_255

BLOCK_PX = 16
LUMA = np.array([0.299, 0.587, 0.114])


def block_means(values: np.ndarray) -> np.ndarray:
    height, width = (side // BLOCK_PX * BLOCK_PX for side in values.shape)
    blocks = values[:height, :width].reshape(height // BLOCK_PX, BLOCK_PX, width // BLOCK_PX, BLOCK_PX)
    return blocks.mean(axis=(1, 3)).ravel()


def correlation(sr: np.ndarray, pair: Pair) -> float:
    lr = pair.stored_lr
    error = block_means(((sr.astype(np.float64) - pair.hr) @ LUMA) ** 2)
    return float(spearmanr(block_means(invented_255(sr, (lr.shape[0], lr.shape[1]))), error).statistic)


@torch.no_grad()
def enlarged(runner: TorchRunner, lr: np.ndarray) -> np.ndarray:
    batch = torch.from_numpy(lr.astype(np.float32) / np.float32(255.0)).permute(2, 0, 1)[None]
    return quantize(runner.of_tensor(batch).float()[0].permute(1, 2, 0).clamp(0.0, 1.0).numpy(), 8)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", metavar="NAME|FILE")
    parser.add_argument("--photographs", type=Path, required=True)
    parser.add_argument("--crop-px", type=int, default=384)
    parser.add_argument("--seed", type=int, default=9001)
    parser.add_argument("--precision", default="bf16", choices=("bf16", "fp32"))
    parser.add_argument("--write", action="store_true", help="keep the table as benchmarks/results/invented_yyyymm.md")
    options = parser.parse_args()
    names = sorted(NAMES.read_text(encoding="utf-8").split())
    loaded = {model: load_model(model) for model in options.models}
    (scale,) = {model.scale for model in loaded.values()}
    clean = [make_pair(name, center(read_rgb(options.photographs / name), options.crop_px), scale) for name in names]
    lines = [
        f"# The map of what LR does not vouch for, against the true error, {datetime.date.today()}",
        "",
        f"`python benchmarks/measure_invented.py {' '.join(map(short, options.models))} --crop-px {options.crop_px} "
        f"--seed {options.seed} --precision {options.precision}`: {len(clean)} photographs "
        f"(benchmarks/holdout_photos.txt), {processor().model}, torch {torch.__version__}. Spearman's rank correlation "
        f"over blocks of {BLOCK_PX} x {BLOCK_PX} pixels; lower quartile, median, upper quartile over the pictures.",
        "",
        "| model | LR by | lower quartile | median | upper quartile |",
        "| --- | --- | --- | --- | --- |",
    ]
    print("\n".join(lines), flush=True)
    for recipe in RECIPES:
        pairs = degraded(clean, recipe, [options.seed], scale) if recipe else clean
        for model, network in loaded.items():
            runner = TorchRunner(network.graph, device="cpu", precision=options.precision)
            found = [correlation(enlarged(runner, pair.stored_lr), pair) for pair in track(pairs, short(model))]
            low, middle, high = np.percentile(found, (25, 50, 75))
            row = f"| {short(model)} | {recipe or 'nothing (clean)'} | {low:.2f} | **{middle:.2f}** | {high:.2f} |"
            lines.append(row)
            print(row, flush=True)
    if options.write:
        target = ROOT / "benchmarks" / "results" / f"invented_{datetime.date.today():%Y%m}.md"
        target.write_text("\n".join(lines) + "\n", encoding="utf-8")
        print(target)


if __name__ == "__main__":
    main()
