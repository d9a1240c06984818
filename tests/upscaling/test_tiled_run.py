"""Nothing is cut between the networks of a chain: what lies beyond [0, 1] is led around a network by linear
interpolation.
"""

from __future__ import annotations

import numpy as np
import pytest

from tests.tiny import FakeRunner, compact, noise
from upres.images.resize import imresize
from upres.upscaling import tiled_run
from upres.upscaling.upscaler import Upscaler


def test_between_networks_nothing_is_rounded_or_cut() -> None:
    """What the first network gives beyond [0, 1] is led around the second, as colors outside sRGB are."""

    class Louder(FakeRunner):
        def __call__(self, lr: np.ndarray) -> np.ndarray:
            assert lr.min() >= 0.0
            assert lr.max() <= 1.0
            return super().__call__(lr) * np.float32(1.25)

    lr = np.full((4, 4, 3), 0.9, np.float32)
    result = Upscaler([compact(2), compact(2)], runner=Louder(), reference=Louder()).upscale_array(lr)
    np.testing.assert_allclose(result, 1.25 + 0.125, atol=1e-6)


@pytest.mark.parametrize("scale", [1, 2, 3, 4])
def test_the_way_around_is_linear_interpolation(scale: int) -> None:
    values = noise(5, 7)
    ours = tiled_run._linear(tiled_run._linear(np.moveaxis(values, 2, 0), scale, 1), scale, 2)
    np.testing.assert_allclose(
        np.moveaxis(ours, 0, 2), imresize(values, float(scale), kernel="linear"), rtol=0, atol=1e-6
    )
