"""Fit the logistic regression of `upres.inspection.content.is_drawn`, and tell how it does on pictures left out.

    python benchmarks/fit_drawn.py --data DIR [--each 8] [--seed 77]

DIR is the folder of `fit_true_scale.py`; the drawings in it are named in `bench_inspect.py`. Each has --each light
histories, every second photograph has one, and counts once more laid on white paper. Prints the weights, which are
copied into `content.py`.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from bench_inspect import LUMA_SHARE, is_drawing, light_history
from made_histories import make, read_base
from numpy.typing import NDArray

from upres.images.jpeg_tables import standard_table
from upres.inspection.content import step_shares
from upres.inspection.sampling import busiest_window, to_luma

PULL = 1.0  # towards zero, of the weights of standardized numbers
Doubles = NDArray[np.float64]


def fit(seen: Doubles, drawn: NDArray[np.bool_]) -> tuple[Doubles, float]:
    """(weights, constant) by Newton's method; both kinds count as much."""
    mean, deviation = seen.mean(axis=0), seen.std(axis=0) + 1e-6
    inputs = np.column_stack([(seen - mean) / deviation, np.ones(len(seen))])
    counts = np.where(drawn, 0.5 / drawn.mean(), 0.5 / (1 - drawn.mean()))
    weights = np.zeros(inputs.shape[1])
    for _ in range(60):
        p = 1 / (1 + np.exp(-inputs @ weights))
        hessian = (inputs.T * (counts * p * (1 - p))) @ inputs + PULL * np.eye(len(weights))
        weights += np.linalg.solve(hessian, inputs.T @ (counts * (drawn - p)) - PULL * weights)
    return weights[:-1] / deviation, float(weights[-1] - weights[:-1] @ (mean / deviation))


def on_paper(luma: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """A part of a photograph on a white page, which is no drawing."""
    page = np.full((512, 512), 255.0, np.float32)
    height, width = (int(rng.integers(100, max(101, min(400, side)))) for side in luma.shape)
    page[50 : 50 + height, 60 : 60 + width] = luma[:height, :width]
    return page


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--each", type=int, default=8)
    parser.add_argument("--seed", type=int, default=77)
    options = parser.parse_args()
    paths = sorted(options.data.glob("*.webp"))
    photographs = [path for path in paths if not is_drawing(path)][::2]
    seen: list[Doubles] = []
    kinds: list[tuple[bool, str]] = []
    for number, path in enumerate([*[path for path in paths if is_drawing(path)] * options.each, *photographs]):
        rng = np.random.default_rng((options.seed, 1000 + number))
        history = light_history(path, rng)
        made = make(read_base(path), history, rng)
        if made is None:
            continue
        pixels = made[0].astype(np.float32) / np.float32(255.0)
        step = float(standard_table(history.quality)[0, 1]) if history.quality else 0.0
        least = max(1.5, 1.5 * LUMA_SHARE * history.noise, step / 6)
        luma = to_luma(pixels[busiest_window(pixels)])
        for window in [luma] if is_drawing(path) else [luma, on_paper(luma, rng)]:
            shares = step_shares(window, least)
            if shares is not None:
                seen.append(shares)
                kinds.append((is_drawing(path), path.name))
    inputs, drawn = np.array(seen), np.array([kind for kind, _ in kinds])
    names = np.array([name for _, name in kinds])
    score = np.empty(len(inputs))
    for name in set(names):
        out = names == name
        weights, constant = fit(inputs[~out], drawn[~out])
        score[out] = inputs[out] @ weights + constant
    for kind, title in ((True, "drawn"), (False, "photographed")):
        mine = score[drawn == kind] * (1 if kind else -1)
        print(f"{title}: {len(mine)}, right {np.sum(mine >= 2.2)}, wrong {np.sum(mine <= -2.2)}")
    weights, constant = fit(inputs, drawn)
    print(np.round(weights, 3).tolist(), round(constant, 3))


if __name__ == "__main__":
    main()
