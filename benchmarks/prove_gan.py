"""A GAN network against its PSNR parent and bicubic: distortion, perception and honesty, picture by picture.

    python benchmarks/prove_gan.py compact-x4 runs/gan/model.safetensors --hr DIR [--hr DIR ...] --features FOLDER [--write NAME]

DIR holds HR pictures; LR comes from the MATLAB-equal resize. FOLDER holds the feature networks that judge (none of them the loss of the
run) and niqe_pris_params.npz. Per set: PSNR and SSIM, LR-PSNR (the result reduced again against the LR), NIQE, feature distances, mean
shift of each channel, and the spectral energy at periods of 2 and 4 pixels over that of HR: of all pictures together, and the median
picture's (a smooth HR picture has next to none, so a mean of ratios says little). Where the GAN is compared with its parent,
the mean difference over the pictures stands with its 95 % interval (paired, Student's t). --write NAME puts the tables under
benchmarks/results/.
"""

from __future__ import annotations

import argparse
import datetime
import math
import platform
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from scipy import stats

from upres.catalog import load_graph, resolve
from upres.files import sha256_of
from upres.niqe import NiqeParameters, fetch_parameters
from upres.picture import quantise
from upres.resize import imresize
from upres.spectrum import lattice_energy
from upres.training import lpips
from upres.training.data import Pair, centre, find_pictures, make_pair, read_rgb
from upres.training.features import fetch_features
from upres.training.validation import Quality, measure, to_tensor
from upres.upscale import Upscaler

ROOT = Path(__file__).resolve().parent.parent
CPU = torch.device("cpu")
HR = "HR"
Judge = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
FIGURES = (("PSNR (Y)", "psnr_y", 2), ("SSIM (Y)", "ssim_y", 4), ("LR-PSNR", "lr_psnr", 2), ("NIQE", "niqe", 3))


def results_of(name: str, pairs: list[Pair], scale: int) -> list[np.ndarray]:
    """The 8-bit results of one network, or of `bicubic`, as `upres upscale` would write them."""
    if name == "bicubic":
        return [imresize(pair.lr, scale) for pair in pairs]
    upscaler = Upscaler(load_graph(name))
    return [quantise(upscaler.upscale_array(pair.lr.astype(np.float32) / np.float32(255.0)), 8) for pair in pairs]


@dataclass(frozen=True)
class Measured:
    """One network on one set: a `Quality` and the distances of each judge a picture; lattice energies `picture, (2 px, 4 px), (SR, HR)`."""

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
        cells.append(", ".join(f"{value:+.2f}" for value in np.mean([q.color_shift_255 for q in self.qualities], axis=0)))
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
        pairs.append(make_pair(path.name, centre(image, crop_px) if crop_px else image, scale))
    return pairs


@torch.no_grad()
def measure_network(name: str, pairs: list[Pair], scale: int, judges: Mapping[str, Judge], niqe: NiqeParameters) -> Measured:
    images = [pair.hr for pair in pairs] if name == HR else results_of(name, pairs, scale)
    batches = [[to_tensor(np.ascontiguousarray(x)[None], CPU) for x in (sr, pair.hr)] for sr, pair in zip(images, pairs, strict=True)]
    return Measured(
        name,
        [measure(sr, pair, scale=scale, niqe=niqe, device=CPU) for sr, pair in zip(images, pairs, strict=True)],
        {title: np.array([float(judge(*batch)) for batch in batches]) for title, judge in judges.items()},
        np.array([[[lattice_energy(x, p) for x in (sr, pair.hr)] for p in (2, 4)] for sr, pair in zip(images, pairs, strict=True)]),
    )


def table(measured: list[Measured], judges: list[str]) -> list[str]:
    titles = ["", *(title for title, _, _ in FIGURES), *judges, "shift R, G, B / 255"]
    titles += ["period 2 / HR: all, median", "period 4 / HR: all, median"]
    return ["| " + " | ".join(cells) + " |" for cells in (titles, ["---"] * len(titles), *(m.row() for m in measured))]


def paired(difference: np.ndarray) -> str:
    """Mean of paired differences and its 95 % interval."""
    half = stats.t.ppf(0.975, len(difference) - 1) * difference.std(ddof=1) / math.sqrt(len(difference))
    return f"{difference.mean():+.4f} ± {half:.4f}"


def verdict(gan: Measured, parent: Measured) -> list[str]:
    parts = [f"NIQE {paired(gan.column('niqe') - parent.column('niqe'))}"]
    parts += [f"{title} {paired(values - parent.distances[title])}" for title, values in gan.distances.items()]
    largest = max(abs(value) for q in gan.qualities for value in q.color_shift_255)
    return [
        "",
        f"GAN minus parent, mean of the paired differences and 95 % interval: {'; '.join(parts)}. Largest shift of one channel in one",
        f"picture: {largest:.2f} of 255; lowest LR-PSNR of one picture: {gan.column('lr_psnr').min():.2f} dB.",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parent")
    parser.add_argument("gan")
    parser.add_argument("--hr", type=Path, action="append", required=True)
    parser.add_argument("--features", type=Path, required=True)
    parser.add_argument("--judge", action="append", help="default: squeezenet1_1 and vgg19-16x")
    parser.add_argument("--crop-px", type=int, default=0, help="the centre of each picture, at most this large; 0: the whole")
    parser.add_argument("--most", type=int, default=0, help="this many pictures of a folder, spread over it; 0: all")
    parser.add_argument("--write", help="keep the tables as benchmarks/results/NAME_yyyymm.md")
    options = parser.parse_args()
    scale = load_graph(options.gan).scale
    niqe = fetch_parameters(options.features / "niqe_pris_params.npz")
    names = options.judge or ("squeezenet1_1", "vgg19-16x")
    judges = {name: partial(lpips.distance, fetch_features(name, options.features), linear=None) for name in names}
    digest = sha256_of(resolve(options.gan))
    lines = [f"# A GAN against its PSNR parent, {datetime.date.today()}", ""]
    machine = platform.processor() or platform.machine()
    lines += [f"`{options.gan}` (sha256 {digest[:16]}) against `{options.parent}`, x{scale}; {machine}, torch {torch.__version__}.", ""]
    for folder in options.hr:
        pairs = load_pairs(folder, scale, most=options.most, crop_px=options.crop_px)
        measured = [measure_network(name, pairs, scale, judges, niqe) for name in ("bicubic", options.parent, options.gan, HR)]
        lines += [f"## {folder.name}, {len(pairs)} pictures", "", *table(measured, list(judges)), *verdict(measured[2], measured[1]), ""]
        print("\n".join(lines[-(len(measured) + 9) :]), flush=True)
    text = "\n".join(lines)
    if options.write:
        target = ROOT / "benchmarks" / "results" / f"{options.write}_{datetime.date.today():%Y%m}.md"
        target.write_text(text, encoding="utf-8")
        print(target)


if __name__ == "__main__":
    main()
