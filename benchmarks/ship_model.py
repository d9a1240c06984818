"""From a finished run to a house model: float16 weights, a curve and the card's facts.

    pip install matplotlib
    python benchmarks/ship_model.py RUN compact-x4 --data DATA --test TEST

writes upres/models/bundled/NAME.safetensors (float16), docs/pictures/NAME_curve.png, upres/models/bundled/NAME.md and
prints the SHA-256 that `upres/models/catalog.py` must hold. TEST is the folder that holds Set5, Set14 and BSD100; they
are measured here, on the file as it ships. `--weights FILE` ships that file of the run instead of best.safetensors, and
`--weights-only` writes no curve and no card: those of an adversarial network, or of one trained in several runs (`--before RUN` draws those into the curve), are written by hand.
"""

# ruff: noqa: E501  (the card is a text whose lines are long once its figures are in)

from __future__ import annotations

import argparse
import csv
import dataclasses
import datetime
import hashlib
import json
from collections import Counter
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from safetensors import safe_open

from upres.evaluation.evaluate import BICUBIC, evaluate
from upres.images.pairing import find_pairs
from upres.models.load import load_model
from upres.system.hardware import processor
from upres.training.recipes import resolve_recipe
from upres.upscaling.upscaler import Upscaler
from upres.weights.read import read_weights, write_safetensors

ROOT = Path(__file__).resolve().parent.parent


def plot_curve(points: list[dict[str, float]], path: Path, title: str) -> None:
    figure, axes = plt.subplots(figsize=(7, 3.6), dpi=110)
    axes.plot([p["step"] for p in points], [p["psnr_y"] for p in points], color="#2a6f97")
    axes.set_xlabel("step")
    axes.set_ylabel("PSNR (Y) on Set5, dB")
    low = np.percentile([p["psnr_y"] for p in points], 10)
    axes.set_ylim(bottom=low - 0.1)
    axes.set_title(title)
    axes.grid(alpha=0.3)
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)
    plt.close(figure)


