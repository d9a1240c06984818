"""The grids of source and result, against means that numpy computes and against the resize of the whole array."""

from __future__ import annotations

import numpy as np
import pytest

from upres.images.resize import imresize, weighted
from upres.science.grid import Axis


@pytest.mark.parametrize("out", [21, 28, 17, 7])
def test_means_over_the_area_of_a_sample(out: int) -> None:
    axis, values = Axis(7, out), np.random.default_rng(0).random((out, 1, 1))
    fine = values.repeat(7, axis=0)  # every sample of both grids is a whole number of these
    wanted = fine.reshape(7, out).mean(axis=1)
    found = weighted(values, 0, *axis.means((0, 7), (0, out)))[:, 0, 0]
    np.testing.assert_allclose(found, wanted, rtol=1e-12)


def test_a_block_is_enlarged_as_the_whole_is() -> None:
    axis, values = Axis(40, 104), np.random.default_rng(1).random((40, 3, 1))
    whole = imresize(values, size=(104, 3))
    begin, end = axis.covered(8, 30)
    block = weighted(values[8:30], 0, *axis.enlarging((8, 30), (begin, end)))
    np.testing.assert_allclose(block[8:-8], whole[begin + 8 : end - 8], atol=1e-12)  # its own border is another


def test_nearest_samples_and_what_touches_what() -> None:
    axis = Axis(4, 10)
    assert axis.nearest(0, 10).tolist() == [0, 0, 1, 1, 1, 2, 2, 3, 3, 3]
    assert axis.covered(1, 2) == (2, 5) and axis.source_of(2, 5) == (0, 2) and axis.source_of(9, 10) == (3, 4)
