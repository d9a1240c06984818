"""The true scale of a picture: how many times wider and higher it is than what it shows needs.

How a spectrum falls off and where it has lines follows from the factor and the kernel of an enlargement (`spectra.py`),
but what stood there before, noise and compression blur both facts. Which factors explain what is seen is learned from
pictures with a made history: three small networks, fitted alike from different starts, give a probability to each of 38
factors from 1 to 6.4, 5 % apart; their mean counts. `benchmarks/fit_true_scale.py` makes the histories and fits them,
and `benchmarks/bench_inspect.py` measures them on other pictures.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from upres.inspection.spectra import SMALLEST_PX, features

Array = NDArray[np.float32]
Doubles = NDArray[np.float64]

NETWORK = Path(__file__).resolve().parent / "true_scale.npz"
LOG_STEP = 0.05
SCALES: Doubles = np.exp(LOG_STEP * np.arange(38))
TOLERANCE = 0.1  # the confidence is that of a scale within 10 %
CONFIDENT = 0.8  # from which a scale is told: about 95 of 100 such are right (docs/inspect.md)
BLUR_PER_SCALE = 0.683  # sigma of the Gaussian that passes a tenth of the amplitude at 1/(2 scale): sqrt(2 ln 10) / pi
_LEAST_DETAIL = 0.1  # mean second difference in levels: below that there is nothing to judge


@dataclass(frozen=True, slots=True)
class ScaleEstimate:
    """The likeliest scale, and the probability that the true one lies within 10 % of it."""

    scale: float
    confidence: float


def estimate_scale(luma: Array) -> ScaleEstimate | None:
    """Of a luma window `h w` in levels of 255, at most 512 a side. None where a side is below 144 px or nothing is to
    be seen.
    """
    if min(luma.shape) < SMALLEST_PX or float(np.abs(np.diff(luma[::4], n=2, axis=1)).mean()) < _LEAST_DETAIL:
        return None
    return likeliest(scale_probabilities(features(luma)))


def scale_probabilities(feature: Array) -> Doubles:
    """The probability of each of `SCALES`: of each network layers of weights and ReLU, then softmax; their mean."""
    mean, deviation, networks = _networks()
    total = np.zeros(len(SCALES))
    for layers in networks:
        values = (feature - mean) / deviation
        for number, (weight, bias) in enumerate(layers):
            values = weight @ values + bias
            if number < len(layers) - 1:
                values = np.maximum(values, 0.0)
        exponentials = np.exp((values - values.max()).astype(np.float64))
        total += exponentials / exponentials.sum()
    return total / len(networks)


def likeliest(probabilities: Doubles) -> ScaleEstimate:
    """The scale around which most of the probability lies within the tolerance, and how much that is."""
    logs = np.log(SCALES)
    centers = np.arange(0.0, logs[-1] + 0.005, 0.01)
    inside = np.abs(logs - centers[:, None]) < np.log1p(TOLERANCE) + 1e-9
    masses = inside @ probabilities
    best = inside[int(np.argmax(masses))]
    mass = float(probabilities[best].sum())
    return ScaleEstimate(float(np.exp((probabilities * logs)[best].sum() / mass)), mass)


@lru_cache(maxsize=1)
def _networks() -> tuple[Array, Array, list[list[tuple[Array, Array]]]]:
    """(mean, deviation of the features, of each network [(weight, bias), ...]), float32 from float16."""
    stored: Any
    with np.load(NETWORK, allow_pickle=False) as stored:
        arrays: dict[str, Array] = {name: stored[name].astype(np.float32) for name in stored.files}
    places = sorted(name.removeprefix("weight") for name in arrays if name.startswith("weight"))  # "0_0", "0_1", ...
    layers = {place: (arrays[f"weight{place}"], arrays[f"bias{place}"]) for place in places}
    numbers = sorted({place.partition("_")[0] for place in places})
    networks = [[layers[place] for place in places if place.startswith(f"{number}_")] for number in numbers]
    return arrays["mean"], arrays["deviation"], networks
