"""The distribution of what is drawn against the published tables, with fixed seeds."""

import math
from collections import Counter
from typing import Any

import numpy as np
import pytest
from scipy import stats

from upres.degradation.apply import draw_plan, load_recipe

COUNT = 3000
Steps = list[dict[str, Any]]


@pytest.fixture(scope="module")
def real() -> list[Steps]:
    recipe = load_recipe("real-esrgan")
    return [draw_plan(recipe, seed=11, index=i, scale=4)["steps"] for i in range(COUNT)]


@pytest.fixture(scope="module")
def bsr() -> list[Steps]:
    recipe = load_recipe("bsrgan")
    return [draw_plan(recipe, seed=11, index=i, scale=4)["steps"] for i in range(COUNT)]


def uniform(values: list[float], low: float, high: float) -> None:
    assert stats.kstest(values, stats.uniform(low, high - low).cdf).pvalue > 1e-3, (
        len(values),
        min(values),
        max(values),
    )


def shares(values: list[Any], expected: dict[Any, float]) -> None:
    counts = Counter(values)
    assert set(counts) <= set(expected), set(counts) - set(expected)
    observed = [counts[key] for key in expected]
    assert stats.chisquare(observed, [p * len(values) for p in expected.values()]).pvalue > 1e-3, counts


def first_order(steps: Steps) -> Steps:
    """Up to and with the first codec."""
    return steps[: next(i for i, s in enumerate(steps) if s["op"] == "codec") + 1]


def test_real_esrgan_runs_its_operations_in_order(real: list[Steps]) -> None:
    for steps in real:
        assert [s["op"] for s in first_order(steps)] == ["blur", "resize", "noise", "codec"]
        rest = [s["op"] for s in steps[4:]]
        middle = rest[1:] if rest[0] == "blur" else rest
        assert middle[:2] == ["resize", "noise"]
        assert middle[2:] in (
            ["resize", "blur", "codec"],
            ["resize", "codec"],
            ["codec", "resize", "blur"],
            ["codec", "resize"],
        )
    second = [steps[4]["op"] == "blur" for steps in real]
    shares(second, {True: 0.8, False: 0.2})
    shares([steps[-1]["op"] == "codec" for steps in real], {True: 0.5, False: 0.5})
    last_sinc = [any(s["op"] == "blur" and s["kernel"]["kind"] == "sinc" for s in steps[-2:]) for steps in real]
    shares(last_sinc, {True: 0.8, False: 0.2})


@pytest.mark.parametrize(("order", "top"), [(0, 3.0), (1, 1.5)])
def test_real_esrgan_kernels(real: list[Steps], order: int, top: float) -> None:
    """Table of Real-ESRGAN: sizes, kinds, sigmas, betas; traps 33 and 34."""
    drawn = [steps[0] if order == 0 else steps[4] for steps in real]
    kernels = [step["kernel"] for step in drawn if step["op"] == "blur"]
    shares([k["size"] for k in kernels], dict.fromkeys(range(7, 22, 2), 1 / 8))
    shares([k["kind"] == "sinc" for k in kernels], {True: 0.1, False: 0.9})
    for low, sizes in ((math.pi / 3, range(7, 13)), (math.pi / 5, range(13, 22))):
        uniform([k["cutoff"] for k in kernels if k["kind"] == "sinc" and k["size"] in sizes], low, math.pi)
    gaussians = [k for k in kernels if k["kind"] != "sinc"]
    names = {
        ("isotropic", True): 0.45, ("anisotropic", False): 0.25, ("generalised", True): 0.12,
        ("generalised", False): 0.03, ("plateau", True): 0.12, ("plateau", False): 0.03,
    }  # fmt: skip
    shares([(k["kind"], k["sigma_x"] == k["sigma_y"]) for k in gaussians], names)
    uniform([k["sigma_x"] for k in gaussians], 0.2, top)
    turned = [k for k in gaussians if k["sigma_x"] != k["sigma_y"]]
    uniform([k["sigma_y"] for k in turned], 0.2, top)
    assert abs(np.corrcoef([k["sigma_x"] for k in turned], [k["sigma_y"] for k in turned])[0, 1]) < 0.12
    uniform([k["theta"] for k in turned], -math.pi, math.pi)
    assert all(k["theta"] == 0.0 for k in gaussians if k["sigma_x"] == k["sigma_y"])

    general = [k["beta"] for k in gaussians if k["kind"] == "generalised"]
    uniform([b for b in general if b < 1], 0.5, 1.0)
    uniform([b for b in general if b > 1], 1.0, 4.0)
    shares([b < 1 for b in general], {True: 0.5, False: 0.5})
    plateau = [k["beta"] for k in gaussians if k["kind"] == "plateau"]
    shares([b == 1.0 for b in plateau], {True: 0.5, False: 0.5})  # trap 33
    uniform([b for b in plateau if b > 1], 1.0, 2.0)


