"""A GAN network against its PSNR parent and bicubic: distortion, perception and honesty, picture by picture.

    python benchmarks/prove_gan.py compact-x4 runs/gan/model.safetensors --hr DIR [--hr DIR ...] --features FOLDER
    [--write NAME] python benchmarks/prove_gan.py compact-x4 compact-wild-x4 --hr DIR --features FOLDER --degradation
    wild --seeds 101,102,103,104,105

DIR holds HR pictures; LR comes from the MATLAB-equal resize, or from a degradation recipe: picture i once with each
seed, under index i. FOLDER holds the feature networks that judge (none of them the loss of the run) and
niqe_pris_params.npz. Per set: PSNR and SSIM, LR-PSNR (the result reduced again against the LR, of a degraded picture
against the clean one), NIQE, feature distances, mean shift of each channel, and the spectral energy at periods of 2 and
4 pixels over that of HR: of all pictures together, and the median picture's (a smooth HR has next to none, so a mean of
ratios says little). Where the GAN is compared with its parent and with bicubic, the mean difference over the pictures
stands with its 95 % interval (paired, Student's t; a picture's seeds are averaged first, as they are no independent
pictures). --write NAME puts the tables under benchmarks/results/.
"""

from __future__ import annotations

import argparse
import datetime
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from scipy import stats

from upres.degradation.apply import draw_plan, load_recipe, run_plan, sharpened
from upres.images.io import quantize
from upres.images.resize import imresize
from upres.metrics.niqe import NiqeParameters, fetch_parameters
from upres.metrics.spectrum import lattice_energy
from upres.models.catalog import resolve
from upres.models.load import load_model
from upres.system.files import sha256_of
from upres.system.hardware import processor
from upres.training.data.images import Pair, center, find_pictures, make_pair, read_rgb
from upres.training.losses import lpips
from upres.training.losses.feature_files import fetch_features
from upres.training.monitoring.validation import PerceptualMetric, Quality, measure, to_tensor
from upres.upscaling.upscaler import Upscaler

ROOT = Path(__file__).resolve().parent.parent
CPU = torch.device("cpu")
HR = "HR"
Judge = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
FIGURES = (("PSNR (Y)", "psnr_y", 2), ("SSIM (Y)", "ssim_y", 4), ("LR-PSNR", "lr_psnr", 2), ("NIQE", "niqe", 3))


def results_of(name: str, pairs: list[Pair], scale: int) -> list[np.ndarray]:
    """The 8-bit results of one network, or of `bicubic`, as `upres upscale` would write them."""
    if name == "bicubic":
        return [imresize(pair.lr, scale) for pair in pairs]
    upscaler = Upscaler(load_model(name).graph)
    return [quantize(upscaler.upscale_array(pair.lr.astype(np.float32) / np.float32(255.0)), 8) for pair in pairs]


@dataclass(frozen=True)
class Measured:
    """One network on one set: a `Quality` and the distances of each judge a picture; lattice energies `picture, (2 px,
    4 px), (SR, HR)`.
    """

    name: str
    qualities: list[Quality]
    distances: dict[str, np.ndarray]
    energies: np.ndarray

    def column(self, key: str) -> np.ndarray:
        return np.array([getattr(q, key) for q in self.qualities], np.float64)

    def row(self) -> list[str]:
        cells = [Path(self.name).parent.name or self.name]
        cells += [f"{self.column(key).mean():.{digits}f}" for _, key, digits in FIGURES]
        cells += [f"{values.mean():.4f}" for values in self.distances.values()]
        cells.append(
            ", ".join(f"{value:+.2f}" for value in np.mean([q.color_shift_255 for q in self.qualities], axis=0))
        )
        for period in (0, 1):
            sr, hr = self.energies[:, period].T
            cells.append(f"{sr.sum() / hr.sum():.2f}, {np.median(sr / hr):.2f}")
        return cells


