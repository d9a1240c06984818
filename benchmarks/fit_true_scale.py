"""Fit the network of `upres/inspection/true_scale.py` to pictures with a made history.

    python benchmarks/fit_true_scale.py make --data DIR --out FEATURES/a.npz [--seed 31] [--each 14]
    python benchmarks/fit_true_scale.py fit --features FEATURES/ [--write]

`make` draws histories of every picture in DIR but those that `bench_inspect.py` measures on (every fourth by name), in
luma alone (`luma_histories.py`), and keeps what `spectra.features` sees of each; run it with several seeds. `fit` first
holds a fifth of the pictures back and tells how it does on them, then fits all, three times; --write replaces
`upres/inspection/true_scale.npz`. Needs the extra `train`.
"""

from __future__ import annotations

import argparse
import itertools
import os
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # sums in the same order each time
import numpy as np
import torch
from luma_histories import GRAY, LUMA_SHARE, make_luma, read_lumas, turned
from made_histories import FITTED, draw_history, held_out
from numpy.typing import NDArray

from upres.inspection.spectra import SMALLEST_PX, features
from upres.inspection.true_scale import NETWORK, SCALES, likeliest

NETWORKS, HIDDEN = 3, (128, 64)
EPOCHS, BATCH, RATE, DECAY, DROPOUT = 40, 128, 2e-3, 2e-3, 0.25
SPREAD = 0.03  # of the log scale that is taught: between two of its steps
JITTER = 0.05  # noise on the features, in their standard deviations
Array = NDArray[np.float32]


def make_features(options: argparse.Namespace) -> None:
    seen: list[Array] = []
    facts: list[tuple[float, ...]] = []
    pictures = enumerate(sorted(options.data.glob("*.webp")))
    fitted = [(number, path) for number, path in pictures if not held_out(number)]
    for number, path in fitted:
        bases = list(read_lumas(path, np.random.default_rng((options.seed, number, 99))))
        for index in range(options.each):
            rng = np.random.default_rng((options.seed, number, index))
            history = draw_history(path.name, rng, kernels=FITTED)
            gray = bool(rng.random() < GRAY)
            base = turned(bases[int(rng.integers(len(bases)))], rng)
            luma = make_luma(base, history, rng, gray=gray)
            if luma is not None and min(luma.shape) >= SMALLEST_PX:
                noise = history.noise * (1.0 if gray else LUMA_SHARE)
                seen.append(features(luma))
                facts.append((history.true_scale, noise, history.quality, history.blur_px, number))
    np.savez(options.out, features=np.array(seen), facts=np.array(facts))
    print(f"{len(seen)} histories in {options.out}")