@pytest.mark.parametrize(
    ("order", "directions", "low", "high", "of"),
    [(0, (0.2, 0.7, 0.1), 0.15, 1.5, "input"), (1, (0.3, 0.4, 0.3), 0.3, 1.2, "target")],
)
def test_real_esrgan_resizes(
    real: list[Steps], order: int, directions: tuple[float, float, float], low: float, high: float, of: str
) -> None:
    resizes = [[s for s in steps if s["op"] == "resize"][order] for steps in real]
    factors = [s["factor"] for s in resizes]
    shares([int(np.sign(f - 1.0)) for f in factors], dict(zip((1, -1, 0), directions, strict=True)))
    uniform([f for f in factors if f > 1], 1.0, high)
    uniform([f for f in factors if f < 1], low, 1.0)
    shares([s["mode"] for s in resizes], {"area": 1 / 3, "linear": 1 / 3, "cubic": 1 / 3})
    assert all(s["of"] == of and s["antialias"] is False for s in resizes)


@pytest.mark.parametrize(("order", "sigma", "strength"), [(0, 30.0, 3.0), (1, 25.0, 2.5)])
def test_real_esrgan_noise(real: list[Steps], order: int, sigma: float, strength: float) -> None:
    noises = [[s for s in steps if s["op"] == "noise"][order] for steps in real]
    shares([s["kind"] for s in noises], {"gaussian": 0.5, "poisson": 0.5})
    shares([s["gray"] for s in noises], {True: 0.4, False: 0.6})
    uniform([s["sigma_255"] for s in noises if s["kind"] == "gaussian"], 1.0, sigma)
    uniform([s["strength"] for s in noises if s["kind"] == "poisson"], 0.05, strength)
    assert len({s["seed"] for s in noises}) == COUNT


def test_real_esrgan_jpeg_and_last_low_pass(real: list[Steps]) -> None:
    codecs = [[s for s in steps if s["op"] == "codec"] for steps in real]
    assert all(len(pair) == 2 for pair in codecs)
    for order in (0, 1):
        qualities = [pair[order]["quality"] for pair in codecs]
        shares(qualities, dict.fromkeys(range(30, 96), 1 / 66))
    assert all((s["format"], s["subsample"], s["shift"]) == ("jpeg", True, [0, 0]) for pair in codecs for s in pair)
    last = [s["kernel"] for steps in real for s in steps[-2:] if s["op"] == "blur"]
    uniform([k["cutoff"] for k in last], math.pi / 3, math.pi)
    shares([k["size"] for k in last], dict.fromkeys(range(7, 22, 2), 1 / 8))
    final = [next(s for s in reversed(steps) if s["op"] == "resize") for steps in real]
    assert all(s["of"] == "target" and s["factor"] == 1.0 for s in final)


def halved(steps: Steps) -> bool:
    return (
        steps[0]["op"] == "resize"
        and steps[0]["factor"] == 0.5
        and steps[0]["of"] == "input"
        and steps[1]["op"] == "clip"
    )


def test_bsrgan_order_and_chances(bsr: list[Steps]) -> None:
    """Trap 41: shuffled, the second reduction after the first, JPEG at the end always, a quarter halved first."""
    assert all(steps[-1]["op"] == "codec" and 30 <= steps[-1]["quality"] <= 95 for steps in bsr)
    first = [halved(steps) for steps in bsr]
    shares(first, {True: 0.25, False: 0.75})
    shares([steps[0]["antialias"] for steps in bsr if halved(steps)], {True: 0.5, False: 0.5})
    for steps in bsr:
        middle = steps[2 if halved(steps) else 1 :]
        to_target = next(i for i, s in enumerate(middle) if s["op"] == "resize" and s["of"] == "target")
        assert any(s["op"] == "decimate" or (s["op"] == "resize" and s["of"] == "input") for s in middle[:to_target])
    inner = [steps[:-1] for steps in bsr]
    shares([any(s["op"] == "codec" for s in steps) for steps in inner], {True: 0.9, False: 0.1})
    shares([any(s["op"] == "camera" for s in steps) for steps in inner], {True: 0.25, False: 0.75})
    assert all(sum(s["op"] == "blur" for s in steps) == 2 for steps in inner)
    shares([any(s["op"] == "decimate" for s in steps) for steps in inner], {True: 0.25, False: 0.75})
    where = [next(i for i, s in enumerate(steps[2 if halved(steps) else 1 :]) if s["op"] == "noise") for steps in bsr]
    assert len(set(where)) >= 6  # it moves through all places