def load_pairs(folder: Path, scale: int, *, most: int, crop_px: int) -> list[Pair]:
    paths = find_pictures(folder, "--hr")
    if most:
        count = min(most, len(paths))
        paths = [paths[len(paths) * i // count] for i in range(count)]
    pairs: list[Pair] = []
    for path in paths:
        image = read_rgb(path)
        pairs.append(make_pair(path.name, center(image, crop_px) if crop_px else image, scale))
    return pairs


def degraded(pairs: list[Pair], recipe_name: str, seeds: list[int], scale: int) -> list[Pair]:
    """Every pair once with each seed, seeds of one picture side by side; `reference` is the clean LR."""
    recipe = load_recipe(recipe_name)
    made: list[Pair] = []
    for index, pair in enumerate(pairs):
        for seed in seeds:
            plan = draw_plan(recipe, seed=seed, index=index, scale=scale)
            lr = run_plan(sharpened(pair.hr.astype(np.float32) / np.float32(255.0), plan), plan)
            made.append(Pair(f"{pair.name} seed {seed}", pair.hr, quantize(lr, 8), pair.lr))
    return made


@torch.no_grad()
def measure_network(
    name: str, pairs: list[Pair], scale: int, judges: Mapping[str, Judge], niqe: NiqeParameters
) -> Measured:
    images = [pair.hr for pair in pairs] if name == HR else results_of(name, pairs, scale)
    batches = [
        [to_tensor(np.ascontiguousarray(x)[None], CPU) for x in (sr, pair.hr)]
        for sr, pair in zip(images, pairs, strict=True)
    ]
    return Measured(
        name,
        [
            measure(sr, pair, scale=scale, metric=PerceptualMetric(niqe=niqe), device=CPU)
            for sr, pair in zip(images, pairs, strict=True)
        ],
        {title: np.array([float(judge(*batch)) for batch in batches]) for title, judge in judges.items()},
        np.array(
            [
                [[lattice_energy(x, p) for x in (sr, pair.hr)] for p in (2, 4)]
                for sr, pair in zip(images, pairs, strict=True)
            ]
        ),
    )


def table(measured: list[Measured], judges: list[str]) -> list[str]:
    titles = ["", *(title for title, _, _ in FIGURES), *judges, "shift R, G, B / 255"]
    titles += ["period 2 / HR: all, median", "period 4 / HR: all, median"]
    return ["| " + " | ".join(cells) + " |" for cells in (titles, ["---"] * len(titles), *(m.row() for m in measured))]


def paired(difference: np.ndarray, seeds: int) -> str:
    """Mean of paired differences and its 95 % interval; `seeds` values side by side belong to one picture."""
    difference = difference.reshape(-1, seeds).mean(axis=1)
    half = stats.t.ppf(0.975, len(difference) - 1) * difference.std(ddof=1) / math.sqrt(len(difference))
    return f"{difference.mean():+.4f} ± {half:.4f}"


def verdict(gan: Measured, others: list[Measured], seeds: int) -> list[str]:
    lines = [""]
    for other in others:
        parts = [f"NIQE {paired(gan.column('niqe') - other.column('niqe'), seeds)}"]
        parts += [
            f"{title} {paired(values - other.distances[title], seeds)}" for title, values in gan.distances.items()
        ]
        lines.append(
            f"GAN minus {Path(other.name).name}, mean of the paired differences and 95 % interval: {'; '.join(parts)}."
        )
    largest = max(abs(value) for q in gan.qualities for value in q.color_shift_255)
    lines.append(
        f"Largest shift of one channel in one picture: {largest:.2f} of 255; lowest LR-PSNR of one: "
        f"{gan.column('lr_psnr').min():.2f} dB."
    )
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parent")
    parser.add_argument("gan")
    parser.add_argument("--hr", type=Path, action="append", required=True)
    parser.add_argument("--features", type=Path, required=True)
    parser.add_argument("--judge", action="append", help="default: squeezenet1_1 and vgg19-16x")
    parser.add_argument(
        "--crop-px", type=int, default=0, help="the center of each picture, at most this large; 0: the whole"
    )
    parser.add_argument("--most", type=int, default=0, help="this many pictures of a folder, spread over it; 0: all")
    parser.add_argument(
        "--degradation", default="", help="a recipe that makes the LR; default: the MATLAB-equal resize"
    )
    parser.add_argument("--seeds", default="101,102,103,104,105", help="of --degradation")
    parser.add_argument("--write", help="keep the tables as benchmarks/results/NAME_yyyymm.md")
    options = parser.parse_args()
    scale = load_model(options.gan).graph.scale
    niqe = fetch_parameters(options.features / "niqe_pris_params.npz")
    names = options.judge or ("squeezenet1_1", "vgg19-16x")
    judges = {name: partial(lpips.distance, fetch_features(name, options.features), linear=None) for name in names}
    digest = sha256_of(resolve(options.gan))
    lines = [f"# A GAN against its PSNR parent, {datetime.date.today()}", ""]
    machine = processor().model
    lines += [
        f"`{options.gan}` (sha256 {digest[:16]}) against `{options.parent}`, x{scale}; {machine}, torch "
        f"{torch.__version__}.",
        "",
    ]
    for folder in options.hr:
        pairs = load_pairs(folder, scale, most=options.most, crop_px=options.crop_px)
        seeds = [int(seed) for seed in options.seeds.split(",")] if options.degradation else [0]
        if options.degradation:
            pairs = degraded(pairs, options.degradation, seeds, scale)
        measured = [
            measure_network(name, pairs, scale, judges, niqe) for name in ("bicubic", options.parent, options.gan)
        ]
        measured.append(measure_network(HR, pairs[:: len(seeds)], scale, judges, niqe))
        words = f", LR by `{options.degradation}` with the seeds {options.seeds}" if options.degradation else ""
        title = f"## {folder.name}, {len(pairs) // len(seeds)} pictures{words}"
        found = [title, "", *table(measured, list(judges)), *verdict(measured[2], measured[:2], len(seeds)), ""]
        lines += found
        print("\n".join(found), flush=True)
    text = "\n".join(lines)
    if options.write:
        target = ROOT / "benchmarks" / "results" / f"{options.write}_{datetime.date.today():%Y%m}.md"
        target.write_text(text, encoding="utf-8")
        print(target)


if __name__ == "__main__":
    main()
