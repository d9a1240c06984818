"""Families of feature networks: recognized by names and shapes; random weights."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from upres.errors import ModelError  # noqa: E402
from upres.training.losses.feature_families import FAMILIES, random_state, recognize  # noqa: E402
from upres.training.losses.feature_nets import FeatureNetwork  # noqa: E402


def shapes(name: str) -> dict[str, np.ndarray]:
    """A state that takes no memory."""
    return {key: np.broadcast_to(np.float32(0), shape) for key, shape in FAMILIES[name].shapes().items()}


def test_random_weights_draw_from_no_global_generator() -> None:
    before = torch.get_rng_state()
    first, again, other = (random_state("squeezenet1_1", seed) for seed in (3, 3, 4))
    FeatureNetwork("squeezenet1_1", first, "none")
    assert torch.equal(torch.get_rng_state(), before)
    assert all(np.array_equal(first[key], again[key]) for key in first)
    assert not np.array_equal(first["0.weight"], other["0.weight"])


def test_families_are_told_by_names_and_shapes() -> None:
    more = {"classifier.0.weight": np.zeros((2, 2), np.float32)}
    assert recognize(shapes("vgg19") | more, "f") == "vgg19"
    assert recognize(shapes("vgg16") | more, "f") == "vgg16"
    assert recognize(shapes("squeezenet1_1-torchvision") | more, "f") == "squeezenet1_1-torchvision"
    assert (
        recognize(shapes("vgg19-16x") | {"conv11_aux.weight": np.zeros((64, 16, 1, 1), np.float32)}, "f") == "vgg19-16x"
    )
    assert [recognize(shapes(name), "f") for name in FAMILIES] == list(FAMILIES)


def test_another_network_is_refused() -> None:
    deeper = shapes("vgg19-conv3_1") | {"19.weight": np.zeros((256, 256, 3, 3), np.float32)}
    with pytest.raises(
        ModelError, match=r"feature network f.pth: expected only the tensors of vgg19-conv3_1, found also '19.weight'"
    ):
        recognize(deeper, "f.pth")
    wider = shapes("vgg19") | {"features.34.bias": np.zeros(7, np.float32)}
    with pytest.raises(
        ModelError,
        match=r"'features.34.bias' of vgg19 should have shape \(512,\) and floating point values, found \(7,\)",
    ):
        recognize(wider, "f.pth")
    whole = shapes("vgg19") | {"features.34.bias": np.zeros(512, np.int64)}
    with pytest.raises(ModelError, match="of int64"):
        recognize(whole, "f.pth")
    with pytest.raises(ModelError, match=r"expected the tensors of one of vgg19, .*, found 1 others: 'body.0.weight'"):
        recognize({"body.0.weight": np.zeros(3, np.float32)}, "f.pth")