def test_bsrgan_kernels_and_noise(bsr: list[Steps]) -> None:
    plain = [steps for steps in bsr if not halved(steps)]
    kernels = [s["kernel"] for steps in plain for s in steps if s["op"] == "blur"]
    shares([k["kind"] for k in kernels], {"isotropic": 0.5, "anisotropic": 0.5})
    shares([k["size"] for k in kernels], dict.fromkeys(range(7, 26, 2), 1 / 10))
    uniform([k["sigma_x"] for k in kernels if k["kind"] == "isotropic"], 0.0, 2.8)  # 2 + 0.2 * 4
    turned = [k for k in kernels if k["kind"] == "anisotropic"]
    uniform([k["sigma_x"] ** 2 for k in turned], 0.0, 8.0)  # variances up to 4 + 4
    uniform([k["theta"] for k in turned], 0.0, math.pi)
    halves = [s["kernel"] for steps in bsr if halved(steps) for s in steps if s["op"] == "blur"]
    uniform([k["sigma_x"] for k in halves if k["kind"] == "isotropic"], 0.0, 2.4)  # what is left is a factor of 2

    noises = [next(s for s in steps if s["op"] == "noise") for steps in bsr]
    kinds = [s["kind"] if s["kind"] == "correlated" else ("gray" if s["gray"] else "color") for s in noises]
    shares(kinds, {"color": 0.4, "gray": 0.4, "correlated": 0.2})
    shares(
        [s["sigma_255"] for s in noises if s["kind"] == "gaussian"], {float(level): 1 / 24 for level in range(2, 26)}
    )
    for step in noises:
        if step["kind"] == "correlated":
            covariance = np.array(step["covariance_255"])
            assert np.allclose(covariance, covariance.T) and covariance.max() <= 25.0**2 and covariance.min() >= 0.0


def test_bsrgan_reductions(bsr: list[Steps]) -> None:
    plain = [steps for steps in bsr if not halved(steps)]
    divided = [s for steps in plain for s in steps if s["op"] == "resize" and s["of"] == "input"]
    uniform([1.0 / s["factor"] for s in divided], 1.0, 8.0)
    shares([s["mode"] for s in divided], {"linear": 1 / 3, "cubic": 1 / 3, "area": 1 / 3})
    decimated = [s for steps in plain for s in steps if s["op"] == "decimate"]
    uniform([s["kernel"]["sigma_x"] for s in decimated], 0.1, 2.4)
    assert all(s["factor"] == 4 and s["kernel"]["size"] == 25 for s in decimated)
    assert all(s["factor"] == 2 for steps in bsr if halved(steps) for s in steps if s["op"] == "decimate")


def test_wild_reaches_all_its_operations() -> None:
    recipe = load_recipe("wild")
    drawn = [draw_plan(recipe, seed=3, index=i, scale=4)["steps"] for i in range(1500)]
    codecs = [s for steps in drawn for s in steps if s["op"] == "codec"]
    assert {s["format"] for s in codecs} == {"jpeg", "webp", "avif"}
    assert {s["subsample"] for s in codecs} == {True, False} and any(s["shift"] != [0, 0] for s in codecs)
    assert any(sum(s["op"] == "codec" for s in steps) == 2 for steps in drawn)
    assert {s["kind"] for steps in drawn for s in steps if s["op"] == "noise"} == {"gaussian", "poisson", "correlated"}
    assert {s["antialias"] for steps in drawn for s in steps if s["op"] == "resize"} == {True, False}
    clean = [all(s["op"] in ("resize", "codec") for s in steps) and len(steps) <= 2 for steps in drawn]
    assert 0.13 < np.mean(clean) < 0.25
