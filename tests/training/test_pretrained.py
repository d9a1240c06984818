"""What a run begins with: the layers of a feature network, and a discriminator's file by name and shape."""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("tensorboard")

from tests.training.test_loop_gan_step import ALONE, batch  # noqa: E402
from tests.training.test_loop_traps import QUIET  # noqa: E402
from upres.errors import DataError  # noqa: E402
from upres.export.ncnn import write_ncnn  # noqa: E402
from upres.graph.architectures import graph_from_state_dict  # noqa: E402
from upres.training.config import TrainConfig  # noqa: E402
from upres.training.pretrained import features_layers, load_parent  # noqa: E402
from upres.training.recipes import resolve_recipe  # noqa: E402
from upres.training.state import TrainState, build_state  # noqa: E402
from upres.weights.read import write_safetensors  # noqa: E402


def test_the_layers_of_esrgan_and_of_a_replacement() -> None:
    """Trap 20: conv5_4 with weight 1; layers that a user names are those of the first choice, another network keeps its
    own.
    """
    gan = resolve_recipe("esrgan-x4")
    assert features_layers(gan, gan.features) == {"conv5_4": 1.0}
    five = "conv1_2:0.1,conv2_2:0.1,conv3_4:1,conv4_4:1,conv5_4:1"
    named = resolve_recipe("esrgan-x4", [f"feature_layers={five}"])
    assert features_layers(named, "vgg19") == {
        "conv1_2": 0.1,
        "conv2_2": 0.1,
        "conv3_4": 1.0,
        "conv4_4": 1.0,
        "conv5_4": 1.0,
    }
    assert set(features_layers(named, gan.features_otherwise)) == {"conv3_1"}


def new_state(config: TrainConfig = QUIET) -> TrainState:
    return build_state(config, ALONE)


def test_a_discriminators_file_is_taken_by_name_and_shape(tmp_path: Path) -> None:
    """Trap 43."""
    known = new_state(dataclasses.replace(QUIET, seed=9)).discriminator
    assert known is not None
    published = {
        name: tensor.numpy() for name, tensor in known.state_dict().items() if not name.endswith("num_batches_tracked")
    }
    lr, path = batch(0)[0], tmp_path / "net_d.safetensors"

    def load(arrays: dict[str, np.ndarray], state: TrainState) -> None:
        torch.save({name: torch.from_numpy(array) for name, array in arrays.items()}, path)
        load_parent(None, path, state, lambda: lr, lambda words: None)

    state = new_state()
    assert state.discriminator is not None
    load(dict(sorted(published.items(), reverse=True)), state)
    for name, array in published.items():
        np.testing.assert_array_equal(state.discriminator.state_dict()[name].numpy(), array, err_msg=name)

    wrapped = {f"module.{name}": torch.from_numpy(array) for name, array in published.items()}
    torch.save({"net_g": {"w": torch.ones(1)}, "net_d": {"params": wrapped}, "iter": 3}, path)
    state = new_state(dataclasses.replace(QUIET, seed=10))
    load_parent(None, path, state, lambda: lr, lambda words: None)
    assert state.discriminator is not None
    for name, array in published.items():
        np.testing.assert_array_equal(state.discriminator.state_dict()[name].numpy(), array, err_msg=name)

    first = next(iter(published))
    refusals = (
        (
            {name: published[name] for name in published if name != "conv2_0.weight"},
            "conv2_0.weight should have .* found no such tensor",
        ),
        (published | {"conv5_0.weight": published["conv4_0.weight"]}, "unexpected tensor conv5_0.weight"),
        (
            published | {first: np.zeros((8, 3, 3, 3), np.float32)},
            rf"{first} should have .* found shape \(8, 3, 3, 3\)",
        ),
    )
    for arrays, words in refusals:
        state = new_state()
        assert state.discriminator is not None
        before = {name: tensor.clone() for name, tensor in state.discriminator.state_dict().items()}
        with pytest.raises(DataError, match=words):
            load(arrays, state)
        assert all(torch.equal(tensor, before[name]) for name, tensor in state.discriminator.state_dict().items())
    with pytest.raises(DataError, match="needs a recipe with a discriminator"):
        load(published, new_state(dataclasses.replace(QUIET, gan_weight=0.0)))


@pytest.mark.parametrize("suffix", [".param", ".bin", ".safetensors"])
def test_a_generator_begins_with_the_weights_of_any_model_file(suffix: str, tmp_path: Path) -> None:
    """Of an ncnn file, whose weights have no names, as well: the network is recognized."""
    parent = new_state(dataclasses.replace(QUIET, seed=9)).net.merged_state_dict()
    arrays = {name: tensor.detach().numpy() for name, tensor in parent.items()}
    write_ncnn(graph_from_state_dict(arrays), tmp_path / "m.param", tmp_path / "m.bin")
    write_safetensors(tmp_path / "m.safetensors", arrays, {})
    state, lr = new_state(), batch(0)[0]
    found = load_parent(tmp_path / f"m{suffix}", None, state, lambda: lr, lambda words: None)
    begun = state.net.merged_state_dict()
    for name, tensor in parent.items():
        torch.testing.assert_close(begun[name], tensor, rtol=0, atol=1e-7)
    hashes = [
        hashlib.sha256((tmp_path / f"m{end}").read_bytes()).hexdigest() for end in (".param", ".bin", ".safetensors")
    ]
    assert found.sha256 == (hashes[2] if suffix == ".safetensors" else "+".join(hashes[:2]))


def test_a_unet_with_torchs_newer_spectral_norm_is_the_same_discriminator(tmp_path: Path) -> None:
    """Against torch's own parametrization."""
    from upres.training.networks.discriminators import UNetDiscriminator

    torch.manual_seed(0)
    known = UNetDiscriminator(4)
    state: dict[str, torch.Tensor] = {}
    for name, tensor in known.state_dict().items():
        stem, _, kind = name.rpartition(".")
        if kind == "weight_orig":
            conv = torch.nn.Conv2d(tensor.shape[1], tensor.shape[0], tensor.shape[2], bias=False)
            torch.nn.utils.parametrizations.spectral_norm(conv)
            like = conv.state_dict()
            assert set(like) == {f"parametrizations.weight.{key}" for key in ("original", "0._u", "0._v")}
            keys = ("weight_orig", "weight_u", "weight_v")
            state |= {f"{stem}.{new}": known.state_dict()[f"{stem}.{old}"] for new, old in zip(like, keys, strict=True)}
        elif not kind.startswith("weight_"):
            state[name] = tensor
    torch.save({"discriminator": state}, tmp_path / "d.pth")
    config = dataclasses.replace(QUIET, discriminator="unet", discriminator_width=4)
    ours = new_state(config)
    load_parent(None, tmp_path / "d.pth", ours, lambda: batch(0)[0], lambda words: None)
    assert ours.discriminator is not None
    for name, tensor in known.state_dict().items():
        torch.testing.assert_close(ours.discriminator.state_dict()[name], tensor, rtol=0, atol=0)
