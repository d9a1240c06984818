"""Every term of the generator's loss has its own weight and its own pictures."""

from __future__ import annotations

import dataclasses

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("tensorboard")

from torch.nn import functional as F  # noqa: E402

from tests.training.made import run_of  # noqa: E402
from tests.training.test_loop_gan_step import ALONE, batch  # noqa: E402
from tests.training.test_loop_traps import QUIET  # noqa: E402
from upres.training.losses import formulas  # noqa: E402
from upres.training.losses.generator_loss import generator_terms  # noqa: E402
from upres.training.networks.generators import build_generator  # noqa: E402
from upres.training.state import build_state  # noqa: E402


def test_every_term_has_its_weight_and_its_pictures() -> None:
    """Of the artifact loss: the picture of the averaged generator, not of the present one."""
    config = dataclasses.replace(
        QUIET,
        pixel_weight=0.5,
        artefact_weight=3.0,
        frequency_weight=5.0,
        consistency_weight=7.0,
        lattice_weight=11.0,
        loss="mse",
    )
    state = build_state(config, ALONE)
    for tensor in state.ema.values():
        tensor.mul_(0.7)
    steady_net = build_generator(config)
    steady_net.load_state_dict(state.ema)
    lr, hr = batch(0)
    with torch.no_grad():
        sr, steady = state.net(lr), steady_net(lr)
        terms = generator_terms(run_of(config), state, sr, lr, hr, 0)
    expected = {
        "pixel": 0.5 * F.mse_loss(sr, hr),
        "artefact": 3.0 * formulas.artifact(sr, hr, steady),
        "frequency": 5.0 * formulas.frequency(sr, hr),
        "consistency": 7.0 * formulas.lr_consistency(sr, lr, 2),
        "lattice": 11.0 * formulas.lattice(sr, hr, 2),
    }
    assert not torch.allclose(formulas.artifact(sr, hr, steady), formulas.artifact(sr, hr, sr), rtol=0.01)
    assert terms.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(terms[name], value, rtol=1e-5, atol=1e-9)
