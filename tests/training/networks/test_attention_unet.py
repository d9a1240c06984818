"""The discriminator with attention gates against a literal reading of its papers' equations."""

from __future__ import annotations

import math

import pytest

torch = pytest.importorskip("torch")

from torch import Tensor  # noqa: E402
from torch.nn import functional as F  # noqa: E402

from upres.training.networks.attention_unet import AttentionUNetDiscriminator  # noqa: E402

State = dict[str, Tensor]


def literal_gate(state: State, name: str, x: Tensor, g: Tensor) -> Tensor:
    """Oktay et al., equations 1 and 2, pixel by pixel of the gating signal: q = psi^T relu(Wx x + Wg g + bg) + bpsi."""
    theta, phi, psi = (state[f"{name}.{part}.weight"] for part in ("theta", "phi", "psi"))
    bias_g, bias_psi = state[f"{name}.phi.bias"], state[f"{name}.psi.bias"]
    batch, _, height, width = g.shape
    alpha = torch.empty(batch, 1, height, width, dtype=x.dtype)
    for b in range(batch):
        for i in range(height):
            for j in range(width):
                patch = x[b, :, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2]
                seen = torch.einsum("ocyx,cyx->o", theta, patch) + phi[:, :, 0, 0] @ g[b, :, i, j] + bias_g
                q = float(psi[0, :, 0, 0] @ seen.clamp(min=0.0) + bias_psi[0])
                alpha[b, 0, i, j] = 1.0 / (1.0 + math.exp(-q))
    return x * F.interpolate(alpha, size=x.shape[2:], mode="bilinear", align_corners=False)


def literal_unet(state: State, x: Tensor) -> Tensor:
    """Figure 3 of A-ESRGAN: Real-ESRGAN's U-Net, each skip connection through a gate."""

    def conv(name: str, x: Tensor, stride: int = 1) -> Tensor:
        if f"{name}.weight" in state:
            return F.conv2d(x, state[f"{name}.weight"], state[f"{name}.bias"], stride, 1)
        weight, u, v = (state[f"{name}.weight_{part}"] for part in ("orig", "u", "v"))
        return F.conv2d(x, weight / (u @ weight.flatten(1) @ v), None, stride, 1)

    def up(x: Tensor, like: Tensor) -> Tensor:
        return F.interpolate(x, size=like.shape[2:], mode="bilinear", align_corners=False)

    x0 = F.leaky_relu(conv("conv0", x), 0.2)
    x1 = F.leaky_relu(conv("conv1", x0, 2), 0.2)
    x2 = F.leaky_relu(conv("conv2", x1, 2), 0.2)
    x3 = F.leaky_relu(conv("conv3", x2, 2), 0.2)
    y2 = F.leaky_relu(conv("conv4", up(x3, x2)), 0.2) + literal_gate(state, "gate2", x2, x3)
    y1 = F.leaky_relu(conv("conv5", up(y2, x1)), 0.2) + literal_gate(state, "gate1", x1, y2)
    y0 = F.leaky_relu(conv("conv6", up(y1, x0)), 0.2) + literal_gate(state, "gate0", x0, y1)
    return conv("conv9", F.leaky_relu(conv("conv8", F.leaky_relu(conv("conv7", y0), 0.2)), 0.2))


@pytest.mark.parametrize("size", [(16, 16), (26, 21)])
def test_it_is_the_papers_network_at_two_scales(size: tuple[int, int]) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = AttentionUNetDiscriminator(3).double().eval()
        x = torch.rand(2, 3, *size, dtype=torch.float64)
    state = {name: tensor.detach() for name, tensor in net.state_dict().items()}
    parts = [
        {key.removeprefix(f"scales.{i}."): one for key, one in state.items() if f"scales.{i}." in key} for i in (0, 1)
    ]
    height, width = size
    half = torch.stack(  # the mean of the up to nine pixels around every second one
        [
            torch.stack(
                [x[:, :, max(0, i - 1) : i + 2, max(0, j - 1) : j + 2].mean((2, 3)) for j in range(0, width, 2)],
                -1,
            )
            for i in range(0, height, 2)
        ],
        -2,
    )
    with torch.no_grad():
        found = net(x)
        expected = (literal_unet(parts[0], x), literal_unet(parts[1], half))
    assert [tuple(one.shape) for one in found] == [tuple(one.shape) for one in expected]
    assert all(torch.allclose(a, b, rtol=0.0, atol=1e-9) for a, b in zip(found, expected, strict=True))


def test_a_closed_gate_lets_nothing_through() -> None:
    """With psi's bias far below zero the skip connections vanish: the decoder sees the coarsest features alone."""
    net = AttentionUNetDiscriminator(3).eval()
    one = net.scales[0]
    x = torch.rand(1, 3, 16, 16)
    with torch.no_grad():
        before = one.gate0(x, torch.rand(1, 6, 8, 8))
        one.gate0.psi.bias.fill_(-100.0)  # type: ignore[union-attr, operator]
        after = one.gate0(x, torch.rand(1, 6, 8, 8))
    assert before.abs().max() > 0.01 and after.abs().max() < 1e-20
