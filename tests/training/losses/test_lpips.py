"""LPIPS and its unweighted form: closed forms on features of one pixel, numpy's float64, and order on a photograph."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
from torch import Tensor  # noqa: E402
from torch.nn import functional as F  # noqa: E402

from upres.errors import InputError, ModelError, UsageError  # noqa: E402
from upres.images.io import read_picture  # noqa: E402
from upres.training.losses.feature_families import FAMILIES, random_state  # noqa: E402
from upres.training.losses.feature_files import FEATURES, fetch_features, random_features  # noqa: E402
from upres.training.losses.feature_nets import FeatureNetwork  # noqa: E402
from upres.training.losses.lpips import LAYERS, distance, distance_name, load_linear, unit  # noqa: E402

_SMALL = ["vgg19-conv3_1", "vgg19-16x", "squeezenet1_1"]


@pytest.fixture(scope="session")
def photograph(example_photo: Path) -> Tensor:
    pixels = np.ascontiguousarray(read_picture(example_photo).pixels[40:136, 176:272])
    return torch.from_numpy(pixels).permute(2, 0, 1)[None]


def noisy(x: Tensor, sigma: float) -> Tensor:
    return (x + sigma * torch.randn(x.shape, generator=torch.Generator().manual_seed(7))).clamp(0, 1)


def blurred(x: Tensor, factor: float) -> Tensor:
    small = F.interpolate(x, scale_factor=1 / factor, mode="bicubic", antialias=True)
    return F.interpolate(small, size=x.shape[2:], mode="bicubic").clamp(0, 1)


class Told(FeatureNetwork):
    """A network whose features are the picture's own channels, the same at each layer."""

    def __init__(self) -> None:
        super().__init__("vgg19-conv3_1", random_state("vgg19-conv3_1", 0), "none")

    def forward(self, x: Tensor, layers: Iterable[str]) -> dict[str, Tensor]:
        return {layer: x for layer in layers}


def test_layers_exist_and_are_those_of_the_published_measure() -> None:
    assert LAYERS.keys() == FAMILIES.keys()
    for name, layers in LAYERS.items():
        assert set(layers) <= {step.name for step in FAMILIES[name].steps}
    channels = [
        tensor.shape[1]
        for tensor in random_features("squeezenet1_1")(torch.zeros(1, 3, 64, 64), LAYERS["squeezenet1_1"]).values()
    ]
    assert channels == [64, 128, 256, 384, 384, 512, 512]  # Zhang et al., released weights v0.1


def test_closed_form() -> None:
    sr = torch.tensor([[3.0, 4.0, 0.0], [0.0, 0.0, 0.0]])[:, :, None, None]
    hr = torch.tensor([[4.0, 3.0, 0.0], [0.0, 2.0, 0.0]])[:, :, None, None]
    layers = LAYERS["vgg19-conv3_1"]
    # (0.6, 0.8, 0) against (0.8, 0.6, 0), and 0 against (0, 1, 0), in each of three layers
    assert distance(Told(), sr, hr).tolist() == pytest.approx([3 * 0.08 / 3, 3 * 1 / 3])
    linear = {layer: torch.tensor([1.0, 2.0, 5.0]).reshape(1, 3, 1, 1) * (i + 1) for i, layer in enumerate(layers)}
    assert distance(Told(), sr, hr, linear).tolist() == pytest.approx([(1 + 2 + 3) * 0.12, (1 + 2 + 3) * 2.0])
    spread = torch.cat([sr, hr], dim=3)  # two pixels, one of them equal: the mean over pixels is half
    assert distance(Told(), spread, torch.cat([hr, hr], dim=3)).tolist() == pytest.approx([0.04, 0.5])


