"""The known result of the tiny network is that of torch."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F

from upres.engines.sample_network import network, result_of
from upres.engines.sample_picture import sample


def test_the_answer_is_that_of_torch() -> None:
    state = {name: torch.from_numpy(array.astype(np.float64)) for name, array in network().items()}
    lr = sample(3, 32, 32)
    x = first = torch.from_numpy(lr.astype(np.float64))
    for index in (0, 2, 4):
        x = F.conv2d(x, state[f"body.{index}.weight"], state[f"body.{index}.bias"], padding=1)
        x = F.prelu(x, state[f"body.{index + 1}.weight"]) if index < 4 else F.pixel_shuffle(x, 2)
    x += F.interpolate(first, scale_factor=2.0, mode="nearest")
    found = result_of(lr)
    np.testing.assert_allclose(found, x.numpy(), rtol=0, atol=1e-12)
    plain = lr.repeat(2, axis=2).repeat(2, axis=3)
    assert 0.1 < np.abs(found - plain).max() < 3.0  # an engine that leaves the network out is found out
