"""The branched convolution against its branches run one by one, and the merged network against a plain one."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402

from upres.errors import DataError  # noqa: E402
from upres.training.networks.compact import BranchedConv, Compact  # noqa: E402


@pytest.mark.parametrize("sizes", [(3, 8), (8, 8), (8, 12)])
def test_merged_kernel_equals_its_branches(sizes: tuple[int, int]) -> None:
    torch.manual_seed(1)
    conv = BranchedConv(*sizes).double()
    with torch.no_grad():
        conv.bias.normal_()
        conv.edge_gain.normal_()
    x = torch.randn(2, sizes[0], 9, 7, dtype=torch.float64)
    expected = F.conv2d(x, conv.full, padding=1) + F.conv2d(x, conv.point)
    expected = expected + F.conv2d(F.conv2d(x, conv.squeeze[:, :, None, None]), conv.expand, padding=1)
    for e, edge in enumerate(conv.edges):
        pointed = F.conv2d(x, conv.edge_point[e][:, :, None, None])
        depthwise = edge.expand(sizes[1], 1, 3, 3)
        expected = expected + conv.edge_gain[e][None, :, None, None] * F.conv2d(
            pointed, depthwise, padding=1, groups=sizes[1]
        )
    expected = expected + conv.bias[None, :, None, None]
    if sizes[0] == sizes[1]:
        expected = expected + x
    assert torch.allclose(conv(x), expected, atol=1e-12)


class PlainSRVGG(nn.Module):
    """SRVGGNetCompact as the field writes it: one `body` list."""

    def __init__(self, width: int, depth: int, scale: int) -> None:
        super().__init__()
        self.scale = scale
        layers: list[nn.Module] = [nn.Conv2d(3, width, 3, 1, 1), nn.PReLU(width)]
        for _ in range(depth):
            layers += [nn.Conv2d(width, width, 3, 1, 1), nn.PReLU(width)]
        layers.append(nn.Conv2d(width, 3 * scale * scale, 3, 1, 1))
        self.body = nn.ModuleList(layers)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out = x
        for layer in self.body:
            out = layer(out)
        return F.pixel_shuffle(out, self.scale) + F.interpolate(x, scale_factor=self.scale, mode="nearest")


@pytest.mark.parametrize("branched", [True, False])
@pytest.mark.parametrize("scale", [2, 4])
def test_merged_state_dict_is_an_ordinary_srvgg(branched: bool, scale: int) -> None:
    torch.manual_seed(2)
    net = Compact(width=12, depth=3, scale=scale, branched=branched)
    for slope in net.slopes:
        nn.init.uniform_(slope, -0.5, 1.0)  # each channel has its own
    plain = PlainSRVGG(12, 3, scale)
    plain.load_state_dict(net.merged_state_dict(), strict=True)
    x = torch.rand(1, 3, 10, 13)
    with torch.no_grad():
        assert torch.allclose(net(x), plain(x), atol=1e-5)


def test_a_plain_network_is_taken_up_by_the_branches() -> None:
    torch.manual_seed(4)
    known = Compact(width=8, depth=2, scale=2).merged_state_dict()
    for branched in (True, False):
        net = Compact(width=8, depth=2, scale=2, branched=branched)
        net.load_plain(known)
        for name, tensor in net.merged_state_dict().items():
            assert torch.allclose(tensor, known[name], atol=1e-6), name
    with pytest.raises(DataError, match="does not match the recipe"):
        Compact(width=8, depth=3, scale=2).load_plain(known)


def test_house_models_stay_below_130_thousand_parameters() -> None:
    for scale in (2, 4):
        merged = Compact(width=32, depth=12, scale=scale).merged_state_dict()
        assert sum(t.numel() for t in merged.values()) <= 130_000


def test_every_branch_learns() -> None:
    torch.manual_seed(3)
    net = Compact(width=8, depth=2, scale=2)
    net(torch.rand(1, 3, 8, 8)).square().mean().backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name
