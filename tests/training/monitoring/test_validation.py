"""Validation: the mean formula, clamping and rounding, every figure against another program, modes, and any number of
ranks.
"""

from __future__ import annotations

import dataclasses
import json
import math
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from skimage.color import rgb2ycbcr  # noqa: E402
from skimage.metrics import peak_signal_noise_ratio, structural_similarity  # noqa: E402
from torch import Tensor, nn  # noqa: E402

from tests.oracles.literal_imresize import imresize_literal  # noqa: E402
from upres.errors import DataError, InputError, OutputError  # noqa: E402
from upres.images.resize import imresize  # noqa: E402
from upres.metrics.niqe import NiqeParameters, niqe  # noqa: E402
from upres.metrics.spectrum import lattice_contrast, lattice_ratio  # noqa: E402
from upres.training.data.images import Pair, make_pair  # noqa: E402
from upres.training.distributed.ranks import Ranks  # noqa: E402
from upres.training.monitoring.validation import (  # noqa: E402
    PerceptualMetric,
    Quality,
    enlarge,
    mean_quality,
    measure,
    validate,
)

QUALITY = Quality(
    psnr_y=30.0, psnr_rgb=28.0, ssim_y=0.8, lr_psnr=45.0, color_shift_255=(0.1, -0.2, 0.3), lattice_2=0.5,
    lattice_4=0.6, contrast_2=1.0, contrast_4=2.0,
)  # fmt: skip


class Nearest(nn.Module):
    """Enlarges by repeating pixels, then a gain and an offset; counts its pictures."""

    def __init__(self, scale: int = 2, gain: float = 1.0, offset: float = 0.0) -> None:
        super().__init__()
        self.scale = scale
        self.gain = nn.Parameter(torch.tensor(gain))
        self.offset = offset
        self.seen = 0

    def forward(self, lr: Tensor) -> Tensor:
        self.seen += 1
        return nn.functional.interpolate(lr, scale_factor=self.scale, mode="nearest") * self.gain + self.offset


def smooth(seed: int, height: int = 48, width: int = 40) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return imresize(rng.integers(0, 256, (9, 8, 3), dtype=np.uint8), size=(height, width))


def pairs(count: int = 4) -> list[Pair]:
    return [make_pair(f"{i}.png", smooth(i, 48 + 2 * i), 2) for i in range(count)]