def fit(seen: Array, scales: NDArray[np.float64], seed: int) -> tuple[Array, Array, list[tuple[Array, Array]]]:
    """(mean, deviation, layers) of a network that gives the logits of `SCALES`."""
    torch.manual_seed(seed)
    mean, deviation = seen.mean(axis=0), seen.std(axis=0) + 1e-3
    x = torch.from_numpy(((seen - mean) / deviation).astype(np.float32))
    taught = np.exp(-0.5 * ((np.log(scales)[:, None] - np.log(SCALES)) / SPREAD) ** 2)
    y = torch.from_numpy((taught / taught.sum(axis=1, keepdims=True)).astype(np.float32))
    sizes = (seen.shape[1], *HIDDEN)
    parts: list[torch.nn.Module] = []
    for taken, given in itertools.pairwise(sizes):
        parts += [torch.nn.Linear(taken, given), torch.nn.ReLU(), torch.nn.Dropout(DROPOUT)]
    network = torch.nn.Sequential(*parts, torch.nn.Linear(sizes[-1], len(SCALES)))
    optimizer = torch.optim.AdamW(network.parameters(), lr=RATE, weight_decay=DECAY)
    steps = EPOCHS * (len(x) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=steps)
    for _ in range(EPOCHS):
        order = torch.randperm(len(x))
        for step in range(len(x) // BATCH):
            chosen = order[step * BATCH : (step + 1) * BATCH]
            logits = network(x[chosen] + JITTER * torch.randn(BATCH, x.shape[1]))
            loss = -(y[chosen] * torch.log_softmax(logits, 1)).sum(1).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    linear = [part for part in network if isinstance(part, torch.nn.Linear)]
    return mean, deviation, [(part.weight.detach().numpy(), part.bias.detach().numpy()) for part in linear]


def probabilities(network: tuple[Array, Array, list[tuple[Array, Array]]], seen: Array) -> NDArray[np.float64]:
    mean, deviation, layers = network
    values = (seen - mean) / deviation
    for number, (weight, bias) in enumerate(layers):
        values = values @ weight.T + bias
        values = np.maximum(values, 0.0) if number < len(layers) - 1 else values
    exponentials = np.exp((values - values.max(axis=1, keepdims=True)).astype(np.float64))
    return exponentials / exponentials.sum(axis=1, keepdims=True)


def tell(found: NDArray[np.float64], facts: NDArray[np.float64]) -> None:
    estimates = [likeliest(row) for row in found]
    scales, sure = (np.array([getattr(one, name) for one in estimates]) for name in ("scale", "confidence"))
    right = np.abs(scales / facts[:, 0] - 1.0) <= 0.1
    print(f"held back: {len(right)}, within 10 %: {right.mean():.3f}")
    for least in (0.6, 0.7, 0.8, 0.85, 0.9, 0.95):
        told = sure >= least
        print(f"  at least {least:.2f} sure: {told.mean():.3f} told, of these right {right[told].mean():.3f}")
    noise, quality, blurred = facts[:, 1], facts[:, 2], facts[:, 3] > 0
    clean = (quality == 0) & (noise <= 3) & ~blurred
    groups = {
        "clean": clean, "noise of luma > 6": noise > 6, "quality >= 80": quality >= 80,
        "quality < 80": (quality > 0) & (quality < 80), "blurred": blurred,
        "not enlarged": (facts[:, 0] == 1.0) & ~blurred,
    }  # fmt: skip
    for name, group in groups.items():
        told = (sure[group] >= 0.85).mean()
        print(f"  {name}: {group.sum()}, right {right[group].mean():.3f}, told at 0.85 {told:.3f}")


def fit_all(options: argparse.Namespace) -> None:
    torch.set_num_threads(options.threads)
    stored = [np.load(path) for path in sorted(options.features.glob("*.npz"))]
    seen = np.concatenate([one["features"] for one in stored])
    facts = np.concatenate([one["facts"] for one in stored])
    back = facts[:, 4] % 5 == 0
    print(f"{len(seen)} histories of {len(set(facts[:, 4]))} pictures")
    parts = [fit(seen[~back], facts[~back, 0], options.seed + place) for place in range(NETWORKS)]
    tell(np.mean([probabilities(part, seen[back]) for part in parts], axis=0), facts[back])
    if options.write:
        arrays: dict[str, Array] = {}
        for place in range(NETWORKS):
            mean, deviation, layers = fit(seen, facts[:, 0], options.seed + place)
            arrays |= {"mean": mean, "deviation": deviation}
            for number, (weight, bias) in enumerate(layers):
                arrays |= {f"weight{place}_{number}": weight, f"bias{place}_{number}": bias}
        np.savez(NETWORK, **{name: value.astype(np.float16) for name, value in arrays.items()})
        print(f"{NETWORK}, {NETWORK.stat().st_size:,} bytes")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(required=True)
    making = verbs.add_parser("make")
    making.add_argument("--data", type=Path, required=True)
    making.add_argument("--out", type=Path, required=True)
    making.add_argument("--each", type=int, default=20)
    making.set_defaults(run=make_features)
    fitting = verbs.add_parser("fit")
    fitting.add_argument("--features", type=Path, required=True)
    fitting.add_argument("--threads", type=int, default=1)
    fitting.add_argument("--write", action="store_true")
    fitting.set_defaults(run=fit_all)
    for verb in (making, fitting):
        verb.add_argument("--seed", type=int, default=21)
    options = parser.parse_args()
    options.run(options)


if __name__ == "__main__":
    main()
