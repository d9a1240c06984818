from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from upres.training.losses import LOSSES, charbonnier, l1, mse  # noqa: E402


def test_closed_forms() -> None:
    sr, hr = torch.tensor([[[[0.0, 1.0]]]]), torch.tensor([[[[0.5, 0.0]]]])
    assert l1(sr, hr).item() == pytest.approx(0.75)
    assert mse(sr, hr).item() == pytest.approx(0.625)
    assert charbonnier(sr, hr, epsilon=0.0).item() == pytest.approx(0.75)
    assert charbonnier(hr, hr, epsilon=1e-3).item() == pytest.approx(1e-3)


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_agree_with_torch_and_have_gradients(name: str) -> None:
    torch.manual_seed(0)
    sr, hr = torch.rand(2, 3, 5, 5, requires_grad=True), torch.rand(2, 3, 5, 5)
    value = LOSSES[name](sr, hr)
    twins = {"l1": torch.nn.L1Loss(), "mse": torch.nn.MSELoss()}
    if name in twins:
        assert value.item() == pytest.approx(twins[name](sr, hr).item(), rel=1e-6)
    value.backward()
    assert sr.grad is not None and sr.grad.abs().sum() > 0