def always(picture: np.ndarray) -> nn.Module:
    """A network that gives this picture, whatever it is shown."""

    class Always(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.unused = nn.Parameter(torch.zeros(()))

        def forward(self, lr: Tensor) -> Tensor:
            return torch.from_numpy(picture.astype(np.float32)).permute(2, 0, 1)[None]

    return Always()


def test_the_mean_is_the_sum_over_the_count() -> None:
    # one trainer divides by n - 1 and adds 1: five pictures of 30 dB then have 38.5
    assert mean_quality([QUALITY] * 5) == QUALITY
    other = dataclasses.replace(QUALITY, psnr_y=33.0, color_shift_255=(0.5, 0.2, -0.3))
    mean = mean_quality([QUALITY, QUALITY, other])
    assert mean.psnr_y == 31.0
    assert mean.color_shift_255 == pytest.approx((0.7 / 3, -0.2 / 3, 0.1))
    with pytest.raises(ValueError, match="no qualities"):
        mean_quality([])


def test_what_was_not_measured_is_no_part_of_the_mean() -> None:
    some = [dataclasses.replace(QUALITY, niqe=value) for value in (4.0, None, 5.0)]
    assert mean_quality(some).niqe == 4.5
    assert mean_quality(some).feature_distance is None
    endless = [QUALITY, dataclasses.replace(QUALITY, lr_psnr=math.inf)]
    assert mean_quality(endless).lr_psnr == math.inf


def test_pictures_are_clamped_and_rounded_before_they_are_measured() -> None:
    hr = smooth(0)
    hr[:8], hr[8:16] = 0, 255
    pair = make_pair("a", hr, 2)
    levels = hr / 255.0
    # truncation would pass, no clamp would not
    nudged = np.where(hr == 0, -0.7, np.where(hr == 255, 1.9, levels + 0.4 / 255.0))
    for network in (nudged, np.where(hr == 0, -0.7, np.where(hr == 255, 1.9, levels - 0.4 / 255.0))):
        quality = validate(always(network), [pair], scale=2)
        assert quality is not None and quality.psnr_rgb == math.inf and quality.color_shift_255 == (0.0, 0.0, 0.0)
        np.testing.assert_array_equal(enlarge(always(network), pair.lr), hr)
    with pytest.raises(OutputError, match="got NaN"):
        validate(always(np.full(hr.shape, np.nan)), [pair], scale=2)


def test_every_figure_is_that_of_another_program() -> None:
    pair = pairs(1)[0]
    sr = np.clip(pair.hr + np.random.default_rng(5).normal(3, 9, pair.hr.shape), 0, 255).astype(np.uint8)
    quality = measure(sr, pair, scale=2)
    inner = (slice(2, -2), slice(2, -2))
    expected = peak_signal_noise_ratio(rgb2ycbcr(pair.hr[inner])[..., 0], rgb2ycbcr(sr[inner])[..., 0], data_range=255)
    assert quality.psnr_y == pytest.approx(expected, abs=1e-9)
    assert quality.psnr_rgb == pytest.approx(
        peak_signal_noise_ratio(pair.hr[inner], sr[inner], data_range=255), abs=1e-9
    )
    luma = [rgb2ycbcr(image[inner])[..., 0] for image in (pair.hr, sr)]
    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 255, "full": True}
    assert quality.ssim_y == pytest.approx(structural_similarity(*luma, **options)[1][5:-5, 5:-5].mean(), abs=1e-9)
    planes = [imresize_literal(sr[..., i], pair.lr.shape[:2], (0.5, 0.5)) for i in range(3)]
    reduced = np.floor(np.clip(np.stack(planes, axis=2), 0.0, 255.0) + 0.5)
    assert quality.lr_psnr == pytest.approx(
        peak_signal_noise_ratio(pair.lr.astype(float), reduced, data_range=255), abs=1e-9
    )
    assert quality.color_shift_255 == pytest.approx((sr.astype(float) - pair.hr).mean(axis=(0, 1)), abs=1e-9)
    assert (quality.lattice_2, quality.lattice_4) == tuple(lattice_ratio(sr, pair.hr, period) for period in (2, 4))
    assert (quality.contrast_2, quality.contrast_4) == tuple(lattice_contrast(sr, period) for period in (2, 4))
    assert quality.niqe is None and quality.feature_distance is None


def test_a_color_cast_is_told_by_channel() -> None:
    hr = np.full((32, 32, 3), 100, np.uint8)
    sr = hr + np.array([2, 0, 255], np.uint8)  # blue wraps to 99
    assert measure(sr, make_pair("flat", hr, 2), scale=2).color_shift_255 == (2.0, 0.0, -1.0)


class Modal(nn.Module):
    """Dropout, which trains, and a batch norm that was frozen in eval."""

    def __init__(self) -> None:
        super().__init__()
        self.dropout = nn.Dropout(0.5)
        self.norm = nn.BatchNorm2d(3)
        self.norm.eval()
        self.gradients: list[bool] = []

    def forward(self, lr: Tensor) -> Tensor:
        sr = self.norm(self.dropout(nn.functional.interpolate(lr, scale_factor=2, mode="nearest")))
        self.gradients.append(sr.requires_grad)
        return sr


def test_the_network_runs_in_eval_mode_without_gradients_and_gets_its_modes_back() -> None:
    net = Modal()
    first, second = (validate(net, pairs(2), scale=2) for _ in range(2))
    assert first == second  # no dropout
    assert net.training and net.dropout.training and not net.norm.training
    assert not any(net.gradients)
    with pytest.raises(InputError):
        validate(net, [make_pair("a", smooth(0), 1)], scale=1)
    assert net.training and net.dropout.training and not net.norm.training