def licenses(data: Path) -> list[str]:
    """How many of the training pictures stand under which terms, from the data's own LICENCES.tsv."""
    with (data.parent / "LICENCES.tsv").open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file, delimiter="\t") if (data / row["file"]).exists()]
    counts = Counter((row["source_repository"], row["licence_as_stated"]) for row in rows)
    return [f"| {source} | {license} | {count} |" for (source, license), count in sorted(counts.items())]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("name")
    parser.add_argument("--data", type=Path)
    parser.add_argument("--test", type=Path)
    parser.add_argument("--weights", default="best.safetensors")
    parser.add_argument("--weights-only", action="store_true")
    parser.add_argument("--before", type=Path, action="append", default=[], help="the run it began with; repeatable")
    options = parser.parse_args()
    config = json.loads((options.run / "config.json").read_text())
    points = [json.loads(line) for line in (options.run / "validation.jsonl").read_text().splitlines()]
    source = options.run / options.weights
    with safe_open(source, "np") as file:
        step = int(file.metadata()["step"])
    weights = {name: array.astype(np.float16) for name, array in read_weights(source).items()}
    target = ROOT / "upres" / "models" / "bundled" / f"{options.name}.safetensors"
    write_safetensors(target, weights, {"recipe": config["recipe"], "step": str(step), "scale": str(config["scale"])})
    digest = hashlib.sha256(target.read_bytes()).hexdigest()
    for earlier in reversed(options.before):
        begun = [json.loads(line) for line in (earlier / "validation.jsonl").read_text().splitlines()]
        points = begun + [point | {"step": point["step"] + begun[-1]["step"]} for point in points]
    if options.weights_only:
        if options.before:
            title = f"{options.name}: validation while training"
            plot_curve(points, ROOT / "docs" / "pictures" / f"{options.name}_curve.png", title)
        print(f"{target}: step {step}, {target.stat().st_size} bytes, sha256 {digest}")
        return
    if options.data is None or options.test is None:
        parser.error("a card needs --data and --test")
    graph = load_model(str(target)).graph
    upscaler = Upscaler(graph)
    plot_curve(
        points, ROOT / "docs" / "pictures" / f"{options.name}_curve.png", f"{options.name}: validation while training"
    )

    rows: list[str] = []
    for name in ("Set5", "Set14", "BSD100"):
        result = evaluate(
            find_pairs(options.test / name, None, config["scale"]), {options.name: upscaler}, scale=config["scale"]
        ).means()
        for key, label in ((BICUBIC, BICUBIC), (options.name, f"**{options.name}**")):
            mean = result[key]
            rows.append(
                f"| {name} | {label} | {mean.psnr_y:.2f} | {mean.ssim_y:.4f} | {mean.psnr_rgb:.2f} | "
                f"{mean.ssim_rgb:.4f} |"
            )
        print("\n".join(rows[-2:]), flush=True)
    gap = max(p["psnr_y"] for p in points) - next(p["psnr_y"] for p in points if p["step"] == step)
    first = points[0]
    minutes = next(
        (p["time"] - first["time"]) / 60 * step / (step - first["step"]) for p in points if p["step"] == step
    )
    recipe = json.loads(json.dumps(dataclasses.asdict(resolve_recipe(config["recipe"]))))
    changed = " ".join(f"--set {key}={value}" for key, value in config.items() if value != recipe[key])
    ending = (
        f", for the last {100 * config['final_fraction']:.0f} % of the steps {config['final_loss']}"
        if config["final_fraction"]
        else ""
    )
    card = f"""# {options.name}

SVRGGNetCompact, x{config["scale"]}, {config["width"]} wide, {config["depth"]} inner convolutions: {graph.parameters:,} parameters,
{graph.macs_per_pixel / 1e3:,.0f} thousand multiply-adds per LR pixel, receptive field {graph.receptive_field} LR pixels each way. float16 weights,
{target.stat().st_size:,} bytes, SHA-256 `{digest}`.

**For** clean photographs that are too small: the LR it was trained on is the MATLAB-equal bicubic reduction of good pictures. It restores edges and
invents no texture. **Not for** JPEG artifacts, noise or blur: it keeps or sharpens them.

**Known weakness**: where two saturated colors of one brightness meet (a purple badge on an orange suit), the blocks of the LR picture shine through as a
fine dotted pattern: training pictures hold few such edges. Seen at 100 % on examples/astronaut.png; strong in x4, faint in x2.

License: Apache-2.0.

## Training

`upres train {config["recipe"]} --data DATA --validation Set5 --out RUN {changed}`, {datetime.date.today():%B %Y}: the average after {step:,}
steps of a schedule of {config["steps"]:,}, of which {points[-1]["step"]:,} were run; on Set5 it stands {gap:.3f} dB below the best of them. A step is
{config["batch"]} patches of {config["patch_px"]} x {config["patch_px"]} LR pixels, {config["loss"]} loss{ending}; Adam, learning rate
{config["learning_rate"]:g} falling to {config["final_learning_rate"]:g} by a cosine, gradients clipped at norm {config["clip_norm"]:g}, average of the weights with decay {config["ema_decay"]:g};
each 3x3 convolution trained as a sum of parallel branches that are merged in every step (docs/training.md). About {minutes:.0f} minutes on one core
of a shared {processor().model} machine that other programs used at the same time. Everything else: the recipe.

![PSNR on Set5 while training](../../docs/pictures/{options.name}_curve.png)

Set5 steered (the curve above); Set14 and BSD100 decided nothing.

## Figures

PSNR in dB and SSIM, border {config["scale"]}, on the file as it ships; LR by the MATLAB-equal resize of the HR cropped to a multiple of the scale;
`upres evaluate --hr SET --scale {config["scale"]} -n {options.name}`.

| set | | PSNR (Y) | SSIM (Y) | PSNR (RGB) | SSIM (RGB) |
|---|---|---|---|---|---|
{chr(10).join(rows)}

## Data

Photographs, each also used at half its size. None of them is part of this repository.

| source | terms as stated there | pictures |
|---|---|---|
{chr(10).join(licenses(options.data))}
"""
    (ROOT / "upres" / "models" / "bundled" / f"{options.name}.md").write_text(
        card.replace("SVRGG", "SRVGG"), encoding="utf-8"
    )
    print(f"{target}: {target.stat().st_size} bytes, sha256 {digest}")


if __name__ == "__main__":
    main()
