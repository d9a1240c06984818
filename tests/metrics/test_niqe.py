"""NIQE against MATLAB's published figure, and its parts against scipy."""

from __future__ import annotations

import io
import math
import zipfile
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage, optimize, special, stats

from upres.errors import InputError, ModelError
from upres.images.resize import imresize
from upres.metrics import niqe as room
from upres.metrics.niqe import (
    BLOCK,
    FEATURES,
    PARAMETERS,
    NiqeParameters,
    block_features,
    fetch_parameters,
    fit_aggd,
    load_parameters,
    niqe,
)
from upres.system.download import Source

Array = np.ndarray
PUBLISHED = "weights/perceptual/niqe_pris_params.npz"


def window() -> Array:
    """7x7 Gaussian with sigma 7/6, the authors' choice."""
    line = stats.norm.pdf(np.arange(-3, 4), scale=7 / 6)
    return np.outer(line, line) / line.sum() ** 2


def made_parameters(seed: int = 0) -> NiqeParameters:
    rng = np.random.default_rng(seed)
    root = rng.normal(size=(FEATURES, FEATURES))
    return NiqeParameters(rng.normal(size=FEATURES), root @ root.T / FEATURES + np.eye(FEATURES), window())


def texture(height: int, width: int, seed: int = 0) -> Array:
    """Whole levels of 0..255, rough and smooth."""
    rng = np.random.default_rng((height, width, seed))
    coarse = imresize(rng.uniform(60, 190, (height // 12 + 1, width // 12 + 1)), size=(height, width))
    return np.clip(np.rint(coarse + rng.laplace(scale=rng.uniform(2, 9, (height, width)))), 0, 255)


# The parts, one at a time, from the equations of the paper with scipy.


def one_aggd(x: Array) -> tuple[float, float, float]:
    """Lasmar et al. 2009 with a root finder in the place of a table."""
    left, right = math.sqrt(np.mean(x[x < 0] ** 2)), math.sqrt(np.mean(x[x > 0] ** 2))
    gamma = left / right
    ratio = np.mean(np.abs(x)) ** 2 / np.mean(x**2) * (gamma**3 + 1) * (gamma + 1) / (gamma**2 + 1) ** 2

    def rho(alpha: float) -> float:
        return float(np.exp(2 * special.gammaln(2 / alpha) - special.gammaln(1 / alpha) - special.gammaln(3 / alpha)))

    alpha = optimize.brentq(lambda value: rho(value) - ratio, 0.2, 10)
    spread = math.sqrt(special.gamma(1 / alpha) / special.gamma(3 / alpha))
    return alpha, left * spread, right * spread


def literal_features(y: Array) -> Array:
    """One block at a time, as the paper is read."""
    rows = []
    for top in range(0, y.shape[0], BLOCK):
        for left in range(0, y.shape[1], BLOCK):
            row: list[float] = []
            image = y
            for scale in (1, 2):
                mean = ndimage.correlate(image, window(), mode="nearest")
                deviation = np.sqrt(np.abs(ndimage.correlate(image**2, window(), mode="nearest") - mean**2))
                normal = (image - mean) / (deviation + 1)
                block = normal[top // scale : (top + BLOCK) // scale, left // scale : (left + BLOCK) // scale]
                alpha, low, high = one_aggd(block)
                row += [alpha, (low + high) / 2]
                for down, across in ((0, 1), (1, 0), (1, 1), (1, -1)):
                    alpha, low, high = one_aggd(block * np.roll(np.roll(block, down, axis=0), across, axis=1))
                    row += [alpha, (high - low) * special.gamma(2 / alpha) / special.gamma(1 / alpha), low, high]
                image = imresize(image, 0.5)
            rows.append(row)
    return np.array(rows)


@pytest.mark.parametrize(
    ("alpha", "left", "right"), [(0.6, 1.0, 2.0), (1.0, 1.5, 0.5), (2.0, 1.0, 1.0), (3.5, 0.7, 0.9)]
)
def test_the_fit_finds_the_parameters_of_a_sample_of_scipy(alpha: float, left: float, right: float) -> None:
    rng = np.random.default_rng(7)
    size = np.abs(stats.gennorm.rvs(alpha, size=400_000, random_state=rng))
    # the density is continuous at 0
    sample = np.where(rng.random(400_000) < left / (left + right), -left * size, right * size)
    found = [float(value[0]) for value in fit_aggd(sample.reshape(1, 400, 1000))]
    assert found == pytest.approx([alpha, left, right], rel=0.03)
    mean = (found[2] - found[1]) * special.gamma(2 / found[0]) / special.gamma(1 / found[0])  # equation 8
    assert mean == pytest.approx(sample.mean(), rel=0.03, abs=0.01)


def test_features_equal_the_literal_ones() -> None:
    y = texture(2 * BLOCK, 3 * BLOCK)
    found, expected = block_features(y, window()), literal_features(y)
    assert found.shape == (6, FEATURES)
    np.testing.assert_allclose(found, expected, rtol=2e-3, atol=6e-4)  # alpha is on a grid of 0.001 there


def test_a_window_that_is_not_separable_is_applied_whole() -> None:
    rng = np.random.default_rng(3)
    kernel, y = rng.random((7, 7)), rng.random((30, 41))
    np.testing.assert_allclose(room._filter(y, kernel), ndimage.correlate(y, kernel, mode="nearest"), atol=1e-12)


def test_the_distance_is_equation_10() -> None:
    y, parameters = texture(2 * BLOCK, 2 * BLOCK), made_parameters()
    gray = np.rint((y - 16) / 219 * 255).clip(0, 255).astype(np.uint8)
    luma = np.rint(16 + gray * 219.0 / 255.0)
    features = block_features(luma, parameters.window)
    mean, covariance = features.mean(axis=0), np.cov(features.T)
    away = parameters.mean - mean
    expected = math.sqrt(away @ np.linalg.solve((parameters.covariance + covariance) / 2, away))
    assert niqe(gray, parameters) == pytest.approx(expected, rel=1e-9)


def test_all_ways_to_hand_over_a_picture_are_one() -> None:
    parameters = made_parameters()
    gray = texture(200, 210).astype(np.uint8)
    expected = niqe(gray, parameters)
    assert niqe(gray[..., None], parameters) == expected
    assert niqe(gray[..., None].repeat(3, axis=2), parameters) == expected
    assert niqe((gray / 255.0).astype(np.float32), parameters) == expected
    assert niqe(gray / 255.0 + 0.4 / 255.0, parameters) == expected  # less than half a level


def test_the_border_and_what_is_over_are_not_seen() -> None:
    parameters, picture = made_parameters(), texture(2 * BLOCK + 20, 2 * BLOCK + 30).astype(np.uint8)
    inside = picture[4 : 4 + 2 * BLOCK, 4 : 4 + 2 * BLOCK]
    assert niqe(picture, parameters, border=4) == niqe(inside, parameters)
    assert niqe(picture, parameters, border=4) != niqe(picture, parameters)


def test_a_flat_block_is_left_out_of_the_covariance() -> None:
    parameters, y = made_parameters(), texture(2 * BLOCK, 4 * BLOCK)
    y[:BLOCK, :BLOCK] = 201
    features = block_features(y, parameters.window)
    assert np.isnan(features[0]).any() and not np.isnan(features[2:]).any()
    assert features[:, 0].min() == features[0, 0] == pytest.approx(0.2)  # as MATLAB's search of a table for NaN
    assert math.isfinite(niqe(y.astype(np.uint8), parameters))


def test_what_cannot_be_measured_is_refused() -> None:
    parameters = made_parameters()
    with pytest.raises(
        InputError, match=r"at least one 96x96 block inside a border of 0, got a picture of 95x300 \(h x w\)"
    ):
        niqe(np.zeros((95, 300, 3), np.uint8), parameters)
    with pytest.raises(InputError, match=r"inside a border of 4, got a picture of 103x300"):
        niqe(np.zeros((103, 300), np.uint8), parameters, border=4)
    with pytest.raises(InputError, match=r"inside a border of -1"):
        niqe(np.zeros((300, 300), np.uint8), parameters, border=-1)
    with pytest.raises(InputError, match=r"at least 2 96x96 blocks that are not flat, got 1 of 1"):
        niqe(texture(100, 100).astype(np.uint8), parameters)
    with pytest.raises(InputError, match=r"not flat, got 0 of 4"):
        niqe(np.full((200, 200, 3), 77, np.uint8), parameters)
    with pytest.raises(InputError, match=r"uint8 or float in \[0, 1\]; got shape \(200, 200, 4\)"):
        niqe(np.zeros((200, 200, 4), np.uint8), parameters)
    with pytest.raises(InputError, match=r"got shape .*, int32"):
        niqe(np.zeros((200, 200), np.int32), parameters)
    with pytest.raises(InputError, match="must be finite"):
        niqe(np.full((200, 200), np.nan), parameters)


# The parameter file.


def stored(path: Path, **arrays: Array) -> Path:
    made = made_parameters()
    whole = {"mu_pris_param": made.mean[None], "cov_pris_param": made.covariance, "gaussian_window": made.window}
    np.savez(path, **{**whole, **arrays})
    return path


def test_a_file_is_read_and_hashed(tmp_path: Path) -> None:
    path = stored(tmp_path / PARAMETERS.name)
    made = made_parameters()
    # a folder holds it by its name
    for found in (load_parameters(path), fetch_parameters(path), fetch_parameters(tmp_path)):
        np.testing.assert_array_equal(found.mean, made.mean)
        np.testing.assert_array_equal(found.covariance, made.covariance)
        np.testing.assert_array_equal(found.window, made.window)
        assert len(found.sha256) == 64


def test_wrong_files_are_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "p.npz"
    remedy = r"use a copy of niqe_pris_params\.npz \(SHA-256 2a7c182a"
    with pytest.raises(ModelError, match=rf"cannot read NIQE parameters .*p\.npz: No such file.*{remedy}"):
        load_parameters(path)
    for content in (b"", b"no zip at all", stored(tmp_path / "q.npz").read_bytes()[:2000]):
        path.write_bytes(content)
        with pytest.raises(ModelError, match=rf"p\.npz is not a NIQE parameter file.*{remedy}"):
            load_parameters(path)
    path.write_bytes(b"\0" * (1 << 20) + b"\0")
    with pytest.raises(ModelError, match="expected 11850 bytes, got more than 1048576"):
        load_parameters(path)
    np.savez(path, mean=np.zeros(36))
    with pytest.raises(ModelError, match="expected arrays mu_pris_param, cov_pris_param, gaussian_window"):
        load_parameters(path)
    stored(path, mu_pris_param=np.zeros((1, 35)))
    with pytest.raises(ModelError, match=r"mu_pris_param must be finite, of shape \(36,\); got \(35,\)"):
        load_parameters(path)
    stored(path, cov_pris_param=np.full((36, 36), np.nan))
    with pytest.raises(ModelError, match=r"cov_pris_param must be finite"):
        load_parameters(path)
    stored(path, mu_pris_param=np.array(["a"] * 36))
    with pytest.raises(ModelError, match="is not a NIQE parameter file"):
        load_parameters(path)


def test_nothing_is_unpickled_and_nothing_unfolds(tmp_path: Path) -> None:
    path = stored(tmp_path / "p.npz", mu_pris_param=np.array([print] * 36, dtype=object))
    with pytest.raises(ModelError, match="Object arrays cannot be loaded"):
        load_parameters(path)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        content = io.BytesIO()
        np.save(content, np.zeros(1 << 20))
        archive.writestr("mu_pris_param.npy", content.getvalue())
    with pytest.raises(ModelError, match="it decompresses to more than 1048576 bytes"):
        load_parameters(path)


def test_no_path_is_the_published_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Source] = []

    def fetch(source: Source) -> Path:
        asked.append(source)
        return stored(tmp_path / "fetched.npz")

    monkeypatch.setattr(room, "fetch", fetch)
    assert fetch_parameters(None).mean.shape == (FEATURES,)
    assert asked == [PARAMETERS]


# Known answer: MATLAB R2021a gives 5.72957338 for the whole picture (480x500), no border; as BasicSR's niqe.py
# publishes it.


def test_golden_value_of_matlab(assets: Path) -> None:
    from skimage.io import imread

    parameters = load_parameters(assets / PUBLISHED)
    assert parameters.sha256 == PARAMETERS.sha256
    baboon = imread(assets / "data" / "test" / "Set14" / "baboon.png")[..., :3]
    assert baboon.shape == (480, 500, 3)
    assert niqe(baboon, parameters) == pytest.approx(5.72957338, abs=2e-6)


def test_damage_is_worse(assets: Path) -> None:
    from skimage.io import imread

    parameters = load_parameters(assets / PUBLISHED)
    good = imread(assets / "data" / "test" / "Set14" / "monarch.png")[..., :3]
    blurred = imresize(imresize(good, 0.25), size=good.shape[:2])
    noisy = np.clip(good + np.random.default_rng(0).normal(0, 30, good.shape), 0, 255).astype(np.uint8)
    assert niqe(good, parameters) + 1 < min(niqe(blurred, parameters), niqe(noisy, parameters))