class Together(Ranks):
    """Ranks that are threads of this process: `gather` only, and by JSON, as between processes."""

    def __init__(self, rank: int, count: int, shared: list[Any], barrier: threading.Barrier) -> None:
        super().__init__(rank, count)
        object.__setattr__(self, "shared", shared)
        object.__setattr__(self, "barrier", barrier)

    def gather(self, value: Any) -> list[Any]:
        self.shared[self.rank] = json.dumps(value)
        self.barrier.wait(timeout=30)
        return [json.loads(text) for text in self.shared]


def on_ranks(count: int, work: Callable[[Ranks], Any]) -> list[Any]:
    shared: list[Any] = [None] * count
    barrier = threading.Barrier(count)
    results: list[Any] = [None] * count

    def run(rank: int) -> None:
        results[rank] = work(Together(rank, count, shared, barrier))

    threads = [threading.Thread(target=run, args=(rank,)) for rank in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


@pytest.mark.parametrize("count", [2, 3, 7])
def test_any_number_of_ranks_gives_the_same_figures_and_shares_the_work(count: int) -> None:
    many = pairs(5)
    distance = lambda sr, hr: (sr - hr).abs().mean(dim=(1, 2, 3))  # noqa: E731
    alone = validate(Nearest(), many, scale=2, metric=PerceptualMetric(distance))
    nets = [Nearest() for _ in range(count)]
    found = on_ranks(
        count, lambda ranks: validate(nets[ranks.rank], many, scale=2, metric=PerceptualMetric(distance), ranks=ranks)
    )
    assert found == [alone] * count
    assert [net.seen for net in nets] == [len(range(rank, 5, count)) for rank in range(count)]


def test_the_judge_sees_each_picture_as_it_would_be_saved() -> None:
    seen: list[Tensor] = []

    def distance(sr: Tensor, hr: Tensor) -> Tensor:
        assert sr.shape == hr.shape and sr.shape[0] == 1 and sr.dtype == torch.float32
        seen.append(sr)
        return torch.full((1,), float(len(seen)))

    quality = validate(Nearest(gain=1.7), pairs(3), scale=2, metric=PerceptualMetric(distance))
    assert quality is not None and quality.feature_distance == 2.0
    for sr in seen:
        assert float(sr.max()) <= 1.0
        assert torch.equal(torch.round(sr * 255.0) / 255.0, sr)


def test_niqe_is_the_mean_over_the_pictures_that_have_one() -> None:
    x = np.arange(7) - 3.0
    window = np.exp(-(x[:, None] ** 2 + x**2) / 2.0)
    parameters = NiqeParameters(np.zeros(36), np.eye(36), window / window.sum())
    rng = np.random.default_rng(1)
    large = [make_pair(f"{i}", rng.integers(0, 256, (96, 192, 3), dtype=np.uint8), 2) for i in range(2)]
    net = Nearest()
    quality = validate(net, [large[0], *pairs(1), large[1]], scale=2, metric=PerceptualMetric(niqe=parameters))
    assert quality is not None
    assert quality.niqe == pytest.approx(
        np.mean([niqe(enlarge(net, pair.lr), parameters) for pair in large]), rel=1e-12
    )
    small = validate(net, pairs(1), scale=2, metric=PerceptualMetric(niqe=parameters))
    assert small is not None and small.niqe is None


def test_without_pictures_nothing_is_measured_and_small_ones_are_refused() -> None:
    assert validate(Nearest(), [], scale=2) is None
    with pytest.raises(DataError, match=r"tiny\.png is 30x48 \(h x w\), expected at least 32x32 pixels"):
        validate(Nearest(), [make_pair("tiny.png", smooth(0, 30, 48), 2)], scale=2)
    with pytest.raises(InputError, match="must have the same shape"):
        validate(Nearest(3), pairs(1), scale=2)