def test_agrees_with_numpy_in_float64() -> None:
    net = random_features("vgg19-conv3_1")
    sr, hr = torch.rand((2, 2, 3, 20, 24), generator=torch.Generator().manual_seed(3)).unbind()
    linear = {
        layer: torch.linspace(0, 1, c).reshape(1, c, 1, 1)
        for layer, c in zip(LAYERS[net.name], (64, 128, 256), strict=True)
    }
    expected = np.zeros(2)
    for layer in LAYERS[net.name]:
        a, b = (net(x, [layer])[layer].numpy().astype(np.float64) for x in (sr, hr))
        a, b = (x / (np.sqrt((x**2).sum(1, keepdims=True)) + 1e-10) for x in (a, b))
        expected += ((a - b) ** 2 * linear[layer].numpy()).sum(1).mean((1, 2))
    assert distance(net, sr, hr, linear).tolist() == pytest.approx(expected.tolist(), rel=1e-4)


@pytest.mark.parametrize("name", ["squeezenet1_1-torchvision", "vgg16"])
def test_networks_of_lpips_get_its_own_input(name: str) -> None:
    """LPIPS takes RGB in [-1,1] and scales it by constants of its own (its ScalingLayer); ours take [0,1] and give the
    network the same.
    """
    net, x = random_features(name), torch.rand(1, 3, 4, 4, generator=torch.Generator().manual_seed(1))
    shift, scale = (torch.tensor(values)[:, None, None] for values in ((-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)))
    torch.testing.assert_close(F.conv2d(x, net.color, net.shift), (2.0 * x - 1.0 - shift) / scale, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", _SMALL)
def test_a_distance_on_a_photograph(name: str, photograph: Tensor) -> None:
    net = random_features(name)
    with torch.no_grad():
        assert distance(net, photograph, photograph).item() == 0.0
        noise = [distance(net, noisy(photograph, sigma), photograph).item() for sigma in (0.01, 0.03, 0.1)]
        blur = distance(net, blurred(photograph, 3.0), photograph).item()
        assert 0 < noise[0] < noise[1] < noise[2] and blur > 0
        assert distance(net, photograph, noisy(photograph, 0.1)).item() == pytest.approx(noise[2], rel=1e-5)
        batch = torch.cat([noisy(photograph, 0.03), blurred(photograph, 3.0)])
        assert distance(net, batch, photograph.repeat(2, 1, 1, 1)).tolist() == pytest.approx([noise[1], blur], rel=1e-3)


def test_a_gradient_leads_back_to_the_picture(photograph: Tensor) -> None:
    net = random_features("vgg19-conv3_1")
    x = noisy(photograph[..., :32, :32], 0.1).requires_grad_()
    target = photograph[..., :32, :32]
    before = distance(net, x, target)
    before.backward()
    assert x.grad is not None and torch.isfinite(x.grad).all()
    with torch.no_grad():
        step = x.grad * 0.02 / x.grad.norm()
        predicted, found = (
            (x.grad * step).sum().item(),
            (distance(net, x + step / 2, target) - distance(net, x - step / 2, target)).item(),
        )
    assert found == pytest.approx(predicted, rel=0.1) and predicted > 0


def test_features_that_are_all_zero_give_no_nan() -> None:
    x = torch.zeros(1, 4, 2, 2)
    x[0, :, 0, 0] = torch.tensor([3.0, 0.0, 4.0, 0.0])
    x.requires_grad_()
    scaled = unit(x)
    assert scaled[0, :, 0, 0].tolist() == pytest.approx(
        [0.6, 0.0, 0.8, 0.0]
    ) and scaled.abs().sum().item() == pytest.approx(1.4)
    (scaled - 1).square().sum().backward()
    assert x.grad is not None and torch.isfinite(x.grad).all() and not x.grad[0, :, 1, 1].any()


def test_what_does_not_belong_together_is_refused() -> None:
    net = random_features("vgg19-conv3_1")
    x = torch.zeros(1, 3, 16, 16)
    with pytest.raises(InputError, match=r"the same shape, got sr \(1, 3, 16, 16\) and hr \(1, 3, 16, 15\)"):
        distance(net, x, x[..., :15])
    with pytest.raises(
        UsageError, match=r"vgg19-conv3_1 is compared at relu1_2, relu2_2, relu3_1, but the weights are for relu1. Load"
    ):
        distance(net, x, x, {"relu1": torch.ones(1, 64, 1, 1)})
    with pytest.raises(UsageError, match=r"layer relu1_2 has 64 channels, but the weights are for 7"):
        distance(net, x, x, dict.fromkeys(LAYERS["vgg19-conv3_1"], torch.ones(1, 7, 1, 1)))


def test_only_lpips_is_called_lpips() -> None:
    linear = {"relu1": torch.ones(1, 64, 1, 1)}
    name = "squeezenet1_1-torchvision"
    state = random_state(name, 0)
    assert (
        distance_name(FeatureNetwork(name, state, FEATURES[name].sha256), linear) == "LPIPS (squeezenet1_1-torchvision)"
    )
    assert (
        distance_name(FeatureNetwork(name, state, FEATURES[name].sha256))
        == "feature distance (squeezenet1_1-torchvision)"
    )
    assert (
        distance_name(FeatureNetwork(name, state, "0" * 64), linear)
        == "weighted feature distance (squeezenet1_1-torchvision)"
    )
    assert (
        distance_name(random_features(name), linear)
        == "weighted feature distance (squeezenet1_1-torchvision, random weights)"
    )
    caffe = FeatureNetwork("squeezenet1_1", random_state("squeezenet1_1", 0), FEATURES["squeezenet1_1"].sha256)
    assert distance_name(caffe, linear) == "weighted feature distance (squeezenet1_1)"


def linear_file(path: Path, channels: list[int], *, low: float = 0.0) -> Path:
    torch.save(
        {f"lin{i}.model.1.weight": torch.linspace(low, 1, c).reshape(1, c, 1, 1) for i, c in enumerate(channels)}, path
    )
    return path


def test_weights_are_told_by_their_channels(tmp_path: Path) -> None:
    squeeze = load_linear(linear_file(tmp_path / "a.pth", [64, 128, 256, 384, 384, 512, 512]))
    assert tuple(squeeze) == LAYERS["squeezenet1_1"] and squeeze["relu9"].shape == (1, 512, 1, 1)
    assert tuple(load_linear(linear_file(tmp_path / "b.pth", [64, 128, 256, 512, 512]))) == LAYERS["vgg16"]
    with pytest.raises(
        ModelError, match=r"expected lin0.model.1.weight .* channels, found \(64, 192, 384, 256, 256\). Give lpips_lin"
    ):
        load_linear(linear_file(tmp_path / "alex.pth", [64, 192, 384, 256, 256]))
    with pytest.raises(ModelError, match="relu1_2 has negative weights"):
        load_linear(linear_file(tmp_path / "c.pth", [64, 128, 256, 512, 512], low=-0.1))
    torch.save({"weight": torch.ones(3)}, tmp_path / "d.pth")
    with pytest.raises(ModelError, match="found weight"):
        load_linear(tmp_path / "d.pth")


def test_published_weights_and_networks_rank_blur_and_noise(assets: Path, photograph: Tensor) -> None:
    folder = assets / "weights" / "perceptual"
    squeeze = load_linear(folder / "lpips_lin_v0.1_squeeze.pth")
    assert tuple(load_linear(folder / "lpips_lin_v0.1_vgg.pth")) == LAYERS["vgg16"]
    with pytest.raises(ModelError, match="64, 192, 384, 256, 256"):
        load_linear(folder / "lpips_lin_v0.1_alex.pth")
    for name, linear in [(name, None) for name in _SMALL] + [("squeezenet1_1", squeeze)]:
        net = fetch_features(name, folder)
        with torch.no_grad():
            blur = [distance(net, blurred(photograph, factor), photograph, linear).item() for factor in (1.5, 2.5, 4.0)]
            noise = [distance(net, noisy(photograph, sigma), photograph, linear).item() for sigma in (0.01, 0.03, 0.1)]
        assert 0 < blur[0] < blur[1] < blur[2] and 0 < noise[0] < noise[1] < noise[2], name
